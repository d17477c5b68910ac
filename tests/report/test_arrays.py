"""What a report says of layers on a systolic array, against loops over folds and closed forms."""

import json
from importlib import resources
from math import ceil
from pathlib import Path
from types import MappingProxyType

import polars as pl
import pytest

import accelsim as acs
from accelsim.hardware.accelerator import load_accelerator
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping, Measured
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.network.graph import Node, network
from accelsim.network.layers import Convolution, Dense, Input, Pool, Product, TransposedConvolution
from accelsim.report.arrays import array_rows
from accelsim.validation.systolic.topology import read_topology
from tests.mapping.test_traffic import chain, conv, machine
from tests.random_segments import segmented

FLOWS = ("output-stationary", "weight-stationary", "input-stationary")
ROWS, COLUMNS = 4, 3
LOWERED = Path(__file__).parent.parent / "fixtures" / "systolic"


def npu(flow: str, folds: str = "apart", **fields):
    engine = {"kind": "systolic", "rows": ROWS, "columns": COLUMNS, "dataflow": flow, "lanes": 4, "folds": folds}
    return machine(engine=engine, **fields)


def simulated(net, hw, tile=None):
    """Every layer a segment of its own; the last one in tiles."""
    names = [node.name for node in net.nodes if not isinstance(node.layer, Input)]
    segments = [Segment((name,)) for name in names[:-1]] + [Segment((names[-1],), tile or Tile())]
    return acs.simulate(segmented(net, hw, tuple(segments)))


def counted(flow: str, pixels: int, taps: int, outputs: int) -> dict[str, int]:
    """What a product takes, fold by fold: what enters is as large as the part of the product that is in it."""
    sizes = {"pixels": pixels, "taps": taps, "outputs": outputs}
    down, across, stream = {
        "output-stationary": ("pixels", "outputs", "taps"),
        "weight-stationary": ("taps", "outputs", "pixels"),
        "input-stationary": ("taps", "pixels", "outputs"),
    }[flow]
    found = dict.fromkeys(("folds", "cycles", "inputs", "weights", "results", "sums", "mapped"), 0)
    for row in range(0, sizes[down], ROWS):
        for column in range(0, sizes[across], COLUMNS):
            part = {down: min(ROWS, sizes[down] - row), across: min(COLUMNS, sizes[across] - column)}
            part[stream] = sizes[stream]
            begins_sum = flow == "output-stationary" or row == 0
            found["folds"] += 1
            found["cycles"] += sizes[stream] + ROWS + COLUMNS - 2 + (0 if flow == "output-stationary" else ROWS)
            found["inputs"] += part["pixels"] * part["taps"]
            found["weights"] += part["taps"] * part["outputs"]
            found["results"] += part["pixels"] * part["outputs"]
            found["sums"] += 0 if begins_sum else part["pixels"] * part["outputs"]
            found["mapped"] += part[down] * part[across]
    return found


def said(row) -> dict[str, float]:
    return {
        "folds": row.folds,
        "cycles": row.compute_cycles,
        "inputs": row.input_reads,
        "weights": row.weight_reads,
        "results": row.output_writes,
        "sums": row.partial_sum_reads,
        "mapped": round(row.mapped_share * row.folds * ROWS * COLUMNS, 6),
    }


def layer(source: Input, made) -> acs.Network:
    return chain(source, made)


