"""A tensor as a machine streams it: raster order over space, channels innermost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod


@dataclass(frozen=True)
class Tensor:
    """`channels` values at each point of `spatial`, whose last axis runs fastest.

    `spatial` is () for a vector, (positions,), (height, width) or (depth, height, width);
    more axes are allowed, outermost first. One frame; there is no batch axis.
    """

    channels: int
    spatial: tuple[int, ...] = ()

    @cached_property
    def elements(self) -> int:
        return self.channels * self.pixels

    @cached_property
    def pixels(self) -> int:
        """Points in space."""
        return prod(self.spatial)

    @cached_property
    def row_pixels(self) -> int:
        """Points in one row token: a line of the last axis; a single point for 1-D tensors and vectors."""
        return self.spatial[-1] if len(self.spatial) > 1 else 1

    @cached_property
    def rows(self) -> int:
        """Row tokens in a frame."""
        return self.pixels // self.row_pixels

    @property
    def label(self) -> str:
        """Shape as text, channels first.

        >>> Tensor(64, (56, 56)).label
        '64x56x56'
        """
        return "x".join(str(size) for size in (self.channels, *self.spatial))
