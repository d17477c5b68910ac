"""The designs that the attention study sets side by side, and their figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import Design, bind, with_interval
from accelsim.mapping.mapper import map_network, widen
from accelsim.mapping.spilling import spill_waits
from accelsim.network.gates import find_gates
from accelsim.network.graph import Network
from accelsim.network.rewrites.recompute_attention import recompute_attention
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.report.attention_study import AttentionRow
from accelsim.report.build import simulate, weights_held
from accelsim.report.facts import off_chip_rows
from accelsim.report.report import Body, Report
from accelsim.timing.rate import size_for_rate

#: Shares of the memory that segments are chosen for, until the buffers that they turn out to need fit as well.
MEMORY_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Question:
    """What is studied, on what, and at which rate (None: as fast as the machine's multipliers go)."""

    network: Network
    accelerator: Accelerator
    target_fps: float | None
    rows: int
    multiplier_budget: float

    def __post_init__(self) -> None:
        if not self.accelerator.memories:
            raise InputError(f"{self.accelerator.name} describes no memories, so that nothing lies on chip or off it")
        if self.accelerator.engine.kind != "spatial":
            raise InputError(f"{self.accelerator.name}: layers take turns on its array; a study is of pipelines")
        if not self.multiplier_budget >= 1:
            raise InputError(f"multiplier_budget = {self.multiplier_budget} must be at least 1")


@dataclass(frozen=True)
class Way:
    """A way out: its row, and the design and report behind it, None where there is no such design."""

    row: AttentionRow
    design: Design | None
    report: Report | None


@dataclass(frozen=True)
class Recipe:
    """How a way out is made: of which network, and what is then done to its pipeline; or `cut` into segments."""

    name: str
    rewrite: Callable[[Question], Network]
    steps: tuple[Callable[[Question, Design], Design], ...] = ()
    changes_values: bool = False
    cut: bool = False
    for_any_network: bool = False


def ways_out(
    question: Question, progress: Callable[[str], None] | None = None, recipes: Sequence[Recipe] | None = None
) -> tuple[Way, ...]:
    """Every way out (or those of `recipes`), the network as it is first. Where one cannot be had its row says why."""
    recipes = RECIPES if recipes is None else recipes
    whole = map_network(question.network, question.accelerator, question.target_fps)
    gated = bool(find_gates(question.network))
    ways: list[Way] = []
    for recipe in (recipe for recipe in recipes if gated or recipe.for_any_network):
        name = recipe.name.format(rows=question.rows)
        if progress is not None:
            progress(name)
        ways.append(_way(question, recipe, name, whole, ways))
    return tuple(ways)


def _way(question: Question, recipe: Recipe, name: str, whole: Design, before: Sequence[Way]) -> Way:
    net = recipe.rewrite(question)
    changes_values = recipe.changes_values and net is not question.network
    try:
        if recipe.cut:
            design, report = _in_segments(question, whole, before)
        else:
            design = _pipeline(question, net, recipe.steps, whole)
            report = simulate(design)
    except InfeasibleError as error:
        if not before:
            raise
        return Way(AttentionRow(variant=name, changes_values=changes_values, note=str(error)), None, None)
    alike = bool(before) and _is_same(design, whole)
    return Way(_row(name, changes_values, design, report, alike), design, report)


def _pipeline(
    question: Question, net: Network, steps: Sequence[Callable[[Question, Design], Design]], whole: Design
) -> Design:
    """A pipeline of `net` at the rate of `whole`, its buffers sized; layers that both have keep their unrolling."""
    design = whole
    if net is not question.network:
        found = map_network(net, question.accelerator, question.target_fps, like=whole)
        design = with_interval(found, whole.mapping.interval_cycles)
    for step in steps:
        design = step(question, design)
    return size_for_rate(design)


def _is_same(design: Design, whole: Design) -> bool:
    """Whether nothing is different but the sizes of buffers."""
    mine, theirs = design.mapping, whole.mapping
    settled = mine.unroll == theirs.unroll and mine.homes == theirs.homes and mine.segments == theirs.segments
    return settled and design.network is whole.network


def _row(name: str, changes_values: bool, design: Design, report: Report, alike: bool) -> AttentionRow:
    body, time = report.body, report.throughput
    used = _used_bytes(report)
    weights = _weight_bytes(design, body)
    kinds = _off_chip(body)
    return AttentionRow(
        variant=name,
        changes_values=changes_values,
        on_chip_bytes=used,
        buffer_bytes=used - weights,
        weight_bytes=weights,
        off_chip=kinds,
        off_chip_bytes=sum(kinds.values()),
        macs=body.work.macs,
        parameters=body.work.parameters,
        multipliers=design.multipliers,
        interval_cycles=time.interval_cycles,
        latency_cycles=time.latency_cycles,
        frames_per_second=time.frames_per_second,
        frames_in_flight=time.frames_in_flight,
        energy_pj=None if body.energy is None else body.energy.total_pj,
        note="changes nothing here" if alike else None,
    )


def _weight_bytes(design: Design, body: Body) -> int:
    """Bytes of weights on chip; where they come and go, of the segment that fills the memory most."""
    if not design.mapping.segments or design.accelerator.weights == "resident":
        return weights_held(design)
    demands = (segment.demand for segment in body.segments if segment.demand is not None)
    return max(demands, key=lambda demand: demand.total_bytes).weights_bytes


def _off_chip(body: Body) -> dict[str, float]:
    """Bytes a frame at the last memory, by kind."""
    moved: dict[str, float] = defaultdict(float)
    for row in off_chip_rows(body):
        moved[row.kind] += row.read_bytes + row.written_bytes
    return dict(moved)


def _as_it_is(question: Question) -> Network:
    return question.network


def _tiled(question: Question) -> Network:
    return tile_attention(question.network, question.rows)


def _recomputed(question: Question) -> Network:
    return recompute_attention(question.network)


def _spilled(question: Question, design: Design) -> Design:
    return spill_waits(design)


def _deeper(question: Question, design: Design) -> Design:
    """`design` with twice the multipliers where maps are smallest, as many sizes of map as the budget allows."""
    widest = design
    multiplying = [stage for stage in design.stages if stage.multipliers]
    for pixels in sorted({stage.tensor.pixels for stage in multiplying}):
        try:
            wider = widen(design, [stage.name for stage in multiplying if stage.tensor.pixels <= pixels], 2)
        except InputError:
            break  # more than the machine has
        if wider.multipliers > question.multiplier_budget * design.multipliers:
            break
        widest = wider
    return widest


def _in_segments(question: Question, whole: Design, before: Sequence[Way]) -> tuple[Design, Report]:
    """With no more memory than the pipelines before it, and the fewest multipliers tried that reach the rate.

    A network that needs no cut there stays the pipeline that it is.
    """
    staying = [row for row in (way.row for way in before) if row.off_chip is not None and "spill" not in row.off_chip]
    machine = _with_memory(question.accelerator, min(row.on_chip_bytes or 0 for row in staying))
    most, fps = machine.engine.multipliers, question.target_fps
    multipliers = most if fps is None else whole.multipliers
    while True:
        design, report = _cut(question.network, _with_multipliers(machine, multipliers))
        if not design.mapping.segments:
            pipeline = size_for_rate(whole)
            return pipeline, simulate(pipeline)
        reached = report.throughput.frames_per_second
        if fps is None or reached >= fps or multipliers == most:
            return design, report
        multipliers = min(multipliers << (ceil(fps / reached) - 1).bit_length(), most)


def _cut(net: Network, machine: Accelerator) -> tuple[Design, Report]:
    """Segments chosen for the largest share of the memory with which what they need then fits it all."""
    size = machine.memories[str(machine.local_memory)].size
    for share in MEMORY_SHARES:
        try:
            planned = map_network(net, _with_memory(machine, int(share * size)), mapping="fused", objective="cycles")
            design = bind(net, machine, planned.mapping)
            return design, simulate(design)
        except InfeasibleError:
            if share == MEMORY_SHARES[-1]:
                raise
    raise AssertionError("the last share returns or raises")


def _used_bytes(report: Report) -> int:
    """Bytes of the first memory in use."""
    return next(iter((report.body.memories or {}).values())).used_bytes


def _with_memory(machine: Accelerator, size_bytes: int) -> Accelerator:
    """`machine` with a first memory of another size."""
    local = str(machine.local_memory)
    smaller = machine.memories[local].model_copy(update={"size": size_bytes})
    return machine.model_copy(update={"memories": machine.memories | {local: smaller}})


def _with_multipliers(machine: Accelerator, multipliers: int) -> Accelerator:
    return machine.model_copy(update={"engine": machine.engine.model_copy(update={"multipliers": multipliers})})


#: The ways out, in the order of the table; the first is what the others are compared with.
RECIPES = (
    Recipe("se", _as_it_is, for_any_network=True),
    Recipe("tse-{rows}", _tiled, changes_values=True),
    Recipe("spill", _as_it_is, (_spilled,)),
    Recipe("recompute", _recomputed),
    Recipe("deep", _as_it_is, (_deeper,), for_any_network=True),
    Recipe("segments", _as_it_is, cut=True, for_any_network=True),
    Recipe("tse-{rows}+deep", _tiled, (_deeper,), changes_values=True),
    Recipe("spill+deep", _as_it_is, (_deeper, _spilled)),
    Recipe("recompute+deep", _recomputed, (_deeper,)),
)
