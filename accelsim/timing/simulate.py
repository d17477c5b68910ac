"""Running a design frame after frame until it repeats.

Where stages share nothing, a frame is not touched by those after it and each is fired to its end. Parts of such a
pipeline may go at different rates for thousands of frames until a buffer between them is full.
While every firing keeps its own rate nothing new can happen, so those frames are skipped: the times are
moved on by as many frames as the first constraint needs to bind.

Where stages share a port, firings are served in time order, and a stage may be in frames that others have not begun:
the run is looked at whenever a frame has been completed by all. What happens from then on follows from how many
firings each stage has behind it; from the times of those that it can still refer to, which are of the frames in
flight and of as many before as a capacity reaches back; and from when the ports are free. If all this is what it
was some frames before, but for one shift of all times, then the same goes on to happen, shifted: a period. Only
offers of a paced source have a clock of their own, so that the shift has to be theirs, or longer where they hold
nothing up any more: they come the earlier then, frame by frame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, InputError
from accelsim.mapping.design import Design
from accelsim.network.reach import Granularity
from accelsim.timing.admission import not_told
from accelsim.timing.kernels.pipeline import (
    ALWAYS,
    SHORT,
    STUCK,
    Pipeline,
    State,
    at_rest,
    frames_until_change,
    is_shifted_ahead,
    lengthened,
    next_period,
    run,
)
from accelsim.timing.lower import checked_granularity, lower
from accelsim.timing.waits import describe_deadlock, is_stuck

Ints = NDArray[np.int64]

SOURCES = ("paced", "greedy")
#: Frames to try when the steady state is to be found, and the longest period looked for.
MOST_FRAMES = 512
LONGEST_PERIOD = 64
#: Firings simulated at most while looking for the steady state, and held in memory at most.
MOST_FIRINGS = 10**9
MOST_FIRINGS_HELD = 2**25
#: Frames for which there is room ahead of the slowest stage at first, where some share a port.
AHEAD = 4
UNLIMITED = 2**62


@dataclass(frozen=True)
class Trace:
    """When everything happened, in cycles.

    `first` and `last`, int64[frames, firings], are the arrivals of each token's first and last element in
    the last frames simulated; where `steady`, these frames are one period, repeated every `period_cycles`
    for ever, or as long as more frames follow. Where it is `growing`, every stage keeps a rate of its own and some
    buffer fills for ever: the interval is that of the slowest output, and nothing else is steady. `alone_first` and
    `alone_last`, int64[firings], are those of a frame that has the machine to itself. `waited`, int64[stages, 4],
    and `waited_on`, int64[edges, 2], are of the frames in `last`. `interval_cycles` is the mean between completions
    of successive frames: over a period or, where there is none, over the second half of what was fired.
    `frames` have passed; `completions` are of those that were fired one by one. `shared` says that some stages
    have waited for each other at a port.
    """

    design: Design
    granularity: Granularity
    source: str
    pipeline: Pipeline
    frames: int
    steady: bool
    growing: bool
    shared: bool
    period_cycles: int
    interval_cycles: Fraction
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    alone_first: Ints
    alone_last: Ints
    waited: NDArray[np.int64]
    waited_on: NDArray[np.int64]
    completions: Ints

    @property
    def period_frames(self) -> int:
        return int(self.last.shape[0])

    @cached_property
    def stage_index(self) -> dict[str, int]:
        return {stage.name: position for position, stage in enumerate(self.design.stages)}

    def starts(self, stage: int, first: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each firing of a stage started, int64[..., firings], from the arrivals of first elements."""
        p = self.pipeline
        times: NDArray[np.int64] = first[..., self._span(stage)] - (p.first_offset[stage] + p.latency[stage])
        return times

    def ends(self, stage: int, last: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each firing of a stage ended, int64[..., firings]."""
        times: NDArray[np.int64] = last[..., self._span(stage)] - self.pipeline.latency[stage]
        return times

    def _span(self, stage: int) -> slice:
        return slice(self.pipeline.first_firing[stage], self.pipeline.first_firing[stage + 1])


def schedule(
    design: Design, granularity: Granularity | None = None, source: str | None = None, frames: int | None = None
) -> Trace:
    """Simulates `design` for `frames` frames, or until its frames repeat.

    The sources end after `frames`, which is seen where stages share a port: later frames would have held it too.
    `granularity` is "row" or "pixel", None for that of the mapping; `source` is "paced" or "greedy", None for the
    machine's. Raises `DeadlockError` with the cycle of waits, and `InputError` for other names, for capacities in
    tokens of another granularity, and where `frames` is not positive.
    """
    if frames is not None and (not isinstance(frames, int) or frames < 1):
        raise InputError(f"frames = {frames} must be at least 1, and whole")
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    source = source or design.accelerator.source
    if source not in SOURCES:
        raise InputError(f"source '{source}' is not {' or '.join(SOURCES)}")
    chosen = checked_granularity(design, granularity)
    trace = _Run(design, chosen, source, lower(design, chosen, source)).until(frames)
    refused = not_told(design) if chosen == "pixel" else None
    if refused is not None:
        raise refused
    return trace


class _Period(NamedTuple):
    """Frames after which everything comes again, `cycles` later; 0 for none."""

    frames: int
    cycles: int


NO_PERIOD = _Period(0, 0)


class _Kept(NamedTuple):
    """Times and waits of the frames that stand for all."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    waited: NDArray[np.int64]
    waited_on: NDArray[np.int64]


class _Moment(NamedTuple):
    """Where everything stands when a frame is complete."""

    ahead: Ints  # [stages] firings of later frames
    port_free_at: Ints  # [ports in use]


class _Run:
    """The frames simulated so far, in a ring as long as a period and a capacity can reach back."""

    def __init__(self, design: Design, granularity: Granularity, source: str, pipeline: Pipeline) -> None:
        self.design, self.granularity, self.source = design, granularity, source
        self.pipeline = pipeline._replace(port=contended(pipeline))
        self.ports = np.unique(self.pipeline.port[self.pipeline.port >= 0])
        self.shared = self.ports.size > 0
        firings = pipeline.first_firing[-1]
        tokens = np.maximum(pipeline.tokens[pipeline.producer], 1)
        self.depth = _frames_back(pipeline, tokens) + 1
        room = MOST_FIRINGS_HELD // int(firings) - self.depth - 1 - (AHEAD if self.shared else 0)
        if self.depth > MOST_FRAMES or (room < 1 and self.depth > 2):
            raise InputError(_too_deep(design, pipeline, tokens))
        self.longest_period = min(max(room, 1), LONGEST_PERIOD)
        self.ring = self.depth + self.longest_period + 1 + (AHEAD if self.shared else 0)
        self.most_frames = max(self.ring + 1, min(MOST_FRAMES, MOST_FIRINGS // int(firings)))
        self.state = at_rest(self.pipeline, self.ring, by_row=granularity == "row")
        self.outputs = [i for i, s in enumerate(design.stages) if s.name in design.output_stages]
        self.pace = design.pace_cycles
        self.ends = pipeline.first_firing[1:][self.outputs] - 1
        self.frames = 0
        self.fired_before_skip = 0
        self.completions: list[int] = []
        self.same = np.full((self.longest_period + 1, 2), -1, np.int64)
        self.moments: deque[_Moment] = deque(maxlen=self.longest_period + 1)
        self.rates = (np.full(firings, -1, np.int64), np.full(firings, -1, np.int64))
        self.constant_for = 0

    def until(self, frames: int | None) -> Trace:
        return self._until_served(frames) if self.shared else self._until_fired(frames)

    def _until_fired(self, frames: int | None) -> Trace:
        self._frame(most=self.frames + 1)
        alone = self.state.first[0].copy(), self.state.last[0].copy()
        limit = self.most_frames if frames is None else frames
        period, growing = NO_PERIOD, False
        while len(self.completions) < limit and not (frames is None and (period.frames or growing)):
            self._frame(most=self.frames + 1)
            period = self._period()
            growing = not period.frames and self._goes_on_for_ever(may_skip=frames is None)
        return self._trace(alone, period, self._kept(period), growing)

    def _until_served(self, frames: int | None) -> Trace:
        alone = self._alone()
        limit = self.most_frames if frames is None else frames
        most = UNLIMITED if frames is None else frames
        period, kept = NO_PERIOD, None
        while self.frames < limit and not (frames is None and period.frames):
            self._frame(most)
            if not period.frames and self._goes_on(most):
                period = self._period()
                kept = self._kept(period) if period.frames else None
        return self._trace(alone, period, kept or self._kept(period), growing=False)

    def _alone(self) -> tuple[Ints, Ints]:
        state = at_rest(self.pipeline, 1, by_row=self.granularity == "row")
        self._checked(run(self.pipeline, state, 0, 1, 0, self.pace), state)
        return state.first[0], state.last[0]

    def _frame(self, most: int) -> None:
        """Goes on until one more frame is complete; no stage fires more than `most` frames."""
        p, kept = self.pipeline, max(self.depth, self.longest_period + 1)
        while self._checked(run(p, self.state, self.frames, most, kept, self.pace), self.state) == SHORT:
            self._lengthen(self.frames - kept)
        self.completions.append(int(self.state.last[self.frames % self.ring, self.ends].max()))
        self.frames += 1
        if self.shared:
            moment = _Moment(self.state.fired - self.frames * p.firings, self.state.port_free_at[self.ports])
            self.moments.append(moment)

    def _checked(self, status: int, state: State) -> int:
        if status == STUCK or (status == SHORT and is_stuck(self.pipeline, state)):
            raise DeadlockError(describe_deadlock(self.design, self.pipeline, state, self.granularity))
        return status

    def _lengthen(self, oldest: int) -> None:
        """Doubles the ring, which holds frames from `oldest` on."""
        longer = 2 * self.ring
        if longer * int(self.pipeline.first_firing[-1]) > MOST_FIRINGS_HELD:
            raise InputError(self._too_far_apart())
        frames = np.arange(max(oldest, 0), oldest + self.ring)
        self.state = lengthened(self.state, frames, longer)
        self.ring = longer

    def _goes_on(self, most: int) -> bool:
        """Whether no stage is at its end."""
        return bool(np.all(self.state.fired < most * self.pipeline.firings)) if most < UNLIMITED else True

    def _period(self) -> _Period:
        """The least period after which everything repeats."""
        period = 0
        while period := next_period(self.state, self.frames - 1, self.depth, period, self.same):
            if self._repeats(period, shift := int(self.same[period, 0])):
                return _Period(period, shift)
        return NO_PERIOD

    def _repeats(self, period: int, shift: int) -> bool:
        """Whether what is under way, and what is offered, is as it was a period before."""
        if self.source == "paced" and shift < period * self.pace:
            return False
        if not self.shared:
            return True
        now, then = self.moments[-1], self.moments[-1 - period]
        if not np.array_equal(now.ahead, then.ahead) or np.any(now.port_free_at - then.port_free_at != shift):
            return False
        return bool(is_shifted_ahead(self.pipeline, self.state, self.frames, period, shift))

    def _kept(self, period: _Period) -> _Kept:
        kept, state = max(period.frames, 1), self.state
        rows = [(self.frames - kept + k) % self.ring for k in range(kept)]
        waited, waited_on = state.waited[rows].sum(axis=0), state.waited_on[rows].sum(axis=0)
        return _Kept(state.first[rows], state.last[rows], waited, waited_on)

    def _goes_on_for_ever(self, may_skip: bool) -> bool:
        """Whether all firings have settled to rates of their own; skips the frames until those change."""
        now, then = (self.frames - 1) % self.ring, (self.frames - 2) % self.ring
        last = self.state.last[now] - self.state.last[then]
        first = last if self.granularity == "pixel" else self.state.first[now] - self.state.first[then]
        same = np.array_equal(first, self.rates[0]) and np.array_equal(last, self.rates[1])
        self.rates, self.constant_for = (first, last), self.constant_for + 1 if same else 0
        if self.constant_for < self.depth:
            return False
        left = frames_until_change(self.pipeline, self.state, self.frames - 1, self.pace, first, last)
        if left >= self.ring and may_skip:
            self._skip(left // self.ring * self.ring)
        return bool(left < 0)

    def _skip(self, frames: int) -> None:
        """Moves all times on; a multiple of the ring leaves every frame in its row."""
        first, last = self.rates
        self.state.free_at[:] += last[self.pipeline.first_firing[1:] - 1] * frames
        self.state.fired[:] += self.pipeline.firings * frames
        self.state.last[:] += last * frames
        if self.granularity != "pixel":
            self.state.first[:] += first * frames
        self.frames += frames
        self.fired_before_skip = len(self.completions)
        self.same[:], self.constant_for = -1, 0

    def _trace(self, alone: tuple[Ints, Ints], period: _Period, kept: _Kept, growing: bool) -> Trace:
        interval = self._interval(period, growing)
        return Trace(
            design=self.design,
            granularity=self.granularity,
            source=self.source,
            pipeline=self.pipeline,
            frames=self.frames,
            steady=period.frames > 0,
            growing=growing,
            shared=self.shared,
            period_cycles=period.cycles if period.frames else max(1, round(interval)),
            interval_cycles=interval,
            first=kept.first,
            last=kept.last,
            alone_first=alone[0],
            alone_last=alone[1],
            waited=kept.waited,
            waited_on=kept.waited_on,
            completions=np.array(self.completions, np.int64),
        )

    def _interval(self, period: _Period, growing: bool) -> Fraction:
        done = self.completions[self.fired_before_skip :]
        if growing:
            return Fraction(self._slowest_output_cycles())
        if period.frames:
            return Fraction(period.cycles, period.frames)
        if len(done) < 2:
            return Fraction(max(self.pace, self.completions[-1]))
        half = len(done) // 2
        return Fraction(done[-1] - done[-1 - half], half)

    def _slowest_output_cycles(self) -> int:
        """Cycles a frame of the output that is last in the end, where each goes at a rate of its own."""
        return int(self.rates[1][self.ends].max())

    def _too_far_apart(self) -> str:
        frames = self.state.fired // self.pipeline.firings
        ahead, behind = (self.design.stages[int(k)].name for k in (frames.argmax(), frames.argmin()))
        return (
            f"{ahead} gets {int(frames.max() - frames.min()):,} frames ahead of {behind}, more than can be followed; "
            "bound the buffers between them, or pace the source"
        )


def contended(p: Pipeline) -> Ints:
    """The port of each stage where it can ever have to wait for it, else -1.

    Of one user it is in use only where a firing holds it for longer than until the next one.
    """
    users = np.bincount(p.port[p.port >= 0], minlength=1)
    waits = (users[p.port] > 1) | (p.occupancy > p.interval)
    return np.where((p.port >= 0) & waits, p.port, -1)


def _frames_back(p: Pipeline, tokens: Ints) -> int:
    """Frames before its own that a token's coming can hang on."""
    by_capacity = int((p.capacity // tokens).max(initial=0)) + 1 if p.capacity.any() or p.apart.any() else 0
    return max(by_capacity, int(_frames_by_table(p).max(initial=0)))


def _frames_by_table(p: Pipeline) -> Ints:
    """The same by the firings that let tokens in, int64[edges]."""
    frames = np.zeros(p.producer.size, np.int64)
    for at, tables in ((p.admit_at, p.admit), (p.close_at, p.close)):
        for edge in np.flatnonzero(at >= 0):
            table = tables[at[edge] : at[edge] + p.tokens[p.producer[edge]]]
            earliest = table[table != ALWAYS].min(initial=0) // p.firings[p.consumer[edge]]
            frames[edge] = max(frames[edge], -int(earliest))
    return frames


def _too_deep(design: Design, pipeline: Pipeline, tokens: Ints) -> str:
    frames = np.maximum(pipeline.capacity // tokens, _frames_by_table(pipeline))
    edge = design.edges[int(frames.argmax())]
    return (
        f"capacity of '{edge.name}' = {edge.capacity:,} holds {int(frames.max()):,} frames, more than can be followed; "
        "leave it out for an unbounded buffer"
    )
