"""Stages that share a port: who is served when, what it costs, and what can be said of it."""

from dataclasses import replace
from random import Random
from types import MappingProxyType

import numpy as np
import pytest

from accelsim.errors import DeadlockError
from accelsim.mapping.mapping import Measured
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node
from accelsim.network.layers import Combine, Dense, Input, Reduce
from accelsim.timing import simulate
from accelsim.timing.critical import critical_cycle
from accelsim.timing.kernels.pipeline import PORT, at_rest, run
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.simulate import schedule
from tests.random_networks import random_case, with_ports
from tests.timing.test_against_naive import compare, lowered
from tests.timing.test_by_hand import case as drawn_by_hand

NETWORKS = 150


def by_hand(nodes, outputs, cycles, ports, **fields):
    """A pipeline of pixels whose stages take the `cycles` given, and nothing more."""
    dense = {node.name: Unroll() for node in nodes if isinstance(node.layer, Dense)}
    case = drawn_by_hand(nodes, outputs, unroll=dense, **fields)
    measured = {name: Measured(interval_cycles=n, latency_cycles=0) for name, n in cycles.items()}
    mapping = replace(case.mapping, measured=MappingProxyType(measured), granularity=case.granularity)
    return replace(case, mapping=mapping, ports=MappingProxyType(dict(ports)))


def scheduled(case, frames=None):
    return schedule(lowered(case)[0], case.granularity, "greedy" if case.pace is None else "paced", frames)


def starts(case):
    """When all firings of the first frames start, by stage, which the clock must agree on."""
    compare(case, in_time_order=True)
    trace = scheduled(case, frames=1)
    return {stage.name: trace.starts(k, trace.first)[0].tolist() for k, stage in enumerate(trace.design.stages)}


PAIR = (
    Node("x", Input(1, (3,))),
    Node("y", Input(1, (3,))),
    Node("a", Dense(1), ("x",)),
    Node("b", Dense(1), ("y",)),
)


def test_the_first_to_ask_is_served_first_and_of_two_the_first_stage():
    cycles, ports = {"x": 2, "y": 3, "a": 4, "b": 4}, {"a": ("dram", 4), "b": ("dram", 4)}
    served = starts(by_hand(PAIR, ["a", "b"], cycles, ports))
    # a is ready at 2, b at 3; from then on each asks again when its firing ends, and finds the port taken
    assert served["a"] == [2, 10, 18]
    assert served["b"] == [6, 14, 22]
    together = starts(by_hand(PAIR, ["a", "b"], cycles | {"y": 2}, ports))
    assert together == served | {"y": [0, 2, 4]}


def test_a_port_is_free_again_while_a_firing_goes_on():
    cycles, ports = {"x": 2, "y": 2, "a": 4, "b": 4}, {"a": ("dram", 1), "b": ("dram", 1)}
    served = starts(by_hand(PAIR, ["a", "b"], cycles, ports))
    assert served["a"] == [2, 6, 10]
    assert served["b"] == [3, 7, 11]


def test_waits_at_a_port_are_charged_to_it():
    cycles, ports = {"x": 2, "y": 3, "a": 4, "b": 4}, {"a": ("dram", 4), "b": ("dram", 4)}
    trace = scheduled(by_hand(PAIR, ["a", "b"], cycles, ports, pace=24, frames=1))
    assert trace.steady
    assert trace.shared
    stages = [stage.name for stage in trace.design.stages]
    waited = dict(zip(stages, trace.waited[:, PORT].tolist(), strict=True))
    # tokens are offered every 8 cycles; a asks 2 later, b 3, when a has the port until 6. b's firing is over at 10,
    # and stands still until 14: all of it is charged to the port, which is free last
    assert waited == {"x": 0, "y": 0, "a": 0, "b": 3 * 4}
    assert critical_cycle(trace).kind == "source"


