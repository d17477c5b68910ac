"""What sets the pace: the cycle of firings whose length is the interval, and the slack of all other stages.

Times are maxima of sums, so in the steady state a firing that happens at t was held up by another at
exactly t minus a known delay. Following these backwards comes, since a period has finitely many
firings, to one already met: the delays between the two meetings, divided by the frames between
them, are the interval. Shortening anything off this cycle leaves the interval as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import ALWAYS, Tables
from accelsim.timing.simulate import Trace

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CriticalCycle:
    """What repeats in `interval_cycles`: the source's pace, one busy stage, or a cycle through buffers.

    It takes `weight_cycles` and goes on by `frames`; the interval is the one through the other. `steps` tells the
    cycle as text, one line a stay in a stage; `stages` and `edges` are those on it.
    """

    kind: Literal["source", "stage", "buffers"]
    interval_cycles: Fraction
    weight_cycles: int
    frames: int
    stages: tuple[str, ...]
    edges: tuple[str, ...]
    steps: tuple[str, ...]


class _Event(NamedTuple):
    """The start or end of a firing of a frame counted from the kept period."""

    stage: int
    firing: int
    frame: int
    is_end: bool


class _Link(NamedTuple):
    before: _Event | None
    edge: int | None
    reason: str


def critical_cycle(trace: Trace) -> CriticalCycle | None:
    """The critical cycle of a steady trace; None where the trace is not steady.

    A stage that is busy all the time is named first, then the source's pace, then a cycle through buffers. Where
    stages wait for each other at a port there is no such cycle: who is served first hangs on all of them, and
    a stage that takes less time may make others slower. Then it is None too.
    """
    if not trace.steady:
        return None
    interval, stages = trace.interval_cycles, trace.design.stages
    busy = [stage for stage in stages if stage.work_cycles == interval]
    if busy:
        name = busy[0].name
        step = f"{name} is busy {busy[0].work_cycles:,} cycles a frame"
        return CriticalCycle("stage", interval, busy[0].work_cycles, 1, (name,), (), (step,))
    if trace.source == "paced" and interval == trace.design.pace_cycles:
        step = f"the source offers a frame every {trace.design.pace_cycles:,} cycles"
        return CriticalCycle("source", interval, trace.design.pace_cycles, 1, (), (), (step,))
    return None if trace.shared else _walk(trace)


def slack_cycles(trace: Trace) -> dict[str, Fraction]:
    """Cycles a frame that each stage's work could grow by with all buffers unbounded and the interval kept."""
    return {stage.name: trace.interval_cycles - stage.work_cycles for stage in trace.design.stages}


def _walk(trace: Trace) -> CriticalCycle:
    times = _Times(trace)
    stage = max(times.outputs, key=lambda s: int(times.end(s, -1, trace.period_frames - 1)))
    event = _Event(stage, int(trace.pipeline.firings[stage]) - 1, trace.period_frames - 1, True)
    seen: dict[_Event, int] = {}
    path: list[tuple[_Event, _Link]] = []
    while (key := event._replace(frame=event.frame % trace.period_frames)) not in seen:
        seen[key] = len(path)
        link = times.held_by(event)
        assert link.before is not None, "a source's offer is no part of a cycle slower than its pace"
        path.append((event, link))
        event = link.before
    begun = path[seen[key]][0]
    weight = times.of(begun) - times.of(event)
    return _told(trace, path[seen[key] :], weight, begun.frame - event.frame)


def _told(trace: Trace, cycle: list[tuple[_Event, _Link]], weight: int, frames: int) -> CriticalCycle:
    design = trace.design
    assert weight == trace.interval_cycles * frames, "delays round the critical cycle"
    forwards = cycle[::-1]
    stages = dict.fromkeys(design.stages[event.stage].name for event, _ in forwards)
    edges = dict.fromkeys(design.edges[link.edge].name for _, link in forwards if link.edge is not None)
    steps = tuple(_steps(trace, forwards))
    return CriticalCycle("buffers", trace.interval_cycles, weight, frames, tuple(stages), tuple(edges), steps)


