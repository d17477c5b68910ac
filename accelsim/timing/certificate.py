"""A proof of the interval, and what one step more of anything on the critical cycle would buy.

Where stages share nothing, times are maxima of sums of others, and the interval is the longest of all cycles of
delays, each over the frames that it goes on by. One cycle is therefore a proof that it cannot go faster; that it goes
on as fast with every buffer off the cycle unbounded and a source that never makes it wait is seen by simulating that.
Every gain is the interval of another simulation, with one step taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from accelsim.errors import DeadlockError, InputError
from accelsim.mapping.design import Design, Edge, Stage, with_interval
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.steps import Step, roomier, wider_choices, with_steps
from accelsim.timing.critical import critical_cycle
from accelsim.timing.interval import Pace, pace_of
from accelsim.timing.simulate import Trace
from accelsim.timing.words.simulate import schedule_words


@dataclass(frozen=True)
class Gain:
    """The interval after one step; `fits` where the machine has the multipliers for it.

    It can be longer, or None for a deadlock, where more pixels are worked on together: they wait for the last of them.
    """

    step: Step
    interval_cycles: Fraction | None
    fits: bool


@dataclass(frozen=True)
class Certificate:
    """What holds the interval, and what would shorten it; without a proof, `reason` says why there is none.

    The cycle takes `weight_cycles` and goes on by `frames`. `alone_cycles` is the interval with everything else
    unbounded: the same, where it is proven. `kind` "queues" and "blocks" are of words, where cycles are not followed:
    queues on `edges` hold it up, or how blocks hand words to each other whatever the queues.
    """

    certified: bool
    reason: str | None
    granularity: Granularity
    interval_cycles: Fraction | None
    kind: Literal["source", "stage", "buffers", "queues", "blocks"] | None = None
    weight_cycles: int | None = None
    frames: int | None = None
    stages: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    alone_cycles: Fraction | None = None
    gains: tuple[Gain, ...] = ()


def certify(design: Design, granularity: Granularity | None = None, source: str | None = None) -> Certificate:
    """The certificate of a design's interval by rows, pixels or words.

    One of segments that take turns, of stages that share a port, and one that is not steady is not certified, and
    says why. Raises what simulating the design raises.
    """
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    counted: Granularity = granularity or design.mapping.granularity
    if design.mapping.segments:
        reason = "segments take turns on the engine: their visits add up, and each has a pace of its own"
        return Certificate(False, reason, counted, None)
    pace = pace_of(design, counted, source)
    if pace.uncertain is not None:
        return Certificate(False, pace.uncertain, counted, pace.interval_cycles)
    found = _of_words(design, pace, source) if counted == "word" else _of_tokens(design, pace, counted, source)
    gains = tuple(_gains(design, found, counted, source))
    if found.kind == "queues":
        found = replace(found, edges=tuple(_helping(gains, pace.interval_cycles)))
    return replace(found, gains=gains)


def _gains(design: Design, found: Certificate, granularity: Granularity, source: str | None) -> Iterable[Gain]:
    """One step more of everything on the cycle.

    Of several stages that are busy all the time no one alone gains anything: the others stay, and shorter firings
    never make anything slower. Only where more pixels go together is that not so, and it is simulated.
    """
    busy = sum(stage.work_cycles == found.interval_cycles for stage in design.stages)
    tied = found.kind == "stage" and granularity != "word" and busy > 1
    for step in _candidates(design, found, granularity):
        if tied and step.unroll is not None and step.unroll.pixels == 1:
            yield Gain(step, found.interval_cycles, _fits(design, step))
        else:
            yield gain_of(design, step, granularity, source)


def _helping(gains: Iterable[Gain], interval_cycles: Fraction) -> Iterable[str]:
    for gain in gains:
        reached = gain.interval_cycles
        if gain.step.kind == "capacity" and reached is not None and reached < interval_cycles:
            yield gain.step.name


def _fits(design: Design, step: Step) -> bool:
    used = sum(stage.multipliers for stage in design.stages)
    return used + step.added_multipliers <= design.accelerator.engine.multipliers


def gain_of(design: Design, step: Step, granularity: Granularity, source: str | None) -> Gain:
    """What one step comes to, simulated."""
    fits = _fits(design, step)
    try:
        return Gain(step, pace_of(with_steps(design, [step]), granularity, source).interval_cycles, fits)
    except DeadlockError:
        return Gain(step, None, fits)


def _of_tokens(design: Design, pace: Pace, granularity: Granularity, source: str | None) -> Certificate:
    assert isinstance(pace.trace, Trace)
    cycle = critical_cycle(pace.trace)
    assert cycle is not None
    kept = {edge.name: edge.capacity for edge in design.edges if edge.name in cycle.edges and edge.capacity}
    alone = _with_only(design, kept)
    if cycle.kind != "source":
        alone = with_interval(alone, None)
    proof = pace_of(alone, granularity, "paced" if cycle.kind == "source" else None)
    same = proof.interval_cycles == pace.interval_cycles
    return Certificate(
        certified=same,
        reason=None if same else f"with all else unbounded the interval is {float(proof.interval_cycles):,.6g} cycles",
        granularity=granularity,
        interval_cycles=pace.interval_cycles,
        kind=cycle.kind,
        weight_cycles=cycle.weight_cycles,
        frames=cycle.frames,
        stages=cycle.stages,
        edges=cycle.edges,
        steps=cycle.steps,
        alone_cycles=proof.interval_cycles,
    )


def _with_only(design: Design, capacities: dict[str, int]) -> Design:
    """`design` with these buffers bounded, and no other."""
    mapping = replace(design.mapping, capacities=MappingProxyType(capacities))
    edges = tuple(replace(edge, capacity=capacities.get(edge.name)) for edge in design.edges)
    return replace(design, mapping=mapping, edges=edges)


def _of_words(design: Design, pace: Pace, source: str | None) -> Certificate:
    """By words the interval is a stage's own, or what is left of it without bounds tells queues from blocks."""
    slowest = max(pace.work_cycles, key=lambda name: pace.work_cycles[name])
    alone = schedule_words(with_interval(design, None), free=True).interval_cycles
    found = Certificate(
        certified=True,
        reason=None,
        granularity="word",
        interval_cycles=pace.interval_cycles,
        alone_cycles=alone,
        weight_cycles=pace.interval_cycles.numerator,
        frames=pace.interval_cycles.denominator,
    )
    if pace.work_cycles[slowest] == pace.interval_cycles:
        step = f"the blocks of {slowest} take {pace.work_cycles[slowest]:,} cycles a frame by themselves"
        return replace(found, kind="stage", stages=(slowest,), steps=(step,))
    if design.mapping.interval_cycles == pace.interval_cycles:
        return replace(found, kind="source", steps=(f"the source offers a frame every {pace.interval_cycles} cycles",))
    if alone < pace.interval_cycles:
        step = f"with every queue unbounded the interval is {float(alone):,.6g} cycles"
        return replace(found, kind="queues", stages=(slowest,), steps=(step,))
    return replace(found, kind="blocks", stages=(slowest,), steps=("no queue holds it up, and no stage alone",))


def _candidates(design: Design, found: Certificate, granularity: Granularity) -> Iterable[Step]:
    """One more step for every stage on the cycle, and for every bounded buffer on it, or of words every queue."""
    steps: dict[tuple[str, str], Step] = {}
    for stage in _slowest(design, found):
        for step in wider_choices(design, stage, granularity)[:1]:
            steps[step.kind, step.name] = step
    for edge in _bounded(design, found, granularity):
        room = roomier(design, edge)
        if room is not None:
            steps[room.kind, room.name] = room
    return steps.values()


def _slowest(design: Design, found: Certificate) -> Iterable[Stage]:
    """Stages on the cycle, and where one is busy all the time all that are."""
    for stage in design.stages:
        busy = found.kind == "stage" and stage.work_cycles == found.interval_cycles
        if stage.name in found.stages or (busy and found.granularity != "word"):
            yield stage


def _bounded(design: Design, found: Certificate, granularity: Granularity) -> Iterable[Edge]:
    if granularity == "word":
        return design.edges if found.kind == "queues" else ()
    return (edge for edge in design.edges if edge.name in found.edges)