#: Layers, and their products: how many, of how many pixels, taps and outputs.
LAYERS = [
    pytest.param(layer(Input(3, (6, 5)), conv(7)), (1, 30, 27, 7), id="dense convolution"),
    pytest.param(layer(Input(3, (9, 7)), conv(7, 3, 2)), (1, 20, 27, 7), id="strided"),
    pytest.param(layer(Input(6, (6, 5)), conv(9, groups=3)), (3, 30, 18, 3), id="grouped"),
    pytest.param(layer(Input(6, (6, 5)), conv(6, groups=6)), (6, 30, 9, 1), id="depthwise"),
    pytest.param(layer(Input(6, (6, 5)), conv(12, groups=6)), (6, 30, 9, 2), id="depthwise with a multiplier"),
    pytest.param(
        layer(Input(3, (9, 9)), Convolution(7, (3, 3), (1, 1), ((0, 0), (0, 0)), (2, 3))), (1, 15, 27, 7), id="dilated"
    ),
    pytest.param(layer(Input(3, (11,)), conv(7, axes=1)), (1, 11, 9, 7), id="along one axis"),
    pytest.param(layer(Input(3, (3, 4, 5)), conv(2, axes=3)), (1, 60, 81, 2), id="along three axes"),
    pytest.param(layer(Input(10, (6, 5)), conv(7, 1)), (1, 30, 10, 7), id="pointwise"),
    pytest.param(layer(Input(10), Dense(7)), (1, 1, 10, 7), id="dense layer"),
    pytest.param(layer(Input(10, (5,)), Dense(7)), (1, 5, 10, 7), id="dense layer of positions"),
    pytest.param(
        layer(
            Input(3, (5, 4)), TransposedConvolution(4, (4, 4), (2, 2), ((1, 1), (1, 1)), (1, 1), (0, 0))
        ),
        (4, 20, 12, 4),
        id="transposed",
    ),
    pytest.param(
        network(
            "scores",
            [
                Node("x", Input(6, (4, 7))),
                Node("y", Input(6, (4, 5))),
                Node("a", Product(2, transposed=True), ("x", "y")),
            ],
            ["a"],
        ),
        (2 * 4, 7, 3, 5),
        id="product of activations",
    ),
]  # fmt: skip


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("net", "sizes"), LAYERS)
def test_a_layer_is_its_products(net, sizes, flow):
    products, *one = sizes
    (row,) = simulated(net, npu(flow)).body.array
    assert (row.products, row.turns) == (products, 1)
    assert said(row) == {name: products * count for name, count in counted(flow, *one).items()}
    assert row.output_writes - row.partial_sum_reads == net.tensors["a"].elements
    assert row.utilisation == row.macs / (row.compute_cycles * ROWS * COLUMNS)
    assert row.macs == net.macs


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(("net", "sizes"), LAYERS)
def test_folds_that_overlap_wait_for_each_other_once(net, sizes, flow):
    one = sizes[1:]
    apart, overlap = (simulated(net, npu(flow, folds)).body.array[0] for folds in ("apart", "overlap"))
    stream = dict(zip(FLOWS, (one[1], one[0], one[2]), strict=True))[flow]
    first = ROWS if flow != "output-stationary" else 0
    last = stream + ROWS + COLUMNS - 2
    assert overlap.compute_cycles == first + (overlap.folds - 1) * max(stream, ROWS) + last
    assert overlap.compute_cycles <= apart.compute_cycles
    same = {"compute_cycles", "utilisation", "overlap"}
    assert overlap.model_dump(exclude=same) == apart.model_dump(exclude=same)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("tile", [Tile(rows=2), Tile(columns=3), Tile(outputs=3), Tile(inputs=2), Tile(3, 2, 4, 2)])
def test_tiles_fold_by_themselves_and_make_every_output_once(flow, tile):
    net = chain(Input(5, (7, 6)), conv(7))
    report = simulated(net, npu(flow), tile)
    (row,) = report.body.array
    assert row.turns == row.products == report.body.segments[0].tiles
    total = dict.fromkeys(said(row), 0)
    for y in range(0, 7, tile.rows or 7):
        for x in range(0, 6, tile.columns or 6):
            for o in range(0, 7, tile.outputs or 7):
                for i in range(0, 5, tile.inputs or 5):
                    pixels = min(tile.rows or 7, 7 - y) * min(tile.columns or 6, 6 - x)
                    inputs, outputs = min(tile.inputs or 5, 5 - i), min(tile.outputs or 7, 7 - o)
                    part = counted(flow, pixels, 9 * inputs, outputs)
                    part["sums"] += pixels * outputs if i else 0
                    total = {name: total[name] + part[name] for name in total}
    assert said(row) == total
    assert row.output_writes - row.partial_sum_reads == net.tensors["a"].elements


