"""Why every firing began and ended no earlier: the constraint that bound, found again from the times of a trace.

The kernel only sums what it charges to each cause. Here its constraints are evaluated once more for all firings of a
stage together, in the kernel's order, so that the sums over firings are those of the trace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import ALWAYS, INPUT, PORT, SOURCE, SPACE, THROUGH, at_rest, run
from accelsim.timing.simulate import Trace

Times = NDArray[np.int64]

#: Before any cycle.
NEVER = -(2**62)
NOTHING = -1


class Held(NamedTuple):
    """What firings waited for, each int64[frames, firings]: until when, and which cause and edge, -1 for none."""

    until: Times
    cause: Times
    edge: Times


class Firings(NamedTuple):
    """The firings of one stage, each int64[frames, firings]: free, then begun, then at work, then through."""

    free: Times
    start: Times
    end: Times
    before: Held
    after: Held


def from_rest(trace: Trace) -> Trace:
    """The same run with all of its frames kept, from an empty machine on; its period is longer than all of it."""
    p, frames = trace.pipeline, trace.frames
    state = at_rest(p, frames, by_row=trace.granularity == "row")
    status = run(p, state, frames - 1, frames, 0, trace.design.pace_cycles)
    assert status == THROUGH
    held = state.last.max() + p.occupancy.max(initial=0) + 1
    return replace(
        trace,
        steady=False,
        period_cycles=int(held),
        first=state.first,
        last=state.last,
        waited=state.waited.sum(axis=0),
        waited_on=state.waited_on.sum(axis=0),
    )


class Causes:
    """Looks for causes in a trace that is steady, or that has all frames from rest."""

    def __init__(self, trace: Trace) -> None:
        assert trace.steady or trace.period_frames == trace.frames
        self.trace, self.p = trace, trace.pipeline
        self.frame = np.arange(trace.period_frames, dtype=np.int64)[:, None]

    def of(self, stage: int) -> Firings:
        """The firings of a stage, and what held each of them up."""
        start, end = self.trace.starts(stage, self.trace.first), self.trace.ends(stage, self.trace.last)
        free = self._free(stage, start, end)
        before = self._at_port(stage, start, self._before(stage, free))
        return Firings(free, start, end, before, self._after(stage, start + self.p.interval[stage]))

    def _free(self, stage: int, start: Times, end: Times) -> Times:
        """When the firing before was through; within a group, when it began."""
        n = np.arange(end.shape[1])
        firing_before = int(self.p.first_firing[stage]) + n - 1
        firing_before[0] = int(self.p.first_firing[stage + 1]) - 1
        free = self._last(np.where(n > 0, self.frame, self.frame - 1), firing_before) - self.p.latency[stage]
        free = np.maximum(free, 0) if not self.trace.steady else free
        in_group = n % self.p.together[stage] > 0
        return np.where(in_group, np.roll(start, 1, axis=1), free)

    def _before(self, stage: int, free: Times) -> Held:
        p, held = self.p, _nothing(free)
        for edge in range(p.in_start[stage], p.in_start[stage + 1]):
            held = _later(held, self._arrival(stage, edge), INPUT, edge)
        for edge in p.out_edges[p.out_start[stage] : p.out_start[stage + 1]]:
            for slot in self._slots(stage, int(edge)):
                held = _later(held, slot, SPACE, int(edge))
        if p.offer_at[stage] >= 0:
            held = _later(held, self._offered(stage, p.offer_first), SOURCE, NOTHING)
        return held

    def _after(self, stage: int, own: Times) -> Held:
        p, held = self.p, _nothing(own)
        for edge in range(p.in_start[stage], p.in_start[stage + 1]):
            needed = _of_firings(p.need, p.need_at[edge], p.firings[stage])
            complete = self._last(self.frame, p.first_firing[p.producer[edge]] + needed)
            held = _later(held, np.where(needed >= 0, complete + p.tail[edge], NEVER), INPUT, edge)
        for edge in p.out_edges[p.out_start[stage] : p.out_start[stage + 1]]:
            if p.close_at[edge] >= 0:
                held = _later(held, self._admitted(stage, int(edge), p.close_at, p.close, p.close_after), SPACE, edge)
        if p.offer_at[stage] >= 0:
            held = _later(held, self._offered(stage, p.offer_last) + p.first_offset[stage], SOURCE, NOTHING)
        return held

    def _at_port(self, stage: int, start: Times, held: Held) -> Held:
        """What is left is the port's; so is a source's wait that ends when the port comes free."""
        port = self.p.port[stage]
        if port < 0:
            assert np.array_equal(start, held.until)
            return held
        freed = self._port_freed(int(port))
        at_once = (held.cause == SOURCE) & np.isin(start % self.trace.period_cycles, freed)
        at_once &= np.arange(start.shape[1]) % self.p.together[stage] == 0
        waits = (start > held.until) | at_once
        return Held(start, np.where(waits, PORT, held.cause), np.where(waits, NOTHING, held.edge))

    def _port_freed(self, port: int) -> Times:
        """Every cycle of a period in which somebody lets go of a port."""
        freed = [
            self.trace.starts(stage, self.trace.first)[:, :: self.p.together[stage]].ravel() + self.p.occupancy[stage]
            for stage in np.flatnonzero(self.p.port == port).tolist()
        ]
        return np.concatenate(freed) % self.trace.period_cycles

    def _arrival(self, stage: int, edge: int) -> Times:
        """When what each firing needs had come far enough."""
        p = self.p
        needed = _of_firings(p.need, p.need_at[edge], p.firings[stage])
        token = p.first_firing[p.producer[edge]] + needed
        times, head = (self.trace.last, 0) if p.head[edge] < 0 else (self.trace.first, p.head[edge])
        return np.where(needed >= 0, times[:, token] + head - p.lead[edge], NEVER)

    def _slots(self, stage: int, edge: int) -> list[Times]:
        """When there was room on an edge for what each firing makes, by every rule that it has."""
        p, found = self.p, []
        made = self._made(stage)
        reader = p.consumer[edge]
        if p.apart[edge] > 0:
            slot = self._last(self.frame - 1, p.first_firing[reader + 1] - 1)
            found.append(np.where(made >= 0, slot - p.latency[reader] - p.first_offset[reader], NEVER))
        if p.gap[edge] > 0:
            ended = self._last(self.frame - 1, p.first_firing[stage + 1] - 1) - p.latency[stage] + p.gap[edge]
            found.append(np.where((np.arange(p.firings[stage]) == 0) & (ended > 0), ended, NEVER))
        if p.admit_at[edge] >= 0:
            found.append(self._admitted(stage, edge, p.admit_at, p.admit, p.admit_after))
        if p.capacity[edge] > 0:
            found.append(self._room(stage, edge, made))
        return found

    def _room(self, stage: int, edge: int, made: Times) -> Times:
        """When the slot that each firing's token takes was left."""
        p, reader = self.p, self.p.consumer[edge]
        then, token = np.divmod(self.frame * p.tokens[stage] + made - p.capacity[edge], p.tokens[stage])
        making = token if p.made_at[stage] < 0 else p.made[p.made_at[stage] + token]
        slot = self._last(then, p.first_firing[stage] + making)
        freeing = p.freed[p.freed_at[edge] + token].astype(np.int64)
        left = self._last(then, p.first_firing[reader] + freeing) - p.latency[reader]
        return np.where(made >= 0, np.where(freeing >= 0, np.maximum(slot, left), slot), NEVER)

    def _admitted(self, stage: int, edge: int, at: Times, table: NDArray[Any], after: NDArray[Any]) -> Times:
        """When each firing's token is let in by table."""
        p, made, reader = self.p, self._made(stage), self.p.consumer[edge]
        admitting = table[at[edge] + made].astype(np.int64)
        then, firing = np.divmod(self.frame * p.firings[reader] + admitting, p.firings[reader])
        slot = self._last(then, p.first_firing[reader] + firing) + after[at[edge] + made] - p.latency[reader]
        return np.where((made >= 0) & (admitting != ALWAYS), slot, NEVER)

    def _offered(self, stage: int, offers: Times) -> Times:
        p = self.p
        offered: Times = _of_firings(offers, p.offer_at[stage], p.firings[stage])
        return (self._first_frame() + self.frame) * self.trace.design.pace_cycles + offered

    def _first_frame(self) -> int:
        """The number of the first frame kept; a run may have gone on after those of its period."""
        trace = self.trace
        if not (trace.steady and trace.shared):
            return trace.frames - trace.period_frames
        ends = [int(self.p.first_firing[trace.stage_index[name] + 1]) - 1 for name in trace.design.output_stages]
        return int(np.flatnonzero(trace.completions == trace.last[0, ends].max())[-1])

    def _made(self, stage: int) -> Times:
        p = self.p
        if p.makes_at[stage] < 0:
            return np.arange(p.firings[stage], dtype=np.int64)
        return _of_firings(p.makes, p.makes_at[stage], p.firings[stage])

    def _last(self, frame: Times, firing: Any) -> Times:
        """When the last elements of firings arrived, of frames that may have been before those kept."""
        periods, row = np.divmod(frame, self.trace.period_frames)
        arrived: Times = self.trace.last[row, firing] + periods * self.trace.period_cycles
        return arrived if self.trace.steady else np.where(frame < 0, NEVER, arrived)


def _of_firings(table: NDArray[Any], at: Any, firings: Any) -> Times:
    part: Times = table[at : at + firings].astype(np.int64)
    return part


def _nothing(until: Times) -> Held:
    return Held(until, np.full(until.shape, NOTHING), np.full(until.shape, NOTHING))


def _later(held: Held, time: Times, cause: int, edge: int) -> Held:
    """The later of both; of causes that end together the first is blamed."""
    later = time > held.until
    return Held(np.where(later, time, held.until), np.where(later, cause, held.cause), np.where(later, edge, held.edge))
