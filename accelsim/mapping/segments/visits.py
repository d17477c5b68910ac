"""The turns that segments take on the engine: what each loads, runs, stores, and needs room for.

A visit runs its segment's tiles one after the other, each as a pipeline that starts empty: its inputs come
through a memory's port, row by row, and what others need goes out the same way. The loops run over rows,
columns, output and input channels from the outside in, and each tile runs all frames of the visit. While one
tile runs the weights of the next load, where the machine can and has room.
"""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.errors import InfeasibleError
from accelsim.mapping.buffers import segment_bounds
from accelsim.mapping.design import Design, Stage
from accelsim.mapping.movers import load_weights, weight_bytes
from accelsim.mapping.segments.allotment import Life, allotted, crossing_lives, held_bytes
from accelsim.mapping.segments.passes import Pass, Sources, passes_of
from accelsim.mapping.segments.segment import Segment, Weights
from accelsim.mapping.segments.tiling import named
from accelsim.mapping.streams import assembled
from accelsim.mapping.transfer import TrafficKind, Transfer
from accelsim.units import ceil_div


@dataclass(frozen=True)
class Demand:
    """Bytes of the first memory that a segment takes while it runs, by what they are for."""

    weights: int
    buffers: int
    halo: int = 0
    inputs: int = 0
    partial_sums: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.buffers + self.halo + self.inputs + self.partial_sums


@dataclass(frozen=True)
class Step:
    """A tile and its like: `design` runs the frames of the visit, `times` times a visit.

    After each, `load_bytes` of weights are waited for that nothing could hide.
    """

    design: Design
    times: int
    load_bytes: int


@dataclass(frozen=True)
class Visit:
    """One turn of a segment for `frames` frames, and what lies in the first memory meanwhile.

    `weight_loads` is how often its weights are loaded in a visit; `held_bytes` is what segments keep there for later,
    `ahead_bytes` the room of weights that load for the next tile or segment.
    """

    segment: Segment
    stages: tuple[Stage, ...]
    steps: tuple[Step, ...]
    frames: int
    demand: Demand
    weight_loads: int
    held_bytes: int
    ahead_bytes: int

    @property
    def name(self) -> str:
        return named(self.segment)


@dataclass(frozen=True)
class Visits:
    """All turns in order, and the memory of every tensor that crosses a cut, with its life."""

    turns: tuple[Visit, ...]
    homes: ReadOnly[str, str]
    lives: ReadOnly[str, Life]


@dataclass(frozen=True)
class Plan:
    """A segment by itself: its tiles, the weights that each needs, and the room it takes at least.

    `reloads` where weights are loaded again for every tile; else `first_load` bytes serve the whole visit.
    """

    segment: Segment
    stages: tuple[Stage, ...]
    passes: tuple[Pass, ...]
    weights: Weights
    pass_weights: tuple[int, ...]
    first_load: int
    reloads: bool
    weight_loads: int
    demand: Demand


def visits(design: Design) -> Visits:
    """The turns of a design with segments.

    Raises `InfeasibleError` with every segment that does not fit: its demand, the limit, the gap, and what would
    help; `InputError` for tiles that cannot be.
    """
    lives = crossing_lives(design)
    segments = design.mapping.segments
    bounds = [segment_bounds(design, set(segment.layers)) for segment in segments]
    away = dict.fromkeys(lives, design.accelerator.off_chip_memory or "")
    drafts = [planned(design, segment, least, away) for segment, least in zip(segments, bounds, strict=True)]
    resident = _resident_bytes(design, drafts)
    homes = allotted(design, lives, [draft.demand.total + _others(resident, draft) for draft in drafts])
    held = _held(design, lives, homes, resident, drafts)
    _check_room(design, drafts, held, lives, homes)
    plans = [
        planned(design, segment, least, homes, _size(design) - kept)
        for segment, least, kept in zip(segments, bounds, held, strict=True)
    ]
    turns = [
        _visit(design, plan, plans[(k + 1) % len(plans)], held[k], _size(design) - held[k])
        for k, plan in enumerate(plans)
    ]
    return Visits(tuple(turns), homes, lives)


def _size(design: Design) -> int:
    memory = design.accelerator.local_memory
    assert memory is not None
    return design.accelerator.memories[memory].size


