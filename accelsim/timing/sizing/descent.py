"""Down from capacities that do, buffer by buffer, until none can go lower.

Less room never helps, so what a buffer cannot spare now it cannot spare once others have less: one pass over
the buffers ends where each of them, a token smaller, breaks the pace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.sizing.buffers import Buffer
from accelsim.timing.sizing.pacing import Blockage, Pacing, Times

Ints = NDArray[np.int64]


def peaks(pacing: Pacing, buffers: Sequence[Buffer], times: Times) -> Ints:
    """What every buffer holds at most in a schedule: with these capacities nothing in it is later."""
    rooms = pacing.rooms(times)
    for buffer in buffers:
        rooms[buffer.edges] = max(buffer.bound, int(rooms[buffer.edges].max()))
    return rooms


def lowered(pacing: Pacing, buffers: Sequence[Buffer], capacity: Ints) -> Ints:
    """Capacities of which none can be a token less at this pace, none of them above `capacity`, which must do.

    Those that can save most go first: what others then need is small beside it.
    """
    times = pacing.within(capacity)
    assert not isinstance(times, Blockage)
    descent = _Descent(pacing, capacity.copy(), times)
    for buffer in sorted(buffers, key=lambda b: (-b.elements * (b.tokens(capacity) - b.bound), b.number)):
        descent.lower(buffer)
    return descent.capacity


class _Descent:
    """Capacities on their way down, and the earliest schedule within them."""

    def __init__(self, pacing: Pacing, capacity: Ints, times: Times) -> None:
        self.pacing, self.capacity, self.times = pacing, capacity, times

    def lower(self, buffer: Buffer) -> None:
        """Takes from one buffer all that can be taken: in steps that double, then by bisection."""
        self._take_unused(buffer)
        low, step = buffer.bound, 1
        while low < (high := buffer.tokens(self.capacity)):
            wanted = max(low, high - step)
            if not self._fits(buffer, wanted):
                low = wanted + 1
                break
            self._take_unused(buffer)
            step *= 2
        while low < (high := buffer.tokens(self.capacity)):
            middle = (low + high) // 2
            if not self._fits(buffer, middle):
                low = middle + 1

    def _take_unused(self, buffer: Buffer) -> None:
        self.capacity[buffer.edges] = min(buffer.tokens(self.capacity), self.pacing.room(buffer, self.times))

    def _fits(self, buffer: Buffer, tokens: int) -> bool:
        """Whether `buffer` can do with so many; if so it has them from then on."""
        before = buffer.tokens(self.capacity)
        self.capacity[buffer.edges] = tokens
        found = self.pacing.settled(self.capacity, self.times, buffer.edges)
        if isinstance(found, Blockage):
            self.capacity[buffer.edges] = before
            return False
        self.times = found
        return True


def needed_alone(pacing: Pacing, buffers: Sequence[Buffer]) -> tuple[Buffer, ...]:
    """`buffers` with the least that each needs at this pace, all others unbounded, as its bound."""
    return tuple(buffer._replace(bound=_alone(pacing, buffer)) for buffer in buffers)


def _alone(pacing: Pacing, buffer: Buffer) -> int:
    assert pacing.free is not None
    capacity = np.zeros(pacing.pipeline.producer.size, np.int64)
    capacity[buffer.edges] = pacing.room(buffer, pacing.free)
    descent = _Descent(pacing, capacity, pacing.free)
    descent.lower(buffer)
    return buffer.tokens(descent.capacity)
