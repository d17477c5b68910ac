"""Certificates and advice on random networks: what they claim is what simulating the changed design gives."""

from dataclasses import replace
from fractions import Fraction
from math import lcm
from random import Random
from types import MappingProxyType

import pytest

import accelsim as acs
from accelsim.errors import DeadlockError, InfeasibleError, InputError, NotModelled
from accelsim.mapping.blocks import block_unrolls
from accelsim.mapping.design import bind, with_capacities, with_interval
from accelsim.mapping.steps import roomier, wider_choices, with_steps
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import loop_nest
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Convolution, Input
from accelsim.timing.advice import what_would_buy
from accelsim.timing.certificate import certify
from accelsim.timing.simulate import schedule
from accelsim.timing.sizing.pacing import Blockage, Pacing
from accelsim.timing.words.simulate import schedule_words
from tests.random_networks import random_case

SEEDS = range(60)


def convolution(channels, size=3, stride=1):
    pad = size // 2
    return Convolution(channels, (size, size), (stride, stride), ((pad, pad), (pad, pad)), (1, 1))


def random_design(seed, granularity, streamed=False):
    """A design that does not deadlock, with a source that keeps up; None where it does."""
    case = random_case(Random(seed), granularity)
    machine = case.accelerator
    if streamed:
        machine = machine.model_copy(update={"engine": machine.engine.model_copy(update={"window_frames": "streamed"})})
    design = bind(case.net, machine, case.mapping)
    try:
        schedule(design, granularity, "paced", 1)
    except DeadlockError:
        return None
    return design


def certified(granularity, streamed=False):
    for seed in SEEDS:
        design = random_design(seed, granularity, streamed)
        if design is not None:
            yield seed, design, certify(design, granularity, "paced")


@pytest.fixture(scope="module", params=["row", "pixel", "streamed row", "streamed pixel"])
def designs(request):
    granularity = request.param.split()[-1]
    return granularity, list(certified(granularity, request.param.startswith("streamed")))


def test_the_cycle_alone_gives_the_interval(designs):
    granularity, cases = designs
    kinds = set()
    for seed, design, found in cases:
        trace = schedule(design, granularity, "paced")
        assert found.certified is trace.steady, seed
        if not found.certified:
            assert found.reason, seed
            continue
        kinds.add(found.kind)
        assert found.interval_cycles == trace.interval_cycles == Fraction(found.weight_cycles, found.frames), seed
        assert found.alone_cycles == found.interval_cycles, seed
    assert kinds == {"stage", "buffers"}


def test_every_gain_is_what_the_changed_design_comes_to(designs):
    """The claim against a design that is bound anew from the changed mapping.

    Pixels that are worked on together wait for the last of them, so that more of these can be slower.
    """
    granularity, cases = designs
    kinds, shorter = set(), 0
    for seed, design, found in cases:
        for gain in found.gains:
            step = gain.step
            mapping = replace(
                design.mapping,
                unroll=MappingProxyType({**design.mapping.unroll} | ({step.name: step.unroll} if step.unroll else {})),
                capacities=MappingProxyType({**design.mapping.capacities} | dict.fromkeys(step.edges, step.after)),
            )
            engine = design.accelerator.engine.model_copy(update={"multipliers": 10**9})
            changed = bind(design.network, design.accelerator.model_copy(update={"engine": engine}), mapping)
            if gain.interval_cycles is None:
                assert step.unroll.pixels > 1
                with pytest.raises(DeadlockError):
                    schedule(changed, granularity, "paced")
                continue
            assert schedule(changed, granularity, "paced").interval_cycles == gain.interval_cycles, (seed, step)
            if step.unroll is None or step.unroll.pixels == 1:
                assert gain.interval_cycles <= found.interval_cycles, (seed, step)
            kinds.add(step.kind)
            shorter += gain.interval_cycles < found.interval_cycles
    assert kinds == {"multipliers", "capacity"}
    assert shorter > 0


def test_nothing_off_the_cycle_gains(designs):
    granularity, cases = designs
    tried = 0
    for seed, design, found in cases:
        if not found.certified:
            continue
        kept = with_interval(design, design.pace_cycles)
        on_cycle = {edge for gain in found.gains for edge in gain.step.edges}
        off_cycle = [stage for stage in design.stages if stage.name not in found.stages]
        steps = [
            *(s for stage in off_cycle for s in _next(design, stage, granularity)),
            *(s for edge in design.edges if edge.name not in on_cycle and (s := roomier(design, edge))),
        ]
        for step in [step for step in steps if step.unroll is None or step.unroll.pixels == 1][:4]:
            changed = with_steps(kept, [step])
            assert schedule(changed, granularity, "paced").interval_cycles == found.interval_cycles, (seed, step)
            tried += 1
    assert tried > 30


