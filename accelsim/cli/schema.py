"""`accelsim schema`: the JSON Schema of what is written and read."""

from __future__ import annotations

from typing import Annotated

import typer

KindArgument = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="report, comparison, sizing, advice, trade, attention, sweep, network-inspection, accelerator-inspection; "
        "accelerator, mapping, study",
    ),
]


def schema_command(kind: KindArgument) -> None:
    """Print the JSON Schema of what is written or read."""
    from accelsim.cli import console
    from accelsim.cli.schemas import schema

    console.show_json(schema(kind))
