"""`accelsim size`: joint buffer sizes, smallest without deadlock and enough for full throughput."""

from __future__ import annotations

from typing import Annotated

import typer

from accelsim.cli.options import (
    AcceleratorOption,
    GranularityOption,
    InputShapeOption,
    JsonOption,
    MappingOption,
    MappingOutOption,
    NetworkArgument,
    SetOption,
    SourceOption,
    TargetFpsOption,
    TileAttentionOption,
    TileColumnsOption,
    TileCountOption,
)
from accelsim.cli.request import DEFAULT_ACCELERATOR, Request, of_tokens, prepare

FullOption = Annotated[
    bool, typer.Option("--full-throughput", help="-o writes the sizes that are enough for full throughput")
]


def size_command(
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
    full_throughput: FullOption = False,
    as_json: JsonOption = False,
    output: MappingOutOption = None,
) -> None:
    """Size all buffers together.

    The smallest without deadlock, which -o writes as a mapping, and beside them sizes that are certainly
    enough for full throughput.
    """
    from accelsim.cli import console
    from accelsim.mapping.mapping import mapping_text
    from accelsim.report.sizing import size_report, sizing_tables

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps, granularity, source,
        settings or (), input_shape or (),
    )  # fmt: skip
    with console.working(f"sizing the buffers of {network}"):
        prepared = prepare(request)
        sizing, least, full = size_report(prepared.design, of_tokens(prepared.granularity))
    if output is not None:
        output.write_text(mapping_text((full if full_throughput else least).mapping), encoding="utf-8")
        console.note(f"wrote {output}")
    console.warn(prepared.warnings)
    if as_json:
        console.show_json(sizing.model_dump(mode="json"))
    else:
        console.show(sizing_tables(sizing))
