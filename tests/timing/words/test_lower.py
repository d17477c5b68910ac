"""Networks as blocks: those that are the measured chains give the measured figures."""

import json
from importlib import resources
from types import MappingProxyType

import pytest

import accelsim as acs
from accelsim.errors import DeadlockError, InputError, NotModelled
from accelsim.hardware.accelerator import load_accelerator
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Combine, Convolution, Dense, Input, Pool
from accelsim.timing.words.blocks import Tap
from accelsim.timing.words.run import run
from accelsim.timing.words.simulate import schedule_words
from accelsim.validation.measured import read_figures
from accelsim.validation.rtl.network import raised
from accelsim.validation.rtl.specs import read_specs

GIVEN = resources.files("accelsim.validation") / "data" / "rtl"
SPECS = read_specs(GIVEN / "specs.jsonl")
MEASURED = {(figure.key, figure.quantity): figure.measured for figure in read_figures(GIVEN / "measured.csv")}
WIDE = {"engine.multipliers": 10**6, "blocks.fifo_depth": 0, "activation_bits": 4, "source": "greedy"}


def machine(**settings):
    return load_accelerator("fpga-stream", WIDE | {name.replace("__", "."): v for name, v in settings.items()})


def design_of(spec):
    """A measured run as a network on a machine with its kind of fork; None where it is none."""
    tapped = any(isinstance(placed.block, Tap) for placed in spec.chain.blocks)
    hardware = machine(blocks__fork="registered" if tapped else "combinational")
    try:
        return raised(spec.chain, hardware, hardware.blocks, "word")
    except NotModelled:
        return None


STEADY = {
    key: design
    for key, spec in SPECS.items()
    if spec.chain.sources[0].chance == spec.chain.sinks[0].chance == 256 and (design := design_of(spec))
}


def test_chains_and_residual_blocks_are_networks():
    lines = (GIVEN / "specs.jsonl").read_text(encoding="utf-8").splitlines()
    groups = {line["key"]: line["group"] for line in map(json.loads, lines)}
    steady = {key for key, spec in SPECS.items() if spec.chain.sources[0].chance == spec.chain.sinks[0].chance == 256}
    layers = {key for key in steady if groups[key] in ("chain", "residual", "fifo_sweep")}
    assert set(STEADY) == layers
    assert len(layers) > 150


@pytest.mark.slow
@pytest.mark.parametrize("key", STEADY)
def test_a_network_that_is_a_measured_chain_gives_its_figures(key):
    design, frames = STEADY[key], SPECS[key].frames
    if MEASURED[key, "deadlock"]:
        with pytest.raises(DeadlockError):
            schedule_words(design, frames=frames)
        return
    trace = schedule_words(design, frames=frames)
    found = {
        "steady_interval": int(trace.ends[-1] - trace.ends[-2]),
        "frame0_cycles": int(trace.ends[0]) + 1,
        "first_out": int(trace.firsts[0]),
    }
    for quantity, value in found.items():
        assert MEASURED.get((key, quantity), value) == value, quantity


def convolution(channels, size=3, stride=1, pad=1, groups=1):
    return Convolution(channels, (size, size), (stride, stride), ((pad, pad), (pad, pad)), (1, 1), groups)


def residual():
    nodes = [
        Node("image", Input(4, (16, 16))),
        Node("conv", convolution(4), ("image",)),
        Node("relu", Activation("relu"), ("conv",)),
        Node("add", Combine("add"), ("relu", "image")),
    ]
    return network("residual", nodes, ["add"])


def mapped(net, hardware, unroll, capacities=None):
    mapping = Mapping(MappingProxyType(unroll), MappingProxyType(capacities or {}), "word")
    return acs.map_network(net, hardware, mapping=mapping)


