"""Which input tokens an output token reads, for every kind of layer.

Most layers read a box: one `Span` an input axis, aligned with the last output axes. A `Rearrange`
is read through its index map. Both end as first and last input token of every output token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, singledispatch
from math import prod
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.network.layers import (
    Combine,
    Concat,
    Convolution,
    Inputs,
    Layer,
    Normalise,
    Pad,
    Pool,
    Product,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    Softmax,
    TransposedConvolution,
)
from accelsim.network.tensor import Tensor
from accelsim.network.window import (
    Coordinates,
    Span,
    identity,
    interpolated,
    repeated,
    shifted,
    sliding,
    transposed,
    whole,
)

Granularity = Literal["row", "pixel"]
Spans = tuple[Span, ...]

#: Largest rearrangement whose index map is made element by element.
LARGEST_INDEX_MAP = 2**28


class TokenReach(NamedTuple):
    """First and last input token read by each output token, int64[tokens]; `last` is -1 where none is read.

    At row granularity `head` is how many elements along the input row the first output of a row waits
    for, and `tail` how many outputs of a row are left once the last input element has come.
    """

    first: Coordinates
    last: Coordinates
    head: int
    tail: int


@lru_cache(maxsize=2048)
def token_reach(layer: Layer, operand: int, inputs: Inputs, output: Tensor, granularity: Granularity) -> TokenReach:
    """Input tokens of `operand` that each output token of `layer` reads, both in raster order.

    Layers of one form share the answer, so its arrays are read-only.
    """
    source = inputs[operand]
    if isinstance(layer, Rearrange):
        reach = _of_pixels(*_rearranged(layer, source, output), source, output, granularity)
    else:
        reach = _of_spans(spans(layer, operand, inputs, output), source, output, granularity)
    reach.first.setflags(write=False)
    reach.last.setflags(write=False)
    return reach


@singledispatch
def spans(layer: Layer, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    """A span an axis of the operand: by default each output point reads its own input point."""
    return tuple(identity(size) for size in inputs[operand].spatial)


@spans.register
def _(layer: Convolution, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    return _windows(sliding, layer, inputs[0], output)


@spans.register
def _(layer: Pool, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    return _windows(sliding, layer, inputs[0], output)


@spans.register
def _(layer: TransposedConvolution, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    return _windows(transposed, layer, inputs[0], output)


def _windows(
    arithmetic: Callable[[int, int, int, int, int, int], Span],
    layer: Convolution | Pool | TransposedConvolution,
    source: Tensor,
    output: Tensor,
) -> Spans:
    axes = zip(source.spatial, output.spatial, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True)
    return tuple(arithmetic(n, o, k, s, d, p[0]) for n, o, k, s, d, p in axes)


@spans.register
def _(layer: Product, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    source = inputs[operand]
    own = source.spatial if operand == 0 else source.spatial[:-1]
    sizes = (1,) * len(own) + output.spatial
    outer = sizes[len(sizes) - len(own) :] if operand == 0 else sizes[len(sizes) - 1 - len(own) : len(sizes) - 1]
    leading = tuple(repeated(n, total, total if n == 1 else 1) for n, total in zip(own, outer, strict=True))
    if operand == 0:
        return leading
    return (*leading, whole(source.spatial[-1], output.spatial[-1] if output.spatial else 1))


@spans.register
def _(layer: Reduce, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    axes = zip(inputs[0].spatial, output.spatial, layer.sizes(inputs[0]), strict=True)
    return tuple(sliding(n, o, t, t, 1, 0) for n, o, t in axes)


@spans.register
def _(layer: Combine, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    source = inputs[operand]
    outer = output.spatial[len(output.spatial) - len(source.spatial) :]
    times = layer.repeats(operand, source, output)
    return tuple(repeated(n, o, t) for n, o, t in zip(source.spatial, outer, times, strict=True))


@spans.register
def _(layer: Concat, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    offset = sum(t.spatial[layer.axis] for t in inputs[:operand]) if layer.axis >= 0 else 0
    axes = zip(inputs[operand].spatial, output.spatial, strict=True)
    return tuple(shifted(n, o, -offset) if a == layer.axis else identity(n) for a, (n, o) in enumerate(axes))


@spans.register
def _(layer: Slice, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    axes = zip(inputs[0].spatial, output.spatial, strict=True)
    return tuple(
        shifted(n, o, layer.start, layer.step) if a == layer.axis else identity(n) for a, (n, o) in enumerate(axes)
    )


@spans.register
def _(layer: Pad, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    axes = zip(inputs[0].spatial, output.spatial, layer.padding, strict=True)
    return tuple(_padded(layer.mode, n, o, p[0]) for n, o, p in axes)


def _padded(mode: str, size: int, outputs: int, before: int) -> Span:
    source = np.arange(outputs, dtype=np.int64) - before
    if mode == "constant":
        return shifted(size, outputs, -before)
    if mode == "edge":
        source = np.clip(source, 0, size - 1)
    elif mode == "wrap":
        source = source % size
    else:
        period = max(2 * size - 2, 1)
        source = source % period
        source = np.where(source >= size, period - source, source)
    return Span(source, source)


@spans.register
def _(layer: Resize, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[layer.mode]
    axes = zip(inputs[0].spatial, output.spatial, strict=True)
    return tuple(interpolated(n, o, taps, layer.coordinates) for n, o in axes)


@spans.register
def _(layer: Normalise, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    return _pointwise_or_whole(layer.over == "channels", inputs[0])


@spans.register
def _(layer: Softmax, operand: int, inputs: Inputs, output: Tensor) -> Spans:
    return _pointwise_or_whole(layer.over == "channels", inputs[0])


def _pointwise_or_whole(pointwise: bool, source: Tensor) -> Spans:
    return tuple(identity(n) if pointwise else whole(n, n) for n in source.spatial)


def _of_spans(axes: Spans, source: Tensor, output: Tensor, granularity: Granularity) -> TokenReach:
    """Token indices from a span an axis: the box's first and last corner in raster order."""
    outer = (1,) * (len(axes) - len(output.spatial)) + output.spatial
    missing = len(outer) - len(axes)
    rows_out = granularity == "row" and len(output.spatial) > 1
    rows_in = granularity == "row" and len(source.spatial) > 1
    token_shape = outer[:-1] if rows_out else outer
    first, last = np.zeros(token_shape, np.int64), np.zeros(token_shape, np.int64)
    empty = np.zeros(token_shape, np.bool_)
    stride = 1
    for axis in range(len(axes) - (2 if rows_in else 1), -1, -1):
        low, high = axes[axis]
        if rows_out and axis + missing == len(outer) - 1:
            low, high = np.array([low.min()]), np.array([high.max()])
            shape: tuple[int, ...] = (1,) * len(token_shape)
        else:
            shape = tuple(-1 if axis + missing == a else 1 for a in range(len(token_shape)))
        first += low.reshape(shape) * stride
        last += high.reshape(shape) * stride
        empty |= (high < low).reshape(shape)
        stride *= source.spatial[axis]
    head, tail = source.row_pixels, output.row_pixels
    if rows_in and rows_out:
        head, tail = _along_the_row(axes[-1])
        empty |= bool((axes[-1].last < axes[-1].first).all())
    nothing = np.int64(source.pixels)
    return TokenReach(np.where(empty, nothing, first).ravel(), np.where(empty, -1, last).ravel(), head, tail)


