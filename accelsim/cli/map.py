"""`accelsim map`: the mapping that the mapper chooses, as a file to edit."""

from __future__ import annotations

from accelsim.cli.options import (
    AcceleratorOption,
    FramesPerVisitOption,
    InputShapeOption,
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
from accelsim.cli.request import DEFAULT_ACCELERATOR, Request, prepare


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
    output: MappingOutOption = None,
) -> None:
    """Choose segments, tiles and unrolling, as YAML to edit."""
    from accelsim.cli import console
    from accelsim.mapping.mapping import mapping_text

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps,
        settings=settings or (), input_shapes=input_shape or (),
        objective=objective, frames_per_visit=frames_per_visit,
    )  # fmt: skip
    with console.working(f"mapping {network}"):
        prepared = prepare(request)
    console.warn(prepared.warnings)
    text = mapping_text(prepared.design.mapping)
    if output is None:
        console.show_text(text)
    else:
        output.write_text(text, encoding="utf-8")
        console.note(f"wrote {output}")
