"""The cheapest steps that shorten the interval by a share, checked by simulating them.

A stage that takes longer alone than the interval sought has to be raised whatever else is done, and the fewest
multipliers that make it fast enough are the least of any solution. Buffers come after: all that hold it up are
unbounded first, and each is then brought down to the least that keeps the interval. More room and shorter stages
never make anything slower, so no step of what is left can be left out, and no room can be less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from accelsim.errors import DeadlockError, InfeasibleError, InputError, NotModelled
from accelsim.mapping.design import Design, Stage, with_interval
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.steps import Step, roomier, wider_choices, with_steps
from accelsim.timing.certificate import Gain, gain_of
from accelsim.timing.critical import critical_cycle
from accelsim.timing.interval import Pace, pace_of
from accelsim.timing.simulate import Trace

#: Most room that a buffer is given while it is looked for, in tokens; doubled up to here.
MOST_ROOM = 2**24


@dataclass(frozen=True)
class Advice:
    """What brings `interval_cycles` down to `reached_cycles`, at most `sought_cycles`.

    `alone` is what each step comes to by itself: bottlenecks that take equally long have to be raised together, so
    one alone often gives nothing. `fits` says whether the machine has the multipliers.
    """

    percent: float
    granularity: Granularity
    interval_cycles: Fraction
    sought_cycles: Fraction
    reached_cycles: Fraction
    steps: tuple[Step, ...]
    alone: tuple[Gain, ...]
    fits: bool

    @property
    def added_multipliers(self) -> int:
        return sum(step.added_multipliers for step in self.steps)


def what_would_buy(
    design: Design, percent: float = 10, granularity: Granularity | None = None, source: str | None = None
) -> Advice:
    """The fewest multipliers, and of these the least room, that shorten the interval by `percent`.

    The source is taken to offer frames as fast as the slowest stage takes them. Raises `InfeasibleError` with every
    stage that cannot be made fast enough, `NotModelled` where the interval cannot be certified, and `InputError` for
    a share that is not above 0 and below 100.
    """
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    if not 0 < percent < 100:
        raise InputError(f"percent = {percent} is not above 0 and below 100")
    if design.mapping.segments:
        raise NotModelled("what would shorten segments that take turns; use --mapping pipeline")
    counted: Granularity = granularity or design.mapping.granularity
    free = with_interval(design, None)
    search = _Search(free, counted, source, Fraction(percent).limit_denominator(10**6))
    steps = search.steps()
    changed = with_steps(free, steps)
    reached = search.interval(steps)
    assert reached is not None
    return Advice(
        percent=percent,
        granularity=counted,
        interval_cycles=search.before.interval_cycles,
        sought_cycles=search.sought,
        reached_cycles=reached,
        steps=tuple(steps),
        alone=tuple(gain_of(free, step, counted, source) for step in steps),
        fits=sum(stage.multipliers for stage in changed.stages) <= design.accelerator.engine.multipliers,
    )


class _Search:
    """Steps tried so far on one design."""

    def __init__(self, design: Design, granularity: Granularity, source: str | None, percent: Fraction) -> None:
        self.design, self.granularity, self.source = design, granularity, source
        self.before = self._certain(design)
        self.sought = self.before.interval_cycles * (100 - percent) / 100

    def _certain(self, design: Design) -> Pace:
        pace = pace_of(design, self.granularity, self.source)
        if pace.uncertain is not None:
            raise NotModelled(f"what would shorten the interval: {pace.uncertain}")
        return pace

    def interval(self, steps: Sequence[Step]) -> Fraction | None:
        """None for a deadlock, which pixels that are worked on together can make."""
        try:
            return self._certain(with_steps(self.design, steps)).interval_cycles
        except DeadlockError:
            return None

    def reaches(self, steps: Sequence[Step]) -> bool:
        interval = self.interval(steps)
        return interval is not None and interval <= self.sought

    def steps(self) -> list[Step]:
        """The least found."""
        forced = self._forced()
        if self.reaches(forced):
            return forced
        rooms = self._roomiest(forced)
        while not self.reaches([*forced, *rooms]):
            forced = self._one_more(forced, rooms)
        forced = self._needed(forced, rooms)
        for k in range(len(rooms)):
            rooms[k] = self._least(forced, rooms, k)
        return [*forced, *(step for step in rooms if step.added_tokens)]

    def _forced(self) -> list[Step]:
        """The fewest multipliers of every stage that alone takes longer than is sought."""
        steps, problems = [], []
        for stage in self.design.stages:
            work = self.before.work_cycles.get(stage.name, 0)
            if work <= self.sought:
                continue
            step = self._fast_enough(stage)
            if step is None:
                problems.append(f"{stage.name} takes {work:,} cycles a frame, {self._lever(stage)}")
            else:
                steps.append(step)
        if problems:
            raise InfeasibleError(f"{float(self.sought):,.6g} cycles a frame: {'; '.join(problems)}")
        return steps

    def _fast_enough(self, stage: Stage) -> Step | None:
        for step in wider_choices(self.design, stage, self.granularity):
            changed = with_steps(self.design, [step])
            if self._work(changed, stage.name) <= self.sought:
                return step
        return None

    def _work(self, changed: Design, name: str) -> int:
        if self.granularity != "word":
            return changed.stage_by_name[name].work_cycles
        return pace_of(changed, "word", self.source).work_cycles[name]

    def _lever(self, stage: Stage) -> str:
        if wider_choices(self.design, stage, self.granularity):
            return "and is not that fast with all multipliers that divide its loops"
        if stage.unroll is None:
            return f"moving elements; raise engine.lanes ({self.design.accelerator.engine.lanes:,})"
        return "with every loop unrolled, or at a pace that the mapping gives"

    def _roomiest(self, forced: Sequence[Step]) -> list[Step]:
        """Every bounded buffer with as much room as changes anything."""
        rooms = {step.name: step for edge in self.design.edges if (step := roomier(self.design, edge))}
        raised = list(rooms.values())
        best = self.interval([*forced, *raised])
        tokens = 1
        while tokens < MOST_ROOM and not self.reaches([*forced, *raised]):
            tokens *= 2
            raised = [replace(step, after=step.before + tokens) for step in raised]
            previous, best = best, self.interval([*forced, *raised])
            if tokens > max((step.before for step in raised), default=0) * 4 and previous == best:
                break
        return raised

    def _one_more(self, forced: Sequence[Step], rooms: Sequence[Step]) -> list[Step]:
        """`forced` and the cheapest step of a stage on the critical cycle; room alone does not do."""
        changed = with_steps(self.design, [*forced, *rooms])
        pace = self._certain(changed)
        cycle = critical_cycle(pace.trace) if isinstance(pace.trace, Trace) else None
        names = cycle.stages if cycle else [max(pace.work_cycles, key=lambda name: pace.work_cycles[name])]
        choices = [
            choice
            for name in names
            if name in changed.stage_by_name
            for choice in wider_choices(changed, changed.stage_by_name[name], self.granularity)[:1]
        ]
        if not choices:
            raise InfeasibleError(
                f"{float(self.sought):,.6g} cycles a frame: {float(pace.interval_cycles):,.6g} are left, held by "
                f"{', '.join(names) or 'no stage'}, whatever the buffers and multipliers"
            )
        cheapest = min(choices, key=lambda step: step.added_multipliers)
        before = {step.name: step.before for step in forced}.get(cheapest.name, cheapest.before)
        return [*(s for s in forced if s.name != cheapest.name), replace(cheapest, before=before)]

    def _needed(self, forced: Sequence[Step], rooms: Sequence[Step]) -> list[Step]:
        """`forced` without what is not needed after all, the most multipliers first."""
        kept = list(forced)
        for step in sorted(forced, key=lambda step: -step.added_multipliers):
            others = [other for other in kept if other is not step]
            if self.reaches([*others, *rooms]):
                kept = others
        return kept

    def _least(self, forced: Sequence[Step], rooms: Sequence[Step], k: int) -> Step:
        """The least room of one buffer with which what is sought is still reached, the others as they are."""
        step = rooms[k]
        low, high = step.before, step.after
        others = [*forced, *rooms[:k], *rooms[k + 1 :]]
        if self.reaches([*others, replace(step, after=low)]):
            return replace(step, after=low)
        while low + 1 < high:
            middle = (low + high) // 2
            if self.reaches([*others, replace(step, after=middle)]):
                high = middle
            else:
                low = middle
        return replace(step, after=high)
