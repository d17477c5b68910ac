"""An axis: the values a field takes in a study, in order, and the one at any place between its ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


@dataclass(frozen=True)
class Listed:
    """Values as they were listed."""

    path: str
    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        return len(self.values)

    def take(self, places: NDArray[np.int64]) -> Column:
        """The values at `places` of the list."""
        return column(self.values)[places]

    def drawn(self, shares: NDArray[np.float64]) -> Column:
        """The values at `shares`, from 0 to 1, of the way through the list."""
        return self.take(np.minimum((shares * self.size).astype(np.int64), self.size - 1))


@dataclass(frozen=True)
class Ranged:
    """Numbers from `first` to `last`, evenly or by even ratios (`log`), `whole` where they are rounded.

    `count` of them, fewer where several round to the same; None where points are drawn.
    """

    path: str
    first: float
    last: float
    log: bool
    whole: bool
    count: int | None

    @property
    def size(self) -> int:
        return self._values().size

    def take(self, places: NDArray[np.int64]) -> Column:
        """The values at `places` of the range."""
        return self._values()[places]

    def drawn(self, shares: NDArray[np.float64]) -> Column:
        """The values at `shares`, from 0 to 1, of the way."""
        if self.whole and not self.log:
            low, high = sorted((int(self.first), int(self.last)))
            return np.minimum(low + (shares * (high - low + 1)).astype(np.int64), high)
        return self._at(shares)

    def _values(self) -> Column:
        count = self.count or 1
        if count == 1 or self.first == self.last:
            return self._at(np.zeros(1))
        values = self._at(np.arange(count) / (count - 1))
        kept = np.concatenate([[True], values[1:] != values[:-1]])
        distinct: Column = values[kept]
        return distinct

    def _at(self, shares: NDArray[np.float64]) -> Column:
        if self.log:
            values = self.first * (self.last / self.first) ** shares
        else:
            values = self.first + (self.last - self.first) * shares
        low, high = sorted((self.first, self.last))
        bounded = np.clip(values, low, high)
        return np.rint(bounded).astype(np.int64) if self.whole else bounded


Axis = Listed | Ranged


def column(values: tuple[Any, ...]) -> Column:
    """Values as an array: of integers, of numbers, or of whatever they are."""
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return np.array(values, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(values, np.float64)
    cells = np.empty(len(values), object)
    cells[:] = values
    return cells
