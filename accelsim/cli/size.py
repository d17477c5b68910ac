"""`accelsim size`: joint buffer sizes, smallest without deadlock and enough for full throughput."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from accelsim.cli.request import DEFAULT_ACCELERATOR, Request, of_tokens, prepare

if TYPE_CHECKING:
    from accelsim.report.sizing import Sized

MAPPING_ENDS = (".yaml", ".yml")

SizesOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR|FILE", help="a folder for sizes and mappings, or a .yaml file for one mapping"
    ),
]
FullOption = Annotated[
    bool, typer.Option("--full-throughput", help="-o FILE has the sizes at full throughput; DIR has both")
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
    output: SizesOption = None,
) -> None:
    """Size all buffers together.

    The smallest without deadlock, which -o FILE.yaml writes as a mapping, beside them the smallest found at full
    throughput, and the curve between; -o DIR writes all of it, for accelsim plot DIR --kind sizes.
    """
    from accelsim.cli import console
    from accelsim.report.sizing import size_report, sizing_tables

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps, granularity, source,
        settings or (), input_shape or (),
    )  # fmt: skip
    with console.working(f"sizing the buffers of {network}"):
        prepared = prepare(request)
        sized = size_report(prepared.design, of_tokens(prepared.granularity))
    if output is not None:
        _write(output, sized, full_throughput)
        console.note(f"wrote {output}")
    console.warn(prepared.warnings)
    if as_json:
        console.show_json(sized.sizing.model_dump(mode="json"))
    else:
        console.show(sizing_tables(sized.sizing))


def _is_mapping(output: Path) -> bool:
    return output.suffix.lower() in MAPPING_ENDS


def _write(output: Path, sized: Sized, full_throughput: bool) -> None:
    from accelsim.mapping.mapping import mapping_text
    from accelsim.report.folder import write_sizes

    if _is_mapping(output):
        mapping = (sized.full if full_throughput else sized.least).mapping
        output.write_text(mapping_text(mapping), encoding="utf-8")
    else:
        write_sizes(output, sized)
