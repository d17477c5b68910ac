"""Bytes over time at a port: all that moves passes, never faster than it can, and windows see the most of it."""

from collections import defaultdict
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.streams import streamed
from accelsim.mapping.traffic import pipeline_traffic, visit_traffic
from accelsim.network.layers import Dense, Input
from accelsim.timing.bandwidth import Passed, pipeline_passed, turns_passed
from accelsim.timing.simulate import schedule
from accelsim.timing.turns import take_turns
from tests.mapping.test_traffic import chain, conv, each_alone, excited, machine
from tests.random_segments import drawn, fitting, ones, segmented

seeds = st.integers(0, 10**6)


def rate(memory) -> float:
    """Bytes a cycle at all ports of a memory together."""
    directions = [float(memory.bytes_per_cycle(write)) for write in (False, True)]
    return max(directions) if memory.port.shared else sum(directions)


def by_memory(rows) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for row in rows:
        total[row.memory] += float(row.read_bytes + row.written_bytes)
    return total


def most_by_cycle(passed: Passed, window: int) -> float:
    """The most in any window of whole cycles, from the bytes of every cycle of enough periods."""
    period = passed.period_cycles
    begin, end = int(passed.cycles[0]), int(passed.cycles[-1])
    cycles = np.arange(begin, end)
    moved = np.diff(np.interp(np.arange(begin, end + 1), passed.cycles, passed.moved_bytes))
    each = np.bincount((cycles - begin) % period, weights=moved, minlength=period)
    through = np.concatenate([[0.0], np.cumsum(np.tile(each, window // period + 2))])
    return float((through[window : window + period] - through[:period]).max())


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_all_traffic_of_turns_passes_and_never_faster_than_the_port(seed):
    design = drawn(seed)
    turns = fitting(take_turns, design)
    wanted, passed = by_memory(visit_traffic(design, turns.visits)), turns_passed(turns)
    # weights that load ahead are spread over tiles and frames in whole bytes
    spread = sum(2 * run.step.times for turn in turns.turns for run in turn.runs)
    for name, one in passed.items():
        moved = float(one.moved_bytes[-1]) / turns.frames
        assert wanted[name] - 1e-6 <= moved <= wanted[name] + spread + 1e-6
        assert one.cycles[0] >= 0
        assert one.cycles[-1] <= turns.cycles + max(m.latency_cycles for m in design.accelerator.memories.values())
        for window in (1, 7, 64, 1024):
            assert one.most_in(window) <= rate(design.accelerator.memories[name]) * window + 1
    assert {name for name, size in wanted.items() if size} == set(passed)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 3000))
def test_the_most_in_a_window_is_that_of_counting_every_cycle(seed, window):
    design = drawn(seed)
    turns = fitting(take_turns, design)
    for one in turns_passed(turns).values():
        assert abs(one.most_in(window) - most_by_cycle(one, window)) <= 1


@st.composite
def passages(draw) -> Passed:
    """Any bytes over time, some of them longer than the period they repeat in."""
    steps = draw(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 50)), min_size=1, max_size=12))
    begin = draw(st.integers(-30, 30))
    cycles = np.cumsum([begin, *(length for length, _ in steps)]).astype(np.int64)
    moved = np.cumsum([0.0, *(float(size) for _, size in steps)])
    return Passed(cycles, moved, draw(st.integers(1, 200)))


@settings(max_examples=300, deadline=None)
@given(passages(), st.integers(1, 500))
def test_windows_see_neighbouring_periods(passed, window):
    assert abs(passed.most_in(window) - most_by_cycle(passed, window)) <= 0.51


