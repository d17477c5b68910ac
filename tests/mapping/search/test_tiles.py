"""The closed forms of tiles are what the passes of a segment do."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from accelsim.mapping.buffers import segment_bounds
from accelsim.mapping.search.downsets import bits
from accelsim.mapping.search.option import Option
from accelsim.mapping.search.parts import Part, Parts
from accelsim.mapping.search.segmenting import _draft
from accelsim.mapping.segments.allotment import crossing_lives
from accelsim.mapping.segments.segment import Segment
from accelsim.mapping.segments.visits import Plan, planned
from tests.mapping.small_networks import FORMS, small_machine, small_network

PLENTY = 2**40


def parts_of(seed: int, form: str, stages: int, **fields: object) -> Parts:
    return Parts(
        _draft(small_network(seed, form, stages), small_machine(seed, **fields), 1 + seed % 2, frozenset()), True
    )


def plan_of(parts: Parts, part: Part, option: Option, room: int) -> Plan:
    design = parts.design
    layers = tuple(parts.graph.names[k] for k in bits(part.members))
    homes = dict.fromkeys(crossing_lives(design), "dram")
    homes |= dict.fromkeys(parts.graph.names, "dram")
    segment = Segment(layers, option.tile, option.halo, option.weights)
    return planned(design, segment, segment_bounds(design, set(layers)), homes, room)


def moved(plan: Plan, kind: str) -> dict[str, int]:
    """Bytes a frame by tensor."""
    total: dict[str, int] = {}
    for one in plan.passes:
        for stage in one.stages:
            if stage.transfer and stage.transfer.kind == kind:
                name = stage.transfer.tensor
                total[name] = total.get(name, 0) + one.times * stage.transfer.moved_bytes
    return total


def loaded(plan: Plan) -> int:
    """Bytes of weights that a visit loads."""
    tiles = len({id(one.channels) for one in plan.passes})
    return plan.weight_loads * sum(plan.pass_weights[:tiles])


def check(parts: Parts, part: Part, option: Option, plan: Plan) -> None:
    names = parts.graph.names
    resident = plan.demand.weights if plan.weights == "resident" else 0
    assert plan.demand.total - resident == option.demand_bytes
    reads, writes = moved(plan, "input"), moved(plan, "output")
    assert tuple(reads[names[p]] for p in part.reads) == option.read_bytes
    assert tuple(writes[names[p]] for p in part.writes) == option.written_bytes
    assert sum(moved(plan, "partial").values()) == option.partial_bytes
    assert loaded(plan) == option.weight_bytes
    assert sum(one.times for one in plan.passes) == option.runs


def segments(parts: Parts, most: int) -> list[Part]:
    """All parts of at most so many stages that come one after the other."""
    found = []
    for first in range(parts.graph.count):
        part = parts.empty((1 << first) - 1)
        for k in range(first, min(first + most, parts.graph.count)):
            part = parts.grown(part, k)
            found.append(part)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(8))
def test_a_part_without_tiles_takes_and_moves_what_its_pipeline_does(form, seed):
    parts = parts_of(seed, form, 7)
    for part in segments(parts, 6):
        option = parts.whole(part)
        check(parts, part, option, plan_of(parts, part, option, 0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(8))
def test_tiles_of_columns_are_what_their_passes_do(form, seed):
    parts = parts_of(seed, form, 7)
    for part in segments(parts, 5):
        options = None if part.is_single else parts.tiled(part, PLENTY)
        for k in range(len(options) if options else 0):
            check(parts, part, options[k], plan_of(parts, part, options[k], 0))


@pytest.mark.parametrize("weights", ["tile", "frame", "resident"])
@pytest.mark.parametrize("seed", range(6))
def test_tiles_of_a_stage_are_what_their_passes_do(weights, seed):
    rng = Random(seed)
    parts = parts_of(seed, FORMS[seed % 3], 5, weights=weights)
    for part in segments(parts, 1):
        options = parts.tiled(part, PLENTY)
        for k in rng.sample(range(len(options)), min(len(options), 12)):
            option = options[k]
            same = [j for j, way in enumerate(options.ways) if way == options.ways[k]]
            most = options[max(same, key=lambda j: options.demand_bytes[j])]
            least = options[min(same, key=lambda j: options.demand_bytes[j])]
            check(parts, part, least, plan_of(parts, part, option, 0))
            check(parts, part, most, plan_of(parts, part, option, PLENTY))


@pytest.mark.parametrize("seed", range(6))
def test_what_stays_saves_the_most_off_chip_that_has_room(seed):
    rng = Random(seed)
    parts = parts_of(seed, FORMS[seed % 3], 5, weights="tile")
    for part in segments(parts, 1):
        options = parts.tiled(part, PLENTY)
        for k in rng.sample(range(len(options)), min(len(options), 6)):
            same = [options[j] for j, way in enumerate(options.ways) if way == options.ways[k]]
            room = rng.choice(same).demand_bytes + rng.choice((0, 1, 7))
            fitting = [option for option in same if option.demand_bytes <= room]
            if not fitting:
                continue
            best = min(sum(o.read_bytes) + (0 if o.sums_stay else o.partial_bytes) for o in fitting)
            plan = plan_of(parts, part, options[k], room)
            assert plan.demand.total <= room
            away = [
                one.times * stage.transfer.moved_bytes
                for one in plan.passes
                for stage in one.stages
                if stage.transfer and stage.transfer.memory == "dram" and stage.transfer.kind != "output"
            ]
            assert sum(away) == best


def test_larger_tiles_take_no_less_room_and_move_no_more_columns():
    parts = parts_of(3, "chain", 6, weights="tile")
    for part in segments(parts, 4):
        options = None if part.is_single else parts.tiled(part, PLENTY)
        if options is None:
            continue
        for halo in ("cache", "recompute"):
            chosen = [k for k, way in enumerate(options.ways) if way[1] == halo]
            reads = np.sum([column[chosen] for column in options.read_bytes], axis=0)
            assert list(reads) == sorted(reads, reverse=True)
