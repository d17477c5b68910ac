"""Which capacities let a frame through every so many cycles, decided without running frame after frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.periodic import room_needed, rooms_needed, settle
from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.sizing.buffers import Buffer

Ints = NDArray[np.int64]


class Times(NamedTuple):
    """Arrivals of every token's first and last element in one frame, int64[firings]; all frames are alike."""

    first: Ints
    last: Ints


class Blockage(NamedTuple):
    """A cycle of waits longer than the frames it spans allow, by the stages in it and the edges that lack room."""

    stages: tuple[int, ...]
    edges: tuple[int, ...]


class Pacing:
    """Schedules of a pipeline in which frames follow each other every `pace` cycles.

    Capacities are an argument everywhere, int64[edges] with 0 for unbounded; those of `pipeline` are not looked at, nor
    are its ports. Whoever sizes buffers begins with `free`, the earliest schedule with all of them unbounded, or
    None where even that has a cycle (`blockage`) that is too long.
    """

    def __init__(self, pipeline: Pipeline, pace: int) -> None:
        unbounded = np.zeros(pipeline.producer.size, np.int64)
        self.pipeline, self.pace = pipeline._replace(capacity=unbounded.copy()), pace
        firings = int(pipeline.first_firing[-1])
        self._cause = np.empty((2, 2 * firings), np.int32)
        self._moved = np.zeros(pipeline.firings.size, np.bool_)
        at_zero = Times(np.zeros(firings, np.int64), np.zeros(firings, np.int64))
        found = self.settled(unbounded, at_zero, range(pipeline.firings.size))
        self.free = found if isinstance(found, Times) else None
        self.blockage = found if isinstance(found, Blockage) else None

    def settled(self, capacity: Ints, begin: Times, stages: Iterable[int]) -> Times | Blockage:
        """The earliest schedule within `capacity` that is no earlier than `begin`, or what is in its way.

        `stages` are those that might have to wait longer than in `begin`.
        """
        self.pipeline.capacity[:] = capacity
        self._moved[:] = False
        self._moved[list(stages)] = True
        times = Times(begin.first.copy(), begin.last.copy())
        node = int(settle(self.pipeline, self.pace, times.first, times.last, self._cause, self._moved))
        return times if node < 0 else self._blockage(node)

    def within(self, capacity: Ints) -> Times | Blockage:
        """The earliest schedule within `capacity`, or what is in its way."""
        assert self.free is not None
        return self.settled(capacity, self.free, self.makers(np.flatnonzero(capacity)))

    def lacking(self, capacity: Ints) -> tuple[int, ...] | None:
        """The edges without room in a cycle that is in the way of `capacity`, None where there is none."""
        found = self.within(capacity)
        return found.edges if isinstance(found, Blockage) else None

    def makers(self, edges: Ints) -> list[int]:
        """The stages that fill `edges`."""
        return [int(stage) for stage in np.unique(self.pipeline.producer[edges])]

    def room(self, buffer: Buffer, times: Times) -> int:
        """Tokens that a buffer has to hold for a schedule, and at least its bound."""
        p = self.pipeline
        return max(buffer.bound, *(int(room_needed(p, self.pace, *times, int(edge))) for edge in buffer.edges))

    def rooms(self, times: Times) -> Ints:
        """Tokens that every edge has to hold for a schedule, int64[edges]."""
        found: Ints = rooms_needed(self.pipeline, self.pace, *times)
        return found

    def _blockage(self, node: int) -> Blockage:
        cause, lacking = self._cause
        nodes = [node]
        while (before := int(cause[nodes[-1]])) != node:
            nodes.append(before)
        stages = np.searchsorted(self.pipeline.first_firing, np.array(nodes[::-1]) // 2, side="right") - 1
        edges = set(lacking[nodes].tolist()) - {-1}
        return Blockage(tuple(dict.fromkeys(stages.tolist())), tuple(sorted(edges)))
