"""How long turns take: against hand computation, bounds, and each other."""

from dataclasses import replace
from fractions import Fraction
from random import Random
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.errors import DeadlockError, InputError, NotModelled
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import Design, bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.network.graph import Node, network
from accelsim.network.layers import (
    Activation,
    Combine,
    Concat,
    Constant,
    Dense,
    Input,
    Product,
    Reduce,
    Resize,
    Softmax,
)
from accelsim.timing.turns import Turns, take_turns
from tests.mapping.test_traffic import chain, conv, each_alone, excited, machine
from tests.random_segments import drawn, fitting, random_design, segmented

seeds = st.integers(0, 10**6)
few = settings(max_examples=40, deadline=None)


def with_machine(design: Design, **fields) -> Design:
    """The same mapping on another machine."""
    return bind(design.network, design.accelerator.model_copy(update=fields), design.mapping)


def with_levels(design: Design, **fields) -> Design:
    levels = design.accelerator.memories
    return with_machine(design, memories={name: level.model_copy(update=fields) for name, level in levels.items()})


def placed_alike(one: Turns, other: Turns) -> bool:
    """Whether the same tiles run, on the same data in the same memories."""
    return one.visits.homes == other.visits.homes and [t.visit.demand for t in one.turns] == [
        t.visit.demand for t in other.turns
    ]


@few
@given(seeds)
def test_a_turn_is_no_shorter_than_its_busiest_stage_mover_or_port(seed):
    turns = fitting(take_turns, drawn(seed))
    for turn in turns.turns:
        for one in turn.runs:
            stages = one.step.design.stages
            busy = max(stage.work_cycles for stage in stages)
            port = max(one.step.design.port_cycles.values(), default=0)
            assert one.run_cycles >= turns.frames * max(busy, port)
            assert one.load_cycles >= 0
        assert turn.cycles == turn.setup_cycles + sum(
            one.step.times * (one.run_cycles + one.load_cycles) for one in turn.runs
        )


