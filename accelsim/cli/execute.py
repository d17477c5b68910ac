"""`accelsim execute` and `accelsim accuracy`: an integer network on arrays, and on labelled data."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import (
    InputShapeOption,
    JsonOption,
    TileAttentionOption,
    TileColumnsOption,
    TileCountOption,
)

if TYPE_CHECKING:
    from accelsim.arithmetic.formats import Array
    from accelsim.arithmetic.network import IntegerNetwork

IntegerNetworkArgument = Annotated[
    Path, typer.Argument(metavar="NETWORK", help="a quantised .onnx (QOperator, QDQ, QONNX) or .tflite file")
]
InputOption = Annotated[
    list[str],
    typer.Option("--input", metavar="[NAME=]FILE.npy", help="an input's array, or that of the input so named"),
]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE.npz", help="write all outputs")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data", metavar="FOLDER|FILE.npz",
        help="arrays x (a frame each) and y (a label each) in a file, or as x.npy and y.npy in a folder",
    ),
]  # fmt: skip
StatisticsOption = Annotated[
    bool, typer.Option("--statistics", help="list ranges, zeros, ones among bits and idle products of every layer")
]
NetworkOutOption = Annotated[
    Path | None,
    typer.Option("--network-out", metavar="FILE.yaml", help="write the graph with these statistics, to be simulated"),
]
ThreadsOption = Annotated[int, typer.Option("--threads", metavar="N", min=1, help="threads a layer may use")]


def execute_command(
    network: IntegerNetworkArgument,
    inputs: InputOption,
    output: OutputOption = None,
    listed: StatisticsOption = False,
    network_out: NetworkOutOption = None,
    input_shape: InputShapeOption = None,
    tile_rows: TileAttentionOption = None,
    tile_count: TileCountOption = None,
    tile_columns: TileColumnsOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Run a quantised network in integers, bit for bit."""
    import numpy as np

    from accelsim.arithmetic.execute import execute
    from accelsim.arithmetic.files import read_inputs
    from accelsim.arithmetic.statistics import statistics
    from accelsim.cli import console
    from accelsim.network.graph import without_weights
    from accelsim.network.writers.yaml import write_yaml_network
    from accelsim.report.statistics import statistics_rows, statistics_table

    with console.working(f"executing {network}"):
        inet = _loaded(network, input_shape, tile_rows, tile_count, tile_columns)
        x = read_inputs(inet, inputs)
        made = execute(inet, x, threads)
        found = statistics(inet, x, threads) if listed or network_out is not None else {}
    graph = without_weights(inet.network).with_statistics(found)
    if output is not None:
        np.savez(output, **made)  # type: ignore[arg-type]
        console.note(f"wrote {output}")
    if network_out is not None:
        write_yaml_network(graph, network_out)
        console.note(f"wrote {network_out}")
    described = {name: _described(array) for name, array in made.items()}
    if as_json:
        told = {"statistics": [row.model_dump() for row in statistics_rows(graph)]} if listed else {}
        console.show_json({"network": inet.name, "real_nodes": list(inet.real_nodes), "outputs": described, **told})
        return
    for name, figures in described.items():
        shape = "x".join(map(str, figures["shape"]))
        console.show_text(f"{name}: {shape} {figures['type']}, {figures['least']} to {figures['most']}\n")
    if listed:
        console.show([statistics_table(statistics_rows(graph))])


def _loaded(
    network: Path, shapes: list[str] | None, rows: int | None, count: int | None, columns: int | None
) -> IntegerNetwork:
    """The integer network at the shapes asked for, in the tiles asked for."""
    from accelsim.arithmetic.load import load_integer_network
    from accelsim.cli import console
    from accelsim.cli.request import in_tiles, input_shape

    inet = load_integer_network(network, input_shape(shapes or ()))
    made, warnings = in_tiles(inet, inet.network, rows, count, columns)
    console.warn(warnings)
    return made


def _described(array: Array) -> dict[str, Any]:
    return {
        "shape": list(array.shape),
        "type": str(array.dtype),
        "least": _finite(array.min().item()),
        "most": _finite(array.max().item()),
    }


def _finite(end: float) -> float | str:
    """An end of a range, in words where JSON has no number for it."""
    return end if isfinite(end) else str(end)


def accuracy_command(
    network: IntegerNetworkArgument,
    data: DataOption,
    input_shape: InputShapeOption = None,
    tile_rows: TileAttentionOption = None,
    tile_count: TileCountOption = None,
    tile_columns: TileColumnsOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Count how often a quantised classifier's highest score is the label."""
    from accelsim.arithmetic.accuracy import accuracy
    from accelsim.arithmetic.files import read_labelled
    from accelsim.cli import console

    inet = _loaded(network, input_shape, tile_rows, tile_count, tile_columns)
    x, labels = read_labelled(data)
    with console.counting(f"executing {network}", labels.size) as progress:
        counted = accuracy(inet, x, labels, threads, progress)
    top1, low, high = counted.interval
    if as_json:
        figures = {"top1": top1, "top1_low": low, "top1_high": high}
        console.show_json({"network": inet.name, **counted._asdict(), **figures})
    else:
        console.show_text(
            f"{inet.name}: {counted.right:,} of {counted.frames:,} right, top-1 {top1:.2%} "
            f"(95 % interval {low:.2%} to {high:.2%})\n"
        )
