"""`accelsim execute` and `accelsim accuracy`: an integer network on arrays, and on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import InputShapeOption, JsonOption

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
ThreadsOption = Annotated[int, typer.Option("--threads", metavar="N", min=1, help="threads a layer may use")]


def execute_command(
    network: IntegerNetworkArgument,
    inputs: InputOption,
    output: OutputOption = None,
    input_shape: InputShapeOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Run a quantised network in integers, bit for bit."""
    import numpy as np

    from accelsim.arithmetic.execute import execute
    from accelsim.arithmetic.files import read_inputs
    from accelsim.arithmetic.load import load_integer_network
    from accelsim.cli import console
    from accelsim.cli.request import input_shape as shape_of

    with console.working(f"executing {network}"):
        inet = load_integer_network(network, shape_of(input_shape or ()))
        made = execute(inet, read_inputs(inet, inputs), threads)
    if output is not None:
        np.savez(output, **made)  # type: ignore[arg-type]
        console.note(f"wrote {output}")
    described = {
        name: {
            "shape": list(array.shape),
            "type": str(array.dtype),
            "least": array.min().item(),
            "most": array.max().item(),
        }
        for name, array in made.items()
    }
    if as_json:
        console.show_json({"network": inet.name, "real_nodes": list(inet.real_nodes), "outputs": described})
        return
    for name, figures in described.items():
        shape = "x".join(map(str, figures["shape"]))
        console.show_text(f"{name}: {shape} {figures['type']}, {figures['least']} to {figures['most']}\n")


def accuracy_command(
    network: IntegerNetworkArgument,
    data: DataOption,
    input_shape: InputShapeOption = None,
    threads: ThreadsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Count how often a quantised classifier's highest score is the label."""
    from accelsim.arithmetic.accuracy import accuracy
    from accelsim.arithmetic.files import read_labelled
    from accelsim.arithmetic.load import load_integer_network
    from accelsim.cli import console
    from accelsim.cli.request import input_shape as shape_of

    with console.working(f"executing {network}"):
        inet = load_integer_network(network, shape_of(input_shape or ()))
        counted = accuracy(inet, *read_labelled(data), threads)
    if as_json:
        console.show_json({"network": inet.name, **counted._asdict(), "top1": counted.top1})
    else:
        console.show_text(f"{inet.name}: {counted.right:,} of {counted.frames:,} right, top-1 {counted.top1:.2%}\n")