@pytest.mark.parametrize("flow", FLOWS)
def test_layers_that_share_the_array_fold_a_row_at_a_time(flow):
    net = chain(Input(3, (5, 4)), conv(6), conv(2))
    free = bind(net, npu(flow), Mapping(MappingProxyType({})))
    report = acs.simulate(free)
    for row, taps, outputs in zip(report.body.array, (27, 54), (6, 2), strict=True):
        assert row.products == row.turns == 5
        assert said(row) == {name: 5 * count for name, count in counted(flow, 4, taps, outputs).items()}
    stages = {stage.stage: stage for stage in report.body.stages}
    assert [stages[row.layer].work_cycles for row in report.body.array] == [r.compute_cycles for r in report.body.array]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("tile", [Tile(), Tile(rows=3), Tile(outputs=4)])
def test_a_stage_needs_the_cycles_of_its_folds_and_spreads_them_over_its_rows(flow, tile):
    report = simulated(chain(Input(3, (7, 5)), conv(6)), npu(flow), tile)
    (row,) = report.body.array
    stage = next(stage for stage in report.body.stages if stage.stage == "a")
    assert stage.work_cycles == row.compute_cycles
    assert stage.work_cycles <= stage.busy_cycles < stage.work_cycles + 7 * row.turns
    if tile == Tile():
        assert stage.busy_cycles == ceil(row.compute_cycles / 7) * 7


@pytest.mark.parametrize("tile", [Tile(), Tile(rows=2), Tile(outputs=4, inputs=2)])
def test_without_simulating_it_is_the_same(tile):
    net = chain(Input(5, (7, 6)), conv(4), conv(7))
    design = segmented(net, npu(FLOWS[1]), (Segment(("a",)), Segment(("b",), tile)))
    assert array_rows(acs.array_use(design)) == acs.simulate(design).body.array


