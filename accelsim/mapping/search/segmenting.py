"""Choosing segments for a network: a stage a segment, or several that run as one pipeline."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping as ReadOnly
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import Design, Stage, bind
from accelsim.mapping.mapping import Choice, Mapping
from accelsim.mapping.search.cuts import Found, Search, Way
from accelsim.mapping.search.downsets import all_downsets, bits, given_order, prefixes, thrifty_order
from accelsim.mapping.search.objective import Cost, Objective, objective_of
from accelsim.mapping.search.parts import Part, Parts
from accelsim.mapping.search.tiles import stage_options
from accelsim.mapping.segments.allotment import Life, crossing_lives
from accelsim.mapping.segments.channels import tile_unroll
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.stages import group_layers
from accelsim.mapping.unrolling import Folded, Unroll, fastest_multipliers, multiplier_choices, unroll
from accelsim.mapping.work import loop_nest
from accelsim.network.graph import Network
from accelsim.network.layers import Input

#: Downsets of a network that are looked through one by one; of networks with more, those along a few orders.
MOST_DOWNSETS = 4096
#: Steps from one state to another that are tried before the search goes along a few orders instead.
MOST_TRANSITIONS = 40_000
#: States of a downset that are followed: in the whole search, along a few orders, and at first.
BEAM = 512
WIDE_BEAM = 16
QUICK_BEAM = 4


def segmented(
    net: Network,
    accelerator: Accelerator,
    single: bool,
    objective: str,
    frames_per_visit: int,
    materialised: frozenset[str] = frozenset(),
) -> Design:
    """`net` cut into segments, of one stage each where `single`, for the least of `objective`.

    Maps of `materialised` layers cross a cut before their channels are pooled.

    Raises `InfeasibleError` with every stage that does not fit by itself, however it is tiled.
    """
    draft = _draft(net, accelerator, frames_per_visit, materialised)
    if not draft.mapping.segments:
        raise InputError(f"{net.name}: has no layer to put into a segment; map it as a pipeline")
    aim = objective_of(objective, accelerator, frames_per_visit)
    parts = Parts(draft, timed=objective == "cycles")
    _check_stages(parts)
    found, least = _found(parts, aim, single)
    if found.way is None:
        raise InfeasibleError(_crowding(parts))
    cost = found.way.cost
    mapping = _mapping(parts, found.way.segments(), frames_per_visit)
    endless = None if single or frames_per_visit > 1 else _endless(parts, aim)
    if endless is not None and endless <= cost:
        unrolls = MappingProxyType(_unrolled(draft, parts.stages[: parts.graph.count], Tile()))
        cost, mapping = endless, Mapping(unrolls, materialised=materialised)
    value, bound = cost[0] / frames_per_visit, min(cost[0], least) / frames_per_visit
    choice = Choice(objective, float(value), float(value if found.exact else bound), bool(found.exact))
    return bind(net, accelerator, replace(mapping, choice=choice))


def _endless(parts: Parts, aim: Objective) -> Cost | None:
    """What a frame costs in one segment that never leaves the engine, and so never drains; None if it does not fit."""
    part = parts.extended(parts.empty(0), parts.graph.everything)
    memories = parts.design.accelerator.memories
    room = next(iter(memories.values())).size - parts.resident_bytes
    if part is None or not parts.fits(part, room):
        return None
    away = next(reversed(memories))
    option = parts.whole(replace(part, filling=0.0))
    return aim.of(replace(option, runs=0), [away] * len(part.reads), [away] * len(part.writes))


def _draft(net: Network, accelerator: Accelerator, frames_per_visit: int, materialised: frozenset[str]) -> Design:
    """A stage a segment, each with the whole engine, and no tiles."""
    stages = group_layers(net, accelerator.channel_pooling, materialised)
    groups = [group for group in stages if not isinstance(group.node.layer, Input)]
    unrolls: dict[str, Unroll] = {}
    for group in groups:
        nest = loop_nest(net, group.node)
        if nest and accelerator.engine.kind == "spatial":
            choices = multiplier_choices(nest)
            unrolls[group.name] = unroll(nest, choices[bisect_right(choices, accelerator.engine.multipliers) - 1])
    segments = tuple(Segment((group.name,)) for group in groups)
    mapping = Mapping(unrolls, segments=segments, frames_per_visit=frames_per_visit, materialised=materialised)
    return bind(net, accelerator, mapping)


def _found(parts: Parts, aim: Objective, single: bool) -> tuple[Found, float]:
    """The cheapest way, and a bound on the cost of all."""
    graph = parts.graph
    if single:
        search = Search(parts, aim, prefixes([given_order(graph)]), single=True, beam=BEAM)
        return search.run(), search.least()
    orders = [given_order(graph), thrifty_order(graph)]
    rough = Search(parts, aim, prefixes(_strides(parts)), single=False, beam=QUICK_BEAM, tiled=False, most_placements=1)
    least, first = rough.least(), rough.run()
    if not _is_least(first, least):
        quick = replace(rough, downsets=prefixes(orders), ceiling=first.way.cost if first.way else None)
        found = replace(quick, most_transitions=MOST_TRANSITIONS).run()
        first = replace(found, way=found.way or first.way)
    if first.way is None or _is_least(first, least):
        return replace(first, exact=True), least
    every = all_downsets(graph, MOST_DOWNSETS)
    if every is not None:
        full = Search(parts, aim, every, single=False, beam=BEAM, ceiling=first.way.cost)
        found = replace(full, most_transitions=MOST_TRANSITIONS).run()
        if found.exact:
            return replace(found, way=found.way or first.way), least
    steps = prefixes([[way.members for way in first.way.segments()]])
    found = replace(rough, downsets=steps, beam=WIDE_BEAM, tiled=True, ceiling=first.way.cost).run()
    return replace(found, way=found.way or first.way, exact=False), least


def _is_least(found: Found, least: float) -> bool:
    return found.way is not None and found.way.cost[0] <= least


def _strides(parts: Parts) -> list[list[int]]:
    """Segments along the given order that are as long as they can be, with all of the room or parts of it."""
    size = next(iter(parts.design.accelerator.memories.values())).size - parts.resident_bytes
    return [_longest(parts, size // share) for share in (1, 2, 4)]


def _longest(parts: Parts, room: int) -> list[int]:
    """The longest segments in `room` bytes, one stage where not even that fits."""
    order, found = range(parts.graph.count), list[int]()
    begin = 0
    while begin < len(order):
        grown = [parts.empty((1 << begin) - 1)]
        for position in order[begin:]:
            larger = parts.extended(grown[-1], (1 << position + 1) - 1)
            if larger is None or larger.buffer_bytes + larger.weight_bytes > room:
                break
            grown.append(larger)
        fitting = bisect_left(grown, True, lo=1, key=lambda part: not parts.fits(part, room)) - 1
        count = max(1, fitting)
        found.append(((1 << count) - 1) << begin)
        begin += count
    return found


def _mapping(parts: Parts, ways: Sequence[Way], frames_per_visit: int) -> Mapping:
    graph, memories = parts.graph, tuple(parts.design.accelerator.memories)
    segments: list[Segment] = []
    unrolls: dict[str, Unroll] = {}
    homes = dict.fromkeys(graph.names[graph.count :], memories[-1])
    for way in ways:
        assert way.option is not None
        stages = [parts.stages[k] for k in bits(way.members)]
        layers = tuple(stage.name for stage in stages)
        segments.append(Segment(layers, way.option.tile, way.option.halo, way.option.weights))
        homes |= {graph.names[p]: memories[m] for p, m in zip(way.writes, way.written, strict=True)}
        unrolls |= _unrolled(parts.design, stages, way.option.tile)
    lives = crossing_lives(replace(parts.design, mapping=replace(parts.design.mapping, segments=tuple(segments))))
    return Mapping(
        unroll=MappingProxyType(unrolls),
        segments=tuple(segments),
        frames_per_visit=frames_per_visit,
        homes=MappingProxyType({name: homes[name] for name in lives}),
        materialised=parts.design.mapping.materialised,
    )


def _unrolled(design: Design, stages: Sequence[Stage], tile: Tile) -> dict[str, Unroll]:
    """The engine shared out over the stages of a segment, as far as its tiles let it be used."""
    layers = {}
    for stage in stages:
        nest = loop_nest(design.network, stage.group.node)
        if nest is not None and stage.unroll is not None:
            layers[stage.name] = Folded(nest, stage.fired.pixels)
    if len(layers) < 2:
        budget = design.accelerator.engine.multipliers
        return {name: tile_unroll(folded.nest, tile, budget) for name, folded in layers.items()}
    floor = max((stage.work_cycles for stage in stages if stage.name not in layers), default=1)
    counts = fastest_multipliers(layers, design.accelerator.engine.multipliers, floor)
    return {name: unroll(layers[name].nest, count) for name, count in counts.items()}


def _check_stages(parts: Parts) -> None:
    """Raises `InfeasibleError` with every stage that does not fit into the first memory by itself."""
    accelerator = parts.design.accelerator
    local = accelerator.local_memory
    assert local is not None
    size, resident = accelerator.memories[local].size, parts.resident_bytes
    if resident >= size:
        raise InfeasibleError(
            f"{parts.design.network.name}: weights that stay in {local} take {resident:,} B, it has {size:,} B "
            f"(short by {resident - size:,} B); raise memories.{local}.size, or set weights to frame or tile"
        )
    problems = []
    for part in _alone(parts):
        if not parts.fits(part, size - resident) and parts.tiled(part, size - resident) is None:
            problems.append(_too_large(parts, part, size - resident))
    if problems:
        raise InfeasibleError("\n".join(problems))


def _alone(parts: Parts) -> list[Part]:
    """Every stage as a part of its own."""
    return [parts.grown(parts.empty((1 << k) - 1), k) for k in range(parts.graph.count)]


def _too_large(parts: Parts, part: Part, room: int) -> str:
    accelerator, stage = parts.design.accelerator, parts.stages[part.members.bit_length() - 1]
    options = stage_options(parts.design, stage, 2**62)
    assert options is not None
    least = options[int(options.demand_bytes.argmin())]
    what = "as a whole" if least.tile.is_whole else "in its smallest tiles"
    local = accelerator.local_memory
    others = f" beside {parts.resident_bytes:,} B of weights" if parts.resident_bytes else ""
    return (
        f"{stage.name} ({stage.kind}, {stage.tensor.label}) needs {least.demand_bytes:,} B of {local} {what}, "
        f"it has {room:,} B{others} (short by {least.demand_bytes - room:,} B); raise memories.{local}.size"
    )


def _crowding(parts: Parts) -> str:
    """Why no order of segments fits: maps that lie off chip at once."""
    design = parts.design
    away = design.accelerator.off_chip_memory
    assert away is not None
    size = design.accelerator.memories[away].size
    lives: ReadOnly[str, Life] = crossing_lives(design)
    most, worst = max(
        (sum(life.held_bytes for life in lives.values() if life.is_live(k)), segment.layers[0])
        for k, segment in enumerate(design.mapping.segments)
    )
    return (
        f"{design.network.name}: maps of {most:,} B are alive while {worst} runs, {away} has {size:,} B and "
        f"what is on chip does not make up for it (short by up to {most - size:,} B); raise memories.{away}.size"
    )
