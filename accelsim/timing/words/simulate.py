"""Running a design word by word until its frames repeat."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, InputError
from accelsim.mapping.design import Design
from accelsim.timing.kernels import words as kernel
from accelsim.timing.words.chain import Chain
from accelsim.timing.words.lower import WordDesign, alone, lower_words
from accelsim.timing.words.run import Machine, Run, run
from accelsim.timing.words.waits import describe_deadlock

Ints = NDArray[np.int64]

SOURCES = ("paced", "greedy")
#: Frames to try when the steady state is to be found, and frames that tell a stage's interval alone.
MOST_FRAMES = 64
FRAMES_ALONE = 4
#: Cycles times blocks simulated at most while looking for the steady state, and expected at most of one frame.
MOST_WORK = 2**32
MOST_FRAME_WORK = 2**30


@dataclass(frozen=True)
class WordTrace:
    """What a run of a design's blocks came to.

    Where `steady`, the machine's whole state was the same at the ends of two frames, `period_frames` and
    `period_cycles` apart; figures of a period are then those between the two. `begins` and `ends`, int64[frames], are
    the cycles of the first word in and of the last word out, `firsts` that of the first word out. `blocked` and
    `frozen` are cycles in the period, by link and block, `peaks` the most words in each queue and window in it.
    """

    lowered: WordDesign
    source: str
    pace_cycles: int
    frames: int
    steady: bool
    period_frames: int
    period_cycles: int
    begins: Ints
    firsts: Ints
    ends: Ints
    blocked: dict[str, int]
    frozen: dict[str, int]
    peaks: dict[str, int]
    own_cycles: dict[str, int]

    @cached_property
    def interval_cycles(self) -> Fraction:
        """Mean cycles between completions: over the period, or the second half of what was run."""
        if self.steady:
            return Fraction(self.period_cycles, self.period_frames)
        if self.frames < 2:
            return Fraction(max(self.pace_cycles, int(self.ends[0]) + 1))
        half = self.frames // 2
        return Fraction(int(self.ends[-1] - self.ends[-1 - half]), half)


def schedule_words(
    design: Design, source: str | None = None, frames: int | None = None, free: bool = False
) -> WordTrace:
    """Runs `design` as blocks for `frames` frames, or until its state repeats.

    `free` takes the bounds from all queues and paces the source at no less than the slowest stage needs alone.
    Raises `DeadlockError` with the circle of waits, and `InputError` where a frame takes too long to clock.
    """
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    source = "paced" if free else source or design.accelerator.source
    if source not in SOURCES:
        raise InputError(f"source '{source}' is not {' or '.join(SOURCES)}")
    if frames is not None and (not isinstance(frames, int) or frames < 1):
        raise InputError(f"frames = {frames} must be at least 1, and whole")
    if design.mapping.granularity != "word" and any(edge.capacity is not None for edge in design.edges):
        counted = design.mapping.granularity
        raise InputError(f"the buffers of this design are counted in {counted}s; use granularity {counted}")
    first = lower_words(design, "greedy", 0)
    own = own_intervals(first)
    slowest = max(own.values(), default=1)
    pace = design.mapping.interval_cycles or slowest
    lowered = lower_words(design, source, max(pace, slowest) if free else pace, unbounded=free)
    return _Search(lowered, source, max(pace, slowest) if free else pace, own).until(frames)


def own_intervals(lowered: WordDesign) -> dict[str, int]:
    """Cycles a frame that each stage's blocks take by themselves, by name; of joins the words they move."""
    found: dict[tuple[object, ...], int] = {}
    own = {}
    entering = {edge.consumer: edge for edge in reversed(lowered.design.edges)}
    for name, stream in lowered.streams.items():
        if len(stream.parts) == 0 or stream.core == "join":
            own[name] = lowered.chain.words[lowered.outputs[name]]
            continue
        edge = entering[name]
        given = lowered.streams[edge.producer].gives
        key = (*(part.block for part in stream.parts), given, edge.tensor.elements)
        if key not in found:
            made = alone(stream, given, edge.tensor.elements)
            _check_work(made)
            found[key] = int(run(made, lowered.constants, FRAMES_ALONE).intervals[-1])
        own[name] = found[key]
    return own


