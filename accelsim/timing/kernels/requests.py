"""Stages that have asked for something, in the order in which they were ready: a binary heap."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@njit(cache=True)
def ask(times: Ints, stages: Ints, count: int, time: int, stage: int) -> None:
    """Adds a request to the `count` there are; of equal times the lower stage comes first."""
    at = count
    while at > 0:
        above = (at - 1) // 2
        if times[above] < time or (times[above] == time and stages[above] < stage):
            break
        times[at], stages[at] = times[above], stages[above]
        at = above
    times[at], stages[at] = time, stage


@njit(cache=True)
def next_to_ask(times: Ints, stages: Ints, count: int) -> int:
    """Takes the first of `count` requests out; the stage."""
    taken = stages[0]
    time, stage = times[count - 1], stages[count - 1]
    at, below = 0, 1
    while below < count - 1:
        right = below + 1
        if right < count - 1 and (
            times[right] < times[below] or (times[right] == times[below] and stages[right] < stages[below])
        ):
            below = right
        if time < times[below] or (time == times[below] and stage < stages[below]):
            break
        times[at], stages[at] = times[below], stages[below]
        at, below = below, 2 * below + 1
    times[at], stages[at] = time, stage
    return int(taken)