def _next(design, stage, granularity):
    return wider_choices(design, stage, granularity)[:1]


@pytest.mark.parametrize("percent", [3, 10, 40])
def test_advice_reaches_what_is_sought_and_no_step_can_be_less(percent):
    reached = 0
    for seed in SEEDS:
        design = random_design(seed, "row")
        if design is None:
            continue
        try:
            advice = what_would_buy(design, percent, "row", "paced")
        except (InfeasibleError, NotModelled):
            continue
        free = with_interval(design, None)
        assert advice.interval_cycles == schedule(free, "row", "paced").interval_cycles
        assert advice.reached_cycles <= advice.sought_cycles == advice.interval_cycles * (100 - percent) / 100
        assert schedule(with_steps(free, advice.steps), "row", "paced").interval_cycles == advice.reached_cycles
        for step, gain in zip(advice.steps, advice.alone, strict=True):
            others = [other for other in advice.steps if other is not step]
            less = replace(step, after=step.after - 1) if step.kind == "capacity" else None
            without = with_steps(free, others if less is None or less.after == step.before else [*others, less])
            assert schedule(without, "row", "paced").interval_cycles > advice.sought_cycles, (seed, step)
            assert gain.interval_cycles is None or gain.interval_cycles >= advice.reached_cycles, (seed, step)
        reached += 1
    assert reached > 5


def chain(machine="streaming-asic", multipliers=2, **settings):
    nodes = [Node("image", Input(4, (8, 8)))]
    for k in range(3):
        nodes.append(Node(f"conv{k}", convolution(4), (nodes[-1].name,)))
    net = network("chain", nodes, ["conv2"])
    mapping = acs.Mapping(MappingProxyType({f"conv{k}": Unroll(multipliers) for k in range(3)}))
    return acs.map_network(net, acs.load_accelerator(machine, settings), mapping=mapping)


def test_bottlenecks_that_take_equally_long_are_raised_together():
    design = chain()
    found = certify(design)
    assert found.kind == "stage"
    assert [gain.interval_cycles for gain in found.gains] == [found.interval_cycles] * 3
    advice = what_would_buy(design, 10)
    assert {step.name for step in advice.steps} == {"conv0", "conv1", "conv2"}
    assert all(gain.interval_cycles == found.interval_cycles for gain in advice.alone)
    # 3x3x4x4 products by 2 multipliers; the next divisor is 3
    assert advice.interval_cycles == 64 * 144 // 2
    assert advice.reached_cycles == 64 * 144 // 3
    assert advice.added_multipliers == 3


def test_a_source_that_sets_the_pace_is_named():
    design = chain()
    slow = with_interval(design, 10_000)
    found = certify(slow)
    assert (found.kind, found.weight_cycles, found.gains, found.alone_cycles) == ("source", 10_000, (), 10_000)


def test_more_than_there_is_cannot_be_bought():
    design = chain(multipliers=4)
    with pytest.raises(InfeasibleError, match="conv0 takes 2,304 cycles a frame"):
        what_would_buy(design, 99.9)
    for percent in (0, 100, -3, 400):
        with pytest.raises(InputError, match="not above 0 and below 100"):
            what_would_buy(design, percent)
    with pytest.raises(InputError, match="a str is no Design"):
        what_would_buy("resnet18")
    with pytest.raises(InputError, match="a str is no Design"):
        certify("resnet18")


def test_shared_ports_and_segments_are_refused_in_words():
    net = acs.load_network("resnet18")
    ported = acs.map_network(net, acs.load_accelerator("feature-map-npu"), mapping="pipeline")
    found = certify(ported)
    assert not found.certified
    assert "share a port" in found.reason
    with pytest.raises(NotModelled, match="share a port"):
        what_would_buy(ported)
    turns = acs.map_network(net, acs.load_accelerator("feature-map-npu"), mapping="layer-by-layer")
    assert "segments take turns" in certify(turns).reason
    with pytest.raises(NotModelled, match="segments that take turns"):
        what_would_buy(turns)


def residual(depth, unroll):
    nodes = [
        Node("image", Input(4, (12, 12))),
        Node("conv", convolution(4), ("image",)),
        Node("add", Combine("add"), ("conv", "image")),
    ]
    machine = acs.load_accelerator("fpga-stream", {"blocks.fifo_depth": 0, "source": "greedy"})
    mapping = acs.Mapping(
        MappingProxyType({"conv": unroll}), MappingProxyType({"image -> add": depth}), granularity="word"
    )
    return acs.map_network(network("residual", nodes, ["add"]), machine, mapping=mapping)