def _check_work(chain: Chain) -> None:
    work = max(chain.words.values()) * len(chain.blocks)
    if work > MOST_FRAME_WORK:
        raise InputError(
            f"a frame takes at least {max(chain.words.values()):,} cycles of {len(chain.blocks)} blocks; "
            f"the most is {MOST_FRAME_WORK:,} cycles x blocks: unroll more, or use granularity row or pixel"
        )


class _Search:
    """Frames simulated so far, and the states that they ended in."""

    def __init__(self, lowered: WordDesign, source: str, pace: int, own: dict[str, int]) -> None:
        _check_work(lowered.chain)
        self.lowered, self.source, self.pace, self.own = lowered, source, pace, own
        self.seen: dict[bytes, int] = {}
        self.blocked: list[Ints] = []
        self.frozen: list[Ints] = []
        self.cycles: list[int] = []

    def until(self, frames: int | None) -> WordTrace:
        limit = MOST_FRAMES if frames is None else frames
        self.machine = Machine(self.lowered.chain, self.lowered.constants, limit if frames else 2 * MOST_FRAMES + 2)
        period = 0
        while len(self.cycles) < limit and not period:
            self._frame()
            period = self._period()
            if frames is not None:
                period = 0 if len(self.cycles) < frames else period
            elif self.machine.cycle * len(self.lowered.chain.blocks) > MOST_WORK:
                break
        return self._trace(period)

    def _frame(self) -> None:
        frame = len(self.cycles)
        if not self.machine.go_on(frame + 1, emptied=False):
            raise DeadlockError(describe_deadlock(self.machine.result(), self.lowered.constants))
        self.cycles.append(self.machine.cycle)
        self.blocked.append(self.machine.record.blocked.copy())
        self.frozen.append(self.machine.record.frozen.copy())

    def _period(self) -> int:
        """Frames since the machine was last in the state it is in now; 0 for never."""
        frame = len(self.cycles) - 1
        before = self.seen.setdefault(self._state(frame), frame)
        return frame - before

    def _state(self, frame: int) -> bytes:
        """All that the future depends on, counted from this frame and cycle."""
        registers, record = self.machine.registers, self.machine.record
        state = registers.state.copy()
        state[:, kernel.MOST_HELD] = 0
        words = self.machine.arrays.words
        sent = registers.source_sent - (frame + 1) * words[self.machine.arrays.source_link]
        phase = self.machine.cycle - (frame + 1) * self.pace if self.source == "paced" else 0
        ahead = record.frame - frame
        parts = (state, registers.rings, registers.source_offers, sent, ahead, record.left, np.array([phase]))
        return b"".join(part.tobytes() for part in parts)

    def _trace(self, period: int) -> WordTrace:
        frames, steady = len(self.cycles), period > 0
        then = frames - 1 - period
        peaks = self._peaks(period)
        result = self.machine.result()
        links, blocks = list(self.lowered.chain.words), [placed.name for placed in self.lowered.chain.blocks]
        blocked = self.blocked[frames - 1] - (self.blocked[then] if steady else 0)
        frozen = self.frozen[frames - 1] - (self.frozen[then] if steady else 0)
        return WordTrace(
            lowered=self.lowered,
            source=self.source,
            pace_cycles=self.pace,
            frames=frames,
            steady=steady,
            period_frames=max(period, 1),
            period_cycles=self.cycles[-1] - self.cycles[then] if steady else 0,
            begins=_of_links(result, [source.link for source in result.chain.sources], result.begin)[:frames],
            firsts=_of_links(result, [sink.link for sink in result.chain.sinks], result.begin)[:frames],
            ends=result.completions[:frames],
            blocked=dict(zip(links, blocked.tolist(), strict=True)),
            frozen=dict(zip(blocks, frozen.tolist(), strict=True)),
            peaks=peaks,
            own_cycles=self.own,
        )

    def _peaks(self, period: int) -> dict[str, int]:
        """Most words in each queue and window: over one more period where the state repeats, or over all of the run."""
        if period and self.machine.frames >= len(self.cycles) + period:
            self.machine.registers.state[:, kernel.MOST_HELD] = 0
            self.machine.go_on(len(self.cycles) + period, emptied=False)
        return self.machine.result().peaks


def _of_links(result: Run, links: list[str], cycles: NDArray[np.int64]) -> Ints:
    """The earliest of some links in each frame."""
    earliest: Ints = cycles[[result.chain.link_index[link] for link in links]].min(axis=0)
    return earliest
