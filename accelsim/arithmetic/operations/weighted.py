"""Convolutions, fully connected layers and products of two activations, summed in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.kernels import convolution as kernels
from accelsim.arithmetic.kernels.convolution import Window
from accelsim.arithmetic.operations import fast
from accelsim.arithmetic.operations.fast import Blocked
from accelsim.arithmetic.operations.place import Operation, Place, output_of
from accelsim.arithmetic.operations.pooling import three
from accelsim.arithmetic.operations.squares import Squared, by_squares
from accelsim.arithmetic.requantise import FloatMultiplier, Multiplier, fixed_point, float_multiplier
from accelsim.network.layers import Convolution, Dense, Layer, Product, TransposedConvolution, Weighted

INT32 = np.iinfo(np.int32)
INT64 = np.iinfo(np.int64)


class Bounds(NamedTuple):
    """Least and greatest value that any partial sum of a layer can take."""

    low: int
    high: int

    @property
    def fits_32_bits(self) -> bool:
        return bool(INT32.min <= self.low and self.high <= INT32.max)


@dataclass(frozen=True)
class Weights:
    """Integer weights (groups, kd, kh, kw, inputs, outputs), zero points taken away, and bias an output channel."""

    values: NDArray[np.int64]
    bias: NDArray[np.int64]
    bounds: Bounds


def weighted(place: Place) -> Operation | None:
    """Integer sums and what becomes of them; None where inputs or weights are real numbers."""
    source, kind = place.sources[0], place.array_formats.get("weight")
    if source is None or kind is None or source.channels > 1:
        return None
    weights = _weights(place, source, kind)
    finish = _finish(place, source, kind)
    multiplier = _byte_multiplier(place, source, kind)
    quick: Blocked | Squared | None = None
    if place.accumulator.holds(*weights.bounds):
        quick = fast.prepared(place, source, weights.values, weights.bias, weights.bounds.fits_32_bits, multiplier)
        quick = quick and by_squares(place.layer, quick)
    if quick is None:
        return lambda layer, operands: finish(exact_sums(place, layer, operands[0], source, weights))
    made = quick
    if made.finished:
        return lambda layer, operands: made(layer, operands[0])
    return lambda layer, operands: finish(made(layer, operands[0]))


def _byte_multiplier(place: Place, source: Format, kind: Format) -> FloatMultiplier | None:
    """The multiplier of a layer whose sums become bytes by it alone."""
    output, bias = place.output, place.arrays.get("bias")
    plain = bias is None or bias.dtype.kind in "iu"
    if place.fixed or output is None or output.channels > 1 or output.type.bits > 8 or not plain:
        return None
    return float_multiplier(source.scales, kind.scales, output.scale[0])


def _weights(place: Place, source: Format, kind: Format) -> Weights:
    layer = place.layer
    assert isinstance(layer, Weighted)
    raw = place.arrays["weight"].astype(np.int64)
    kernel = () if isinstance(layer, Dense) else layer.kernel
    groups = 1 if isinstance(layer, Dense) else layer.groups
    ones = (1,) * len(kernel)
    if isinstance(layer, TransposedConvolution):
        zeros = _by_channel(kind, groups, raw.shape[1])
        values = raw.reshape(groups, -1, raw.shape[1], *kernel) - zeros.reshape(len(zeros), 1, -1, *ones)
        order = (0, *range(3, 3 + len(kernel)), 1, 2)
    else:
        zeros = _by_channel(kind, groups, raw.shape[0] // groups)
        values = raw.reshape(groups, raw.shape[0] // groups, -1, *kernel) - zeros.reshape(len(zeros), -1, 1, *ones)
        order = (0, *range(3, 3 + len(kernel)), 2, 1)
    values = values.transpose(order)
    values = np.ascontiguousarray(values).reshape(groups, *three(kernel), *values.shape[-2:])
    bias = np.zeros(groups * values.shape[-1], np.int64)
    if "bias" in place.arrays and place.arrays["bias"].dtype.kind in "iu":
        bias = place.arrays["bias"].astype(np.int64)
    return Weights(values, bias, _bounds(values, bias, source))


def _by_channel(kind: Format, groups: int, outputs: int) -> NDArray[np.int64]:
    """Zero points as (groups, outputs), or (1, 1) for the whole tensor."""
    return kind.zeros.reshape(1, 1) if kind.channels == 1 else kind.zeros.reshape(groups, outputs)


def _bounds(values: NDArray[np.int64], bias: NDArray[np.int64], source: Format) -> Bounds:
    ends = source.type.low - source.zero_point[0], source.type.high - source.zero_point[0]
    least = np.minimum(np.minimum(values * ends[0], values * ends[1]), 0).sum(axis=(1, 2, 3, 4)).reshape(-1)
    most = np.maximum(np.maximum(values * ends[0], values * ends[1]), 0).sum(axis=(1, 2, 3, 4)).reshape(-1)
    low, high = least + np.minimum(bias, 0), most + np.maximum(bias, 0)
    return Bounds(int(low.min(initial=0)), int(high.max(initial=0)))


def window_of(layer: Layer) -> Window:
    if isinstance(layer, Dense):
        return Window((1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1))
    assert isinstance(layer, Convolution | TransposedConvolution)
    before = three([p[0] for p in layer.padding], 0)
    return Window(three(layer.kernel), three(layer.stride), before, three(layer.dilation))


def exact_sums(place: Place, layer: Layer, values: Array, source: Format, weights: Weights) -> Array:
    """Sums (*spatial, channels) as the place's accumulator keeps them, whatever their size."""
    assert isinstance(layer, Weighted)
    tensor = output_of(layer, [values])
    groups, outputs = weights.values.shape[0], weights.values.shape[-1]
    saturating = not place.accumulator.holds(*weights.bounds) and place.accumulator.overflow == "saturate"
    kind = np.int32 if weights.bounds.fits_32_bits and not saturating else np.int64
    spatial = (1, 1, values.size // values.shape[-1]) if isinstance(layer, Dense) else three(values.shape[:-1])
    shifted = np.subtract(values.astype(kind), source.zero_point[0], dtype=kind).reshape(*spatial, groups, -1)
    above = (1, 1, tensor.pixels) if isinstance(layer, Dense) else three(tensor.spatial)
    sums = np.empty((*above, groups, outputs), kind)
    limits = (place.accumulator.low, place.accumulator.high) if saturating else (int(INT64.min), int(INT64.max))
    sums[:] = np.clip(weights.bias, *limits).reshape(groups, outputs)
    taps = weights.values.astype(kind)
    if isinstance(layer, TransposedConvolution):
        kernels.convolve_transposed(shifted, taps, window_of(layer), *limits, sums)
    elif saturating:
        kernels.convolve_saturating(shifted, taps, window_of(layer), *limits, sums)
    else:
        kernels.convolve(shifted, taps, window_of(layer), sums)
    settled = sums if saturating else place.accumulator.settled(place.name, sums)
    return settled.reshape(*tensor.spatial, tensor.channels)


def _finish(place: Place, source: Format, kind: Format) -> Callable[[Array], Array]:
    """From sums to the output: requantised where bias and output are integers, else by way of real numbers."""
    bias, output = place.arrays.get("bias"), place.output
    real_bias = None if bias is None or bias.dtype.kind in "iu" else bias.astype(np.float32)
    if output is None or output.channels > 1 or real_bias is not None or output.type.bits > 16:
        return _through_reals(place, source.scales * kind.scales, real_bias)
    multiplier = multiplier_of(place, source, kind, output)
    low, high = output.type.low, output.type.high
    return lambda sums: multiplier.apply(sums, output.zero_point[0], low, high, output.type.dtype)


def multiplier_of(place: Place, source: Format, kind: Format, output: Format) -> Multiplier:
    if not place.fixed:
        return float_multiplier(source.scales, kind.scales, output.scale[0])
    reals = source.scale[0] * kind.scales.astype(np.float64) / output.scale[0]
    return fixed_point(reals, rounded_once=isinstance(place.layer, Dense))


def _through_reals(place: Place, scales: Array, bias: Array | None) -> Callable[[Array], Array]:
    output = place.output
    if output is not None and output.type.bits > 16 and output.symmetric and bias is None:
        unit = np.array_equal(scales, np.broadcast_to(output.scales, scales.shape))
        if unit:
            return lambda sums: output.checked(place.name, sums)

    def finish(sums: Array) -> Array:
        reals = sums.astype(np.float32) * scales
        return place.written(reals if bias is None else reals + bias)

    return finish


def matrix_product(place: Place) -> Operation | None:
    """A product of two activations."""
    if not all(f is not None and f.channels == 1 for f in place.sources):
        return None
    first, second = (f for f in place.sources if f is not None)
    finish = _finish(place, first, second)

    def run(layer: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(layer, Product)
        tensor = output_of(layer, operands)
        a, b = (x.astype(np.int64) - f.zero_point[0] for x, f in zip(operands, (first, second), strict=True))
        inner = a.shape[-1] // layer.groups
        limits = _product_limits(place, first, second, inner)
        leading = tensor.spatial[:-1]
        columns = tensor.channels // layer.groups
        heads = []
        for group in range(layer.groups):
            left = a[..., group * inner : (group + 1) * inner]
            right = np.split(b, layer.groups, axis=-1)[group]
            right = right.swapaxes(-1, -2) if layer.transposed else right
            left = left if tensor.spatial else left[None, :]
            left = np.broadcast_to(left, (*leading, *left.shape[-2:])).reshape(prod(leading), *left.shape[-2:])
            right = np.broadcast_to(right, (*leading, *right.shape[-2:])).reshape(prod(leading), *right.shape[-2:])
            sums = np.zeros((*left.shape[:2], columns), np.int64)
            kernels.product(np.ascontiguousarray(left), np.ascontiguousarray(right), *limits, sums)
            heads.append(sums)
        sums = np.concatenate(heads, axis=-1).reshape(*tensor.spatial, tensor.channels)
        return finish(place.accumulator.settled(place.name, sums))

    return run


def _product_limits(place: Place, first: Format, second: Format, count: int) -> tuple[int, int]:
    """Where sums stop: at the accumulator's ends if it saturates and they may be reached."""
    ends = [
        (x - first.zero_point[0]) * (y - second.zero_point[0]) * count
        for x in (first.type.low, first.type.high)
        for y in (second.type.low, second.type.high)
    ]
    if place.accumulator.overflow == "saturate" and not place.accumulator.holds(min(ends), max(ends)):
        return place.accumulator.low, place.accumulator.high
    return int(INT64.min), int(INT64.max)
