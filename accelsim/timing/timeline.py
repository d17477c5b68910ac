"""What every stage does in every cycle, and how full its buffers are meanwhile: at work, or waiting for what.

Of a steady pipeline it is one period, in which all frames in flight are seen; of any other run the whole, from an
empty machine on; of segments one round of all turns. A firing that is fed more slowly than it works has its waiting
laid after its work, as a report counts them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.mapping.design import Design
from accelsim.mapping.streams import streamed
from accelsim.timing.bandwidth import Passed, pipeline_passed, turns_passed
from accelsim.timing.causes import NOTHING, Causes, Firings, from_rest
from accelsim.timing.kernels.pipeline import CAUSES
from accelsim.timing.lower import checked_granularity, token_elements
from accelsim.timing.occupancy import levels
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.turns import Turns, take_turns

Ints = NDArray[np.int64]

#: Firings at most of which a timeline is made.
MOST_FIRINGS = 2**22
#: What a stage does, by number: a cause of waiting, or work.
STATES = ("waits for input", "waits for space", "waits for a port", "waits for the source", "busy")
BUSY = CAUSES


class Spans(NamedTuple):
    """What a stage does, in order of time and without overlaps, int64[spans].

    `state` is an index into `STATES`, `edge` one into the timeline's edges, -1 for none. `frame` counts from the oldest
    in flight; `token` is the firing's number in its frame.
    """

    begin: Ints
    end: Ints
    state: Ints
    edge: Ints
    frame: Ints
    token: Ints

    def cycles_in(self, state: int) -> int:
        chosen = self.state == state
        return int((self.end - self.begin)[chosen].sum())


class Level(NamedTuple):
    """Elements that an edge holds from each of `cycles` on; `capacity_elements` is None where it is unbounded."""

    edge: str
    capacity_elements: int | None
    cycles: Ints
    elements: Ints


class Visited(NamedTuple):
    """What the engine does in its turns: a segment, or a wait for weights or set-up."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True)
class Timeline:
    """`cycles` of a design; `repeats` says that the same comes again. A stage without a span has no turn, or is done.

    `frames` are as many as pass in these cycles. `passed` has the bytes at the port of each memory.
    """

    design: Design
    granularity: str
    cycles: int
    repeats: bool
    frames: int
    tracks: dict[str, Spans]
    levels: tuple[Level, ...]
    passed: dict[str, Passed]
    visited: tuple[Visited, ...] = ()


def timeline(
    design: Design,
    granularity: str | None = None,
    source: str | None = None,
    frames: int | None = None,
    most_firings: int | None = None,
) -> Timeline:
    """Simulates `design` and tells what its stages do; the arguments are those of `simulate`.

    Raises `NotModelled` for words, of which no times are kept, and `InputError` where there are more firings than
    `most_firings` (None: `MOST_FIRINGS`), besides what `simulate` raises.
    """
    if design.mapping.segments:
        return turns_timeline(take_turns(design), most_firings)
    chosen = checked_granularity(design, granularity)
    return trace_timeline(schedule(streamed(design, chosen), chosen, source, frames), most_firings)


def trace_timeline(trace: Trace, most_firings: int | None = None) -> Timeline:
    """One period of a steady trace, or all of any other."""
    name = trace.design.network.name
    frames = trace.period_frames if trace.steady else trace.frames
    _check_size(f"{frames:,} frames of {name}", frames * int(trace.pipeline.first_firing[-1]), most_firings)
    whole = trace if trace.steady else from_rest(trace)
    spans = [_wrapped(one, whole) for one in _spans(whole)]
    oldest = min((int(one.frame.min()) for one in spans if one.frame.size), default=0)
    return Timeline(
        design=whole.design,
        granularity=whole.granularity,
        cycles=whole.period_cycles,
        repeats=whole.steady,
        frames=whole.period_frames,
        tracks={
            stage.name: one._replace(frame=one.frame - oldest)
            for stage, one in zip(whole.design.stages, spans, strict=True)
        },
        levels=tuple(_levels(whole)),
        passed={name: _since_start(one, whole) for name, one in pipeline_passed(whole).items()},
    )


