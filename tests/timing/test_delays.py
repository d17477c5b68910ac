"""Latencies of what stands on edges, and registers of forks, by hand."""

from types import MappingProxyType

import pytest

import accelsim as acs
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping, Measured
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Input, Pad
from accelsim.timing.forks import registers_of
from accelsim.timing.simulate import schedule

PIXELS = 12
NOTHING = Pad(((0, 0),))


def forked(delays=MappingProxyType({}), fork="combinational"):
    """A source of a word a cycle, two branches that hand on what they take, and a join."""
    nodes = [Node("image", Input(1, (PIXELS,)), ())]
    nodes += [Node(name, NOTHING, ("image",)) for name in ("left", "right")]
    nodes += [Node("join", Combine("add"), ("left", "right"))]
    machine = acs.load_accelerator("fpga-stream")
    blocks = machine.blocks.model_copy(update={"fork": fork})
    engine = machine.engine.model_copy(update={"window_frames": "streamed"})
    measured = {name: Measured(1, 0) for name in ("image", "left", "right", "join")}
    measured |= {edge: Measured(latency_cycles=cycles) for edge, cycles in delays.items()}
    mapping = Mapping(unroll=MappingProxyType({}), measured=MappingProxyType(measured), granularity="word")
    machine = machine.model_copy(update={"blocks": blocks, "engine": engine, "fork": "copy"})
    return bind(network("forked", nodes, ["join"]), machine, mapping)


def last_of(design, name, granularity):
    trace = schedule(design, granularity, "greedy", 1)
    place = trace.stage_index[name]
    return int(trace.alone_last[trace.pipeline.first_firing[place + 1] - 1])


@pytest.mark.parametrize("granularity", ["pixel", "row"])
def test_what_stands_on_a_branch_delays_that_branch_alone(granularity):
    plain, delayed = forked(), forked({"image -> left": 5})
    ends = [last_of(plain, name, granularity) for name in ("image", "left", "right", "join")]
    assert ends == [PIXELS] * 4
    ends = [last_of(delayed, name, granularity) for name in ("image", "left", "right", "join")]
    assert ends == [PIXELS, PIXELS + 5, PIXELS, PIXELS + 5]


def test_a_registered_fork_delays_its_readers_by_its_registers():
    design = forked(fork="registered")
    tap = design.accelerator.blocks.tap
    assert [last_of(design, name, "pixel") for name in ("left", "right")] == [
        PIXELS + tap.first_cycles,
        PIXELS + tap.second_cycles,
    ]
    first, second = (registers_of(design, edge) for edge in design.edges if edge.producer == "image")
    assert (first.words, second.words, second.fewest_words) == (1, tap.words, tap.words - 1)
