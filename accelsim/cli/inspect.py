"""`accelsim inspect`: what a network or a machine consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import InputShapeOption, JsonOption, SetOption
from accelsim.cli.request import Request, load, machine
from accelsim.errors import InputError

SubjectArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK|ACCELERATOR", help="a network's or preset's name, or an .onnx, .tflite or .yaml file"
    ),
]


def inspect_command(
    subject: SubjectArgument,
    settings: SetOption = None,
    input_shape: InputShapeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a network's layers, or a machine's fields."""
    from accelsim.cli import console
    from accelsim.report.inspection import accelerator_tables, inspect_accelerator, inspect_network, network_tables

    request = Request(subject, accelerator=subject, settings=settings or (), input_shapes=input_shape or ())
    if _is_accelerator(subject):
        _refuse(bool(input_shape), "--input-shape", "a network", subject)
        fields = inspect_accelerator(machine(request))
        found, tables = fields.model_dump(mode="json"), accelerator_tables(fields)
    else:
        _refuse(bool(settings), "--set", "an accelerator", subject)
        layers = inspect_network(load(request))
        found, tables = layers.model_dump(mode="json"), network_tables(layers)
    if as_json:
        console.show_json(found)
    else:
        console.show(tables)


def _is_accelerator(subject: str) -> bool:
    """Whether `subject` is a preset's name, or a YAML file without layers that has anything a machine has."""
    from accelsim.hardware.accelerator import PRESETS, Accelerator
    from accelsim.yaml_file import read_document

    if subject in PRESETS:
        return True
    path = Path(subject)
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return False
    data = read_document(path).data
    return "layers" not in data and bool({*data} & ({*Accelerator.model_fields} - {"name"}))


def _refuse(given: bool, option: str, kind: str, subject: str) -> None:
    if given:
        raise InputError(f"inspect {subject}: {option} is for {kind}")
