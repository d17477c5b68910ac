"""`accelsim map`: the mapping that the mapper chooses, as a file to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.options import (
    AcceleratorOption,
    FramesPerVisitOption,
    InputShapeOption,
    JsonOption,
    MappingOption,
    MappingOutOption,
    NetworkArgument,
    ObjectiveOption,
    SetOption,
    TargetFpsOption,
    TileAttentionOption,
    TileColumnsOption,
    TileCountOption,
)
from accelsim.cli.request import BUFFERING, DEFAULT_ACCELERATOR, Request, load, machine, prepare, tiled
from accelsim.errors import InputError

CurveOption = Annotated[
    bool, typer.Option("--curve", help="with --objective buffering: multipliers against memory, instead of the mapping")
]


def map_command(
    network: NetworkArgument,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    mapping: MappingOption = None,
    tile_attention: TileAttentionOption = None,
    tile_count: TileCountOption = None,
    tile_columns: TileColumnsOption = None,
    target_fps: TargetFpsOption = None,
    settings: SetOption = None,
    input_shape: InputShapeOption = None,
    objective: ObjectiveOption = None,
    frames_per_visit: FramesPerVisitOption = None,
    curve: CurveOption = False,
    as_json: JsonOption = False,
    output: MappingOutOption = None,
) -> None:
    """Choose segments, tiles and unrolling, as YAML to edit; or show what multipliers save in memory.

    With --curve -o names a folder, for accelsim plot DIR --kind trade.
    """
    from accelsim.cli import console
    from accelsim.mapping.mapping import mapping_text

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps,
        settings=settings or (), input_shapes=input_shape or (),
        objective=objective, frames_per_visit=frames_per_visit,
    )  # fmt: skip
    if as_json and not curve:
        raise InputError("--json goes with --curve; a mapping is YAML")
    if curve:
        _show_curve(request, as_json, output)
        return
    with console.working(f"mapping {network}"):
        prepared = prepare(request)
    console.warn(prepared.warnings)
    text = mapping_text(prepared.design.mapping)
    if output is None:
        console.show_text(text)
    else:
        output.write_text(text, encoding="utf-8")
        console.note(f"wrote {output}")


def _show_curve(request: Request, as_json: bool, output: Path | None) -> None:
    from accelsim.cli import console
    from accelsim.report.folder import write_trade
    from accelsim.report.trade import trade_report, trade_table

    if request.objective != BUFFERING or request.mapping not in (None, "pipeline"):
        raise InputError(f"--curve shows multipliers against memory of a pipeline: add --objective {BUFFERING}")
    with console.working(f"mapping {request.network}"):
        net, warnings = tiled(request, load(request))
        trade = trade_report(net, machine(request), request.target_fps)
    console.warn(warnings)
    if output is not None:
        write_trade(output, trade)
        console.note(f"wrote {output}")
    if as_json:
        console.show_json(trade.model_dump(mode="json"))
    else:
        console.show([trade_table(trade)])
