"""`accelsim advise`: what holds the interval, and the cheapest steps to a shorter one."""

from __future__ import annotations

from typing import Annotated

import typer

from accelsim.cli.options import (
    AcceleratorOption,
    GranularityOption,
    InputShapeOption,
    JsonOption,
    MappingOption,
    NetworkArgument,
    SetOption,
    SourceOption,
    TargetFpsOption,
    TileAttentionOption,
    TileColumnsOption,
    TileCountOption,
)
from accelsim.cli.request import DEFAULT_ACCELERATOR, Request, prepare

PercentOption = Annotated[float, typer.Option("--percent", metavar="P", help="by how much the interval is to fall")]


def advise_command(
    network: NetworkArgument,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    mapping: MappingOption = None,
    tile_attention: TileAttentionOption = None,
    tile_count: TileCountOption = None,
    tile_columns: TileColumnsOption = None,
    target_fps: TargetFpsOption = None,
    granularity: GranularityOption = None,
    source: SourceOption = None,
    settings: SetOption = None,
    input_shape: InputShapeOption = None,
    percent: PercentOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Say what holds the interval, with its proof, and what would shorten it.

    The critical cycle, what one step more of anything on it gains, and the fewest multipliers and least room that bring
    the interval down by a share; every figure is simulated.
    """
    from accelsim.cli import console
    from accelsim.report.certificate import advised
    from accelsim.report.certificate_tables import advised_tables

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps, granularity, source,
        settings or (), input_shape or (),
    )  # fmt: skip
    with console.working(f"seeking {percent:g} % of {network}"):
        prepared = prepare(request)
        found = advised(prepared.design, percent, prepared.granularity)
    console.warn(prepared.warnings, shown=not as_json)
    if as_json:
        console.show_json(found.model_dump(mode="json"))
    else:
        console.show(advised_tables(found))