def planned(
    design: Design,
    segment: Segment,
    bounds: ReadOnly[str, int],
    homes: ReadOnly[str, str],
    room: int = 0,
) -> Plan:
    """The tiles of a segment and what they need.

    What can stay in the first memory at a gain (inputs that several tiles of output channels read, partial
    sums) does where that has `room` bytes for it beside the rest.
    """
    stages = design.in_order(segment.layers)
    off_chip, local = design.accelerator.off_chip_memory, design.accelerator.local_memory
    assert off_chip is not None
    assert local is not None
    weights = segment.weights or design.accelerator.weights
    passes = passes_of(design, segment, bounds, Sources(homes, off_chip, False))
    channel = [one.channels for one in passes]
    each = len({id(tile) for tile in channel})
    spatial = sum(one.times for one in passes) // max(each, 1)
    total = sum(weight_bytes(design, stage) for stage in stages)
    pass_weights = tuple(total if tile is None else tile.weight_bytes for tile in channel)
    parts = pass_weights[:each]
    reloads = weights != "resident" and (each > 1 if weights == "tile" else each > 1 and spatial == 1)
    reloads = reloads or (weights == "tile" and spatial > 1)
    demand = Demand(
        weights=max(parts) if reloads else total,
        buffers=max(one.buffer_bytes for one in passes),
        halo=design.mapping.frames_per_visit * max(one.halo_bytes for one in passes),
    )
    sources, demand = _kept(design, passes, demand, Sources(homes, off_chip, False), room)
    if sources != Sources(homes, off_chip, False):
        passes = passes_of(design, segment, bounds, sources)
    return Plan(
        segment=segment,
        stages=stages,
        passes=tuple(passes),
        weights=weights,
        pass_weights=pass_weights,
        first_load=0 if weights == "resident" else parts[0] if reloads else total,
        reloads=reloads,
        weight_loads=0 if weights == "resident" else spatial if reloads else 1,
        demand=demand,
    )


def _kept(
    design: Design, passes: Sequence[Pass], demand: Demand, sources: Sources, room: int
) -> tuple[Sources, Demand]:
    """Partial sums in the first memory, and inputs that stay there: of what has room, what saves most off chip."""
    local, frames = design.accelerator.local_memory, design.mapping.frames_per_visit
    assert local is not None
    sums = frames * max((transfer.moved_bytes for _, transfer in _moving(passes, "partial")), default=0)
    inputs = frames * _input_bytes(passes)
    partial_spared, inputs_spared = (_spared(design, passes, kind) for kind in ("partial", "input"))
    best = (0, 0, 0)
    kept = sources, demand
    for more_sums, more_inputs in ((sums, inputs), (sums, 0), (0, inputs)):
        spared = [partial_spared] * (more_sums > 0) + [inputs_spared] * (more_inputs > 0)
        gain = (sum(far for far, _ in spared), sum(moved for _, moved in spared), -more_sums - more_inputs)
        if demand.total - gain[2] <= room and gain[1] > 0 and gain > best:
            best = gain
            kept = (
                replace(
                    sources, partial_sums=local if more_sums else sources.partial_sums, inputs_stay=more_inputs > 0
                ),
                replace(demand, partial_sums=more_sums, inputs=more_inputs),
            )
    return kept


def _moving(passes: Sequence[Pass], kind: TrafficKind) -> list[tuple[Pass, Transfer]]:
    return [(one, s.transfer) for one in passes for s in one.stages if s.transfer and s.transfer.kind == kind]


def _spared(design: Design, passes: Sequence[Pass], kind: TrafficKind) -> tuple[int, int]:
    """Bytes a frame, off chip and in all, that are not moved if this kind stays in the first memory."""
    accelerator = design.accelerator
    moved = [
        (transfer.memory, one.times * transfer.moved_bytes)
        for one, transfer in _moving(passes, kind)
        if transfer.memory != accelerator.local_memory
        and (kind == "partial" or (one.channels is not None and one.channels.reads_again))
    ]
    return sum(n for memory, n in moved if memory == accelerator.off_chip_memory), sum(n for _, n in moved)


def _input_bytes(passes: Sequence[Pass]) -> int:
    """Bytes of all inputs that the tiles of the first output channels read, of the largest spatial tile."""
    rounds: list[int] = []
    for one in passes:
        if one.channels and one.channels.first and not one.channels.reads_again:
            rounds.append(0)
        if one.channels and not one.channels.reads_again:
            rounds[-1] += sum(s.transfer.moved_bytes for s in one.stages if s.transfer and s.transfer.kind == "input")
    return max(rounds, default=0)


def _resident_bytes(design: Design, plans: Sequence[Plan]) -> int:
    """Bytes of the weights that stay in the first memory for ever."""
    return sum(weight_bytes(design, stage) for plan in plans if plan.weights == "resident" for stage in plan.stages)


