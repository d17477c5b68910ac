"""The kernel and a clock that counts cycles agree on when everything happens, on waits, and on what gets stuck."""

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.mapping.design import bind, with_interval
from accelsim.network.layers import KINDS, Combine, Concat
from accelsim.timing.kernels.pipeline import PORT, STUCK, THROUGH, State, at_rest, run
from accelsim.timing.lower import lower
from tests import naive
from tests.random_networks import random_case, with_ports

NETWORKS = 1000
#: Fields of a state that are the same in whatever order stages were fired.
ORDER_FREE = State._fields.index("port_free_at")
DRAWN = (
    "1-D", "2-D", "3-D", "several inputs", "several outputs", "forks", "tiled gates", "joins in space",
    "pixels together", "measured", "bounded", "unbounded", "greedy", "paced", "shared", "copy", "1 frames", "4 frames",
    "windows overlap", "windows apart",
)  # fmt: skip


def lowered(case):
    design = with_interval(bind(case.net, case.accelerator, case.mapping), case.pace)
    held = {name: {"port": port, "occupancy_cycles": cycles} for name, (port, cycles) in case.ports.items()}
    design = replace(design, stages=tuple(replace(stage, **held.get(stage.name, {})) for stage in design.stages))
    return design, lower(design, case.granularity, "greedy" if case.pace is None else "paced")


def kernel_times(case, in_time_order=False):
    """Arrivals int64[frames, firings] and firings done, of frames one after the other or of all at once."""
    design, pipeline = lowered(case)
    state = at_rest(pipeline, case.frames, by_row=True)
    state.first[:], state.last[:] = -1, -1
    frames, most = range(case.frames), case.frames
    for through in frames[-1:] if in_time_order else frames:
        status = run(pipeline, state, through, most if in_time_order else through + 1, 0, case.pace or 0)
        if status != THROUGH:
            assert status == STUCK
            return design, pipeline, state, through
    return design, pipeline, state, None


def naive_stages(case, peaks_from=0):
    engine = case.accelerator.engine
    machine = naive.Machine(
        engine.lanes,
        engine.mac_latency_cycles,
        engine.lane_latency_cycles,
        case.accelerator.fork == "copy",
        engine.window_frames == "apart",
    )
    mapping = case.mapping
    stages = naive.build(
        case.net, machine, mapping.unroll, mapping.measured, mapping.capacities, case.granularity, case.pace, case.ports
    )
    naive.run(stages, case.frames, case.pace or 0, peaks_from)
    return stages


def compare(case, in_time_order=False):
    """Asserts that both agree; whether the case got stuck."""
    design, pipeline, state, stuck = kernel_times(case, in_time_order)
    stages = naive_stages(case)
    assert [stage.name for stage in stages] == [stage.name for stage in design.stages]
    for position, stage in enumerate(stages):
        begin, firings = pipeline.first_firing[position], pipeline.firings[position]
        assert stage.firings == firings
        done = state.fired[position]
        # frame by frame, stages that are not stuck may go on with later frames
        most = case.frames if stuck is None or in_time_order else stuck + 1
        mine = stage.results[: most * firings]
        assert len(mine) == done, f"{stage.name} fired {done} times, naively {len(mine)}"
        span = slice(begin, begin + firings)
        started = state.first[:, span].ravel()[:done] - pipeline.first_offset[position] - pipeline.latency[position]
        arrived = state.last[:, span].ravel()[:done]
        assert started.tolist() == [token.started_at for token in mine], f"starts of {stage.name}"
        assert arrived.tolist() == [token.last_at for token in mine], f"arrivals of {stage.name}"
        if most == case.frames:
            assert state.waited[:, position].sum(axis=0).tolist() == list(stage.waited.values()), (
                f"waits of {stage.name}"
            )
    return stuck is not None


@pytest.fixture(scope="module", params=["row", "pixel"])
def cases(request):
    return [random_case(Random(f"{request.param} {seed}"), request.param) for seed in range(NETWORKS)]


@pytest.mark.slow
def test_a_thousand_networks_agree_cycle_for_cycle(cases, record_property):
    deadlocked = sum(compare(case) for case in cases)
    record_property("networks", NETWORKS)
    record_property("deadlocked", deadlocked)
    assert NETWORKS // 10 <= deadlocked <= NETWORKS // 2, f"{deadlocked} of {NETWORKS} networks got stuck"


def sharing(case, seed):
    """`case` with stages at ports; every other one offers frames at less than what all of it can take."""
    case = with_ports(Random(f"ports {seed}"), case)
    return case if seed % 2 or case.pace is None else replace(case, pace=2 * case.pace)


@pytest.mark.slow
def test_a_thousand_networks_with_ports_agree_cycle_for_cycle(cases, record_property):
    shared = [sharing(case, seed) for seed, case in enumerate(cases)]
    deadlocked = sum(compare(case, in_time_order=True) for case in shared)
    waiting = sum(bool(kernel_times(case, in_time_order=True)[2].waited[..., PORT].any()) for case in shared)
    record_property("deadlocked", deadlocked)
    record_property("waited at a port", waiting)
    assert NETWORKS // 10 <= deadlocked <= NETWORKS // 2, f"{deadlocked} of {NETWORKS} networks got stuck"
    assert waiting > NETWORKS // 2


@pytest.mark.slow
def test_time_order_changes_nothing_where_nothing_is_shared(cases):
    for case in cases:
        alone = {
            stage.name: (f"port {k}", stage.interval_cycles) for k, stage in enumerate(lowered(case)[0].stages) if k % 3
        }
        _, _, by_frame, stuck = kernel_times(case)
        if stuck is None:
            _, _, by_time, _ = kernel_times(replace(case, ports=alone), in_time_order=True)
            for mine, other in zip(by_frame[:ORDER_FREE], by_time[:ORDER_FREE], strict=True):
                assert np.array_equal(mine, other)


def test_the_networks_have_everything_in_them(cases):
    drawn = Counter()
    for case in cases:
        nodes = case.net.nodes
        readers = [len(consumers) for consumers in case.net.consumers.values()]
        drawn.update({node.kind for node in nodes})
        drawn.update({f"{len(tensor.spatial)}-D" for tensor in case.net.tensors.values()})
        drawn["several inputs"] += len(case.net.inputs) > 1
        drawn["several outputs"] += len(case.net.outputs) > 1
        drawn["forks"] += max(readers) > 1
        drawn["tiled gates"] += any(isinstance(n.layer, Combine) and n.layer.repeat != () for n in nodes)
        drawn["joins in space"] += any(isinstance(n.layer, Concat) and n.layer.axis >= 0 for n in nodes)
        drawn["pixels together"] += any(unroll.pixels > 1 for unroll in case.mapping.unroll.values())
        drawn["measured"] += bool(case.mapping.measured)
        drawn["bounded" if case.mapping.capacities else "unbounded"] += 1
        drawn["greedy" if case.pace is None else "paced"] += 1
        drawn[case.accelerator.fork] += 1
        drawn[f"windows {case.accelerator.engine.window_frames}"] += 1
        drawn[f"{case.frames} frames"] += 1
    wanted = {*KINDS, *DRAWN}
    assert {name: drawn[name] for name in wanted if drawn[name] < NETWORKS // 100} == {}


@settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), granularity=st.sampled_from(["row", "pixel"]))
def test_any_network_agrees(rng, granularity):
    case = random_case(rng, granularity)
    compare(case)
    compare(with_ports(rng, case), in_time_order=True)
