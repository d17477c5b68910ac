"""How full a buffer is, from the times its slots are taken and freed."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@njit(cache=True)
def periodic_peak(taken: Ints, freed: Ints, period: int) -> int:
    """Most slots in use at once when both ascending sequences repeat every `period` cycles for ever.

    A slot freed at t can be taken at t. The peak stands right after a slot is taken; at that moment all
    tokens up to this one have been taken, and the freed ones are counted by a pointer that only moves on.
    """
    tokens = taken.size
    behind = max(0, -((taken[0] - freed[0]) // period))
    pointer = -(behind + 1) * tokens
    peak = 0
    for token in range(tokens):
        while freed[pointer % tokens] + (pointer // tokens) * period <= taken[token]:
            pointer += 1
        peak = max(peak, token - pointer + 1)
    return int(peak)


@njit(cache=True)
def single_peak(taken: Ints, freed: Ints) -> int:
    """Most slots in use at once when the sequences happen once."""
    pointer, peak = 0, 0
    for token in range(taken.size):
        while pointer < freed.size and freed[pointer] <= taken[token]:
            pointer += 1
        peak = max(peak, token - pointer + 1)
    return int(peak)