def turns_timeline(turns: Turns, most_firings: int | None = None) -> Timeline:
    """One round of all segments."""
    _check_size(f"a round of {turns.design.network.name}", _firings(turns), most_firings)
    tracks: dict[str, list[Spans]] = defaultdict(list)
    held: dict[str, list[Level]] = defaultdict(list)
    visited: list[Visited] = []
    edges: dict[str, int] = {}
    now = 0
    for turn in turns.turns:
        visited += [Visited("set-up", now, now + turn.setup_cycles)] if turn.setup_cycles else []
        now += turn.setup_cycles
        for run in turn.runs:
            whole = from_rest(run.trace)
            numbers = np.array([edges.setdefault(edge.name, len(edges)) for edge in whole.design.edges] + [NOTHING])
            spans = [one._replace(edge=numbers[one.edge]) for one in _spans(whole)]
            full = list(_levels(whole))
            for _ in range(run.step.times):
                for stage, one in zip(whole.design.stages, spans, strict=True):
                    tracks[stage.name].append(one._replace(begin=one.begin + now, end=one.end + now))
                for level in full:
                    held[level.edge].append(level._replace(cycles=level.cycles + now))
                end = now + run.run_cycles
                visited.append(Visited(turn.visit.name, now, end))
                now = end + run.load_cycles
                visited += [Visited("waits for weights", end, now)] if run.load_cycles else []
    return Timeline(
        design=turns.design,
        granularity="row",
        cycles=turns.cycles,
        repeats=True,
        frames=turns.frames,
        tracks={name: Spans(*map(np.concatenate, zip(*found, strict=True))) for name, found in tracks.items()},
        levels=tuple(_one_after_the_other(held[name]) for name in edges),
        passed=turns_passed(turns),
        visited=tuple(visited),
    )


def _firings(turns: Turns) -> int:
    return sum(
        run.step.times * turn.visit.frames * int(run.trace.pipeline.first_firing[-1])
        for turn in turns.turns
        for run in turn.runs
    )


def _check_size(what: str, firings: int, given: int | None) -> None:
    most = MOST_FIRINGS if given is None else given
    if firings > most:
        raise InputError(
            f"{what}: a timeline of {firings:,} firings; the most is {most:,}: take fewer frames, "
            "rows as tokens, or larger tiles"
        )


def _spans(trace: Trace) -> Iterable[Spans]:
    causes = Causes(trace)
    for stage in range(len(trace.design.stages)):
        interval, together = int(trace.pipeline.interval[stage]), int(trace.pipeline.together[stage])
        yield _of_firings(causes.of(stage), interval, together)


def _of_firings(firings: Firings, interval: int, together: int) -> Spans:
    """Waiting, work and waiting of each firing; those that go together are at work once, from the last of them on."""
    frame, token = np.indices(firings.start.shape, np.int64)
    works = ((token + 1) % together == 0) | (token == firings.start.shape[1] - 1)
    own = firings.start + interval
    busy = np.full(own.shape, BUSY), np.full(own.shape, NOTHING)
    parts = (
        (firings.free, firings.start, firings.before.cause, firings.before.edge),
        (firings.start, np.where(works, own, firings.start), *busy),
        (own, np.where(works, firings.end, own), firings.after.cause, firings.after.edge),
    )
    begin, end, state, edge = (np.stack(columns, axis=-1).ravel() for columns in zip(*parts, strict=True))
    last = end > begin
    numbers = (np.repeat(each.ravel(), len(parts))[last] for each in (frame, token))
    return Spans(begin[last], end[last], state[last], edge[last], *numbers)


def _wrapped(spans: Spans, trace: Trace) -> Spans:
    """The same in one period: what goes on beyond its end is what went on before its begin."""
    period = trace.period_cycles
    periods, begin = np.divmod(spans.begin, period)
    end = begin + spans.end - spans.begin
    inside = spans._replace(begin=begin, end=np.minimum(end, period), frame=spans.frame - periods * trace.period_frames)
    beyond = end > period
    rest = Spans(*(column[beyond] for column in inside))
    rest = rest._replace(begin=rest.begin * 0, end=end[beyond] - period, frame=rest.frame - trace.period_frames)
    both = Spans(*map(np.concatenate, zip(rest, inside, strict=True)))
    order = np.argsort(both.begin, kind="stable")
    return Spans(*(column[order] for column in both))


def _levels(trace: Trace) -> Iterable[Level]:
    for k, edge in enumerate(trace.design.edges):
        size = token_elements(edge.tensor, trace.granularity)
        cycles, elements = levels(trace, [k])
        if cycles[0] > 0:
            before = elements[-1] if trace.steady else 0
            cycles, elements = np.insert(cycles, 0, 0), np.insert(elements, 0, before)
        yield Level(edge.name, None if edge.capacity is None else edge.capacity * size, cycles, elements)


def _one_after_the_other(found: Sequence[Level]) -> Level:
    """Of tiles that are as large as each other or not, the largest capacity."""
    capacities = [level.capacity_elements for level in found]
    known = [capacity for capacity in capacities if capacity is not None]
    return Level(
        found[0].edge,
        max(known) if len(known) == len(capacities) else None,
        np.concatenate([level.cycles for level in found]),
        np.concatenate([level.elements for level in found]),
    )


def _since_start(passed: Passed, trace: Trace) -> Passed:
    """The same, in cycles of the trace."""
    return passed._replace(cycles=passed.cycles + int(trace.first.min()), period_cycles=trace.period_cycles)
