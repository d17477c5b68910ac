"""Convolution and pooling: everything with a window that slides."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.errors import InputError
from accelsim.network.layers import Convolution, Padding, Pool, Reduce, TransposedConvolution
from accelsim.network.readers.onnx.builder import Builder, Value, Weight
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.reductions import reduced
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.values import activation, optional_weight, weight_of
from accelsim.network.readers.onnx.view import View, laid_out
from accelsim.units import ceil_div

#: Larger than any window of a real network.
LARGEST_WINDOW = 2**20

Sizes = tuple[int, ...]


def feature_map(build: Builder, view: View) -> View:
    """A batch of one map with its second axis as channels and the rest as space."""
    _check_map(view)
    return build.by_axes(view, range(2, len(view.axes)), [1])


def _check_map(view: View) -> None:
    if len(view.axes) < 3:
        raise InputError(f"needs a map with a batch, channels and space, not shape {list(view.shape)}")
    if view.size(0) != 1:
        raise NotReadable(f"a batch of {view.size(0)} frames; give input_shape=1,... to read it for one")


def from_map(build: Builder, node: str) -> View:
    """View of a layer's output as (1, channels, *space)."""
    tensor = build.tensors[node]
    shape = (1, tensor.channels, *tensor.spatial)
    return laid_out(node, shape, range(2, len(shape)), [1])


