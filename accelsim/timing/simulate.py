"""Running a design frame after frame until it repeats.

Parts of a pipeline may go at different rates for thousands of frames until a buffer between them is full.
While every firing keeps its own rate nothing new can happen, so those frames are skipped: the times are
moved on by as many frames as the first constraint needs to bind.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, InputError
from accelsim.mapping.design import Design
from accelsim.network.reach import Granularity
from accelsim.timing.kernels.pipeline import Pipeline, State, frame_shift, frames_until_change, run_frame
from accelsim.timing.lower import checked_granularity, lower
from accelsim.timing.waits import describe_deadlock

Ints = NDArray[np.int64]

SOURCES = ("paced", "greedy")
#: Frames to try when the steady state is to be found, and the longest period looked for.
MOST_FRAMES = 512
LONGEST_PERIOD = 64
#: Firings simulated at most while looking for the steady state, and held in memory at most.
MOST_FIRINGS = 10**9
MOST_FIRINGS_HELD = 2**25


@dataclass(frozen=True)
class Trace:
    """When everything happened, in cycles.

    `first` and `last`, int64[frames, firings], are the arrivals of each token's first and last element in
    the last frames simulated; where `steady`, these frames are one period, repeated every `period_cycles`
    for ever. Where it is `growing`, every stage keeps a rate of its own and some buffer fills for ever: the
    interval is that of the slowest output, and nothing else is steady. `alone_first` and `alone_last`,
    int64[firings], are those of the first frame, which finds the machine empty. `waited` and `waited_on`
    are of the frames in `last`. `interval_cycles` is the mean between completions of successive frames: over a
    period or, where there is none, over the second half of what was fired. `frames` have passed;
    `completions` are of those that were fired one by one.
    """

    design: Design
    granularity: Granularity
    source: str
    pipeline: Pipeline
    frames: int
    steady: bool
    growing: bool
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
    return _Run(design, chosen, source, lower(design, chosen, source)).until(frames)


class _Run:
    """The frames simulated so far, in a ring as long as a period and a capacity can reach back."""

    def __init__(self, design: Design, granularity: Granularity, source: str, pipeline: Pipeline) -> None:
        self.design, self.granularity, self.source, self.pipeline = design, granularity, source, pipeline
        firings, stages, edges = pipeline.first_firing[-1], len(design.stages), len(design.edges)
        tokens = np.maximum(pipeline.tokens[pipeline.producer], 1)
        reaches_back = pipeline.capacity.any() or pipeline.apart.any()
        self.depth = int((pipeline.capacity // tokens).max(initial=0)) + 2 if reaches_back else 1
        room = MOST_FIRINGS_HELD // int(firings) - self.depth - 1
        if self.depth > MOST_FRAMES or (room < 1 and self.depth > 2):
            raise InputError(_too_deep(design, pipeline, tokens))
        self.longest_period = min(max(room, 1), LONGEST_PERIOD)
        self.ring = self.depth + self.longest_period + 1
        self.most_frames = max(self.ring + 1, min(MOST_FRAMES, MOST_FIRINGS // int(firings)))
        times = np.zeros((self.ring, firings), np.int64)
        first = times if granularity == "pixel" else np.zeros_like(times)
        self.state = State(
            first=first,
            last=times,
            free_at=np.zeros(stages, np.int64),
            done=np.zeros(stages, np.int64),
            waited=np.zeros((stages, 3), np.int64),
            waited_on=np.zeros((edges, 2), np.int64),
        )
        self.outputs = [i for i, s in enumerate(design.stages) if s.name in design.output_stages]
        self.frames = 0
        self.fired_before_skip = 0
        self.completions: list[int] = []
        self.waits: list[tuple[Ints, Ints]] = []
        self.same: dict[int, tuple[int, int]] = {}
        self.rates = (np.full(firings, -1, np.int64), np.full(firings, -1, np.int64))
        self.constant_for = 0

    def until(self, frames: int | None) -> Trace:
        self._frame()
        alone = self.state.first[0].copy(), self.state.last[0].copy()
        limit = self.most_frames if frames is None else frames
        period, growing = 0, False
        while len(self.completions) < limit and not (frames is None and (period or growing)):
            self._frame()
            period = self._period()
            growing = not period and self._goes_on_for_ever(may_skip=frames is None)
        return self._trace(alone, period, growing)

    def _frame(self) -> None:
        state = self.state
        state.waited[:] = 0
        state.waited_on[:] = 0
        if run_frame(self.pipeline, state, self.frames, self.design.pace_cycles):
            raise DeadlockError(describe_deadlock(self.design, self.pipeline, state, self.frames, self.granularity))
        row, ends = state.last[self.frames % self.ring], self.pipeline.first_firing[1:] - 1
        self.completions.append(max(int(row[ends[stage]]) for stage in self.outputs))
        self.waits = [*self.waits[-self.longest_period :], (state.waited.copy(), state.waited_on.copy())]
        self.frames += 1

    def _shifts(self, period: int) -> Ints:
        now = self.frames - 1
        shifts = np.empty(self.pipeline.firings.size, np.int64)
        frame_shift(self.pipeline, self.state, now % self.ring, (now - period) % self.ring, shifts)
        return shifts

    def _period(self) -> int:
        """Frames after which everything repeats, if it has for as long as a capacity reaches back; else 0."""
        for period in range(1, min(self.longest_period, self.frames - 1) + 1):
            shifts = self._shifts(period)
            shift = int(shifts[0]) if np.all(shifts == shifts[0]) else -1
            before, times = self.same.get(period, (-1, 0))
            # frames may all move on alike and yet by turns 4 and 5 cycles, where a capacity reaches further back
            self.same[period] = shift, (times if shift == before else 0) + 1
            if shift >= 0 and self.same[period][1] >= max(self.depth, period):
                return period
        return 0

    def _goes_on_for_ever(self, may_skip: bool) -> bool:
        """Whether all firings have settled to rates of their own; skips the frames until those change."""
        now, then = (self.frames - 1) % self.ring, (self.frames - 2) % self.ring
        last = self.state.last[now] - self.state.last[then]
        first = last if self.granularity == "pixel" else self.state.first[now] - self.state.first[then]
        same = np.array_equal(first, self.rates[0]) and np.array_equal(last, self.rates[1])
        self.rates, self.constant_for = (first, last), self.constant_for + 1 if same else 0
        if self.constant_for < self.depth:
            return False
        left = frames_until_change(self.pipeline, self.state, self.frames - 1, self.design.pace_cycles, first, last)
        if left >= self.ring and may_skip:
            self._skip(left // self.ring * self.ring)
        return bool(left < 0)

    def _skip(self, frames: int) -> None:
        """Moves all times on; a multiple of the ring leaves every frame in its row."""
        first, last = self.rates
        self.state.free_at[:] += last[self.pipeline.first_firing[1:] - 1] * frames
        self.state.last[:] += last * frames
        if self.granularity != "pixel":
            self.state.first[:] += first * frames
        self.frames += frames
        self.fired_before_skip = len(self.completions)
        self.same, self.constant_for = {}, 0

    def _trace(self, alone: tuple[Ints, Ints], period: int, growing: bool) -> Trace:
        steady = period > 0
        kept = period if steady else 1
        rows = [(self.frames - kept + k) % self.ring for k in range(kept)]
        return Trace(
            design=self.design,
            granularity=self.granularity,
            source=self.source,
            pipeline=self.pipeline,
            frames=self.frames,
            steady=steady,
            growing=growing,
            period_cycles=self._period_cycles(kept, steady, growing),
            interval_cycles=self._interval(period, growing),
            first=self.state.first[rows],
            last=self.state.last[rows],
            alone_first=alone[0],
            alone_last=alone[1],
            waited=sum((w for w, _ in self.waits[-kept:]), np.zeros_like(self.state.waited)),
            waited_on=sum((w for _, w in self.waits[-kept:]), np.zeros_like(self.state.waited_on)),
            completions=np.array(self.completions, np.int64),
        )

    def _interval(self, period: int, growing: bool) -> Fraction:
        done = self.completions[self.fired_before_skip :]
        if growing:
            return Fraction(self._slowest_output_cycles())
        if period:
            return Fraction(self.same[period][0], period)
        if len(done) < 2:
            return Fraction(max(self.design.pace_cycles, self.completions[-1]))
        half = len(done) // 2
        return Fraction(done[-1] - done[-1 - half], half)

    def _period_cycles(self, kept: int, steady: bool, growing: bool) -> int:
        if steady:
            return self.same[kept][0]
        return max(1, round(self._interval(0, growing)))

    def _slowest_output_cycles(self) -> int:
        """Cycles a frame of the output that is last in the end, where each goes at a rate of its own."""
        return max(int(self.rates[1][self.pipeline.first_firing[stage + 1] - 1]) for stage in self.outputs)


def _too_deep(design: Design, pipeline: Pipeline, tokens: Ints) -> str:
    frames = pipeline.capacity // tokens
    edge = design.edges[int(frames.argmax())]
    return (
        f"capacity of '{edge.name}' = {edge.capacity:,} holds {int(frames.max()):,} frames, more than can be followed; "
        "leave it out for an unbounded buffer"
    )
