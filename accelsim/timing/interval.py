"""The interval of a design, by rows, pixels or words, and why there may be none that can be certified."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from accelsim.mapping.design import Design
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.streams import streamed
from accelsim.timing.lower import checked_granularity
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.words.simulate import WordTrace, schedule_words


@dataclass(frozen=True)
class Pace:
    """What a run came to: its interval, what each stage takes alone, and the run itself.

    `uncertain` tells why the interval is no exact figure of a steady state, or follows from no critical cycle.
    """

    interval_cycles: Fraction
    work_cycles: dict[str, int]
    trace: Trace | WordTrace
    uncertain: str | None


def pace_of(design: Design, granularity: Granularity, source: str | None) -> Pace:
    """How fast `design` goes. Raises what simulating it raises."""
    if granularity == "word":
        words = schedule_words(design, source)
        return Pace(words.interval_cycles, words.own_cycles, words, None if words.steady else NOT_STEADY)
    tokens = checked_granularity(design, granularity)
    trace = schedule(streamed(design, tokens), tokens, source)
    work = {stage.name: stage.work_cycles for stage in trace.design.stages}
    return Pace(trace.interval_cycles, work, trace, _uncertain(trace))


NOT_STEADY = "frames did not repeat, so there is no steady state to prove anything of"


def _uncertain(trace: Trace) -> str | None:
    if trace.shared:
        return (
            "stages share a port, where who is served first hangs on all of them: a stage that takes less time can "
            "make others slower, and no cycle of delays proves the interval"
        )
    if trace.growing:
        return "a greedy source outruns what nothing bounds, and buffers grow for ever; use source paced"
    return None if trace.steady else NOT_STEADY
