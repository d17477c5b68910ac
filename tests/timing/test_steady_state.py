"""What `schedule` says goes on for ever does, on random networks followed for longer."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from accelsim.errors import DeadlockError
from accelsim.timing.kernels.pipeline import SHORT, STUCK, at_rest, lengthened, run
from accelsim.timing.simulate import UNLIMITED, schedule
from accelsim.timing.waits import is_stuck
from tests.random_networks import random_case, with_ports
from tests.timing.test_against_naive import lowered

NETWORKS = 300
#: Frames beyond which a run is not followed, and how many of them must go on as promised.
MOST_FRAMES = 400
FURTHER = 20


def followed(case, frames):
    """Arrivals int64[frames, firings] with more frames to come; None where they do not all happen."""
    _, pipeline = lowered(case)
    shared = (pipeline.port >= 0).any()
    state = at_rest(pipeline, frames, by_row=True)
    for through in range(frames):
        most = UNLIMITED if shared else through + 1
        while (status := run(pipeline, state, through, most, frames, case.pace or 0)) == SHORT:
            if is_stuck(pipeline, state):
                return None
            held = state.last.shape[0]
            state = lengthened(state, np.arange(held), held + frames)
        if status == STUCK:
            return None
    return state.first[:frames], state.last[:frames]


def follow(case):
    """Asserts that a schedule holds; returns what became of it."""
    design, pipeline = lowered(case)
    try:
        trace = schedule(design, case.granularity, "greedy" if case.pace is None else "paced")
    except DeadlockError:
        assert followed(case, MOST_FRAMES) is None
        return "deadlock"
    if trace.frames + FURTHER > MOST_FRAMES:
        return "too long to follow"
    assert trace.steady or trace.growing
    first, last = followed(case, trace.frames + FURTHER)
    ends = [pipeline.first_firing[k + 1] - 1 for k, s in enumerate(design.stages) if s.name in design.output_stages]
    period, since = trace.period_frames, trace.frames - trace.period_frames
    rates = last[since + period :, ends] - last[since:-period, ends]
    assert (rates.max(axis=1) == trace.period_cycles).all()
    if trace.steady:
        assert (last[since : trace.frames] == trace.last).all()
        for times in (first, last):
            assert (times[since + period :] - times[since:-period] == trace.period_cycles).all()
        busy = np.array([stage.work_cycles for stage in design.stages]) * period
        assert (busy + trace.waited.sum(axis=1) == trace.period_cycles).all()
    return "shared and steady" if trace.shared else "steady" if trace.steady else "growing"


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_schedules_of_random_networks_hold(granularity):
    became = Counter(follow(random_case(Random(f"long {granularity} {k}"), granularity)) for k in range(NETWORKS))
    assert all(became[kind] >= NETWORKS // 50 for kind in ("steady", "growing", "deadlock")), became
    assert became["too long to follow"] <= NETWORKS // 20, became


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_schedules_of_networks_with_ports_hold(granularity):
    became = Counter()
    for k in range(NETWORKS):
        rng = Random(f"ports long {granularity} {k}")
        case = with_ports(rng, random_case(rng, granularity))
        became[follow(case)] += 1
    assert all(became[kind] >= NETWORKS // 50 for kind in ("shared and steady", "deadlock")), became
