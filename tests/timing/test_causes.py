"""Causes of single firings: on random networks their sums are what the kernel charged, and nothing else can bind."""

from random import Random

import numpy as np
import pytest

from accelsim.errors import DeadlockError
from accelsim.timing.causes import Causes, from_rest
from tests.random_networks import random_case, with_ports
from tests.timing.test_ports import scheduled

NETWORKS = 60


def charged(trace):
    """Cycles by stage and cause, and by edge, summed over all firings."""
    waited, waited_on = np.zeros_like(trace.waited), np.zeros_like(trace.waited_on)
    causes = Causes(trace)
    for stage in range(len(trace.design.stages)):
        one = causes.of(stage)
        assert np.array_equal(one.after.until, one.end)
        own = one.start + trace.pipeline.interval[stage]
        for held, cycles in ((one.before, one.start - one.free), (one.after, one.end - own)):
            assert cycles.min() >= 0
            assert not np.any(cycles[held.cause < 0])
            np.add.at(waited[stage], held.cause[held.cause >= 0], cycles[held.cause >= 0])
            on = held.edge >= 0
            np.add.at(waited_on, (held.edge[on], held.cause[on]), cycles[on])
    return waited, waited_on


@pytest.mark.parametrize("granularity", ["row", "pixel"])
@pytest.mark.parametrize("ports", [False, True], ids=["alone", "ports"])
def test_causes_sum_to_what_the_kernel_charged(granularity, ports):
    steady = 0
    for seed in range(NETWORKS):
        rng = Random(seed)
        case = random_case(rng, granularity)
        case = with_ports(rng, case) if ports else case
        try:
            trace = scheduled(case, frames=None if seed % 2 else 4)
        except DeadlockError:
            continue
        if trace.growing:
            continue
        whole = trace if trace.steady else from_rest(trace)
        waited, waited_on = charged(whole)
        assert np.array_equal(waited, whole.waited), seed
        assert np.array_equal(waited_on, whole.waited_on), seed
        steady += trace.steady
    assert steady > NETWORKS // 4


def test_a_run_from_rest_ends_in_the_frames_that_were_kept():
    trace = scheduled(random_case(Random(1), "row"), frames=5)
    whole = from_rest(trace)
    assert whole.last.shape[0] == 5
    assert np.array_equal(whole.last[-trace.period_frames :], trace.last)
    assert np.array_equal(whole.last[0], trace.alone_last)
