"""The kernel and a clock that counts cycles agree on when everything happens, and on what gets stuck."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.mapping.design import bind, with_interval
from accelsim.network.layers import KINDS, Combine, Concat
from accelsim.timing.kernels.pipeline import State, run_frame
from accelsim.timing.lower import lower
from tests import naive
from tests.random_networks import random_case

NETWORKS = 1000
DRAWN = (
    "1-D", "2-D", "3-D", "several inputs", "several outputs", "forks", "tiled gates", "joins in space",
    "pixels together", "measured", "bounded", "unbounded", "greedy", "paced", "shared", "copy", "1 frames", "4 frames",
    "windows overlap", "windows apart",
)  # fmt: skip


def kernel_times(case):
    """Arrivals int64[frames, firings] and firings done in the frame that got stuck, if any."""
    design = with_interval(bind(case.net, case.accelerator, case.mapping), case.pace)
    pipeline = lower(design, case.granularity, "greedy" if case.pace is None else "paced")
    stages, edges = len(design.stages), len(design.edges)
    shape = (case.frames, int(pipeline.first_firing[-1]))
    state = State(
        first=np.full(shape, -1),
        last=np.full(shape, -1),
        free_at=np.zeros(stages, np.int64),
        done=np.zeros(stages, np.int64),
        waited=np.zeros((stages, 3), np.int64),
        waited_on=np.zeros((edges, 2), np.int64),
    )
    for frame in range(case.frames):
        if run_frame(pipeline, state, frame, case.pace or 0):
            return design, pipeline, state, frame
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
        case.net, machine, mapping.unroll, mapping.measured, mapping.capacities, case.granularity, case.pace
    )
    naive.run(stages, case.frames, case.pace or 0, peaks_from)
    return stages


def compare(case):
    """Asserts that both agree; whether the case got stuck."""
    design, pipeline, state, stuck = kernel_times(case)
    stages = naive_stages(case)
    assert [stage.name for stage in stages] == [stage.name for stage in design.stages]
    for position, stage in enumerate(stages):
        begin, firings = pipeline.first_firing[position], pipeline.firings[position]
        assert stage.firings == firings
        done = case.frames * firings if stuck is None else stuck * firings + state.done[position]
        # stages that are not stuck may go on with later frames
        mine = stage.results if stuck is None else stage.results[: (stuck + 1) * firings]
        assert len(mine) == done, f"{stage.name} fired {done} times, naively {len(mine)}"
        span = slice(begin, begin + firings)
        started = state.first[:, span].ravel()[:done] - pipeline.first_offset[position] - pipeline.latency[position]
        arrived = state.last[:, span].ravel()[:done]
        assert started.tolist() == [token.started_at for token in mine], f"starts of {stage.name}"
        assert arrived.tolist() == [token.last_at for token in mine], f"arrivals of {stage.name}"
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
    compare(random_case(rng, granularity))