def _along_the_row(columns: Span) -> tuple[int, int]:
    """Input columns before a row's first output, and outputs left after the last input column needed."""
    reads = columns.last >= columns.first
    if not reads.any():
        return 0, len(columns.last)
    newest = np.maximum.accumulate(np.where(reads, columns.last, -1))
    return int(newest[0]) + 1, int((newest == newest[-1]).sum())


def _of_pixels(
    first: Coordinates, last: Coordinates, source: Tensor, output: Tensor, granularity: Granularity
) -> TokenReach:
    if granularity == "pixel":
        return TokenReach(first, last, 1, 1)
    by_row = (output.rows, output.row_pixels)
    rows_first = first.reshape(by_row).min(axis=1) // source.row_pixels
    rows_last = last.reshape(by_row).max(axis=1) // source.row_pixels
    return TokenReach(rows_first, rows_last, source.row_pixels, output.row_pixels)


def _rearranged(layer: Rearrange, source: Tensor, output: Tensor) -> tuple[Coordinates, Coordinates]:
    """First and last input pixel read by every output pixel."""
    pixel = _pixel_of_split(layer, source)
    moved = np.broadcast_to(pixel, layer.split).transpose(layer.order)
    if _boundary(moved.shape, output.pixels) is None and source.elements > LARGEST_INDEX_MAP:
        raise InputError(f"a rearrangement of {source.elements:,} elements is too large to follow")
    cut = _boundary(moved.shape, output.pixels)
    if cut is None:
        flat: NDArray[np.int64] = moved.reshape(output.pixels, output.channels)
        return flat.min(axis=1), flat.max(axis=1)
    channel_axes = tuple(range(cut, moved.ndim))
    return moved.min(axis=channel_axes).reshape(-1), moved.max(axis=channel_axes).reshape(-1)


def _pixel_of_split(layer: Rearrange, source: Tensor) -> NDArray[np.int64]:
    """Input pixel of every element, over the split axes; axes inside a pixel have size 1 where they can."""
    cut = _boundary(layer.split, source.pixels)
    if cut is not None:
        shape = layer.split[:cut] + (1,) * (len(layer.split) - cut)
        return np.arange(source.pixels, dtype=np.int64).reshape(shape)
    if source.elements > LARGEST_INDEX_MAP:
        raise InputError(f"a rearrangement of {source.elements:,} elements is too large to follow")
    return (np.arange(source.elements, dtype=np.int64) // source.channels).reshape(layer.split)


def _boundary(sizes: tuple[int, ...], pixels: int) -> int | None:
    """How many leading axes of `sizes` make up exactly the pixels; None where an axis straddles."""
    for count in range(len(sizes) + 1):
        if prod(sizes[:count]) == pixels:
            return count
    return None