def test_more_bandwidth_can_be_slower():
    """An anomaly of first come, first served: what is fetched sooner asks sooner for a long turn.

    `late` depends on `load`; `next` does not, and is what the long work at the end waits for.
    """
    nodes = [
        Node("load", Input(1, (1,))),
        Node("other", Input(1, (1,))),
        Node("late", Dense(1), ("load",)),
        Node("next", Dense(1), ("other",)),
        Node("work", Dense(1), ("next",)),
    ]
    ends = {}
    for cycles_a_word in (3, 2):
        held = {"load": 2 * cycles_a_word, "late": 5 * cycles_a_word, "next": cycles_a_word}
        ports = {name: ("dram", cycles) for name, cycles in held.items()}
        case = by_hand(nodes, ["late", "work"], held | {"other": 5, "work": 20}, ports)
        served = starts(case)
        ends[cycles_a_word] = served["work"][0] + 20
        assert scheduled(case, frames=1).completions[0] == ends[cycles_a_word]
    # slow: `next` is ready at 5, `late` at 6 when the port is free; fast: `late` has it from 4 to 14
    assert ends == {3: 6 + 3 + 20, 2: 14 + 2 + 20}


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_with_one_requester_a_port_less_work_is_never_slower(granularity):
    faster = 0
    for seed in range(NETWORKS):
        rng = Random(f"alone {granularity} {seed}")
        case = random_case(rng, granularity)
        stages = lowered(case)[0].stages
        case = replace(case, ports={s.name: (s.name, rng.randint(1, 3 * s.interval_cycles)) for s in stages})
        _, slow = lowered(case)
        fields = ("interval", "occupancy", "latency")
        less = {name: np.array([rng.randint(int(v > 0), v) for v in getattr(slow, name)]) for name in fields}
        times = []
        for pipeline in (slow, slow._replace(**less)):
            state = at_rest(pipeline, case.frames, by_row=True)
            run(pipeline, state, case.frames - 1, case.frames, 0, case.pace or 0)
            times.append((state.fired, state.last))
        assert np.array_equal(times[0][0], times[1][0])
        assert np.all(times[1][1] <= times[0][1])
        faster += np.any(times[1][1] < times[0][1])
    assert faster > NETWORKS // 2


def outcome(case, frames):
    try:
        return scheduled(case, frames)
    except DeadlockError as error:
        return str(error)


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_the_length_of_the_ring_changes_nothing(granularity, monkeypatch):
    lengthened = 0
    for seed in range(NETWORKS):
        rng = Random(f"ring {granularity} {seed}")
        case = with_ports(rng, random_case(rng, granularity))
        frames = 12
        traces = []
        for ahead, longest in ((1, 1), (30, 1)):
            monkeypatch.setattr(simulate, "AHEAD", ahead)
            monkeypatch.setattr(simulate, "LONGEST_PERIOD", longest)
            monkeypatch.setattr(simulate._Run, "_lengthen", counted(lengths := [], simulate._Run._lengthen))
            traces.append(outcome(case, frames))
            monkeypatch.undo()
            lengthened += bool(lengths)
        short, long = traces
        if isinstance(short, str) or isinstance(long, str):
            assert short == long
            continue
        for name in ("first", "last", "waited", "waited_on", "completions", "alone_last"):
            assert np.array_equal(getattr(short, name), getattr(long, name)), name
    assert lengthened > NETWORKS // 20


def counted(calls, method):
    def wrapped(self, oldest):
        calls.append(oldest)
        return method(self, oldest)

    return wrapped


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_finite_runs_are_those_of_a_machine_that_is_left_empty(granularity):
    through = 0
    for seed in range(NETWORKS):
        rng = Random(f"finite {granularity} {seed}")
        case = with_ports(rng, random_case(rng, granularity))
        trace = outcome(case, case.frames)
        if isinstance(trace, str):
            assert compare(case, in_time_order=True)
            continue
        through += 1
        design, pipeline = lowered(case)
        state = at_rest(pipeline, case.frames, by_row=True)
        run(pipeline, state, case.frames - 1, case.frames, 0, case.pace or 0)
        ends = [pipeline.first_firing[k + 1] - 1 for k, s in enumerate(design.stages) if s.name in design.output_stages]
        assert trace.completions.tolist() == state.last[:, ends].max(axis=1).tolist()
        assert trace.frames == case.frames
        assert np.all(peak_tokens(trace, alone=True) >= 1)
    assert through > NETWORKS // 2


def test_a_part_that_is_stuck_is_told_while_the_rest_goes_on():
    nodes = [
        Node("x", Input(1, (3,))),
        Node("y", Input(1, (6,))),
        Node("a", Dense(1), ("x",)),
        Node("mean", Reduce("mean"), ("y",)),
        Node("gated", Combine("multiply"), ("y", "mean")),
    ]
    ports = {"x": ("dram", 1), "a": ("dram", 1)}
    case = by_hand(nodes, ["a", "gated"], {}, ports, capacities={"y -> gated": 5})
    with pytest.raises(DeadlockError, match=r"deadlock at cycle [\d,]+: .*y waits for space on y -> gated"):
        scheduled(case)
