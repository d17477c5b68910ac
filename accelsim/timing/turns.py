"""How long the turns of segments take, one after the other on the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from accelsim.errors import DeadlockError, InfeasibleError, InputError
from accelsim.mapping.design import Design, with_capacities
from accelsim.mapping.movers import rows_under_way
from accelsim.mapping.segments.passes import buffer_bytes
from accelsim.mapping.segments.visits import Step, Visit, Visits, visits
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.size import running_sizes


@dataclass(frozen=True)
class StepRun:
    """A step as simulated: `run_cycles` from its empty start to its last result, `load_cycles` of waiting after it."""

    step: Step
    trace: Trace
    run_cycles: int
    load_cycles: int

    @property
    def cycles(self) -> int:
        """Cycles of all its runs in a visit."""
        return self.step.times * (self.run_cycles + self.load_cycles)


@dataclass(frozen=True)
class Turn:
    """A visit as simulated."""

    visit: Visit
    runs: tuple[StepRun, ...]
    setup_cycles: int

    @cached_property
    def cycles(self) -> int:
        return self.setup_cycles + sum(run.cycles for run in self.runs)


@dataclass(frozen=True)
class Turns:
    """All visits of a design; every `cycles`, `frames` frames are through."""

    design: Design
    visits: Visits
    turns: tuple[Turn, ...]

    @property
    def frames(self) -> int:
        return self.design.mapping.frames_per_visit

    @cached_property
    def cycles(self) -> int:
        return sum(turn.cycles for turn in self.turns)

    @property
    def interval_cycles(self) -> Fraction:
        return Fraction(self.cycles, self.frames)


def take_turns(design: Design) -> Turns:
    """Simulates every segment of `design`, row by row.

    Buffers inside a segment are as small as they can be and a token; where that small they are stuck together, they
    are jointly smallest instead. Raises `DeadlockError` where the mapping's own capacities are stuck, and
    `InfeasibleError` where a segment has no room.
    """
    if not design.mapping.segments:
        raise InputError(f"{design.network.name} is mapped as one pipeline, which takes no turns")
    if not design.mapping.capacities:
        design = replace(design, mapping=replace(design.mapping, granularity="row"))
    planned = visits(design)
    return Turns(design, planned, tuple(_turn(design, visit) for visit in planned.turns))


def _turn(design: Design, visit: Visit) -> Turn:
    runs = tuple(_run(design, step, visit.frames) for step in visit.steps)
    return Turn(_with_room(design, visit, runs), runs, design.accelerator.reconfigure_cycles)


def _run(design: Design, step: Step, frames: int) -> StepRun:
    running = step.design
    try:
        trace = schedule(running, "row", "greedy", frames)
    except DeadlockError:
        if any(edge.name in design.mapping.capacities for edge in running.edges):
            raise
        trace = schedule(_sized(running), "row", "greedy", frames)
    return StepRun(step, trace, int(trace.last[-1].max()), _load_cycles(design, step.load_bytes))


def _sized(running: Design) -> Design:
    """`running` with the smallest buffers that do, and room for rows under way."""
    small = running_sizes(with_capacities(running, {}, "row"), "row").design
    under_way = {stage.name: rows_under_way(stage) for stage in small.stages}
    return with_capacities(small, {e.name: (e.capacity or 1) + under_way[e.producer] for e in small.edges})


def _with_room(design: Design, visit: Visit, runs: Sequence[StepRun]) -> Visit:
    """`visit` with the room that its buffers have come to; raises `InfeasibleError` where there is none."""
    local = design.accelerator.local_memory
    assert local is not None
    buffers = max(buffer_bytes(design, run.trace.design.stages, run.trace.design.edges) for run in runs)
    if buffers <= visit.demand.buffers:
        return visit
    demand = replace(visit.demand, buffers=buffers)
    needed, size = demand.total + visit.held_bytes + visit.ahead_bytes, design.accelerator.memories[local].size
    if needed > size:
        raise InfeasibleError(
            f"{visit.name} needs {needed:,} B of {local}, since it deadlocks with buffers of less than {buffers:,} B; "
            f"it has {size:,} B (short by {needed - size:,} B); raise memories.{local}.size, cut the segment or tile it"
        )
    return replace(visit, demand=demand)


def _load_cycles(design: Design, load_bytes: int) -> int:
    """Cycles from an idle machine's request for so many bytes until they have come."""
    off_chip = design.accelerator.off_chip_memory
    if not load_bytes or off_chip is None:
        return 0
    memory = design.accelerator.memories[off_chip]
    return memory.latency_cycles + memory.request_cycles(load_bytes, write=False)