def convolution(op: Operator, inputs: Sequence[Value | None], build: Builder) -> list[Value]:
    source = feature_map(build, activation(inputs, 0))
    weights = weight_of(inputs, 1, "weights").array
    bias = optional_weight(inputs, 2, "bias")
    space = source.shape[2:]
    kernel = _kernel(op, weights, len(space))
    stride, dilation = _steps(op, "strides", len(space)), _steps(op, "dilations", len(space))
    padding = _padding(op, space, kernel, stride, dilation)
    groups = op.integer("group", 1)
    _check_weights(weights, (weights.shape[0], source.size(1) // max(groups, 1), *kernel))
    layer = Convolution(weights.shape[0], kernel, stride, padding, dilation, groups, bias is not None)
    return [from_map(build, build.add(layer, (source.node,), _arrays(weights, bias, weights.shape[0])))]


def _kernel(op: Operator, weights: Array, axes: int) -> Sizes:
    if weights.ndim != axes + 2:
        raise InputError(f"weights of shape {list(weights.shape)} on {axes} spatial axes")
    kernel = op.integers("kernel_shape", tuple(weights.shape[2:]))
    if kernel != tuple(weights.shape[2:]):
        raise InputError(f"kernel_shape {list(kernel)} differs from weights of shape {list(weights.shape)}")
    return kernel


def _check_weights(weights: Array, wanted: Sizes) -> None:
    if tuple(weights.shape) != wanted:
        raise InputError(f"weights have shape {list(weights.shape)}, the input and groups need {list(wanted)}")


def _arrays(weights: Array, bias: Weight | None, channels: int) -> dict[str, Array]:
    if bias is None:
        return {"weight": weights}
    if bias.shape != (channels,):
        raise InputError(f"bias has shape {list(bias.shape)}, not [{channels}]")
    return {"weight": weights, "bias": bias.array}


def _steps(op: Operator, name: str, axes: int) -> Sizes:
    return _sized(name, op.integers(name, (1,) * axes), axes)


def _sized(name: str, values: Sizes, axes: int) -> Sizes:
    if len(values) != axes:
        raise InputError(f"{name} {list(values)} has not the {axes} spatial axes of the input")
    if any(not 0 < value <= LARGEST_WINDOW for value in values):
        raise InputError(f"{name} {list(values)}: each must be between 1 and {LARGEST_WINDOW:,}")
    return values


def _padding(op: Operator, space: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Padding:
    """Padding before and after each axis, from `pads` or `auto_pad`."""
    mode = op.text("auto_pad", "NOTSET")
    if mode == "VALID":
        return ((0, 0),) * len(space)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        axes = zip(space, kernel, stride, dilation, strict=True)
        totals = [max((ceil_div(n, s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in axes]
        return tuple(_halves(total, mode == "SAME_UPPER") for total in totals)
    if mode != "NOTSET":
        raise InputError(f"auto_pad '{mode}' is not NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return _pads(op, len(space))


def _halves(total: int, more_after: bool) -> tuple[int, int]:
    less = total // 2
    return (less, total - less) if more_after else (total - less, less)


def _pads(op: Operator, axes: int) -> Padding:
    pads = op.integers("pads", (0,) * (2 * axes))
    if len(pads) != 2 * axes:
        raise InputError(f"pads {list(pads)} are not two for each of {axes} spatial axes")
    if any(not 0 <= pad <= LARGEST_WINDOW for pad in pads):
        raise InputError(f"pads {list(pads)}: each must be between 0 and {LARGEST_WINDOW:,}")
    return tuple(zip(pads[:axes], pads[axes:], strict=True))


def transposed_convolution(op: Operator, inputs: Sequence[Value | None], build: Builder) -> list[Value]:
    source = feature_map(build, activation(inputs, 0))
    weights = weight_of(inputs, 1, "weights").array
    bias = optional_weight(inputs, 2, "bias")
    space = source.shape[2:]
    kernel = _kernel(op, weights, len(space))
    stride, dilation = _steps(op, "strides", len(space)), _steps(op, "dilations", len(space))
    groups = op.integer("group", 1)
    _check_weights(weights, (source.size(1), weights.shape[1], *kernel))
    padding, extra = _transposed_padding(op, space, kernel, stride, dilation)
    channels = weights.shape[1] * groups
    layer = TransposedConvolution(channels, kernel, stride, padding, dilation, extra, groups, bias is not None)
    return [from_map(build, build.add(layer, (source.node,), _arrays(weights, bias, channels)))]


def _transposed_padding(
    op: Operator, space: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes
) -> tuple[Padding, Sizes]:
    """Padding taken off each end and added after, from `pads`, `auto_pad` or the wanted `output_shape`."""
    extra = op.integers("output_padding", (0,) * len(space))
    if len(extra) != len(space) or any(not 0 <= size <= LARGEST_WINDOW for size in extra):
        raise InputError(f"output_padding {list(extra)} is not one for each of {len(space)} spatial axes")
    mode = op.text("auto_pad", "NOTSET")
    wanted = op.integers("output_shape")
    if mode in ("SAME_UPPER", "SAME_LOWER") and not wanted:
        wanted = tuple(n * s for n, s in zip(space, stride, strict=True))
    if not wanted:
        return (((0, 0),) * len(space) if mode == "VALID" else _pads(op, len(space))), extra
    if len(wanted) != len(space):
        raise InputError(f"output_shape {list(wanted)} has not the {len(space)} spatial axes of the input")
    axes = zip(space, kernel, stride, dilation, extra, wanted, strict=True)
    totals = [(n - 1) * s + d * (k - 1) + 1 + e - w for n, k, s, d, e, w in axes]
    grown = tuple(e + max(-total, 0) for e, total in zip(extra, totals, strict=True))
    return tuple(_halves(max(total, 0), mode == "SAME_UPPER") for total in totals), grown


#: Operation of a pooling layer, and of the reduction it is where its windows are tiles.
POOLS = {"MaxPool": ("maximum", "maximum"), "AveragePool": ("average", "mean"), "LpPool": ("lp", "lp")}
GLOBAL_POOLS = {"GlobalMaxPool": "maximum", "GlobalAveragePool": "mean", "GlobalLpPool": "lp"}


def pool(op: Operator, inputs: Sequence[Value | None], build: Builder) -> list[Value]:
    view = activation(inputs, 0)
    _check_map(view)
    space = view.shape[2:]
    kernel = _sized("kernel_shape", op.integers("kernel_shape"), len(space))
    stride, dilation = _steps(op, "strides", len(space)), _steps(op, "dilations", len(space))
    padding = _padding(op, space, kernel, stride, dilation)
    ceil_mode = bool(op.integer("ceil_mode", 0))
    counted = bool(op.integer("count_include_pad", 0))
    operation, reduction = POOLS[op.kind]
    if not any(map(sum, padding)) and _tiles(space, kernel, stride, dilation, ceil_mode and not counted):
        runs = _channel_runs(build, view, kernel)
        if runs is not None:
            return [reduced(build, *runs, _lp(op, reduction)).without(runs[1])]
        tile = None if all(k >= n for k, n in zip(kernel, space, strict=True)) else kernel
        return [from_map(build, build.add(Reduce(_lp(op, reduction), tile), (feature_map(build, view).node,)))]
    layer = Pool(operation, kernel, stride, padding, dilation, ceil_mode, counted)
    return [from_map(build, build.add(layer, (feature_map(build, view).node,)))]


def _channel_runs(build: Builder, view: View, kernel: Sizes) -> tuple[View, Sizes] | None:
    """The map with its tiles cut out and the axes inside them, where tiles span channels of a layer and no space.

    Channels are pooled so where they stand as the depth of a volume, or as the positions of a line.
    """
    spans = (1, 1, *kernel)
    tiled = [axis for axis, span in enumerate(spans) if span > 1]
    spatial = any(factor < view.space for factor in view.factors_of(tiled))
    if not tiled or spatial or view.node in build.inputs or any(view.size(axis) % spans[axis] for axis in tiled):
        return None
    sizes = ((n // span, span) if span > 1 else (n,) for n, span in zip(view.shape, spans, strict=True))
    cut = view.reshaped([size for pair in sizes for size in pair])
    return None if cut is None else (cut, tuple(axis + count for count, axis in enumerate(tiled, 1)))


def _tiles(space: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes, partial: bool) -> bool:
    """Whether the windows do not overlap and leave nothing out: such a pooling accumulates and keeps no lines."""
    axes = zip(space, kernel, stride, dilation, strict=True)
    return all((k == n and d == 1) or (k == s and d == 1 and k < n and (partial or n % k == 0)) for n, k, s, d in axes)


def _lp(op: Operator, reduction: str) -> str:
    """Norms of order 1 and 2 by their own names."""
    return {1: "l1", 2: "l2"}.get(op.integer("p", 2), "lp") if reduction == "lp" else reduction


def global_pool(op: Operator, inputs: Sequence[Value | None], build: Builder) -> list[Value]:
    source = feature_map(build, activation(inputs, 0))
    return [from_map(build, build.add(Reduce(_lp(op, GLOBAL_POOLS[op.kind])), (source.node,)))]
