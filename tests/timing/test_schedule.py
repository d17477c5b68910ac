"""What must hold of every schedule: bounds below it, breakdowns that add up, buffers that suffice."""

from fractions import Fraction

import numpy as np
import pytest

import accelsim as acs
from accelsim.errors import DeadlockError, InputError
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, with_capacities, with_interval
from accelsim.mapping.mapper import map_network
from accelsim.network.graph import Node, network
from accelsim.network.layers import Concat, Constant, Dense, Input, Slice
from accelsim.timing.bounds import interval_bound_cycles, latency_bound_cycles
from accelsim.timing.critical import critical_cycle, slack_cycles
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import levels, peak_tokens, slots, stored_tokens
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.size import size_buffers

MACHINE = acs.load_accelerator("streaming-asic", {"engine.multipliers": 2048, "engine.lanes": 16})
NETWORKS = {
    "resnet18": (3, 32, 32),
    "mobilenet_v3_small": (3, 32, 32),
    "efficientnet_b0": (3, 32, 32),
    "regnety_800mf": (3, 32, 32),
}


@pytest.fixture(params=[*NETWORKS, pytest.param("sample_cnn", marks=pytest.mark.slow)])
def design(request) -> Design:
    return map_network(acs.load_network(request.param, input_shape=NETWORKS.get(request.param)), MACHINE)


@pytest.fixture(params=["row", pytest.param("pixel", marks=pytest.mark.slow)])
def granularity(request) -> str:
    return request.param


def completion(trace: Trace) -> int:
    """Latency of the last simulated frame of a paced trace."""
    return int(trace.completions[-1] - (trace.frames - 1) * trace.design.pace_cycles)


def test_bounds_are_below_what_is_simulated(design, granularity):
    trace = schedule(design, granularity, "paced")
    assert trace.steady
    assert interval_bound_cycles(design, "paced") <= trace.interval_cycles
    assert latency_bound_cycles(design, granularity) <= completion(trace)
    bounds = edge_bounds(design, granularity)
    least = [bounds[edge.name] for edge in design.edges]
    assert np.all(least <= peak_tokens(trace, alone=True))
    assert np.all(peak_tokens(trace, alone=True) <= peak_tokens(trace))


def test_a_paced_pipeline_reaches_the_bound_on_its_interval(design, granularity):
    assert schedule(design, granularity, "paced").interval_cycles == interval_bound_cycles(design, "paced")


def test_every_stage_accounts_for_its_whole_interval(design, granularity):
    for bounded in (design, size_buffers(design, granularity)):
        trace = schedule(bounded, granularity, "paced")
        work = np.array([stage.work_cycles for stage in design.stages])
        total = work * trace.period_frames + trace.waited.sum(axis=1)
        assert np.all(total == trace.period_cycles)
        blamed = trace.waited_on.sum(axis=0)
        assert blamed[0] == trace.waited[:, 0].sum()
        assert blamed[1] == trace.waited[:, 1].sum()


def test_the_steady_state_goes_on(design):
    until_steady = schedule(design, "row", "paced")
    longer = schedule(design, "row", "paced", frames=until_steady.frames + 5)
    assert np.all(np.diff(longer.completions[until_steady.frames - 1 :]) == until_steady.interval_cycles)


def test_joint_sizes_run_and_one_token_less_deadlocks(granularity):
    design = map_network(acs.load_network("mobilenet_v3_small", input_shape=(3, 32, 32)), MACHINE)
    sized = size_buffers(design, granularity)
    schedule(sized, granularity, "greedy", frames=2)
    capacities = dict(sized.mapping.capacities)
    buffers = {edge.producer: [e.name for e in design.edges if e.producer == edge.producer] for edge in design.edges}
    for names in list(buffers.values())[::4]:
        if capacities[names[0]] == 1:
            continue
        less = capacities | {name: capacities[name] - 1 for name in names}
        with pytest.raises(DeadlockError, match=r"deadlock at cycle [\d,]+: "):
            schedule(with_capacities(sized, less, granularity), granularity, "greedy", frames=2)


def test_joint_sizes_on_copied_forks_are_minimal_on_each_edge():
    machine = acs.load_accelerator("streaming-asic", {"fork": "copy"})
    sized = size_buffers(map_network(acs.load_network("mobilenet_v3_small", input_shape=(3, 32, 32)), machine))
    capacities = dict(sized.mapping.capacities)
    forks = [e.name for e in sized.edges if sum(o.producer == e.producer for o in sized.edges) > 1]
    for name in forks:
        if capacities[name] > 1:
            with pytest.raises(DeadlockError):
                schedule(with_capacities(sized, capacities | {name: capacities[name] - 1}), "row", "greedy", frames=1)


@pytest.mark.slow
def test_more_room_is_never_slower(design):
    sized = size_buffers(design)
    intervals = []
    for extra in (0, 1, 3, 50):
        room = {name: tokens + extra for name, tokens in sized.mapping.capacities.items()}
        intervals.append(schedule(with_capacities(sized, room), "row", "greedy").interval_cycles)
    assert intervals == sorted(intervals, reverse=True)
    assert intervals[-1] >= design.bottleneck_cycles


