"""How the pixels of a layer are shared out over products of matrices: those that meet the same stationary operand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import NamedTuple

from accelsim.mapping.work import LoopNest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Product, TransposedConvolution
from accelsim.network.tensor import Tensor


class Share(NamedTuple):
    """`pixels` that are multiplied with the same `window` taps of every input, `times` in a burst, in `bursts`."""

    pixels: int
    window: int
    times: int = 1
    bursts: int = 1


def shares(net: Network, node: Node, fired: Tensor, nest: LoopNest, alone: bool) -> tuple[Share, ...]:
    """The shares of a layer that fires for `fired`, its map or a tile of it, which begins at a stride.

    All pixels of a convolution or dense layer meet the same weights. In a product of activations every second operand
    has its own. A transposed convolution is as many convolutions as its stride has phases, each with the taps that
    reach it. Alone on the engine a layer goes through all of its map, else a row a burst.
    """
    if isinstance(node.layer, TransposedConvolution) and (found := tuple(_phases(node.layer, fired, alone))):
        return found
    if not alone:
        return (Share(fired.row_pixels, nest.window, bursts=fired.rows),)
    times = _operands(net.sources(node)[1], fired) if isinstance(node.layer, Product) else 1
    return (Share(fired.pixels // times, nest.window, times),)


def _operands(second: Tensor, fired: Tensor) -> int:
    """Second operands of a product that are not the same for all it is broadcast over."""
    leading = second.spatial[:-1]
    outermost = fired.spatial[len(fired.spatial) - 1 - len(leading) :]
    return prod(size for size, own in zip(outermost, leading, strict=False) if own > 1)


def _phases(layer: TransposedConvolution, fired: Tensor, alone: bool) -> Iterator[Share]:
    """One share for all phases of equal pixels and taps; a row of the map is of one phase in all axes but the last."""
    axes = [_axis_phases(layer, axis, size) for axis, size in enumerate(fired.spatial)]
    found: Counter[Share] = Counter()
    for phase in product(*axes):
        window = prod(taps for _, taps in phase)
        sizes = [size for size, _ in phase]
        if not window * prod(sizes):
            continue
        rows = prod(sizes[: max(1, len(sizes) - 1)])
        found[Share(prod(sizes) if alone else prod(sizes) // rows, window)] += 1 if alone else rows
    for share, count in found.items():
        yield share._replace(times=count) if alone else share._replace(bursts=count)


def _axis_phases(layer: TransposedConvolution, axis: int, size: int) -> list[tuple[int, int]]:
    """For each phase of an axis how many of its `size` points and how many taps it has.

    Tap t reaches point y where y + padding = t x dilation modulo the stride.
    """
    stride, before = layer.stride[axis], layer.padding[axis][0]
    taps = Counter(tap * layer.dilation[axis] % stride for tap in range(layer.kernel[axis]))
    return [(len(range((phase - before) % stride, size, stride)), taps[phase]) for phase in range(stride)]