def _others(resident: int, plan: Plan) -> int:
    """Resident weights that are not the segment's own, which its demand has."""
    return resident - (plan.demand.weights if plan.weights == "resident" else 0)


def _held(
    design: Design, lives: ReadOnly[str, Life], homes: ReadOnly[str, str], resident: int, plans: Sequence[Plan]
) -> list[int]:
    """Bytes of the first memory that are not a segment's own while it runs, by segment."""
    local = design.accelerator.local_memory
    assert local is not None
    return [held_bytes(lives, homes, local, k) + _others(resident, plan) for k, plan in enumerate(plans)]


def _check_room(
    design: Design, plans: Sequence[Plan], held: Sequence[int], lives: ReadOnly[str, Life], homes: ReadOnly[str, str]
) -> None:
    local = design.accelerator.local_memory
    size = _size(design)
    problems = []
    for plan, kept in zip(plans, held, strict=True):
        demand = plan.demand
        if demand.total + kept > size:
            problems.append(
                f"{named(plan.segment)} needs {demand.total + kept:,} B of {local} (weights {demand.weights:,}, "
                f"buffers {demand.buffers:,}, halo {demand.halo:,}, kept for others {kept:,}), it has {size:,} B "
                f"(short by {demand.total + kept - size:,} B); raise memories.{local}.size, cut the segment or tile it"
            )
    for name, memory in list(design.accelerator.memories.items())[1:]:
        for k in range(len(plans)):
            needed = held_bytes(lives, homes, name, k)
            if needed > memory.size:
                problems.append(
                    f"tensors of {needed:,} B lie in {name} while {named(plans[k].segment)} runs, it has "
                    f"{memory.size:,} B (short by {needed - memory.size:,} B); raise memories.{name}.size, or "
                    "change homes"
                )
    if problems:
        raise InfeasibleError("\n".join(problems))


def _visit(design: Design, plan: Plan, following: Plan, held: int, room: int) -> Visit:
    """The steps of a turn; while each runs, the weights that are needed next load where there is room for both."""
    ahead = design.accelerator.weights_ahead
    each = max(plan.pass_weights) if plan.reloads else 0
    ahead_inside = ahead and plan.demand.total + each <= room
    ahead_outside = ahead and plan.demand.total + following.first_load <= room
    runs = [(k, one.times) for k, one in enumerate(plan.passes)]
    steps: list[Step] = []
    total_runs = sum(times for _, times in runs)
    for k, times in runs:
        own = plan.passes[k]
        if not plan.reloads:
            spread = ceil_div(following.first_load, total_runs) if ahead_outside else 0
            steps.append(Step(_running(design, own, following, spread), times, 0))
            continue
        after = plan.pass_weights[(k + 1) % len(plan.passes)] if k + 1 < len(plan.passes) else plan.first_load
        is_last = k + 1 == len(plan.passes)
        inside = times - 1 if is_last else times
        if inside:
            steps.append(
                Step(_running(design, own, plan, after if ahead_inside else 0), inside, 0 if ahead_inside else after)
            )
        if is_last:
            steps.append(Step(_running(design, own, following, following.first_load if ahead_outside else 0), 1, 0))
    if not ahead_outside and following.first_load:
        steps[-1] = replace(steps[-1], load_bytes=0)
        steps = [*steps[:-1], *_waiting(steps[-1], following.first_load)]
    return Visit(
        segment=plan.segment,
        stages=plan.stages,
        steps=tuple(steps),
        frames=design.mapping.frames_per_visit,
        demand=plan.demand,
        weight_loads=plan.weight_loads,
        held_bytes=held,
        ahead_bytes=max(each if ahead_inside else 0, following.first_load if ahead_outside else 0),
    )


def _waiting(step: Step, load_bytes: int) -> list[Step]:
    """`step` with the wait for `load_bytes` after its last run."""
    last = Step(step.design, 1, load_bytes)
    return [last] if step.times == 1 else [replace(step, times=step.times - 1), last]


def _running(design: Design, one: Pass, next_plan: Plan, next_bytes: int) -> Design:
    """The pipeline of a tile, with the weights that `next_plan` needs, spread over the frames of the visit."""
    stages, off_chip = list(one.stages), design.accelerator.off_chip_memory
    assert off_chip is not None
    if next_bytes:
        stages.append(
            load_weights(
                design.accelerator,
                off_chip,
                named(next_plan.segment),
                ceil_div(next_bytes, design.mapping.frames_per_visit),
            )
        )
    return assembled(design, stages, list(one.edges))
