"""`accelsim attention`: what to do about maps that wait for squeeze-excite gates, in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from accelsim.cli.options import AcceleratorOption, FolderOption, InputShapeOption, JsonOption, SetOption
from accelsim.cli.request import DEFAULT_ACCELERATOR, Request, load, machine
from accelsim.errors import InputError

NetworkOption = Annotated[
    str, typer.Argument(metavar="NETWORK", help="a registered network's name, or an .onnx or .yaml file")
]
TileRowsOption = Annotated[
    int, typer.Option("--tile-attention", metavar="ROWS", help="rows of the tiles that squeeze-excite is tried with")
]
RateOption = Annotated[float, typer.Option("--target-fps", metavar="N", help="frames a second of every pipeline")]
BudgetOption = Annotated[
    float,
    typer.Option("--multiplier-budget", metavar="N", help="multipliers of faster deep layers, times those without"),
]
#: The figure that -o writes beside the runs.
FIGURE = "attention.svg"


def attention_command(
    network: NetworkOption = "efficientdet_d2",
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    tile_attention: TileRowsOption = 7,
    target_fps: RateOption = 30.0,
    multiplier_budget: BudgetOption = 1.75,
    settings: SetOption = None,
    input_shape: InputShapeOption = None,
    as_json: JsonOption = False,
    output: FolderOption = None,
) -> None:
    """Study squeeze-excite.

    As it is, tiled, its waits spilled or computed again, deep layers faster, cut into segments; -o also draws it.
    """
    from accelsim.cli import console
    from accelsim.report.attention_study import study_of
    from accelsim.report.attention_text import study_tables
    from accelsim.report.folder import write_study
    from accelsim.report.plots.attention import attention
    from accelsim.report.plots.drawing import save
    from accelsim.report.ways_out import Question, ways_out

    if tile_attention < 1:
        raise InputError(f"--tile-attention {tile_attention}: expected a whole number of rows from 1")
    request = Request(network, accelerator, settings=settings or (), input_shapes=input_shape or ())
    question = Question(load(request), machine(request), target_fps, tile_attention, multiplier_budget)
    ways = ways_out(question, lambda name: console.note(f"simulating {name}"))
    study = study_of(question, ways)
    if output is not None:
        write_study(output, study, ways)
        save(attention(study), output / FIGURE)
        console.note(f"wrote {output}")
    console.warn(study.warnings, shown=not as_json)
    if as_json:
        console.show_json(study.model_dump(mode="json"))
    else:
        console.show(study_tables(study))