def test_layers_without_products_and_measured_ones():
    net = chain(Input(3, (8, 6)), conv(6), Pool("maximum", (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), conv(2))
    names = [Segment((name,)) for name in "abc"]
    measured = MappingProxyType({"a": Measured(interval_cycles=3)})
    slow = acs.simulate(segmented(net, npu(FLOWS[1]), tuple(names), measured=measured))
    assert [row.layer for row in slow.body.array] == ["a", "c"]
    assert said(slow.body.array[0]) == counted(FLOWS[1], 48, 27, 6)
    stage = next(stage for stage in slow.body.stages if stage.stage == "a")
    assert stage.work_cycles == stage.busy_cycles == 48 * 3


def test_what_simulate_says_of_a_layer_is_what_is_compared_with_measurements():
    table = pl.read_csv(LOWERED / "mobile_ws_8x32.csv")
    engine = {"kind": "systolic", "rows": 8, "columns": 32, "dataflow": "weight-stationary", "lanes": 8}
    for k, layer in enumerate(read_topology(LOWERED / "topology_mobile.csv").layers):
        (row,) = simulated(layer.network(), machine(engine=engine)).array.to_dicts()
        assert row["compute_cycles"] == table["compute_cycles"][k]
        assert row["input_reads"] == table["ifmap_sram_reads"][k]


def test_the_given_machine_is_read_and_other_engines_have_no_rows():
    folder = Path(str(resources.files("accelsim.validation") / "data" / "systolic"))
    assert load_accelerator(folder / "accelerator.yaml").engine.folds == "apart"
    report = acs.simulate(acs.map_network(chain(Input(3, (8, 6)), conv(6)), machine()))
    assert report.body.array is None
    assert report.array.is_empty()
    assert json.loads(report.to_json())["array"] is None


def test_text_shows_the_layers_that_take_longest():
    net = chain(Input(3, (8, 6)), conv(6), conv(2))
    report = simulated(net, npu(FLOWS[1]))
    text = str(report)
    assert "On the weight stationary array, a frame (2 of 2 layers)" in text
    total = sum(row.compute_cycles for row in report.body.array)
    line = next(line for line in text.splitlines() if line.strip().startswith("all ") and f"{total:,}" in line)
    assert f"{sum(row.output_writes for row in report.body.array):,}" in line


# Traffic off the chip


def off_chip(report) -> dict[str, tuple[float, float]]:
    """Bytes read and written of the last memory, by kind."""
    found: dict[str, list[float]] = {}
    for row in report.body.traffic:
        if row.memory == "far":
            both = found.setdefault(row.kind, [0, 0])
            both[0] += row.read_bytes
            both[1] += row.written_bytes
    return {kind: tuple(both) for kind, both in found.items()}


@pytest.mark.parametrize("flow", FLOWS)
def test_with_room_for_all_every_byte_moves_once(flow):
    net = chain(Input(4, (8, 6)), conv(10))
    assert off_chip(simulated(net, npu(flow))) == {
        "input": (4 * 48, 0), "weight": (4 * 10 * 9, 0), "output": (0, 10 * 48),
    }  # fmt: skip


@pytest.mark.parametrize("outputs", [3, 4, 5])
def test_without_room_inputs_are_read_again_for_every_tile_of_outputs(outputs):
    net, tile = chain(Input(4, (8, 6)), conv(10)), Tile(outputs=outputs)
    demand = simulated(net, npu(FLOWS[1]), tile).body.segments[0].demand
    assert demand.inputs_bytes == 4 * 48
    sizes = (demand.total_bytes, demand.total_bytes - 1)
    ample, tight = (off_chip(simulated(net, npu(FLOWS[1], near=near), tile)) for near in sizes)
    assert ample["input"] == (4 * 48, 0)
    assert tight["input"] == (4 * 48 * ceil(10 / outputs), 0)
    assert ample["weight"] == tight["weight"] == (4 * 10 * 9, 0)


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_weights_are_loaded_again_for_every_tile_in_space(rows):
    net, tile = chain(Input(4, (8, 6)), conv(10, 1)), Tile(rows=rows)
    once, again = (off_chip(simulated(net, npu(FLOWS[1], weights=kept), tile)) for kept in ("frame", "tile"))
    assert once["weight"] == (4 * 10, 0)
    assert again["weight"] == (4 * 10 * ceil(8 / rows), 0)


def test_partial_sums_leave_the_chip_where_they_have_no_room():
    net, tile = chain(Input(4, (8, 6)), conv(10)), Tile(inputs=1)
    ample, tight = (off_chip(simulated(net, npu(FLOWS[1], near=near), tile)) for near in (10**6, 1500))
    assert "partial" not in ample
    assert tight["partial"] == (3 * 10 * 48 * 4, 3 * 10 * 48 * 4)


@pytest.mark.parametrize("flow", FLOWS)
def test_more_memory_never_moves_more_and_at_times_less(flow):
    net, moved = chain(Input(8, (16, 16)), conv(16), conv(24), conv(8)), []
    for size in (1000, 2000, 4000, 8000, 10**6):
        report = acs.simulate(acs.map_network(net, npu(flow, near=size), mapping="layer-by-layer"))
        moved.append(report.body.memories["far"].read_bytes + report.body.memories["far"].written_bytes)
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[2] > moved[-1] == (8 * 256 * 2) + net.parameter_count


def test_loads_are_hidden_where_there_is_room_for_two_tiles_of_weights():
    """Tiles of 5 outputs of 10, 4 x 9 weights an output: the next 180 B load behind the first, or after it."""
    net, tile = chain(Input(4, (8, 6)), conv(10)), Tile(outputs=5)

    def segment(near: int, ahead: bool = True):
        hw = npu(FLOWS[1], near=near, weights="tile", weights_ahead=ahead)
        return simulated(net, hw, tile).body.segments[0]

    least = segment(10**6, ahead=False).demand.total_bytes
    alone = segment(least)
    both = segment(least + 5 * 4 * 9)
    assert alone.load_cycles > 0
    assert both.load_cycles < alone.load_cycles
    assert segment(10**6).load_cycles <= both.load_cycles
