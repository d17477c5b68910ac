"""Pipelines small enough to follow with a finger, on both simulators."""

from types import MappingProxyType

import pytest

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Convolution, Dense, Input, Reduce, Slice
from tests.random_networks import Case
from tests.timing.test_against_naive import kernel_times, naive_stages

LATENCY = 3


def case(nodes, outputs, granularity="pixel", unroll=(), capacities=(), pace=None, frames=1):
    engine = {"multipliers": 64, "lanes": 1, "mac_latency_cycles": LATENCY, "lane_latency_cycles": 0}
    accelerator = Accelerator.model_validate({"name": "hand", "clock": 1, "engine": engine})
    mapping = Mapping(MappingProxyType(dict(unroll)), MappingProxyType(dict(capacities)))
    return Case(network("hand", nodes, outputs), accelerator, mapping, granularity, pace, frames)


def arrivals(drawn):
    """Last elements of all tokens by stage, which both simulators must agree on; and whether it got stuck."""
    design, pipeline, state, stuck = kernel_times(drawn)
    naive = {stage.name: [token.last_at for token in stage.results] for stage in naive_stages(drawn)}
    kernel = {}
    for position, stage in enumerate(design.stages):
        span = slice(pipeline.first_firing[position], pipeline.first_firing[position + 1])
        kernel[stage.name] = [time for time in state.last[:, span].ravel().tolist() if time >= 0]
    assert kernel == naive
    return kernel, stuck is not None


def test_a_chain_goes_at_the_pace_of_its_slowest_stage():
    nodes = [Node("x", Input(2, (4,))), Node("y", Dense(3), ("x",))]
    times, _ = arrivals(case(nodes, ["y"], unroll={"y": Unroll()}))
    # a lane moves the two channels of a pixel in 2 cycles; 2 x 3 products take 6
    assert times == {"x": [2, 4, 6, 8], "y": [2 + 6 * n + LATENCY for n in (1, 2, 3, 4)]}


def test_a_full_buffer_holds_its_producer_up():
    nodes = [Node("x", Input(1, (4,))), Node("y", Dense(5), ("x",))]
    times, _ = arrivals(case(nodes, ["y"], unroll={"y": Unroll()}, capacities={"x -> y": 1}))
    # one slot: the source starts when the reading firing ends, 5 cycles after the token came
    assert times["x"] == [1 + 6 * n for n in range(4)]


def test_a_window_waits_for_its_last_row_and_starts_before_that_is_complete():
    convolution = Convolution(1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    nodes = [Node("x", Input(1, (3, 4))), Node("y", convolution, ("x",))]
    times, _ = arrivals(case(nodes, ["y"], "row", unroll={"y": Unroll(window=9)}))
    # rows of 4 come at 4, 8, 12; the last output pixel of a row needs the last pixel of the row below: 2 outputs
    # are left when that comes; the bottom row needs nothing new and takes 4 cycles
    assert times["y"] == [8 + 2 + LATENCY, 12 + 2 + LATENCY, 12 + 2 + 4 + LATENCY]


def test_a_multiply_holds_the_map_until_its_gate_is_known():
    nodes = [
        Node("x", Input(1, (6,))),
        Node("mean", Reduce("mean"), ("x",)),
        Node("y", Combine("multiply"), ("x", "mean")),
    ]
    for slots, gets_stuck in ((6, False), (5, True)):
        times, stuck = arrivals(case(nodes, ["y"], capacities={"x -> y": slots}))
        assert stuck == gets_stuck
        assert times["y"] == ([] if gets_stuck else [7 + n + 1 for n in range(6)])


def test_tiles_need_the_rows_of_one_tile_only():
    nodes = [
        Node("x", Input(1, (6,))),
        Node("mean", Reduce("mean", (2,)), ("x",)),
        Node("y", Combine("multiply", ((), (2,))), ("x", "mean")),
    ]
    assert not arrivals(case(nodes, ["y"], capacities={"x -> y": 2}))[1]
    assert arrivals(case(nodes, ["y"], capacities={"x -> y": 1}))[1]


@pytest.mark.parametrize("granularity", ["row", "pixel"])
def test_what_nobody_reads_takes_a_slot_only_until_it_comes(granularity):
    nodes = [Node("x", Input(1, (6,))), Node("y", Slice(0, 4, 2), ("x",))]
    times, stuck = arrivals(case(nodes, ["y"], granularity, capacities={"x -> y": 1}, frames=2))
    assert not stuck
    # a token a cycle up to the first that is read; a firing moves 6 / 2 of them, so the two that are read stay 3 more
    frame = [1, 2, 3, 4, 5, 5 + 3 + 1]
    assert times["x"] == frame + [9 + 3 + time for time in frame]


def test_a_paced_source_spreads_its_tokens():
    nodes = [Node("x", Input(1, (3,))), Node("y", Dense(1), ("x",))]
    times, _ = arrivals(case(nodes, ["y"], unroll={"y": Unroll()}, pace=10, frames=2))
    assert times["x"] == [start + 1 for start in (0, 3, 6, 10, 13, 16)]


def test_pixels_together_share_an_interval():
    nodes = [Node("x", Input(1, (1, 4))), Node("y", Dense(5), ("x",))]
    times, _ = arrivals(case(nodes, ["y"], unroll={"y": Unroll(pixels=2)}))
    assert times["y"] == [2 + 5 + LATENCY] * 2 + [7 + 5 + LATENCY] * 2
