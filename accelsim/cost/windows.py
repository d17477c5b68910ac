"""How often a layer reads what lies in the buffers of its inputs."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from accelsim.network.layers import (
    Convolution,
    Inputs,
    Layer,
    Normalise,
    Pool,
    Product,
    Rearrange,
    Reduce,
    Slice,
    Softmax,
)
from accelsim.network.reach import spans
from accelsim.network.tensor import Tensor
from accelsim.network.window import Span

#: Times that a layer which needs all of a map before it gives anything out reads that map: to measure, and to apply.
PASSES_OVER_A_MAP = 2


@lru_cache(maxsize=4096)
def elements_read(layer: Layer, operand: int, inputs: Inputs, output: Tensor, slides: bool) -> int:
    """Elements of `operand` read from its buffer for a frame of the whole layer; padding is not read.

    A window that slides keeps what it shares with the next one along the row, so that every column it touches is
    read once a row of outputs, over the height of the window; one that does not is read tap by tap for every output.
    What is read serves all output channels.
    """
    source = inputs[operand]
    if isinstance(layer, Reduce | Rearrange):
        return source.elements
    if isinstance(layer, Normalise | Softmax) and layer.over != "channels":
        return PASSES_OVER_A_MAP * source.elements
    if isinstance(layer, Product) and operand == 1:
        return _stationary_reads(source, output)
    channels = min(source.channels, output.channels) if isinstance(layer, Slice) else source.channels
    axes = spans(layer, operand, inputs, output)
    dilation = layer.dilation if isinstance(layer, Convolution | Pool) else (1,) * len(axes)
    missing = output.spatial[: len(output.spatial) - len(axes)]
    taps = [*missing, *(_taps(span, step) for span, step in zip(axes, dilation, strict=True))]
    if taps and slides:
        taps[-1] = _columns(axes[-1], dilation[-1]) if axes else 1
    return channels * prod(taps)


def _stationary_reads(source: Tensor, output: Tensor) -> int:
    """The held operand of a product, read whole for every position that streams past it."""
    leading = prod(output.spatial[:-1]) // max(1, prod(source.spatial[:-1]))
    return source.elements * leading * (output.spatial[-1] if output.spatial else 1)


def _taps(span: Span, step: int) -> int:
    """Input coordinates read along an axis, once for every output that reads them."""
    return int(np.where(span.last >= span.first, (span.last - span.first) // step + 1, 0).sum())


def _columns(span: Span, step: int) -> int:
    """Different input coordinates read along an axis."""
    ranges = (np.arange(a, b + 1, step) for a, b in zip(span.first, span.last, strict=True) if b >= a)
    return int(np.unique(np.concatenate([np.empty(0, np.int64), *ranges])).size)