@pytest.mark.slow
def test_by_words_a_queue_or_a_stage_is_at_fault():
    kinds = {}
    for depth in range(14, 40):
        design = residual(depth, Unroll(4, 4, 9))
        try:
            found = certify(design)
        except DeadlockError:
            continue
        kinds[found.kind] = kinds.get(found.kind, 0) + 1
        assert found.certified
        for gain in found.gains:
            changed = with_steps(design, [gain.step])
            assert schedule_words(changed).interval_cycles == gain.interval_cycles
            if gain.interval_cycles < found.interval_cycles and gain.step.kind == "capacity":
                assert found.edges == (gain.step.name,)
    assert set(kinds) >= {"queues"}
    assert len(kinds) > 1


@pytest.mark.slow
def test_by_words_what_is_bought_is_what_is_needed():
    shallow, deep = residual(18, Unroll(4, 4, 9)), residual(4096, Unroll(4, 4, 9))
    slow, fast = (schedule_words(design).interval_cycles for design in (shallow, deep))
    assert fast < slow
    percent = float(100 - 100 * fast / slow) * 0.999
    advice = what_would_buy(shallow, percent)
    (step,) = advice.steps
    assert step.kind == "capacity"
    assert schedule_words(residual(step.after, Unroll(4, 4, 9))).interval_cycles <= advice.sought_cycles
    assert schedule_words(residual(step.after - 1, Unroll(4, 4, 9))).interval_cycles > advice.sought_cycles


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_words_at_what_takes_none_are_refused(granularity):
    """Lanes that move several pixels together have no queue of single words before them."""
    design = residual(2, Unroll(4, 4))
    engine = design.accelerator.engine.model_copy(update={"window_frames": "streamed"})
    machine = design.accelerator.model_copy(update={"engine": engine})
    with pytest.raises(NotModelled, match="capacities in words by rows or pixels on image -> add"):
        schedule(bind(design.network, machine, design.mapping), granularity, "greedy")
    one = {"image": acs.Measured(1), "add": acs.Measured(1), "conv": acs.Measured(9)}
    mapping = replace(design.mapping, measured=MappingProxyType(one))
    with pytest.raises(DeadlockError, match=r"image waits for space on image -> add \(2 words, all taken\)"):
        schedule(bind(design.network, machine, mapping), granularity, "greedy")


def test_unrollings_of_blocks_are_those_that_blocks_have():
    design = residual(64, Unroll(2, 2))
    nest = loop_nest(design.network, design.network.by_name["conv"])
    found = block_unrolls(nest)
    assert [unroll.multipliers for unroll in found] == sorted({unroll.multipliers for unroll in found})
    assert {unroll.multipliers for unroll in found} == {i * o * w for i in (1, 2, 4) for o in (1, 2, 4) for w in (1, 9)}
    steps = wider_choices(design, design.stage_by_name["conv"], "word")
    assert [step.after for step in steps] == [unroll.multipliers for unroll in found if unroll.multipliers > 4]


def test_a_shared_fork_has_one_buffer_to_enlarge():
    design = acs.map_network(acs.load_network("resnet18"), acs.load_accelerator("streaming-asic"))
    small = acs.size_buffers(design)
    edge = next(edge for edge in small.edges if len(small.edges_from[edge.producer]) == 2)
    step = roomier(small, edge)
    assert step.name == edge.producer
    larger = with_steps(small, [step])
    capacities = {e.name: e.capacity + (e.producer == edge.producer) for e in small.edges}
    assert [e.capacity for e in larger.edges] == [e.capacity for e in with_capacities(small, capacities).edges]
    assert lcm(1, *(e.capacity for e in larger.edges_from[edge.producer])) == edge.capacity + 1


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_a_frame_every_interval_can_be_and_none_sooner(granularity):
    """The interval of streamed windows, beside the constraints of a frame that repeats, decided without running any."""
    compared = 0
    for seed in SEEDS:
        design = random_design(seed, granularity, streamed=True)
        if design is None:
            continue
        trace = schedule(design, granularity, "greedy")
        interval = trace.interval_cycles
        if trace.steady and interval.denominator == 1:
            assert _repeats(trace.pipeline, int(interval)), seed
            assert not _repeats(trace.pipeline, int(interval) - 1), seed
            compared += 1
    assert compared >= 15


def _repeats(pipeline, pace):
    pacing = Pacing(pipeline, pace)
    return pacing.free is not None and not isinstance(pacing.within(pipeline.capacity), Blockage)
