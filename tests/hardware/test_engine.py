"""Cycles on a systolic array, against an array that is stepped through and against closed forms."""

from itertools import product
from math import ceil, prod
from types import MappingProxyType

import pytest

import accelsim as acs
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array import Folding, channel_foldings
from accelsim.mapping.design import ARRAY, Stage, bind
from accelsim.mapping.mapping import Mapping, Measured
from accelsim.mapping.pace import array_pace
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.mapping.shares import shares
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import LoopNest
from accelsim.network.graph import Node, network
from accelsim.network.layers import Convolution, Dense, Input, Product, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.timing.turns import take_turns
from tests.mapping.test_traffic import chain, conv, machine
from tests.random_segments import segmented

FLOWS = ("output-stationary", "weight-stationary", "input-stationary")


def array(flow: str, rows: int = 4, columns: int = 3) -> SystolicEngine:
    return SystolicEngine(kind="systolic", rows=rows, columns=columns, dataflow=flow, lanes=4)


def npu(flow: str, rows: int = 4, columns: int = 3, **fields) -> Accelerator:
    return machine(engine=array(flow, rows, columns).model_dump(), **fields)


def stepped_fold(flow: str, rows: int, columns: int, stream: int) -> int:
    """Cycles in which some operand moves: one that enters row r at cycle t + r is in column c, c cycles later.

    What stays is shifted in first, a row a cycle, unless it is what the array makes.
    """
    loading = 0 if flow == "output-stationary" else rows
    busy = set(range(loading))
    for r, c, t in product(range(rows), range(columns), range(stream)):
        busy.add(loading + t + r + c)
    assert busy == set(range(max(busy) + 1))
    return len(busy)


def folded(flow: str, rows: int, columns: int, pixels: int, taps: int, outputs: int) -> int:
    """Folds one after the other, each through the whole array."""
    down, across, stream = {
        "output-stationary": (pixels, outputs, taps),
        "weight-stationary": (taps, outputs, pixels),
        "input-stationary": (taps, pixels, outputs),
    }[flow]
    folds = [(i, j) for i in range(0, down, rows) for j in range(0, across, columns)]
    return sum(stepped_fold(flow, rows, columns, stream) for _ in folds)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 4), (5, 2)])
def test_a_product_takes_the_cycles_of_an_array_that_is_stepped_through(flow, rows, columns):
    for pixels, taps, outputs in product((1, 4, 7), (1, 3, 9), (1, 2, 8)):
        engine = array(flow, rows, columns)
        cycles = Folding(engine, pixels, taps, outputs).compute_cycles
        assert cycles == folded(flow, rows, columns, pixels, taps, outputs)


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("flow", FLOWS)
def test_layers_of_resnet18_take_the_folds_of_their_matrices(flow, side):
    """SCALE-Sim's compute cycles: folds x (T + R + C - 2) where outputs stay, x (T + 2R + C - 2) else."""
    net, hw = acs.load_network("resnet18"), npu(flow, side, side)
    design = bind(net, hw, Mapping(MappingProxyType({})))
    names = [stage.name for stage in design.stages if not stage.is_source]
    alone = segmented(net, hw, tuple(Segment((name,)) for name in names))
    layers = [stage for stage in alone.stages if isinstance(stage.group.node.layer, Convolution)]
    assert len(layers) == 20
    for stage in layers:
        layer, source = stage.group.node.layer, net.tensors[stage.group.node.inputs[0]]
        pixels, taps, filters = stage.tensor.pixels, source.channels * prod(layer.kernel), layer.channels
        sizes = {
            FLOWS[0]: (pixels, filters, taps),
            FLOWS[1]: (taps, filters, pixels),
            FLOWS[2]: (taps, pixels, filters),
        }
        down, across, stream = sizes[flow]
        fill = (2 if flow == FLOWS[0] else 3) * side - 2
        cycles = ceil(down / side) * ceil(across / side) * (stream + fill)
        # spread over the rows of the map, rounded up
        assert cycles <= stage.work_cycles < cycles + stage.tensor.rows
        assert stage.port is None
        assert stage.multipliers == side * side


