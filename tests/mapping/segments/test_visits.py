"""Turns of segments: what lies where and for how long, what has room, and what does not fit."""

from collections import defaultdict
from fractions import Fraction
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.errors import InfeasibleError, InputError
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.allotment import held_bytes
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.mapping.traffic import visit_traffic
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Input
from tests.mapping.test_traffic import chain, conv, each_alone, machine
from tests.naive_traffic import tiles_of, weights_held
from tests.random_segments import drawn, fitting, ones, segmented

seeds = st.integers(0, 10**6)
few = settings(max_examples=60, deadline=None)


@few
@given(seeds)
def test_tensors_live_from_their_making_to_their_last_reading(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    turn = {name: k for k, segment in enumerate(design.mapping.segments) for name in segment.layers}
    for stage in design.stages:
        readers = [turn[edge.consumer] for edge in design.edges if edge.producer == stage.name]
        outside = [k for k in readers if k != turn.get(stage.name, -1)]
        given_out = stage.name in design.output_stages
        assert (stage.name in planned.lives) == bool(outside or given_out)
        if outside or given_out:
            life = planned.lives[stage.name]
            size = -(-stage.tensor.elements * design.accelerator.activation_bits // 8)
            assert life.held_bytes == size * design.mapping.frames_per_visit
            assert life.first == turn.get(stage.name, -1)
            assert life.last == (len(design.mapping.segments) if given_out else max(outside))


@few
@given(seeds)
def test_nothing_takes_more_than_there_is(seed):
    """Of every memory while every segment runs; all that lies in the first one counted again from its parts."""
    design = drawn(seed)
    planned = fitting(visits, design)
    machine_, segments = design.accelerator, design.mapping.segments
    near, *others = machine_.memories
    resident = {
        stage: weights_held(design, design.stage_by_name[stage])
        for segment in segments
        if (segment.weights or machine_.weights) == "resident"
        for stage in segment.layers
    }
    for k, visit in enumerate(planned.turns):
        stays = sum(n.held_bytes for n in planned.lives.values() if planned.homes[n.tensor] == near and n.is_live(k))
        own = set(visit.segment.layers)
        foreign = sum(-(-n * machine_.weight_bits // 8) for stage, n in resident.items() if stage not in own)
        assert visit.held_bytes == stays + foreign
        assert visit.demand.total + visit.held_bytes + visit.ahead_bytes <= machine_.memories[near].size
        for name in others:
            here = [life for tensor, life in planned.lives.items() if planned.homes[tensor] == name]
            lying = sum(life.held_bytes for life in here if life.first <= k <= life.last)
            assert lying == held_bytes(planned.lives, planned.homes, name, k) <= machine_.memories[name].size


@few
@given(seeds)
def test_homes_are_the_mappings_or_the_nearest_with_room(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    names = list(design.accelerator.memories)
    for tensor, home in planned.homes.items():
        life = planned.lives[tensor]
        if tensor in design.mapping.homes:
            assert home == design.mapping.homes[tensor]
        elif life.first < 0 or life.last == len(design.mapping.segments):
            assert home == names[-1]
        elif home == names[-1]:
            during = range(max(life.first, 0), life.last + 1)
            for nearer in names[1:-1]:
                taken = max(held_bytes(planned.lives, planned.homes, nearer, k) for k in during)
                assert taken + life.held_bytes > design.accelerator.memories[nearer].size


@few
@given(seeds)
def test_what_movers_move_is_what_traffic_says(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    moved: dict = defaultdict(Fraction)
    weights = Fraction(0)
    for turn in planned.turns:
        for step in turn.steps:
            weights += Fraction(step.times * step.load_bytes, turn.frames)
            for stage in step.design.stages:
                if stage.transfer and stage.transfer.kind == "weight":
                    weights += step.times * stage.transfer.moved_bytes
                elif stage.transfer:
                    moved[stage.transfer.memory, stage.transfer.kind] += step.times * stage.transfer.moved_bytes
    found: dict = defaultdict(Fraction)
    for row in visit_traffic(design, planned):
        found[row.memory, row.kind] += row.read_bytes + row.written_bytes
    loaded = sum(size for (_, kind), size in found.items() if kind == "weight")
    assert moved == {key: size for key, size in found.items() if key[1] != "weight"}
    # weights that load meanwhile are spread over tiles and frames in whole bytes
    rounding = sum(2 * step.times for turn in planned.turns for step in turn.steps)
    assert loaded <= weights <= loaded + rounding


@few
@given(seeds)
def test_inputs_outputs_and_loaded_weights_pass_the_last_memory(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    far = list(design.accelerator.memories)[-1]
    bits = design.accelerator.activation_bits
    turn = {name: k for k, segment in enumerate(design.mapping.segments) for name in segment.layers}
    readers = {name: [turn[e.consumer] for e in design.edges if e.producer == name] for name in planned.lives}
    least = Fraction(0)
    for name, life in planned.lives.items():
        if planned.homes[name] == far and not _is_tiled(design, readers[name]):
            size = -(-design.stage_by_name[name].tensor.elements * bits // 8)
            least += size * (life.first >= 0)
            least += size * (life.first >= 0 and max(readers[name], default=-1) > life.first)
    for turn in planned.turns:
        if (turn.segment.weights or design.accelerator.weights) != "resident":
            sizes = [-(-weights_held(design, stage) * design.accelerator.weight_bits // 8) for stage in turn.stages]
            least += Fraction(sum(sizes), turn.frames)
    total = sum(r.read_bytes + r.written_bytes for r in visit_traffic(design, planned) if r.memory == far)
    assert total >= least


def _is_tiled(design, segments) -> bool:
    """Whether tiles that need nothing of it may leave some of a map unread."""
    return any(not design.mapping.segments[k].tile.is_whole for k in segments)


@few
@given(seeds)
def test_every_tile_runs_once(seed):
    design = drawn(seed)
    planned = fitting(visits, design)
    for turn in planned.turns:
        assert sum(step.times for step in turn.steps) == len(tiles_of(design, turn.segment))


def test_a_segment_that_does_not_fit_says_by_how_much_and_what_would_help():
    net = chain(Input(6, (8, 5)), conv(8), conv(8))
    design = each_alone(net, machine(near=700))
    with pytest.raises(InfeasibleError) as error:
        visits(design)
    weights, rows, stored = 8 * 8 * 9, 4 * 5 * 8, 2 * 5 * 8
    needed = weights + rows + stored
    assert str(error.value) == (
        f"segment b needs {needed} B of near (weights {weights}, buffers {rows + stored}, halo 0, kept for others 0), "
        f"it has 700 B (short by {needed - 700} B); raise memories.near.size, cut the segment or tile it"
    )
    assert error.value.exit_status == 3
    assert visits(each_alone(net, machine(near=needed)))


def test_every_segment_that_does_not_fit_is_named():
    net = chain(Input(6, (8, 5)), conv(8), conv(8))
    with pytest.raises(InfeasibleError) as error:
        visits(each_alone(net, machine(near=10)))
    assert [line.split(" needs")[0] for line in str(error.value).splitlines()] == ["segment a", "segment b"]


def test_resident_weights_of_all_segments_lie_there_while_any_runs():
    net = chain(Input(6, (8, 5)), conv(8), conv(8))
    design = each_alone(net, machine(weights="resident"))
    first, second = visits(design).turns
    assert (first.demand.weights, second.demand.weights) == (6 * 8 * 9, 8 * 8 * 9)
    # what a makes stays beside the weights of the other
    assert (first.held_bytes, second.held_bytes) == (8 * 8 * 9 + 320, 6 * 8 * 9 + 320)


def levels(near: int, middle: int):
    level = machine().memories["near"]
    sizes = {"near": near, "middle": middle, "far": 10**9}
    return machine(memories={name: level.model_copy(update={"size": size}) for name, size in sizes.items()})


def test_tensors_given_a_home_have_room_before_others_are_placed():
    """b lies in a memory with room for one of them; a, made before it, has to give way."""
    net = chain(Input(2, (8, 8)), conv(4), conv(4), conv(2))
    homes = MappingProxyType({"b": "middle"})
    assert visits(each_alone(net, levels(400, 300))).homes["a"] == "middle"
    placed = visits(each_alone(net, levels(400, 300), homes=homes)).homes
    assert (placed["a"], placed["b"]) == ("far", "middle")


def test_homes_that_hold_too_much_are_refused():
    net = chain(Input(2, (8, 8)), conv(4), conv(4), conv(2))
    rule = r"tensors of 256 B lie in middle while segment a runs, it has 100 B \(short by 156 B\); raise"
    with pytest.raises(InfeasibleError, match=rule):
        visits(each_alone(net, levels(10**6, 100), homes=MappingProxyType({"a": "middle"})))


HOMES = {
    "a -> b": r"homes.a -> b is a buffer; where a network is cut into segments",
    "a": r"homes.a: what it makes is read in segments\[0\] alone and never in memory",
}


@pytest.mark.parametrize("name", HOMES)
def test_homes_inside_a_segment_are_faults(name):
    net = chain(Input(2, (8, 8)), conv(4), conv(4), conv(2))
    with pytest.raises(InputError, match=HOMES[name]):
        segmented(net, machine(), (Segment(("a", "b")), Segment(("c",))), homes=MappingProxyType({name: "far"}))


SEGMENTS = {
    "no layers": ((Segment(()), Segment(("a", "b"))), r"segments\[0\] has no layers"),
    "halo": (
        (Segment(("a", "b"), halo="forget"),),
        r"segments\[0\].halo = 'forget' is none of reread, recompute",
    ),
    "weights": ((Segment(("a", "b"), weights="never"),), r"segments\[0\].weights = 'never' is none of None, resident"),
    "missing": ((Segment(("a",)),), r"in no segment: b"),
    "twice": ((Segment(("a",)), Segment(("a", "b"))), r"a is in segments\[0\] too; keep one"),
    "order": ((Segment(("b",)), Segment(("a",))), r"b reads a, which is made later, in segments\[1\]"),
    "input": ((Segment(("x", "a", "b")),), r"'x' is an input or a constant, which no engine computes"),
}


@pytest.mark.parametrize("fault", SEGMENTS)
def test_segments_that_cannot_be_are_faults(fault):
    segments, message = SEGMENTS[fault]
    net = chain(Input(2, (8, 8)), conv(4), conv(4))
    with pytest.raises(InputError, match=message):
        segmented(net, machine(), segments)


def test_of_a_map_in_memory_only_a_window_is_in_the_segment():
    """x waits for the sum while two convolutions run; the sum alone takes a row and a spare one of each."""
    nodes = [
        Node("x", Input(2, (16, 5))),
        Node("a", conv(2), ("x",)),
        Node("b", conv(2), ("a",)),
        Node("sum", Combine("add"), ("b", "x")),
    ]
    alone = visits(each_alone(network("skip", nodes, ["sum"]), machine())).turns[-1]
    assert alone.demand.buffers == 3 * 2 * 10
    together = visits(segmented(network("skip", nodes, ["sum"]), machine(), (Segment(("a", "b", "sum")),))).turns[0]
    # the sum's first row needs three rows of a, four of x
    assert together.demand.buffers == 10 * ((3 + 1) + (3 + 1) + 2 + 2)


@pytest.mark.parametrize("preset", ["streaming-asic", "fpga-stream", "systolic-npu", "feature-map-npu"])
def test_segments_run_on_every_preset(preset):
    hw = acs.load_accelerator(preset)
    net = acs.load_network("mobilenet_v3_small", input_shape=(3, 64, 64))
    free = bind(net, hw, Mapping(MappingProxyType({} if hw.engine.kind == "systolic" else ones(net, hw))))
    *names, hidden, classifier = [stage.name for stage in free.stages if not stage.is_source]
    segments = tuple(Segment(tuple(names[k : k + 3])) for k in range(0, len(names), 3))
    segments += (Segment((hidden,), Tile(outputs=100)), Segment((classifier,), Tile(outputs=64, inputs=512)))
    report = acs.simulate(segmented(net, hw, segments)).body
    assert report.throughput.interval_cycles >= report.throughput.interval_bound_cycles > 0
    outputs = [row for row in report.traffic if row.memory == list(hw.memories)[-1] and row.kind == "output"]
    assert sum(row.written_bytes for row in outputs) >= 1000


def test_channel_tiles_take_their_share_of_the_weights_exactly():
    net = chain(Input(7, (4, 4)), conv(10, 1))
    design = segmented(net, machine(weights="tile", weights_ahead=False), (Segment(("a",), Tile(outputs=3, inputs=2)),))
    visit = visits(design).turns[0]
    loads = [step.load_bytes for step in visit.steps for _ in range(step.times)]
    assert len(loads) == 4 * 4
    assert sum(loads) == 70
    assert visit.demand.weights == max(loads) == 6