def test_a_deadlock_is_told_as_its_circle():
    design = mapped(residual(), machine(), {"conv": Unroll(4, 4)}, {"image -> add": 16})
    with pytest.raises(DeadlockError) as stuck:
        acs.simulate(design)
    told = str(stuck.value)
    assert told.startswith("deadlock at cycle 40: ")
    for wait in (
        "add.join waits for a word of conv.threshold",
        "image.fork waits for space in image -> add (16 words, all taken)",
        "image -> add waits for space in add.join",
    ):
        assert wait in told


def test_the_report_of_a_residual_block():
    design = mapped(residual(), machine(), {"conv": Unroll(4, 4)}, {"image -> add": 18})
    report = acs.simulate(design)
    body, throughput = report.body, report.throughput
    assert body.granularity == "word"
    assert throughput.interval_cycles == MEASURED["res1_16x16c4_k3_d18/full", "steady_interval"]
    assert throughput.steady
    rows = {row.edge: row for row in body.buffers}
    # a buffer of the window's rows, 39 words of 4 channels
    assert rows["image -> conv"].peak_elements == 39 * 4
    assert rows["image -> add"].capacity_elements == 18 * 4
    assert rows["image -> add"].held_elements == 18 * 4
    assert "word tokens" in str(report)


def test_what_words_do_not_tell_is_null_and_named():
    body = acs.simulate(mapped(residual(), machine(), {"conv": Unroll(4, 4)}, {"image -> add": 18})).body
    assert {"critical", "bound_elements", "latency_bound_cycles", "slack_cycles"} <= set(body.not_modelled)
    assert body.critical is body.throughput.latency_bound_cycles is None
    assert all(row.bound_elements is None for row in body.buffers)
    assert all(row.slack_cycles is None for row in body.stages)


@pytest.mark.parametrize("source", ["greedy", "paced"])
def test_the_cycles_of_a_stage_add_up(source):
    design = mapped(residual(), machine(source=source), {"conv": Unroll(2, 2)}, {"image -> add": 64})
    report = acs.simulate(design)
    for row in report.body.stages:
        waiting = row.waiting_input_cycles + row.waiting_space_cycles + row.waiting_source_cycles
        assert row.busy_cycles + waiting == report.throughput.interval_cycles, row.stage
        assert min(row.waiting_input_cycles, row.waiting_space_cycles, row.waiting_source_cycles) >= 0, row.stage
    loss = report.throughput.utilisation_loss
    shares = report.throughput.mac_utilisation + loss.rounding + loss.rate_mismatch + loss.stalls
    assert shares == pytest.approx(1)


def test_without_any_capacity_queues_hold_what_comes():
    design = mapped(residual(), load_accelerator("fpga-stream"), {"conv": Unroll(4, 4)})
    report = acs.simulate(design, source="paced")
    assert report.throughput.steady
    assert report.body.buffering["skip"].peak_elements > 0
    assert report.throughput.interval_cycles == report.throughput.interval_bound_cycles