def _steps(trace: Trace, forwards: list[tuple[_Event, _Link]]) -> Iterator[str]:
    """One line for each stay in a stage, with how often the same stay comes in the cycle."""
    counts: dict[str, int] = {}
    for event, link in forwards:
        if link.edge is None:
            continue
        edge, stage = trace.design.edges[link.edge], trace.design.stages[event.stage]
        text = f"{stage.name} waits for {link.reason} on {edge.name}"
        if link.reason == "space" and edge.capacity is not None:
            counted = "word" if trace.design.mapping.granularity == "word" else trace.granularity
            text += f" ({edge.capacity} {counted}s)"
        counts[text] = counts.get(text, 0) + 1
    for text, count in counts.items():
        yield f"{text}, {count:,} times" if count > 1 else text


class _Times:
    """Start and end of every firing of any frame, the kept period extended to both sides."""

    def __init__(self, trace: Trace) -> None:
        self.trace, self.p = trace, trace.pipeline
        self.outputs = [trace.stage_index[name] for name in trace.design.output_stages]

    def _at(self, times: NDArray[np.int64], index: int, frame: int) -> int:
        periods, row = divmod(frame, self.trace.period_frames)
        return int(times[row, index]) + periods * self.trace.period_cycles

    def last(self, stage: int, firing: int, frame: int) -> int:
        return self._at(
            self.trace.last,
            int(self.p.first_firing[stage + 1] if firing < 0 else self.p.first_firing[stage]) + firing,
            frame,
        )

    def first(self, stage: int, firing: int, frame: int) -> int:
        return self._at(self.trace.first, int(self.p.first_firing[stage]) + firing, frame)

    def end(self, stage: int, firing: int, frame: int) -> int:
        return self.last(stage, firing, frame) - int(self.p.latency[stage])

    def start(self, stage: int, firing: int, frame: int) -> int:
        first = self.first(stage, firing, frame)
        return first - int(self.p.first_offset[stage]) - int(self.p.latency[stage])

    def of(self, event: _Event) -> int:
        """When it happened."""
        return (self.end if event.is_end else self.start)(event.stage, event.firing, event.frame)

    def held_by(self, event: _Event) -> _Link:
        """What an event happened right after."""
        return self._end_held_by(event) if event.is_end else self._start_held_by(event)

    def _end_held_by(self, event: _Event) -> _Link:
        stage, n, frame, _ = event
        end = self.end(stage, n, frame)
        if self.start(stage, n, frame) + int(self.p.interval[stage]) == end:
            return _Link(event._replace(is_end=False), None, "work")
        for edge, source, needed in self._inputs(stage, n):
            if self.last(source, needed, frame) + int(self.p.tail[edge]) == end:
                return _Link(_Event(source, needed, frame, True), edge, "input")
        held = self._held_back(event, end, self.p.close_at, self.p.close, self.p.close_after)
        return held or _Link(None, None, "source")

    def _held_back(self, event: _Event, time: int, at: Ints, firings: Tables, after: Tables) -> _Link | None:
        """The reader's firing that let a token in or out at `time`, where one did."""
        stage, n, frame, _ = event
        made = n if self.p.makes_at[stage] < 0 else int(self.p.makes[self.p.makes_at[stage] + n])
        for k in range(self.p.out_start[stage], self.p.out_start[stage + 1]):
            edge = int(self.p.out_edges[k])
            if made < 0 or at[edge] < 0 or firings[at[edge] + made] == ALWAYS:
                continue
            reader = int(self.p.consumer[edge])
            frames, firing = divmod(int(firings[at[edge] + made]), int(self.p.firings[reader]))
            if self.end(reader, firing, frame + frames) + int(after[at[edge] + made]) == time:
                return _Link(_Event(reader, firing, frame + frames, True), edge, "space")
        return None

    def _start_held_by(self, event: _Event) -> _Link:
        start = self.start(event.stage, event.firing, event.frame)
        return (
            self._input_of(event, start)
            or self._slot_of(event, start)
            or self._held_back(event, start, self.p.admit_at, self.p.admit, self.p.admit_after)
            or self._left_by(event, start)
            or self._after_gap(event, start)
            or self._own_previous(event, start)
        )

    def _input_of(self, event: _Event, start: int) -> _Link | None:
        stage, n, frame, _ = event
        for edge, source, needed in self._inputs(stage, n):
            head, lead = int(self.p.head[edge]), int(self.p.lead[edge])
            if head < 0 and self.last(source, needed, frame) - lead == start:
                return _Link(_Event(source, needed, frame, True), edge, "input")
            if head >= 0 and self.first(source, needed, frame) + head - lead == start:
                return _Link(_Event(source, needed, frame, False), edge, "input")
        return None

    def _slot_of(self, event: _Event, start: int) -> _Link | None:
        stage, n, frame, _ = event
        for edge, reader, freeing, making, then in self._slots(stage, n, frame):
            if freeing >= 0 and self.end(reader, freeing, then) == start:
                return _Link(_Event(reader, freeing, then, True), edge, "space")
            if self.last(stage, making, then) == start:
                return _Link(_Event(stage, making, then, True), edge, "space")
        return None

    def _left_by(self, event: _Event, start: int) -> _Link | None:
        for edge, reader in self._apart(event.stage):
            if self.end(reader, -1, event.frame - 1) - int(self.p.first_offset[reader]) == start:
                before = _Event(reader, int(self.p.firings[reader]) - 1, event.frame - 1, True)
                return _Link(before, edge, "the frame before to leave")
        return None

    def _after_gap(self, event: _Event, start: int) -> _Link | None:
        """The stage's own last firing, where what reads it ends a frame before it takes the next one."""
        stage, n, frame, _ = event
        before = _Event(stage, int(self.p.firings[stage]) - 1, frame - 1, True)
        for edge in self.p.out_edges[self.p.out_start[stage] : self.p.out_start[stage + 1]]:
            gap = int(self.p.gap[edge])
            if gap and n == 0 and self.of(before) + gap == start:
                return _Link(before, int(edge), "the frame before to leave")
        return None

    def _apart(self, stage: int) -> Iterator[tuple[int, int]]:
        """Output edges on which frames stay apart, and their readers."""
        for k in range(self.p.out_start[stage], self.p.out_start[stage + 1]):
            edge = int(self.p.out_edges[k])
            if self.p.apart[edge]:
                yield edge, int(self.p.consumer[edge])

    def _own_previous(self, event: _Event, start: int) -> _Link:
        stage, n, frame, _ = event
        before = (n - 1, frame) if n else (int(self.p.firings[stage]) - 1, frame - 1)
        if self.end(stage, *before) == start:
            return _Link(_Event(stage, *before, True), None, "work")
        if self.start(stage, *before) == start and n % int(self.p.together[stage]):
            return _Link(_Event(stage, *before, False), None, "work")
        return _Link(None, None, "source")

    def _inputs(self, stage: int, n: int) -> Iterator[tuple[int, int, int]]:
        for edge in range(self.p.in_start[stage], self.p.in_start[stage + 1]):
            needed = int(self.p.need[self.p.need_at[edge] + n])
            if needed >= 0:
                yield edge, int(self.p.producer[edge]), needed

    def _slots(self, stage: int, n: int, frame: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Of each bounded output edge: its reader, the firings that free and that made the slot's last token."""
        made = n if self.p.makes_at[stage] < 0 else int(self.p.makes[self.p.makes_at[stage] + n])
        tokens = int(self.p.tokens[stage])
        for k in range(self.p.out_start[stage], self.p.out_start[stage + 1]):
            edge = int(self.p.out_edges[k])
            if made >= 0 and self.p.capacity[edge] > 0:
                then, token = divmod(frame * tokens + made - int(self.p.capacity[edge]), tokens)
                freeing = int(self.p.freed[self.p.freed_at[edge] + token])
                making = token if self.p.made_at[stage] < 0 else int(self.p.made[self.p.made_at[stage] + token])
                yield edge, int(self.p.consumer[edge]), freeing, making, then
