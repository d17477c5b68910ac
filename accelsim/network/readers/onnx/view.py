"""How a tensor of the file lies in a layer's output: transpositions and reshapes that cost nothing.

A layer's output is a line of elements in canonical order. A view cuts that order into *factors*
(space first, then channels) and says which factors make up each axis of the file's tensor, so that
reshaping cuts factors and transposing reorders axes while no element moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

Factors = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """`factors` are sizes above 1 in canonical order, the first `space` of them spatial.

    `axes` holds, an axis of the file's tensor, the indices of its factors, outermost first.
    """

    node: str
    factors: Factors
    space: int
    axes: tuple[Factors, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.size(axis) for axis in range(len(self.axes)))

    @property
    def channels(self) -> Factors:
        """Indices of the channel factors."""
        return tuple(range(self.space, len(self.factors)))

    def size(self, axis: int) -> int:
        return self.product(self.axes[axis])

    def product(self, factors: Iterable[int]) -> int:
        """Elements that some factors span."""
        return prod(self.factors[factor] for factor in factors)

    def factors_of(self, axes: Iterable[int]) -> Factors:
        """Factors of several axes, in the order of the axes."""
        return tuple(factor for axis in axes for factor in self.axes[axis])

    def mixed(self, axis: int) -> bool:
        """Whether an axis runs through space and channels, so that no layout but another node's can show it."""
        own = self.axes[axis]
        return bool(own) and min(own) < self.space <= max(own)

    def transposed(self, order: Sequence[int]) -> View:
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def without(self, axes: Iterable[int]) -> View:
        """Axes of size 1 taken away."""
        gone = set(axes)
        return replace(self, axes=tuple(own for axis, own in enumerate(self.axes) if axis not in gone))

    def inserted(self, positions: Iterable[int]) -> View:
        """Axes of size 1 put in, at ascending `positions` of the result."""
        axes = list(self.axes)
        for position in sorted(positions):
            axes.insert(position, ())
        return replace(self, axes=tuple(axes))

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """The same elements in the same logical order as `shape`; None where a factor would have to be cut unevenly."""
        cut = _cut(self, shape)
        if cut is None:
            return None
        pieces, axes = cut
        starts = [0]
        for own in pieces:
            starts.append(starts[-1] + len(own))
        return View(
            self.node,
            tuple(size for own in pieces for size in own),
            starts[self.space],
            tuple(tuple(starts[factor] + part for factor, part in axis) for axis in axes),
        )

    def refined(self, axis: int, sizes: Sequence[int]) -> View | None:
        """One axis cut at least as finely as `sizes`, outermost first."""
        fine = self.reshaped((*self.shape[:axis], *sizes, *self.shape[axis + 1 :]))
        if fine is None:
            return None
        middle = fine.factors_of(range(axis, axis + len(sizes)))
        return replace(fine, axes=(*fine.axes[:axis], middle, *fine.axes[axis + len(sizes) :]))


def laid_out(node: str, shape: Sequence[int], spatial: Sequence[int], channels: Sequence[int]) -> View:
    """View of a node whose space is the axes `spatial` in raster order and whose channels are `channels`."""
    axes: list[Factors] = [()] * len(shape)
    factors: list[int] = []
    for axis in (*spatial, *channels):
        if shape[axis] > 1:
            axes[axis] = (len(factors),)
            factors.append(shape[axis])
    return View(node, tuple(factors), sum(shape[axis] > 1 for axis in spatial), tuple(axes))


Pieces = list[list[int]]


def _cut(view: View, shape: Sequence[int]) -> tuple[Pieces, list[list[tuple[int, int]]]] | None:
    """Sizes each factor is cut into, and the (factor, piece) pairs of every new axis."""
    pieces: Pieces = [[] for _ in view.factors]
    queue = iter(view.factors_of(range(len(view.axes))))
    factor, left = -1, 1
    axes = []
    for size in shape:
        axis = []
        rest = size
        while rest > 1:
            if left == 1:
                factor = next(queue)
                left = view.factors[factor]
            if rest % left and left % rest:
                return None
            piece = min(rest, left)
            axis.append((factor, len(pieces[factor])))
            pieces[factor].append(piece)
            rest, left = rest // piece, left // piece
        axes.append(axis)
    return pieces, axes