@pytest.mark.parametrize("flow", FLOWS)
def test_channel_groups_are_as_many_small_products(flow):
    source, groups = Input(6, (5, 4)), 6
    for layer, per_group in ((conv(6, groups=6), 9), (conv(12, groups=6), 9)):
        (stage,) = [s for s in segmented(chain(source, layer), npu(flow), (Segment(("a",)),)).stages if s.name == "a"]
        cycles = groups * folded(flow, 4, 3, 20, per_group, layer.channels // groups)
        assert stage.work_cycles == ceil(cycles / 5) * 5


@pytest.mark.parametrize("flow", FLOWS)
def test_attention_is_a_product_a_head(flow):
    nodes = [
        Node("x", Input(6, (7,))),
        Node("queries", Dense(6), ("x",)),
        Node("keys", Dense(6), ("x",)),
        Node("scores", Product(2, transposed=True), ("queries", "keys")),
    ]
    net = network("attention", nodes, ["scores"])
    design = segmented(net, npu(flow), tuple(Segment((name,)) for name in ("queries", "keys", "scores")))
    stage = design.stage_by_name["scores"]
    assert stage.work_cycles == ceil(2 * folded(flow, 4, 3, 7, 3, 7) / 7) * 7


@pytest.mark.parametrize("flow", FLOWS)
def test_layers_of_one_segment_take_turns_row_by_row(flow):
    net = chain(Input(3, (5, 4)), conv(6), conv(2))
    design = segmented(net, npu(flow), (Segment(("a", "b")),))
    for name, taps, outputs in (("a", 27, 6), ("b", 54, 2)):
        stage = design.stage_by_name[name]
        assert (stage.port, stage.together) == (ARRAY, 4)
        assert stage.interval_cycles == stage.occupancy_cycles == folded(flow, 4, 3, 4, taps, outputs)
    busy = sum(design.stage_by_name[name].work_cycles for name in "ab")
    (turn,) = take_turns(design).turns
    assert turn.cycles >= busy


def stages_of(design, name: str) -> list[tuple[int, Stage]]:
    steps = [(step.times, step.design.stage_by_name) for turn in visits(design).turns for step in turn.steps]
    return [(times, stages[name]) for times, stages in steps if name in stages]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("tile", [Tile(rows=2), Tile(columns=3), Tile(3, 2), Tile(rows=2, outputs=4), Tile(inputs=2)])
def test_every_tile_is_folded_by_itself(flow, tile):
    net = chain(Input(3, (8, 6)), conv(6))
    total, expected = 0, 0
    for times, stage in stages_of(segmented(net, npu(flow), (Segment(("a",), tile),)), "a"):
        total += times * stage.work_cycles
    for y, x in product(range(0, 8, tile.rows or 8), range(0, 6, tile.columns or 6)):
        height, width = min(tile.rows or 8, 8 - y), min(tile.columns or 6, 6 - x)
        for o, i in product(range(0, 6, tile.outputs or 6), range(0, 3, tile.inputs or 3)):
            taps, outputs = 9 * min(tile.inputs or 3, 3 - i), min(tile.outputs or 6, 6 - o)
            expected += ceil(folded(flow, 4, 3, height * width, taps, outputs) / height) * height
    assert total == expected


@pytest.mark.parametrize("tile", [Tile(outputs=3), Tile(outputs=1)])
def test_tiles_of_channel_groups_fold_their_own_groups(tile):
    net = chain(Input(6, (5, 4)), conv(6, groups=6))
    for _, stage in stages_of(segmented(net, npu(FLOWS[1]), (Segment(("a",), tile),)), "a"):
        assert stage.work_cycles == ceil(tile.outputs * folded(FLOWS[1], 4, 3, 20, 9, 1) / 5) * 5


def test_transposed_convolutions_multiply_the_taps_of_one_phase():
    layer = TransposedConvolution(4, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), (0, 0))
    design = segmented(chain(Input(3, (5, 4)), layer), npu(FLOWS[0]), (Segment(("a",)),))
    assert design.stage_by_name["a"].work_cycles == ceil(4 * folded(FLOWS[0], 4, 3, 20, 3 * 4, 4) / 10) * 10


def test_a_measured_interval_replaces_the_folds_in_tiles_too():
    net = chain(Input(4, (8, 6)), conv(6))
    measured = MappingProxyType({"a": Measured(interval_cycles=10)})
    for tile, cycles in ((Tile(), 480), (Tile(rows=2), 480), (Tile(columns=3), 480), (Tile(outputs=3), 480)):
        found = stages_of(segmented(net, npu(FLOWS[0]), (Segment(("a",), tile),), measured=measured), "a")
        assert sum(times * stage.work_cycles for times, stage in found) == cycles


@pytest.mark.parametrize(("width", "pixels"), [(6, 2), (6, 4), (7, 2), (5, 5)])
def test_pixels_that_do_not_divide_a_tile_take_a_firing_more(width, pixels):
    """On multipliers shared out by unrolling, a row of a tile takes as many firings as hold its pixels."""
    net = chain(Input(2, (4, 20)), conv(2))
    unroll = {"a": Unroll(pixels=pixels)}
    design = segmented(net, machine(), (Segment(("a",), Tile(columns=width)),), unroll=unroll)
    total = sum(times * stage.work_cycles for times, stage in stages_of(design, "a"))
    widths = [min(width, 20 - x) for x in range(0, 20, width)]
    assert total == 4 * (2 * 2 * 9) * sum(ceil(w / pixels) for w in widths)


def test_an_array_pace_is_that_of_rows():
    nest = LoopNest(inputs=3, outputs=6, window=9, pixels=4)
    made, engine, net = Tensor(6, (5, 4)), array(FLOWS[0]), chain(Input(3, (5, 4)), conv(6))
    whole, shared = (
        array_pace(channel_foldings(engine, nest, 1, shares(net, net.by_name["a"], made, nest, alone)), made)
        for alone in (True, False)
    )
    assert whole.together == shared.together == 4
    assert whole.interval_cycles <= shared.interval_cycles
