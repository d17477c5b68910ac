"""Maxima and means of integers over windows, tiles and whole maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from accelsim.arithmetic.floating import window_counts
from accelsim.arithmetic.formats import Accumulator, Array, Format
from accelsim.arithmetic.kernels import pointwise, pooling
from accelsim.arithmetic.kernels.convolution import Window
from accelsim.arithmetic.moving import tiles_of
from accelsim.arithmetic.operations.place import Operation, Place, output_of, rescaled
from accelsim.arithmetic.requantise import FixedMultiplier, FloatMultiplier, fixed_point
from accelsim.errors import InputError
from accelsim.network.layers import Layer, Pool, Reduce
from accelsim.network.tensor import Tensor

#: Sums and how many elements each is of, to means: (points, channels) int64 and (points) to integers.
Mean = Callable[[Array, Array], Array]


def three(sizes: Sequence[int], outer: int = 1) -> tuple[int, int, int]:
    """Sizes along up to three axes of space, the outer ones filled up."""
    filled = (outer,) * (3 - len(sizes)) + tuple(sizes)
    return filled[0], filled[1], filled[2]


def window_of(layer: Pool) -> Window:
    before = three([p[0] for p in layer.padding], 0)
    return Window(three(layer.kernel), three(layer.stride), before, three(layer.dilation))


def pool(place: Place) -> Operation | None:
    assert isinstance(place.layer, Pool)
    source = place.sources[0]
    if source is None or len(place.layer.kernel) > 3:
        return None
    if place.layer.operation == "maximum":
        return lambda layer, operands: rescaled(place, _maximum(layer, operands[0], source), source)
    if place.layer.operation != "average" or not place.in_integers:
        return None
    mean = mean_of(place)

    def average(layer: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(layer, Pool)
        tensor = output_of(layer, operands)
        check_sums(place, source, prod(layer.kernel))
        sums, taps = _sums(operands[0], window_of(layer), tensor)
        counts = np.ascontiguousarray(window_counts(layer, operands[0].shape[:-1], tensor.spatial)).reshape(-1)
        shifted = sums - taps[:, None] * source.zero_point[0]
        return mean(shifted, counts).reshape(*tensor.spatial, tensor.channels)

    return average


def _sums(values: Array, window: Window, output: Tensor) -> tuple[Array, Array]:
    """Sums of windows (points, channels), padding left out, and how many values are in each."""
    sums = np.zeros((*three(output.spatial), output.channels), np.int64)
    taps = np.zeros(sums.shape[:3], np.int64)
    source = np.ascontiguousarray(values).reshape(*three(values.shape[:-1]), output.channels)
    pooling.total(source, window, sums, taps)
    return sums.reshape(-1, output.channels), taps.reshape(-1)


def _sums_of_tiles(layer: Reduce, values: Array, output: Tensor) -> tuple[Array, Array]:
    """The same for tiles of a map with more axes than a window has."""
    tiles = [part.reshape(-1, output.channels) for _, part in tiles_of(layer, values, output)]
    counts = np.array([len(part) for part in tiles], np.int64)
    return np.stack([part.sum(axis=0, dtype=np.int64) for part in tiles]), counts


def _maximum(layer: Layer, source: Array, kind: Format) -> Array:
    assert isinstance(layer, Pool)
    tensor = output_of(layer, [source])
    out = np.empty((*three(tensor.spatial), tensor.channels), source.dtype)
    value = np.ascontiguousarray(source).reshape(*three(source.shape[:-1]), tensor.channels)
    pooling.maximum(value, window_of(layer), kind.type.low, out)
    return out.reshape(*tensor.spatial, tensor.channels)


def reduction(place: Place) -> Operation | None:
    """Means and extremes over tiles; other reductions have no integer form here."""
    layer, source = place.layer, place.sources[0]
    assert isinstance(layer, Reduce)
    if source is None or layer.operation not in ("mean", "maximum", "minimum"):
        return None
    if layer.operation != "mean":
        return lambda own, operands: rescaled(place, _extremes(own, operands[0]), source)
    if not place.in_integers:
        return None
    mean = mean_of(place)

    def means(own: Layer, operands: Sequence[Array]) -> Array:
        assert isinstance(own, Reduce)
        tensor = output_of(own, operands)
        sizes = own.sizes(Tensor(operands[0].shape[-1], operands[0].shape[:-1]))
        check_sums(place, source, prod(sizes))
        if len(sizes) > 3:
            sums, counts = _sums_of_tiles(own, operands[0], tensor)
        else:
            sums, counts = _sums(operands[0], Window(three(sizes), three(sizes), (0, 0, 0), (1, 1, 1)), tensor)
        return mean(sums - counts[:, None] * source.zero_point[0], counts).reshape(*tensor.spatial, tensor.channels)

    return means


def _extremes(layer: Layer, source: Array) -> Array:
    assert isinstance(layer, Reduce)
    tensor = output_of(layer, [source])
    out = np.empty((*tensor.spatial, tensor.channels), source.dtype)
    for position, part in tiles_of(layer, source, tensor):
        flat = part.reshape(-1, tensor.channels)
        out[position] = flat.max(axis=0) if layer.operation == "maximum" else flat.min(axis=0)
    return out


def check_sums(place: Place, source: Format, count: int) -> None:
    """Raises `InputError` where `count` values of a format may not fit the accumulator."""
    accumulator: Accumulator = place.accumulator
    least, most = (count * (end - source.zero_point[0]) for end in (source.type.low, source.type.high))
    if not accumulator.holds(least, most):
        raise InputError(
            f"{place.name}: a sum of {count:,} values of {source.type.label} may reach {least:,} to {most:,}, more "
            f"than an accumulator of {accumulator.bits} bits holds; widen it"
        )


def mean_of(place: Place) -> Mean:
    source, output = place.sources[0], place.output
    assert source is not None
    assert output is not None
    low, high = output.type.low, output.type.high

    def by_float(sums: Array, counts: Array) -> Array:
        out = np.empty(sums.shape, output.type.dtype)
        for count in set(counts.tolist()):
            factor = source.scales / (output.scales * np.float32(count))
            made = FloatMultiplier(factor).apply(sums[counts == count], output.zero_point[0], low, high, out.dtype)
            out[counts == count] = made
        return out

    def by_division(sums: Array, counts: Array) -> Array:
        out = np.empty(sums.shape, output.type.dtype)
        stored = sums + counts[:, None] * source.zero_point[0]
        pointwise.rounded_mean(np.ascontiguousarray(stored), counts, low, high, out)
        return out

    def by_fixed(sums: Array, counts: Array) -> Array:
        out = np.empty(sums.shape, output.type.dtype)
        for count in set(counts.tolist()):
            made = mean_multiplier(source.scale[0] / output.scale[0], int(count))
            own = sums[counts == count].astype(np.int32)
            out[counts == count] = made.apply(own, output.zero_point[0], low, high, out.dtype)
        return out

    if place.divides and source == output:
        return by_division
    return by_fixed if place.fixed else by_float


def mean_multiplier(real: float, count: int) -> FixedMultiplier:
    """A multiplier in fixed point divided by a count, with as many bits as the count has to spare."""
    whole = fixed_point(np.array([real]))
    shift = int(whole.shift[0])
    places = min(count.bit_length() - 1, 32, 31 + shift)
    significand = (int(whole.significand[0]) << places) // count
    return FixedMultiplier(np.array([significand], np.int32), np.array([shift - places], np.int32))
