"""The options that commands share: their names, metavars and help, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NetworkArgument = Annotated[
    str, typer.Argument(metavar="NETWORK", help="a registered network's name, or an .onnx, .tflite or .yaml file")
]
AcceleratorOption = Annotated[
    str, typer.Option("--accelerator", metavar="NAME|FILE", help="a preset's name or a YAML file")
]
MappingOption = Annotated[
    str | None,
    typer.Option(
        "--mapping", metavar="FILE|pipeline|layer-by-layer|fused", help="a mapping file, or how to choose one"
    ),
]
ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="bytes|cycles|energy|buffering",
        help="what segments are chosen for: fewest of these; or a pipeline's multipliers, for least buffering",
    ),
]
FramesPerVisitOption = Annotated[
    int | None,
    typer.Option("--frames-per-visit", metavar="N", help="frames that a segment processes before the next"),
]
TileAttentionOption = Annotated[
    int | None,
    typer.Option("--tile-attention", metavar="ROWS", help="squeeze-excite over tiles of this many rows"),
]
TileCountOption = Annotated[
    int | None, typer.Option("--tile-count", metavar="N", help="tile the first N squeeze-excite blocks only")
]
TileColumnsOption = Annotated[
    int | None, typer.Option("--tile-columns", metavar="N", help="tiles are N columns wide, not the whole row")
]
TargetFpsOption = Annotated[
    float | None,
    typer.Option("--target-fps", metavar="N", help="fewest multipliers that reach N frames/s, paced at that rate"),
]
GranularityOption = Annotated[
    str | None, typer.Option("--granularity", metavar="row|pixel|word", help="what a token is; the mapping's, or row")
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="paced|greedy", help="frames offered evenly, or as fast as they are taken"),
]
FramesOption = Annotated[
    int | None, typer.Option("--frames", metavar="N", help="simulate N frames; without, until frames repeat")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="change a field of the accelerator, such as engine.lanes=128"),
]
InputShapeOption = Annotated[
    list[str] | None,
    typer.Option("--input-shape", metavar="[NAME=]1,3,224,224", help="shape of the input, or of the input so named"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, nothing else")]
FolderOption = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="write a run folder: inputs, report, tables")
]
MappingOutOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE|DIR", help="write the mapping (YAML), or --curve (folder)"),
]