def test_the_critical_cycle_alone_gives_the_interval(design, granularity):
    """The certificate: with every buffer that is not on the cycle unbounded, the interval stays."""
    trace = schedule(size_buffers(design, granularity), granularity, "paced")
    cycle = critical_cycle(trace)
    assert cycle is not None
    assert cycle.interval_cycles == trace.interval_cycles > design.bottleneck_cycles
    assert cycle.kind == "buffers"
    kept = {n: c for n, c in trace.design.mapping.capacities.items() if n in cycle.edges}
    assert 0 < len(kept) < len(design.edges)
    alone = schedule(with_capacities(trace.design, kept), granularity, "paced")
    assert alone.interval_cycles == cycle.interval_cycles


def test_slack_can_be_spent_and_no_more():
    design = map_network(acs.load_network("resnet18", input_shape=(3, 32, 32)), MACHINE)
    trace = schedule(design, "row", "paced")
    slack = slack_cycles(trace)
    stage = max((s for s in design.stages if s.macs), key=lambda s: slack[s.name])
    firings = stage.fired.pixels // stage.together
    for spare, same in ((0, True), (1, False)):
        longer = stage.interval_cycles + int(slack[stage.name] // firings) + spare
        slowed = with_measured(design, stage.name, longer)
        assert (schedule(slowed, "row", "paced").interval_cycles == trace.interval_cycles) is same


def with_measured(design: Design, stage: str, interval_cycles: int) -> Design:
    mapping = acs.Mapping(
        design.mapping.unroll,
        measured={stage: acs.Measured(interval_cycles=interval_cycles)},
    )
    return map_network(design.network, design.accelerator, mapping=mapping)


def counted_levels(trace: Trace, edge: int) -> list[int]:
    """Tokens held in every cycle of a period, counted slot by slot over enough periods."""
    taken, freed = slots(trace, edge)
    period = trace.period_cycles
    held = np.zeros(period, np.int64)
    for begin, end in zip(taken, freed, strict=True):
        moments, counts = np.unique(np.arange(begin, end) % period, return_counts=True)
        held[moments] += counts
    return list(held)


def test_peaks_equal_a_count_of_every_slot_in_every_cycle():
    design = map_network(acs.load_network("mobilenet_v3_small", input_shape=(3, 32, 32)), MACHINE)
    trace = schedule(with_interval(design, design.bottleneck_cycles + 7), "row", "paced")
    peaks = peak_tokens(trace)
    for k, edge in enumerate(design.edges):
        held = counted_levels(trace, k)
        assert peaks[k] == max(held), edge.name
        times, level = levels(trace, [k])
        size = token_elements(edge.tensor, "row")
        at = np.searchsorted(times, np.arange(trace.period_cycles), side="right") - 1
        assert [int(level[i]) for i in at] == [count * size for count in held]


def test_a_shared_tensor_is_held_until_its_last_reader():
    design = map_network(acs.load_network("mobilenet_v3_small", input_shape=(3, 32, 32)), MACHINE)
    trace = schedule(design, "row", "paced")
    readers: dict[str, list[int]] = {}
    for k, edge in enumerate(design.edges):
        readers.setdefault(edge.producer, []).append(k)
    assert any(len(edges) > 1 for edges in readers.values())
    peaks, stored = peak_tokens(trace), stored_tokens(trace)
    for producer, edges in readers.items():
        assert peaks[edges].max() <= stored[design.position[producer]] <= peaks[edges].sum()


def test_a_greedy_source_and_unbounded_buffers_reach_the_bottleneck(design):
    trace = schedule(design, "row", "greedy")
    assert trace.steady or trace.growing
    assert trace.interval_cycles == Fraction(design.bottleneck_cycles)


def test_deadlock_names_the_cycle_and_the_buffer_to_grow():
    machine = acs.load_accelerator("streaming-asic", {"fork": "copy"})
    design = map_network(acs.load_network("resnet18", input_shape=(3, 32, 32)), machine)
    skip = next(edge for edge in design.edges if edge.role == "skip" and edge_bounds(design, "row")[edge.name] > 1)
    short = with_capacities(design, {skip.name: edge_bounds(design, "row")[skip.name] - 1})
    with pytest.raises(DeadlockError) as raised:
        schedule(short)
    text = str(raised.value)
    assert skip.name in text
    assert f"needs {edge_bounds(design, 'row')[skip.name]}" in text
    assert raised.value.exit_status == 3


def test_frames_must_be_positive():
    design = map_network(acs.load_network("resnet18", input_shape=(3, 32, 32)), MACHINE)
    with pytest.raises(InputError, match="frames = 0"):
        schedule(design, frames=0)


def test_a_stage_whose_output_nobody_needs_bounds_nothing():
    nodes = [
        Node("image", Input(4, (6,))),
        Node("token", Constant(4, (1,))),
        Node("dense", Dense(4), ("image",)),
        Node("join", Concat(0), ("token", "dense")),
        Node("first", Slice(0, 0, 1), ("join",)),
        Node("scaled", Dense(4), ("first",)),
    ]
    design = map_network(network("class-token", nodes, ["scaled"]), MACHINE)
    trace = schedule(design, "row", "paced")
    assert latency_bound_cycles(design, "row") <= completion(trace)
