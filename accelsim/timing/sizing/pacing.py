"""Which capacities let a frame through every so many cycles, decided without running frame after frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.periodic import front_of, go_on, room_needed, rooms_needed, settle
from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.sizing.buffers import Buffer
from accelsim.timing.sizing.constraints import constraints_of

Ints = NDArray[np.int64]

#: Starts and ends of all firings of one frame by turns, int64[2 * firings]; all frames are alike.
Times = Ints


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
        self.pipeline, self.pace = pipeline, pace
        self._constraints = constraints_of(pipeline, pace)
        self._front = front_of(self._constraints.floor.size)
        begin = self._constraints.floor.copy()
        go_on(self._constraints, begin)
        found = self.settled(np.zeros(pipeline.producer.size, np.int64), begin, None)
        self.free = None if isinstance(found, Blockage) else found
        self.blockage = found if isinstance(found, Blockage) else None

    def settled(self, capacity: Ints, begin: Times, edges: Ints | None) -> Times | Blockage:
        """The earliest schedule within `capacity` that is no earlier than `begin`, or what is in its way.

        `edges` are those that might have too little room for `begin`, None where it need not be a schedule at all.
        """
        front = self._front
        front.at[:] = begin
        tight = np.flatnonzero(capacity) if edges is None else edges
        node = int(settle(self._constraints, self.pace, capacity, front, tight, edges is None))
        return front.at.copy() if node < 0 else self._blockage(node)

    def within(self, capacity: Ints) -> Times | Blockage:
        """The earliest schedule within `capacity`, or what is in its way."""
        assert self.free is not None
        return self.settled(capacity, self.free, np.flatnonzero(capacity))

    def lacking(self, capacity: Ints) -> tuple[int, ...] | None:
        """The edges without room in a cycle that is in the way of `capacity`, None where there is none."""
        found = self.within(capacity)
        return found.edges if isinstance(found, Blockage) else None

    def room(self, buffer: Buffer, times: Times) -> int:
        """Tokens that a buffer has to hold for a schedule, and at least its bound."""
        c = self._constraints
        return max(buffer.bound, *(int(room_needed(c, self.pace, times, int(edge))) for edge in buffer.edges))

    def rooms(self, times: Times) -> Ints:
        """Tokens that every edge has to hold for a schedule, int64[edges]."""
        found: Ints = rooms_needed(self._constraints, self.pace, times)
        return found

    def _blockage(self, node: int) -> Blockage:
        cause, lacking = self._front.cause, self._front.lacking
        nodes = [node]
        while (before := int(cause[nodes[-1]])) != node:
            nodes.append(before)
        stages = np.searchsorted(self.pipeline.first_firing, np.array(nodes[::-1]) // 2, side="right") - 1
        edges = set(lacking[nodes].tolist()) - {-1}
        return Blockage(tuple(dict.fromkeys(stages.tolist())), tuple(sorted(edges)))
