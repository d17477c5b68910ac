"""The points of a study: how many there are, and the values of any stretch of them, without the rest.

A point is a place in the grid of all axes, the last going fastest, or a draw from the space between their ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.sweeps.axes import Axis, Column
from accelsim.sweeps.study import Sample

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """Axes by dimension, those of one dimension going together; `sample` None takes every combination."""

    dimensions: tuple[tuple[Axis, ...], ...]
    sample: Sample | None
    seed: int

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(axis.path for axes in self.dimensions for axis in axes)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(axes[0].size for axes in self.dimensions)

    @property
    def points(self) -> int:
        """How many points there are."""
        return prod(self.sizes) if self.sample is None else self.sample.points

    def columns(self, points: NDArray[np.int64]) -> Mapping[str, Column]:
        """The values of every axis at consecutive `points`, or in a grid at any."""
        if self.sample is not None:
            shares = _drawn(self.sample, self.seed, len(self.dimensions), points)
            return {axis.path: axis.drawn(share) for axes, share in self._with(shares.T) for axis in axes}
        places = np.unravel_index(points, self.sizes) if self.sizes else ()
        return {axis.path: axis.take(place) for axes, place in self._with(places) for axis in axes}

    def _with(self, places: Any) -> Any:
        return zip(self.dimensions, places, strict=True)


def _drawn(sample: Sample, seed: int, dimensions: int, points: NDArray[np.int64]) -> Shares:
    """Draws of `points`, float64[points, dimensions], each from 0 to 1 and the same in any stretch."""
    if points.size == 0 or dimensions == 0:
        return np.zeros((points.size, dimensions))
    first, count = int(points[0]), int(points[-1] - points[0]) + 1
    return METHODS[sample.method](seed, dimensions, first, count)[points - first]


def _random(seed: int, dimensions: int, first: int, count: int) -> Shares:
    draws = np.random.PCG64(seed).advance(first * dimensions)
    return np.random.Generator(draws).random((count, dimensions))


def _sobol(seed: int, dimensions: int, first: int, count: int) -> Shares:
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimensions, rng=seed)
    if first:
        sequence.fast_forward(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of counts that are no power of two: the study's to choose
        return np.asarray(sequence.random(count), np.float64)


def _halton(seed: int, dimensions: int, first: int, count: int) -> Shares:
    from scipy.stats import qmc

    sequence = qmc.Halton(dimensions, rng=seed)
    if first:
        sequence.fast_forward(first)
    return np.asarray(sequence.random(count), np.float64)


METHODS: dict[str, Callable[[int, int, int, int], Shares]] = {
    "random": _random,
    "sobol": _sobol,
    "halton": _halton,
}
