"""What `schedule` says goes on for ever does, on random networks fired frame by frame."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from accelsim.errors import DeadlockError
from accelsim.mapping.design import bind, with_interval
from accelsim.timing.simulate import schedule
from tests.random_networks import random_case
from tests.timing.test_against_naive import kernel_times

NETWORKS = 300
#: Frames beyond which a run is not followed, and how many of them must go on as promised.
MOST_FRAMES = 400
FURTHER = 20


def follow(case):
    """Asserts that a schedule holds; returns what became of it."""
    source = "greedy" if case.pace is None else "paced"
    design = with_interval(bind(case.net, case.accelerator, case.mapping), case.pace)
    try:
        trace = schedule(design, case.granularity, source)
    except DeadlockError:
        stuck = kernel_times(replace(case, frames=MOST_FRAMES))[3]
        assert stuck is not None
        return "deadlock"
    if trace.frames + FURTHER > MOST_FRAMES:
        return "too long to follow"
    assert trace.steady or trace.growing
    _, pipeline, state, stuck = kernel_times(replace(case, frames=trace.frames + FURTHER))
    assert stuck is None
    ends = [pipeline.first_firing[k + 1] - 1 for k, s in enumerate(design.stages) if s.name in design.output_stages]
    period, since = trace.period_frames, trace.frames - trace.period_frames
    rates = state.last[since + period :, ends] - state.last[since:-period, ends]
    assert (rates.max(axis=1) == trace.period_cycles).all()
    if trace.steady:
        assert (state.last[since : trace.frames] == trace.last).all()
        for times in (state.first, state.last):
            assert (times[since + period :] - times[since:-period] == trace.period_cycles).all()
    return "steady" if trace.steady else "growing"


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_schedules_of_random_networks_hold(granularity):
    became = Counter(follow(random_case(Random(f"long {granularity} {k}"), granularity)) for k in range(NETWORKS))
    assert all(became[kind] >= NETWORKS // 50 for kind in ("steady", "growing", "deadlock")), became
    assert became["too long to follow"] <= NETWORKS // 20, became
