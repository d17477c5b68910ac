"""How far two runs of networks agree, and how sure that is after so many frames."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.formats import Array
from accelsim.errors import InputError

#: Standard deviations within which 95 % of a normal distribution lie.
DEVIATIONS = 1.959963984540054
#: Resamples of a bootstrap.
RESAMPLES = 2000


class Estimate(NamedTuple):
    """A figure with the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Estimate:
    """The share of `count` independent frames that are hits, with Wilson's interval (Wilson 1927, equation 4).

    Raises `InputError` unless 0 <= hits <= count and count is positive.
    """
    if not 0 <= hits <= count or count < 1:
        raise InputError(f"{hits} hits of {count} frames")
    found, spread = hits / count, DEVIATIONS**2 / count
    centre = (found + spread / 2) / (1 + spread)
    reach = sqrt(spread * (found * (1 - found) + spread / 4)) / (1 + spread)
    # Rounding must not put an end on the other side of what was found.
    return Estimate(found, min(max(centre - reach, 0.0), found), max(min(centre + reach, 1.0), found))


def mean(values: Array, seed: int = 0) -> Estimate:
    """The mean of a figure over frames, with the percentile bootstrap's interval; `seed` fixes the resamples.

    `values` has shape (frames,). Raises `InputError` where it is empty or not finite.
    """
    known = np.asarray(values, np.float64)
    if known.ndim != 1 or not known.size or not np.isfinite(known).all():
        raise InputError(f"values of shape {known.shape}; one finite figure a frame is expected")
    drawn = np.random.default_rng(seed).integers(0, known.size, (RESAMPLES, known.size))
    low, high = np.quantile(known[drawn].mean(axis=1), (0.025, 0.975))
    return Estimate(float(known.mean()), float(low), float(high))


def overlap(first: Array, second: Array) -> NDArray[np.float64]:
    """Points in both masks over points in either, a frame; 1 where both are empty.

    Masks are of truth values, frames along the first axis. Raises `InputError` where their shapes or types differ.
    """
    if first.shape != second.shape or first.dtype != bool or second.dtype != bool:
        raise InputError(
            f"masks of shapes {first.shape} and {second.shape}, types {first.dtype} and {second.dtype}; two of one "
            "shape, of truth values, are expected"
        )
    frames = len(first)
    both, either = ((op(first, second)).reshape(frames, -1).sum(axis=1) for op in (np.logical_and, np.logical_or))
    return np.where(either, both / np.maximum(either, 1), 1.0)