def test_a_window_of_whole_periods_holds_their_bytes():
    passed = Passed(np.array([0, 10]), np.array([0.0, 30.0]), 25)
    assert passed.most_in(10) == 30
    assert passed.most_in(25) == 30
    assert passed.most_in(100) == 120
    assert passed.most_in(110) == 150
    assert Passed(np.zeros(0, np.int64), np.zeros(0), 10).most_in(5) == 0


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("source", ["paced", "greedy"])
@pytest.mark.parametrize("arbitration", ["first-come", "slots"])
def test_all_traffic_of_a_pipeline_passes(granularity, source, arbitration):
    """Inputs, outputs, weights and a spilled buffer, all at one port."""
    hw = machine(interface="memory", weights="frame")
    level = hw.memories["far"].model_copy(update={"arbitration": arbitration, "latency_cycles": 9, "burst": 4})
    hw = hw.model_copy(update={"memories": {**hw.memories, "far": level}})
    net = excited()
    design = bind(net, hw, Mapping(MappingProxyType(ones(net, hw)), homes=MappingProxyType({"a": "far"})))
    running = streamed(design, granularity)
    capacities = {edge.name: edge.capacity for edge in running.edges if edge.capacity}
    assert capacities
    trace = schedule(running, granularity, source, None if source == "paced" else 12)
    (one,) = pipeline_passed(trace).values()
    frames = trace.period_frames
    assert float(one.moved_bytes[-1]) / frames == pytest.approx(by_memory(pipeline_traffic(running))["far"])
    if trace.steady:
        assert one.period_cycles == trace.interval_cycles * frames
        for window in (1, 50, 1024, 20_000):
            assert one.most_in(window) <= rate(level) * window + 1
        whole = 10 * one.period_cycles
        assert one.most_in(whole) == pytest.approx(10 * float(one.moved_bytes[-1]))


def test_a_load_a_multiplication_and_a_store_by_hand():
    """Reads of 2 bytes at a byte a cycle from the start on, a byte written as each result comes out."""
    level = {"port": {"read_bits": 8, "write_bits": 8, "shared": False}, "size": 10**6}
    engine = {"multipliers": 10**6, "lanes": 1, "mac_latency_cycles": 5, "lane_latency_cycles": 0}
    levels = {"near": level, "far": level | {"latency_cycles": 2}}
    hw = machine(memories=levels, engine=engine, weights="frame", weights_ahead=False)
    turns = take_turns(segmented(chain(Input(2, (3,)), Dense(1)), hw, (Segment(("a",)),)))
    passed = turns_passed(turns)["far"]
    moved = [float(np.interp(cycle, passed.cycles, passed.moved_bytes)) for cycle in range(21)]
    read = [min(cycle, 6) + max(0, cycle - 16) / 2 for cycle in range(21)]
    written = [sum(begin < cycle for begin in (11, 13, 15)) for cycle in range(21)]
    expected = [r + w for r, w in zip(read, written, strict=True)]
    assert moved == pytest.approx(expected)


def test_what_a_report_says_of_a_memory():
    net = chain(Input(4, (8, 6)), conv(8), conv(4))
    design = segmented(net, machine(weights="tile"), (Segment(("a",), Tile(rows=2)), Segment(("b",))))
    report, turns = acs.simulate(design).body, take_turns(design)
    for name, memory in report.memories.items():
        one = turns_passed(turns)[name]
        assert memory.peak_window_bytes == one.most_in(memory.peak_window_cycles)
        most = memory.peak_window_bytes / memory.peak_window_cycles * report.clock_hz
        assert memory.average_bytes_per_second <= most * (1 + 1e-6) + report.clock_hz
        assert most <= rate(design.accelerator.memories[name]) * report.clock_hz * (1 + 1e-6)
        assert 0 < memory.used_bytes <= memory.size_bytes


def test_memories_that_nothing_passes_are_still():
    design = each_alone(chain(Input(4, (8, 6)), conv(8)), machine())
    report = acs.simulate(design).body
    assert set(turns_passed(take_turns(design))) == {"far"}
    assert report.memories["near"].peak_window_bytes == report.memories["near"].read_bytes == 0


def test_a_frame_that_does_not_repeat_passes_no_faster_than_its_port():
    machine = acs.load_accelerator("feature-map-npu")
    running = streamed(acs.map_network(acs.load_network("mobilenet_v2"), machine, mapping="pipeline"), "row")
    trace = schedule(running, "row", frames=3)
    assert not trace.steady
    rate = machine.memories["dram"].bytes_per_cycle(write=False)
    assert 0 < pipeline_passed(trace)["dram"].most_in(1024) <= 1024 * rate + 1