def test_words_of_other_widths_are_converted():
    nodes = [
        Node("image", Input(6, (6, 6))),
        Node("a", convolution(12), ("image",)),
        Node("b", convolution(12, groups=12), ("a",)),
        Node("c", Dense(5), ("b",)),
    ]
    net = network("widths", nodes, ["c"])
    unroll = {"a": Unroll(3, 4), "b": Unroll(1, 6, 9), "c": Unroll(2, 5)}
    design = mapped(net, machine(source="greedy"), unroll)
    trace = schedule_words(design)
    names = {placed.name for placed in trace.lowered.chain.blocks}
    assert {"a -> b (wider)", "a -> b (narrower)", "b -> c (narrower)"} <= names
    assert "a -> b" not in names
    assert trace.steady
    assert trace.interval_cycles >= max(36 * 4 * 3 * 9 * 2 // 4, 36 * 6)


@pytest.mark.parametrize("multipliers", [1, 7, 12, 48, 144, 300, 10**6])
def test_any_choice_of_unrollings_can_be_made_of_blocks(multipliers):
    net = residual()
    design = acs.map_network(net, machine(engine__multipliers=multipliers))
    fitting = acs.in_blocks(design)
    unroll = fitting.mapping.unroll["conv"]
    assert unroll.pixels == 1
    assert unroll.window in (1, 9)
    assert unroll.multipliers <= design.mapping.unroll["conv"].multipliers
    # no other that blocks have is larger and not too large
    others = [i * o * w for i in (1, 2, 4) for o in (1, 2, 4) for w in (1, 9)]
    assert unroll.multipliers == max(m for m in others if m <= design.mapping.unroll["conv"].multipliers)


def test_several_readers_and_outputs():
    nodes = [
        Node("image", Input(4, (8, 8))),
        Node("a", convolution(4), ("image",)),
        Node("b", convolution(4, stride=2), ("a",)),
        Node("c", convolution(8, size=1, pad=0), ("a",)),
    ]
    net = network("fork", nodes, ["a", "b", "c"])
    design = mapped(net, load_accelerator("fpga-stream"), {name: Unroll(2, 2) for name in "abc"})
    trace = schedule_words(design, "greedy", frames=3)
    assert len(trace.lowered.chain.sinks) == 3
    assert trace.lowered.chain.by_name["a.fork"].outs == ("a.fork.a -> b", "a.fork.a -> c", "a.fork.a -> output")


def test_a_run_by_frames_is_the_run_until_steady():
    design = mapped(residual(), machine(), {"conv": Unroll(4, 4)}, {"image -> add": 20})
    steady, counted = schedule_words(design), schedule_words(design, frames=9)
    assert counted.frames == 9
    assert (counted.ends[: steady.frames] == steady.ends[:9]).all()
    assert counted.ends[-1] - counted.ends[-2] == steady.interval_cycles


def test_the_chain_by_itself_runs_alike():
    design = mapped(residual(), machine(), {"conv": Unroll(4, 4)}, {"image -> add": 20})
    trace = schedule_words(design, frames=4)
    found = run(trace.lowered.chain, trace.lowered.constants, 4)
    assert found.completions.tolist() == trace.ends.tolist()


@pytest.mark.parametrize(
    ("node", "unroll", "said"),
    [
        (Node("x", Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ("image",)), None, "x (pool): no block"),
        (Node("x", convolution(4, groups=2), ("image",)), Unroll(1, 1), "2 groups of 4 channels"),
        (Node("x", convolution(4), ("image",)), Unroll(4, 4, 3), "window = 3 of 9 taps"),
        (Node("x", convolution(4), ("image",)), Unroll(4, 4, 1, 2), "pixels = 2 at a time"),
    ],
)
def test_layers_that_no_block_does(node, unroll, said):
    net = network("odd", [Node("image", Input(4, (8, 8))), node], ["x"])
    design = mapped(net, machine(), {"x": unroll} if unroll else {})
    with pytest.raises(NotModelled) as refused:
        acs.simulate(design)
    assert said in str(refused.value)
    assert "row or pixel" in str(refused.value)


def test_words_need_blocks_and_capacities_in_words():
    free = acs.map_network(residual(), load_accelerator("streaming-asic"))
    with pytest.raises(InputError, match="streaming-asic describes none; use fpga-stream"):
        acs.simulate(free, granularity="word")
    rows = acs.with_capacities(acs.map_network(residual(), machine()), {"image -> add": 4}, "row")
    with pytest.raises(InputError, match="counted in rows; use granularity row"):
        acs.simulate(rows, granularity="word")


def test_a_frame_that_takes_too_long_is_refused():
    nodes = [Node("image", Input(64, (1024, 1024))), Node("a", convolution(64), ("image",))]
    design = mapped(network("large", nodes, ["a"]), machine(), {"a": Unroll()})
    with pytest.raises(InputError, match="unroll more, or use granularity row or pixel"):
        acs.simulate(design)
