"""Tiles: what each makes, keeps and computes again, from the arithmetic of windows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.network.graph import Node, network
from accelsim.network.layers import (
    Combine,
    Constant,
    Convolution,
    Dense,
    Input,
    Pad,
    Pool,
    Product,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    TransposedConvolution,
)
from tests.mapping.test_traffic import chain, conv, machine
from tests.naive_traffic import naive_traffic
from tests.random_segments import drawn, fitting, segmented


def pixels(design) -> Counter:
    """Points that every stage fires for in a frame, all tiles of one channel tile together."""
    total: Counter = Counter()
    for turn in visits(design).turns:
        for step in turn.steps:
            total.update({s.name: step.times * s.fired.pixels for s in step.design.stages if s.transfer is None})
    return total


def macs(design) -> Counter:
    total: Counter = Counter()
    for turn in visits(design).turns:
        for step in turn.steps:
            total.update({s.name: step.times * s.macs for s in step.design.stages})
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_tiles_compute_what_loops_over_every_point_compute(seed):
    design = drawn(seed)
    turns = fitting(visits, design)
    counted = naive_traffic(design, turns.homes)
    tileable = [s for s in design.stages if not s.is_source and not isinstance(s.group.node.layer, Reduce)]
    found = pixels(design)
    assert {s.name: found[s.name] for s in tileable} == {s.name: counted.pixels[s.name] for s in tileable}


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (1, 1), (2, 2)])
def test_recomputed_rows_are_exactly_those_that_windows_of_two_tiles_share(kernel, stride, rows):
    """b reads a: a's rows under b's windows are made for every tile of b, clipped at the border."""
    size, width, pad = 15, 4, kernel // 2
    second = Convolution(2, (kernel, 1), (stride, 1), ((pad, pad), (0, 0)), (1, 1))
    net = chain(Input(3, (size, width)), conv(2), second)
    made = (size + 2 * pad - kernel) // stride + 1
    again = 0
    for begin in range(0, made, rows):
        end = min(begin + rows, made)
        again += min((end - 1) * stride - pad + kernel, size) - max(begin * stride - pad, 0)
    results = {}
    for halo in ("recompute", "cache"):
        design = segmented(net, machine(), (Segment(("a", "b"), Tile(rows=rows), halo),))
        results[halo] = macs(design)
        assert results[halo]["b"] == made * width * 2 * 2 * kernel
    whole = min((made - 1) * stride - pad + kernel, size)
    assert results["cache"]["a"] == whole * width * 2 * 3 * 9
    if rows < made:
        assert results["recompute"]["a"] == again * width * 2 * 3 * 9


def test_a_cached_halo_takes_the_width_of_the_map_between_rows_and_a_tile_between_columns():
    """Behind tiles of 4 x 3 of a 3x3 window two rows of the whole width are kept, and two columns of a tile.

    The second row of tiles brings four more rows of its input.
    """
    net = chain(Input(5, (12, 9)), conv(2))
    demand = visits(segmented(net, machine(), (Segment(("a",), Tile(4, 3)),))).turns[0].demand
    assert demand.halo == 5 * (2 * 9 + 2 * 4)
    by_rows = visits(segmented(net, machine(), (Segment(("a",), Tile(rows=4)),))).turns[0].demand
    by_columns = visits(segmented(net, machine(), (Segment(("a",), Tile(columns=3)),))).turns[0].demand
    assert (by_rows.halo, by_columns.halo) == (5 * 2 * 9, 5 * 2 * 12)
    again = visits(segmented(net, machine(), (Segment(("a",), Tile(4, 3), "reread"),))).turns[0].demand
    assert again.halo == 0


@pytest.mark.parametrize("tile", [Tile(rows=100), Tile(columns=100), Tile(100, 100), Tile(9, 7)])
def test_a_tile_as_large_as_the_map_is_no_tile(tile):
    """Whatever the segment holds: vectors, reductions, products."""
    nodes = [
        Node("x", Input(4, (9, 7))),
        Node("a", conv(4), ("x",)),
        Node("flat", Rearrange((9, 7, 4), (0, 1, 2), (63,), 4), ("a",)),
        Node("scores", Product(1, transposed=True), ("flat", "flat")),
        Node("mean", Reduce("mean"), ("a",)),
        Node("vector", Rearrange((1, 1, 4), (0, 1, 2), (), 4), ("mean",)),
        Node("gate", Dense(4), ("vector",)),
        Node("excite", Combine("multiply"), ("a", "gate")),
    ]
    net = network("mixed", nodes, ["excite", "scores"])
    layers = ("a", "flat", "scores", "mean", "vector", "gate", "excite")
    if tile.columns == 100 and tile.rows is None:
        tile = Tile(columns=7)
    whole, tiled = (visits(segmented(net, machine(), (Segment(layers, t),))).turns[0] for t in (Tile(), tile))
    assert [(s.times, s.design.stages, s.design.edges) for s in tiled.steps] == [
        (s.times, s.design.stages, s.design.edges) for s in whole.steps
    ]
    assert tiled.demand == whole.demand


MIXING = {
    "reduce": Reduce("mean", (2, 2)),
    "rearrange": Rearrange((8, 6, 4), (1, 0, 2), (6, 8), 4),
}


@pytest.mark.parametrize("kind", MIXING)
def test_what_needs_a_whole_map_cannot_be_tiled_and_says_so(kind):
    net = chain(Input(4, (8, 6)), conv(4), MIXING[kind])
    with pytest.raises(InputError, match=r"segment a \.\. b: b cannot be tiled by rows"):
        visits(segmented(net, machine(), (Segment(("a", "b"), Tile(rows=2)),)))


def test_columns_of_positions_and_rows_of_volumes_cannot_be_tiled():
    line = chain(Input(4, (8,)), conv(4, axes=1))
    with pytest.raises(InputError, match=r"segment a cannot be tiled by columns: its maps have \[1\] axes"):
        visits(segmented(line, machine(), (Segment(("a",), Tile(columns=2)),)))
    volume = chain(Input(2, (4, 4, 4)), conv(2, axes=3))
    with pytest.raises(InputError, match=r"segment a cannot be tiled by rows: its maps have \[3\] axes"):
        visits(segmented(volume, machine(), (Segment(("a",), Tile(rows=2)),)))
    vector = chain(Input(4, ()), Dense(4))
    with pytest.raises(InputError, match=r"segment a cannot be tiled by columns"):
        visits(segmented(vector, machine(), (Segment(("a",), Tile(columns=2)),)))


def test_reread_needs_windows_that_stay_inside_tiles():
    net = chain(Input(4, (8, 6)), conv(4), conv(4))
    with pytest.raises(InputError, match=r"halo reread: b looks over the edge of a tile of a.*recompute or cache"):
        visits(segmented(net, machine(), (Segment(("a", "b"), Tile(rows=2), "reread"),)))
    inside = chain(Input(4, (8, 6)), conv(4), Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)))
    assert pixels(segmented(inside, machine(), (Segment(("a", "b"), Tile(rows=2), "reread"),)))["a"] == 48


def test_more_tiles_than_anyone_means_are_refused():
    net = chain(Input(1, (5000, 2)), conv(1))
    with pytest.raises(InputError, match=r"segment a has 5,000 tiles along an axis; the most is 4,096"):
        visits(segmented(net, machine(), (Segment(("a",), Tile(rows=1)),)))


FAULTS = {
    "tile channels of several": (("a", "b"), Tile(outputs=2), "tiles channels of several stages"),
    "share no inputs": (("g",), Tile(inputs=2), "its 4 channel groups share no inputs"),
    "go together": (("g",), Tile(outputs=3), "tile.outputs = 3 of g is no multiple of 2"),
    "only convolutions": (("p",), Tile(outputs=2), "only convolutions and dense layers have such tiles"),
    "whole number": (("a",), Tile(rows=0), r"tile.rows = 0 is not a whole number from 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tiles_that_cannot_be_are_faults(fault):
    names, tile, message = FAULTS[fault]
    nodes = [
        Node("x", Input(4, (8, 8))),
        Node("a", conv(4), ("x",)),
        Node("b", conv(4), ("a",)),
        Node("g", conv(8, groups=4), ("b",)),
        Node("p", Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ("g",)),
    ]
    net = network("four", nodes, ["p"])
    order = {"a": 0, "b": 1, "g": 2, "p": 3}
    others = [Segment((name,)) for name in order if name not in names]
    segments = sorted([Segment(names, tile), *others], key=lambda s: order[s.layers[0]])
    with pytest.raises(InputError, match=message):
        segmented(net, machine(), tuple(segments))


ODD = {
    "reflected": (Pad(((2, 2), (1, 1)), mode="reflect"),),
    "wrapped": (Pad(((2, 2), (1, 1)), mode="wrap"),),
    "backwards": (Slice(0, 7, 8, -1),),
    "resized": (Resize((13, 5), "linear", "half_pixel"),),
    "transposed": (TransposedConvolution(3, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), (0, 0)),),
    "in padding": (Convolution(3, (1, 1), (3, 1), ((4, 5), (0, 0)), (1, 1)), Pad(((2, 0), (0, 3)))),
}


@pytest.mark.parametrize("halo", ["cache", "recompute"])
@pytest.mark.parametrize("name", ODD)
def test_maps_read_out_of_order_are_tiled_as_loops_count_them(name, halo):
    net = chain(Input(3, (8, 6)), conv(3), *ODD[name])
    layers = tuple(node.name for node in net.nodes[1:])
    for tile in (Tile(rows=1), Tile(rows=3, columns=2), Tile(columns=1)):
        design = segmented(net, machine(), (Segment(layers, tile, halo),))
        counted = naive_traffic(design, visits(design).homes)
        assert pixels(design) == counted.pixels
        stored = counted.stored[layers[-1]]
        assert set(stored.values()) == {1}
        assert len(stored) == net.tensors[layers[-1]].elements


def test_a_constant_operand_does_not_stand_in_the_way_of_tiles():
    nodes = [
        Node("x", Input(4, (8, 6))),
        Node("table", Constant(4, (8, 6), trained=True)),
        Node("a", conv(4), ("x",)),
        Node("b", Combine("add"), ("x", "table")),
        Node("c", Combine("add"), ("a", "b")),
    ]
    net = network("embedded", nodes, ["c"])
    design = segmented(net, machine(), (Segment(("a", "b", "c"), Tile(rows=3)),))
    assert pixels(design) == {"a": 48, "b": 48, "c": 48}