@few
@given(seeds)
def test_turns_add_up_to_the_interval_and_so_do_the_cycles_of_every_stage(seed):
    design = drawn(seed)
    turns = fitting(take_turns, design)
    report = acs.simulate(design).body
    interval = Fraction(sum(turn.cycles for turn in turns.turns), design.mapping.frames_per_visit)
    assert turns.interval_cycles == interval
    assert report.throughput.interval_cycles == pytest.approx(float(interval))
    assert report.throughput.latency_cycles == turns.cycles
    assert 0 <= report.throughput.first_output_cycles <= report.throughput.latency_cycles
    assert report.throughput.idle_latency_cycles <= report.throughput.latency_cycles
    assert report.throughput.interval_bound_cycles <= -(-turns.cycles // turns.frames)
    for row in report.stages:
        waits = (row.waiting_input_cycles, row.waiting_space_cycles, row.waiting_port_cycles, row.waiting_source_cycles)
        assert min(waits) >= -1e-9
        assert row.busy_cycles + sum(waits) == pytest.approx(float(interval))
        assert row.waiting_turn_cycles <= row.waiting_input_cycles + 1e-6
    assert sum(segment.cycles for segment in report.segments) == turns.cycles
    for buffer in report.buffers:
        assert 0 < buffer.bound_elements <= buffer.peak_elements
        assert buffer.capacity_elements is None or buffer.held_elements <= buffer.capacity_elements
    loss = report.throughput.utilisation_loss
    shares = report.throughput.mac_utilisation + loss.rounding + loss.rate_mismatch + loss.stalls
    assert shares == pytest.approx(1) or report.throughput.mac_utilisation == 0


@few
@given(seeds)
def test_all_multiplications_are_done(seed):
    """No fewer than the network's where nothing is rounded away; what is recomputed comes on top."""
    design = drawn(seed)
    visited = fitting(take_turns, design)
    done = {stage.name: 0 for stage in design.stages}
    for turn in visited.turns:
        for one in turn.runs:
            for stage in one.step.design.stages:
                if stage.transfer is None and stage.name in done:
                    done[stage.name] += one.step.times * stage.macs
    for segment in design.mapping.segments:
        for name in segment.layers:
            stage = design.stage_by_name[name]
            if segment.tile.is_whole:
                assert done[name] == stage.macs


LATER = {
    "more latency": ({"latency_cycles": 50}, {"latency_cycles": 2}),
    "a narrower port": ({"efficiency": 0.25}, {"efficiency": 1.0}),
    "fewer bursts under way": ({"outstanding": 1}, {"outstanding": 64}),
}


@pytest.mark.parametrize("change", LATER)
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_a_better_memory_is_never_slower(change, seed):
    """With a port each (`slots`), so that no one overtakes another."""
    design = with_levels(drawn(seed), arbitration="slots")
    worse, better = (with_levels(design, **fields) for fields in LATER[change])
    slow, fast = fitting(take_turns, worse), fitting(take_turns, better)
    assert fast.cycles <= slow.cycles


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_larger_first_memory_moves_no_more_off_chip_and_runs_what_ran(seed):
    design = drawn(seed)
    before = fitting(take_turns, design)
    near, *others = design.accelerator.memories.items()
    larger = near[1].model_copy(update={"size": 4 * near[1].size})
    after = fitting(take_turns, with_machine(design, memories={near[0]: larger, **dict(others)}))
    assert [t.visit.segment for t in after.turns] == [t.visit.segment for t in before.turns]
    for old, new in zip(before.turns, after.turns, strict=True):
        assert new.visit.ahead_bytes >= old.visit.ahead_bytes or not placed_alike(before, after)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_loading_weights_ahead_is_never_slower_but_for_rounding(seed):
    """With slots a requester beside it slows a mover by less than a cycle a request, and its share of the port."""
    design = with_levels(drawn(seed), arbitration="slots")
    ahead, waiting = (fitting(take_turns, with_machine(design, weights_ahead=choice)) for choice in (True, False))
    requests = 0
    for turn in ahead.turns:
        for one in turn.runs:
            movers = [stage for stage in one.step.design.stages if stage.transfer]
            tail = sum(2 * stage.interval_cycles + stage.latency_cycles for stage in movers)
            requests += one.step.times * (turns_frames(turn) * sum(s.fired.rows for s in movers) + tail)
    assert ahead.cycles <= waiting.cycles + requests


def turns_frames(turn) -> int:
    return turn.visit.frames


def alone(**fields) -> Accelerator:
    """One multiplier, a lane an element; a byte a cycle off chip, two cycles late."""
    level = {"port": {"read_bits": 8, "write_bits": 8, "shared": False}, "size": 10**6}
    engine = {"multipliers": 10**6, "lanes": 1, "mac_latency_cycles": 5, "lane_latency_cycles": 0}
    text = {"name": "tiny", "clock": 10**6, "engine": engine, "weights": "frame", "weights_ahead": False}
    return Accelerator.model_validate(
        text | {"memories": {"near": level, "far": level | {"latency_cycles": 2}}} | fields
    )


def test_one_stage_by_hand():
    """Three positions of two channels through a dense layer of one output.

    A position is loaded in 2 cycles and there 2 later; two products take 2 cycles and 5 more to come out; storing
    takes a cycle. Loads follow each other, so the last position is there at 3 x 2 + 2 = 8, multiplied at 10, out
    at 15 and stored at 16. Two bytes of weights were waited for before: 2 cycles and 2 of latency.
    """
    design = segmented(chain(Input(2, (3,)), Dense(1)), alone(), (Segment(("a",)),))
    (turn,) = take_turns(design).turns
    (one,) = turn.runs
    assert (one.run_cycles, one.load_cycles, turn.setup_cycles) == (16, 4, 0)
    report = acs.simulate(design).body.throughput
    assert report.interval_cycles == report.latency_cycles == 20
    # the first position is in memory when 2 + 2 + 2 + 5 + 1 cycles have passed
    assert report.first_output_cycles == 12


def test_a_first_output_of_partial_sums_comes_with_the_last_input_tile():
    net = chain(Input(4, (3,)), Dense(2))
    whole = acs.simulate(segmented(net, alone(), (Segment(("a",)),))).body.throughput
    parts = segmented(net, alone(), (Segment(("a",), Tile(inputs=2)),))
    turn = take_turns(parts).turns[0]
    report = acs.simulate(parts).body.throughput
    assert report.first_output_cycles > turn.runs[0].run_cycles
    assert whole.first_output_cycles < report.first_output_cycles < report.latency_cycles


def test_every_visit_is_set_up():
    net = chain(Input(2, (6, 6)), conv(2), conv(3), conv(2))
    plain = take_turns(each_alone(net, machine()))
    slow = take_turns(each_alone(net, machine(reconfigure_cycles=1000)))
    assert slow.cycles == plain.cycles + 3 * 1000
    assert all(turn.setup_cycles == 1000 for turn in slow.turns)
    together = segmented(net, machine(reconfigure_cycles=1000), (Segment(("a", "b", "c")),))
    assert [turn.setup_cycles for turn in take_turns(together).turns] == [1000]


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_frames_of_a_visit_share_its_set_up_and_its_weights(frames):
    """Beyond the first, each frame adds the same: nothing but its own work."""
    net = chain(Input(2, (6, 6)), conv(2), conv(3))
    hw = machine(reconfigure_cycles=500, weights_ahead=False)
    cycles = [take_turns(each_alone(net, hw, frames_per_visit=n)).cycles for n in (1, frames, frames + 1)]
    turns = take_turns(each_alone(net, hw, frames_per_visit=frames))
    fixed = sum(turn.setup_cycles + sum(run.load_cycles for run in turn.runs) for turn in turns.turns)
    once = take_turns(each_alone(net, hw)).turns
    assert fixed == sum(turn.setup_cycles + sum(run.load_cycles for run in turn.runs) for turn in once)
    assert cycles[0] < cycles[1] < frames * cycles[0]
    assert cycles[2] - cycles[1] == (cycles[1] - cycles[0]) // (frames - 1)
    assert turns.interval_cycles == Fraction(cycles[1], frames)


def test_a_steady_visit_costs_its_busiest_stage_a_frame():
    net = chain(Input(2, (6, 6)), conv(4))
    one, two = (take_turns(each_alone(net, machine(), frames_per_visit=n)) for n in (10, 11))
    assert two.cycles - one.cycles == one.design.bottleneck_cycles == 36 * 2 * 4 * 9


def test_weights_wait_as_long_as_the_bursts_take():
    hw = alone()
    level = hw.memories["far"].model_copy(update={"burst": 16, "outstanding": 2, "latency_cycles": 10})
    hw = hw.model_copy(update={"memories": {**hw.memories, "far": level}})
    design = segmented(chain(Input(20, (3,)), Dense(5)), hw, (Segment(("a",)),))
    # 100 bytes are 7 bursts of 16 cycles; two may be under way, so the latency of the others is hidden
    assert take_turns(design).turns[0].runs[-1].load_cycles == 10 + 7 * 16


def wide(net, segments) -> list[float]:
    """Intervals on every kind of fork and engine."""
    array = {"kind": "systolic", "rows": 4, "columns": 4, "dataflow": "output-stationary", "lanes": 4}
    machines = [machine(fork="shared"), machine(fork="copy"), machine(engine=array), machine(weights="tile")]
    return [acs.simulate(segmented(net, hw, segments)).body.throughput.interval_cycles for hw in machines]


def test_squeeze_excite_inside_a_segment():
    net = excited()
    names = [stage.name for stage in bind_free(net).stages if not stage.is_source]
    whole = wide(net, (Segment(tuple(names)),))
    apart = wide(net, tuple(Segment((name,)) for name in names))
    assert all(together < cut for together, cut in zip(whole, apart, strict=True))


def bind_free(net) -> Design:
    hw = machine(engine={"kind": "systolic", "rows": 1, "columns": 1, "dataflow": "output-stationary", "lanes": 4})
    return bind(net, hw, Mapping(MappingProxyType({})))


def test_attention_concat_resize_and_tables_inside_a_segment():
    nodes = [
        Node("x", Input(4, (6,))),
        Node("table", Constant(4, (6,), trained=True)),
        Node("placed", Combine("add"), ("x", "table")),
        Node("queries", Dense(4), ("placed",)),
        Node("keys", Dense(4), ("placed",)),
        Node("values", Dense(4), ("placed",)),
        Node("scores", Product(2, transposed=True), ("queries", "keys")),
        Node("weights", Softmax(2), ("scores",)),
        Node("mixed", Product(2), ("weights", "values")),
        Node("out", Dense(4), ("mixed",), shares="queries"),
        Node("sum", Combine("add"), ("out", "placed")),
        Node("long", Resize((12,)), ("sum",)),
        Node("both", Concat(0), ("long", "sum")),
    ]
    net = network("attention", nodes, ["both", "placed"])
    names = [stage.name for stage in bind_free(net).stages if not stage.is_source]
    for size in (1, 2, 3, len(names)):
        segments = tuple(Segment(tuple(names[k : k + size])) for k in range(0, len(names), size))
        assert min(wide(net, segments)) > 0


@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_several_inputs_and_outputs_in_any_space(axes):
    space = (5, 4, 3)[:axes]
    layer = (lambda n: conv(n, axes=axes)) if axes else Dense
    nodes = [
        Node("x", Input(3, space)),
        Node("y", Input(3, space)),
        Node("a", layer(4), ("x",)),
        Node("b", layer(4), ("y",)),
        Node("sum", Combine("add"), ("a", "b")),
        Node("last", layer(2), ("sum",)),
    ]
    net = network("two", nodes, ["sum", "last", "x"])
    for segments in (
        (Segment(("a", "b", "sum", "last")),),
        (Segment(("a",)), Segment(("b", "sum")), Segment(("last",))),
        (Segment(("b",)), Segment(("a",)), Segment(("sum", "last"))),
    ):
        assert min(wide(net, segments)) > 0


def test_a_gate_made_from_the_whole_map_needs_the_map_in_its_segment():
    net, hw = excited(), machine()
    (inside,) = visits(segmented(net, hw, (Segment(("a", "mean", "gate", "excite", "sum", "small", "wide")),))).turns
    assert {e.name: e.capacity for e in inside.steps[0].design.edges}["a -> excite"] > 9
    cut = visits(segmented(net, hw, (Segment(("a", "mean")), Segment(("gate", "excite", "sum", "small", "wide")))))
    assert {e.name: e.capacity for e in cut.turns[1].steps[0].design.edges}["load a for excite -> excite"] <= 3
    assert cut.turns[1].demand.buffers < inside.demand.buffers
    assert cut.homes["a"] == "near"


def test_capacities_of_the_mapping_hold_and_may_be_stuck():
    net = chain(Input(2, (6, 6)), conv(2), conv(3))
    segments = (Segment(("a", "b")),)
    capacities = MappingProxyType({"a -> b": 6})
    roomy = take_turns(segmented(net, machine(), segments, capacities=capacities))
    assert {e.name: e.capacity for e in roomy.turns[0].runs[0].step.design.edges}["a -> b"] == 6
    with pytest.raises(DeadlockError, match="a -> b"):
        take_turns(segmented(net, machine(), segments, capacities=MappingProxyType({"a -> b": 2})))


def test_what_turns_do_not_model_is_refused():
    net = chain(Input(2, (6, 6)), conv(2))
    design = segmented(net, machine(), (Segment(("a",)),))
    with pytest.raises(NotModelled, match="row by row"):
        acs.simulate(design, granularity="pixel")
    with pytest.raises(NotModelled, match="paced"):
        acs.simulate(design, source="paced")
    with pytest.raises(InputError, match="frames = 3: a visit takes frames_per_visit = 1"):
        acs.simulate(design, frames=3)
    with pytest.raises(InputError, match="takes no turns"):
        take_turns(replace(design, mapping=replace(design.mapping, segments=())))
    by_pixel = replace(design, mapping=replace(design.mapping, granularity="pixel"))
    assert acs.simulate(by_pixel, granularity="row").body.throughput == acs.simulate(design).body.throughput


def test_buffers_that_had_to_be_larger_are_held_against_the_memory():
    """Segments found at random where a token beyond every bound is too little for all of them together."""
    for seed in (121, 183, 190, 372):
        design = random_design(Random(seed))
        turns = take_turns(design)
        for planned, turn in zip(visits(design).turns, turns.turns, strict=True):
            size = next(iter(design.accelerator.memories.values())).size
            assert turn.visit.demand.buffers >= planned.demand.buffers
            assert turn.visit.demand.total + turn.visit.held_bytes + turn.visit.ahead_bytes <= size


def test_an_activation_behind_a_layer_is_no_stage_of_its_own():
    nodes = [Node("x", Input(2, (6, 6))), Node("a", conv(2), ("x",)), Node("r", Activation("relu"), ("a",))]
    net = network("fused", [*nodes, Node("m", Reduce("mean"), ("r",))], ["m"])
    assert acs.simulate(segmented(net, machine(), (Segment(("a",)), Segment(("m",))))).body.throughput.steady
