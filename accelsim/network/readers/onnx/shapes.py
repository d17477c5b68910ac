"""Operators that move elements: reshapes and transpositions, which cost nothing until a layer minds."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, isfinite, prod

import numpy as np

from accelsim.errors import InputError
from accelsim.network.layers import Concat, Embedding, Pad, Resize, Slice
from accelsim.network.readers.onnx.builder import Builder, Groups, Value, Weight
from accelsim.network.readers.onnx.folding import (
    axes_of,
    axis_of,
    integers_in,
    reshape_target,
    shape_constant,
    slices,
    split_sizes,
)
from accelsim.network.readers.onnx.joining import concatenate, isolate, isolate_space, resized_axis
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.tensors import MOST_AXES, Array
from accelsim.network.readers.onnx.values import (
    Values,
    activation,
    constants,
    operand,
    optional,
    optional_weight,
    present,
    weight_of,
)
from accelsim.network.readers.onnx.view import View, laid_out
from accelsim.network.tensor import Tensor
from accelsim.network.window import CENTRES

#: Copies or pieces of one tensor that are joined again.
MOST_PIECES = 1024


def identity(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """The first input as it is; a Dropout's mask is never wanted after training."""
    return [present(inputs, 0)]


def shape(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    return [Weight(shape_constant(op, activation(inputs, 0).shape))]


def sizes_in(inputs: Values, position: int, name: str) -> tuple[int, ...]:
    """A constant input as Python integers."""
    return integers_in(weight_of(inputs, position, name).array)


def reshape(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    wanted = sizes_in(inputs, 1, "shape")
    return [reshaped(build, source, reshape_target(source.shape, wanted, bool(op.integer("allowzero", 0))))]


def reshaped(build: Builder, source: View, target: Sequence[int]) -> View:
    """A view where there is one, else the elements are put in the file's order first."""
    view = source.reshaped(target) or build.merged(source).reshaped(target)
    if view is None:
        plain = _in_file_order(build, source)
        view = plain.reshaped(target)
        assert view is not None
    return view


def _in_file_order(build: Builder, source: View) -> View:
    """All elements as one vector in the order of the file."""
    flat = build.arranged(source, (), source.factors_of(range(len(source.axes))))
    return laid_out(flat.node, (prod(source.shape),), (), (0,))


def flatten(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    axis = op.integer("axis", 1)
    if not -len(source.axes) <= axis <= len(source.axes):
        raise InputError(f"axis = {axis} is not an axis of shape {list(source.shape)}")
    axis = axis + len(source.axes) if axis < 0 else axis
    return [reshaped(build, source, (prod(source.shape[:axis]), prod(source.shape[axis:])))]


def transpose(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    order = op.integers("perm", tuple(reversed(range(len(source.axes)))))
    if sorted(order) != list(range(len(source.axes))):
        raise InputError(f"perm {list(order)} is no order of the axes of shape {list(source.shape)}")
    return [source.transposed(order)]


def squeeze(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    optional_weight(inputs, 1, "axes")
    axes = axes_of(op, constants(inputs), len(source.axes))
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(source.shape) if size == 1)
    for axis in axes:
        if source.size(axis) != 1:
            raise InputError(f"axis {axis} of shape {list(source.shape)} has not size 1")
    return [source.without(axes)]


def unsqueeze(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    named = sizes_in(inputs, 1, "axes") if len(inputs) > 1 else op.integers("axes")
    rank = len(source.axes) + len(named)
    if rank > MOST_AXES or len(set(named)) < len(named):
        raise InputError(f"axes {list(named)} cannot be put in")
    return [source.inserted(axis_of(axis, rank) for axis in named)]


def concat(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    operands = [operand(inputs, position) for position in range(len(inputs))]
    return [joined(build, operands, axis_of(op.integer("axis", 1), len(operands[0].shape)))]


def joined(build: Builder, operands: Sequence[View | Weight], axis: int) -> View | Weight:
    """Operands along an axis; what is empty adds nothing."""
    if len({len(operand.shape) for operand in operands}) > 1:
        raise InputError(f"shapes {', '.join(str(list(o.shape)) for o in operands)} have not as many axes")
    filled = [o for o in operands if prod(o.shape)]
    return filled[0] if len(filled) == 1 else concatenate(build, filled, axis)


def slice_(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    for position, name in enumerate(("starts", "ends", "axes", "steps"), 1):
        optional_weight(inputs, position, name)
    cuts = {
        axis: range(*slice(*cut).indices(source.size(axis)))
        for axis, cut in slices(op, constants(inputs), source.shape).items()
    }
    changing = [axis for axis, cut in cuts.items() if cut != range(source.size(axis))]
    for axis in changing:
        if not cuts[axis]:
            raise InputError(f"slice of axis {axis} of shape {list(source.shape)} is empty")
        with build.inner("" if axis == changing[-1] else f"axis{axis}"):
            source = sliced(build, source, axis, cuts[axis].start, len(cuts[axis]), cuts[axis].step)
    return [source]


def sliced(build: Builder, source: View, axis: int, start: int, size: int, step: int = 1) -> View:
    """Every `step`-th element of an axis from `start`, `size` of them."""
    if (start, size) == (0, source.size(axis)) and (step == 1 or size == 1):
        return source
    view, position = isolate(build, source, axis)
    inner = view.product(view.channels) // view.size(axis) if position < 0 else 1
    if inner > 1 and step != 1 and size > 1:
        view, position = isolate_space(build, view, axis)
        inner = 1
    layer = Slice(position, start * inner, size * inner, step if inner == 1 and size > 1 else 1)
    return resized_axis(view, build.add(layer, (view.node,)), axis, size, position)


def split(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    axis = axis_of(op.integer("axis", 0), len(source.axes))
    given = optional_weight(inputs, 1, "sizes")
    sizes = split_sizes(op, None if given is None else given.array, source.size(axis))
    parts: list[Value] = []
    start = 0
    for index, size in enumerate(sizes):
        if not size:
            raise InputError(f"split {list(sizes)} leaves output {index} empty")
        with build.inner(str(index)):
            parts.append(sliced(build, source, axis, start, size))
        start += size
    return parts


def gather(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    table = present(inputs, 0)
    if isinstance(table, Weight):
        return [_embedding(op, table, activation(inputs, 1), build)]
    assert isinstance(table, View)
    index = weight_of(inputs, 1, "indices").array
    axis = axis_of(op.integer("axis", 0), len(table.axes))
    positions = _positions(index, table.size(axis))
    taken = _picked(build, table, axis, positions)
    if index.ndim == 1:
        return [taken]
    return [reshaped(build, taken, (*taken.shape[:axis], *index.shape, *taken.shape[axis + 1 :]))]


def _positions(index: Array, size: int) -> list[int]:
    if index.size > 2**20 or not index.size:
        raise NotReadable(f"{index.size:,} indices")
    positions = [int(value) for value in index.reshape(-1).tolist()]
    if not all(-size <= position < size for position in positions):
        raise InputError(f"an index lies outside an axis of {size}")
    return [position % size for position in positions]


def _picked(build: Builder, source: View, axis: int, positions: Sequence[int]) -> View:
    """Elements at some positions of an axis: a slice a run of evenly spaced ones, joined again."""
    runs = _even_runs(positions)
    if len(runs) > MOST_PIECES:
        raise NotReadable(f"{len(runs):,} runs of indices")
    if len(runs) == 1:
        return sliced(build, source, axis, runs[0].start, len(runs[0]), runs[0].step)
    pieces = []
    for number, run in enumerate(runs):
        with build.inner(str(number)):
            pieces.append(sliced(build, source, axis, run.start, len(run), run.step))
    return concatenate(build, pieces, axis)


def _even_runs(positions: Sequence[int]) -> list[range]:
    """Positions as ranges, each as long as it can be."""
    runs: list[range] = []
    start = 0
    while start < len(positions):
        end = start + 1
        step = positions[end] - positions[start] if end < len(positions) else 1
        while end < len(positions) and step and positions[end] - positions[end - 1] == step:
            end += 1
        count = end - start
        first = positions[start]
        runs.append(range(first, first + count * (step or 1), step or 1) if count > 1 else range(first, first + 1))
        start = end
    return runs


def _embedding(op: Operator, table: Weight, index: View, build: Builder) -> View:
    axis = axis_of(op.integer("axis", 0), len(table.shape))
    if len(table.shape) != 2 or axis != 0:
        raise NotReadable(f"looking up axis {axis} of a constant of shape {list(table.shape)}")
    axes = [axis for axis in range(len(index.axes)) if index.axes[axis]]
    index = build.by_axes(index, axes, [])
    count, channels = table.shape
    node = build.add(Embedding(count, channels), (index.node,), {"weight": table.array})
    own = (len(index.factors),) if channels > 1 else ()
    factors = index.factors + ((channels,) if channels > 1 else ())
    return View(node, factors, index.space, (*index.axes, own))


def expand(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    target = sizes_in(inputs, 1, "shape")
    if any(size < 1 for size in target) or len(target) > MOST_AXES:
        raise InputError(f"shape {list(target)} must be positive")
    try:
        wanted = np.broadcast_shapes(source.shape, target)
    except ValueError:
        raise InputError(f"shape {list(source.shape)} does not broadcast to {list(target)}") from None
    source = source.inserted(range(len(wanted) - len(source.axes)))
    result = repeated(build, source, tuple(w // n for w, n in zip(wanted, source.shape, strict=True)))
    if result.node != source.node:
        build.spread[result] = source
    return [result]


def tile(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    times = sizes_in(inputs, 1, "repeats")
    if len(times) != len(source.axes) or any(count < 1 for count in times):
        raise InputError(f"repeats {list(times)} do not fit shape {list(source.shape)}")
    return [repeated(build, source, times)]


def repeated(build: Builder, source: View, times: Sequence[int]) -> View:
    """Copies of the tensor joined along each axis."""
    changing = [axis for axis, count in enumerate(times) if count > 1]
    for axis in changing:
        with build.inner("" if axis == changing[-1] else f"axis{axis}"):
            source = _repeated_axis(build, source, axis, times[axis])
    return source


def _repeated_axis(build: Builder, source: View, axis: int, count: int) -> View:
    # One element spread over an axis of space is a nearest resampling, however many copies there are.
    if source.size(axis) == 1:
        return _spread(build, source, axis, count)
    if count > MOST_PIECES:
        raise NotReadable(f"{count:,} copies of an axis")
    view, position = isolate(build, source, axis)
    node = build.add(Concat(position), (view.node,) * count)
    return resized_axis(view, node, axis, view.size(axis) * count, position)


def _spread(build: Builder, source: View, axis: int, count: int) -> View:
    groups: Groups = (*build.groups(source), ())
    view = build.arranged(source, groups, source.channels)
    sizes = (*(view.product(group) for group in groups[:-1]), count)
    return resized_axis(view, build.add(Resize(sizes), (view.node,)), axis, count, 0, view.space)


#: Padding modes by the names the layer has for them.
PAD_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


def pad(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    mode = op.text("mode", "constant")
    if mode not in PAD_MODES:
        raise InputError(f"mode '{mode}' is not one of {', '.join(PAD_MODES)}")
    amounts = _pad_amounts(op, inputs, source)
    value = _pad_value(op, inputs)
    return [padded(build, source, amounts, PAD_MODES[mode], value)]


def _pad_amounts(op: Operator, inputs: Values, source: View) -> dict[int, tuple[int, int]]:
    """What is put before and after each axis that changes; attributes to opset 10, inputs after."""
    pads = op.integers("pads") if op.opset < 11 else sizes_in(inputs, 1, "pads")
    rank = len(source.axes)
    axes: Sequence[int] = range(rank)
    if op.opset >= 18 and optional(inputs, 3) is not None:
        axes = [axis_of(axis, rank) for axis in sizes_in(inputs, 3, "axes")]
    if len(pads) != 2 * len(axes):
        raise InputError(f"pads {list(pads)} are not two for each of {len(axes)} axes")
    both = zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True)
    return {axis: (before, after) for axis, before, after in both if before or after}


def _pad_value(op: Operator, inputs: Values) -> float:
    given = optional_weight(inputs, 2, "the padding value") if op.opset >= 11 else None
    if given is None:
        return op.real("value", 0.0) if op.opset < 11 else 0.0
    return float(given.array.reshape(-1)[0]) if given.array.size else 0.0


def padded(build: Builder, source: View, amounts: dict[int, tuple[int, int]], mode: str, value: float) -> View:
    if not amounts:
        return source
    view, positions = in_space(build, source, tuple(amounts), allow_channels=True)
    padding = [(0, 0)] * len(build.tensors[view.node].spatial)
    channels = (0, 0)
    for axis, position in positions.items():
        if position < 0:
            channels = amounts[axis]
        else:
            padding[position] = amounts[axis]
    node = build.add(Pad(tuple(padding), channels, mode, value), (view.node,))
    return _resized(build, view, node, positions)


def in_space(
    build: Builder, source: View, axes: Sequence[int], allow_channels: bool = False
) -> tuple[View, dict[int, int]]:
    """A view in which each of `axes` is a spatial axis (its number), or all of the channels (-1) where allowed."""
    positions = _positions_in_space(build, source, axes, allow_channels)
    if positions is None:
        rank = len(source.axes)
        held = {axis for axis in range(rank) if any(f >= source.space for f in source.axes[axis])} - set(axes)
        channels = sorted(held) or ([1] if rank > 2 and 1 not in axes else [])
        spatial = [axis for axis in range(rank) if axis not in channels and (source.axes[axis] or axis in axes)]
        source = build.by_axes(source, spatial, channels)
        positions = {axis: spatial.index(axis) for axis in axes}
    return source, positions


def _positions_in_space(
    build: Builder, source: View, axes: Sequence[int], allow_channels: bool
) -> dict[int, int] | None:
    groups = build.groups(source)
    empty = [position for position, group in enumerate(groups) if not group]
    positions: dict[int, int] = {}
    for axis in axes:
        own = source.axes[axis]
        if own and own in groups:
            positions[axis] = groups.index(own)
        elif allow_channels and own and own == source.channels:
            positions[axis] = -1
        elif not own and empty:
            positions[axis] = empty.pop(0)
        else:
            return None
    return positions


def _resized(build: Builder, view: View, node: str, positions: dict[int, int]) -> View:
    """`view` on a node whose axes at `positions` have new sizes."""
    tensor: Tensor = build.tensors[node]
    for axis, position in sorted(positions.items(), key=lambda item: item[1] % 64):
        size = tensor.channels if position < 0 else tensor.spatial[position]
        at = _first_factor(view, tensor, position) if position >= 0 else 0
        view = resized_axis(view, node, axis, size, position, at)
    return view


def _first_factor(view: View, tensor: Tensor, position: int) -> int:
    """Factor at which a spatial axis of `tensor` begins, given that those before it are in `view` already."""
    before = prod(tensor.spatial[:position])
    count = 0
    while prod(view.factors[:count]) < before:
        count += 1
    return count


def resize(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    coordinates = op.text("coordinate_transformation_mode", "half_pixel" if op.opset >= 11 else "asymmetric")
    if coordinates not in CENTRES:
        raise NotReadable(f"coordinate_transformation_mode = {coordinates}")
    target = _resize_target(op, inputs, source)
    return [resampled(build, source, target, op.text("mode", "nearest"), coordinates)]


def _resize_target(op: Operator, inputs: Values, source: View) -> tuple[int, ...]:
    """Shape after a Resize, from scales (input 1, then 2) or sizes (input 3), for all axes or some."""
    rank = len(source.axes)
    axes = tuple(axis_of(axis, rank) for axis in op.integers("axes", tuple(range(rank))))
    if op.opset >= 11:
        sizes = optional_weight(inputs, 3, "sizes")
        if sizes is not None and sizes.array.size:
            wanted = _kept_ratio(op, source, axes, sizes_in(inputs, 3, "sizes"))
            return _at(source.shape, axes, wanted)
    scales = weight_of(inputs, 2 if op.opset >= 11 else 1, "scales").array
    return _at(source.shape, axes, _scaled(source, axes, [float(scale) for scale in scales.reshape(-1)[:64].tolist()]))


def _scaled(source: View, axes: Sequence[int], scales: Sequence[float]) -> tuple[int, ...]:
    if len(scales) != len(axes) or not all(isfinite(scale) and scale > 0 for scale in scales):
        raise InputError(f"scales {list(scales)} are not one positive number for each of {len(axes)} axes")
    return tuple(floor(source.size(axis) * scale) for axis, scale in zip(axes, scales, strict=True))


def _kept_ratio(op: Operator, source: View, axes: Sequence[int], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes as `keep_aspect_ratio_policy` alters them."""
    policy = op.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch" or len(sizes) != len(axes):
        return sizes
    ratios = [size / source.size(axis) for size, axis in zip(sizes, axes, strict=True)]
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return tuple(floor(source.size(axis) * scale + 0.5) for axis in axes)


def _at(whole: tuple[int, ...], axes: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    if len(sizes) != len(axes):
        raise InputError(f"sizes {list(sizes)} are not one for each of {len(axes)} axes")
    result = list(whole)
    for axis, size in zip(axes, sizes, strict=True):
        result[axis] = size
    return tuple(result)


def upsample(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    scales = op.reals("scales")
    if op.opset >= 9:
        scales = tuple(float(scale) for scale in weight_of(inputs, 1, "scales").array.reshape(-1)[:64].tolist())
    target = _scaled(source, range(len(source.axes)), scales)
    return [resampled(build, source, target, op.text("mode", "nearest"), "asymmetric")]


def resampled(build: Builder, source: View, target: Sequence[int], mode: str, coordinates: str) -> View:
    if mode not in ("nearest", "linear", "bilinear", "cubic"):
        raise InputError(f"mode '{mode}' is not nearest, linear or cubic")
    changing = tuple(axis for axis, size in enumerate(target) if size != source.size(axis))
    if any(target[axis] < 1 for axis in changing):
        raise InputError(f"shape {list(source.shape)} resized to {list(target)} is empty")
    if not changing:
        return source
    view, positions = in_space(build, source, changing)
    spatial = list(build.tensors[view.node].spatial)
    for axis, position in positions.items():
        spatial[position] = target[axis]
    layer = Resize(tuple(spatial), "linear" if mode == "bilinear" else mode, coordinates)
    return _resized(build, view, build.add(layer, (view.node,)), positions)


def depth_to_space(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    block = _block(op, source)
    batch, channels, height, width = source.shape
    if channels % block**2:
        raise InputError(f"blocksize {block} squared does not divide {channels} channels")
    depth = channels // block**2
    if op.text("mode", "DCR") == "CRD":
        split, order = (batch, depth, block, block, height, width), (0, 1, 4, 2, 5, 3)
    else:
        split, order = (batch, block, block, depth, height, width), (0, 3, 4, 1, 5, 2)
    moved = reshaped(build, source, split).transposed(order)
    return [reshaped(build, moved, (batch, depth, height * block, width * block))]


def space_to_depth(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    block = _block(op, source)
    batch, channels, height, width = source.shape
    if height % block or width % block:
        raise InputError(f"blocksize {block} does not divide a {height}x{width} map")
    split = (batch, channels, height // block, block, width // block, block)
    order = (0, 1, 3, 5, 2, 4) if op.text("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    moved = reshaped(build, source, split).transposed(order)
    return [reshaped(build, moved, (batch, channels * block**2, height // block, width // block))]


def _block(op: Operator, source: View) -> int:
    block = op.integer("blocksize", 0)
    if block < 1 or len(source.axes) != 4:
        raise InputError(f"blocksize {block} on shape {list(source.shape)}")
    return block
