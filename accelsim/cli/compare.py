"""`accelsim compare`: designs beside each other, simulated here or saved before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from accelsim.cli.options import (
    AcceleratorOption,
    FolderOption,
    FramesOption,
    FramesPerVisitOption,
    GranularityOption,
    InputShapeOption,
    JsonOption,
    ObjectiveOption,
    SetOption,
    SourceOption,
    TargetFpsOption,
    TileColumnsOption,
    TileCountOption,
)
from accelsim.cli.request import (
    DEFAULT_ACCELERATOR,
    Prepared,
    Request,
    chooses_segments,
    load,
    machine,
    prepare,
    prepare_like,
    with_tiles,
)
from accelsim.cli.simulate import simulated
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.report import Report

TargetsArgument = Annotated[
    list[str], typer.Argument(metavar="NETWORK | DIR DIR...", help="a network, or two or more run folders")
]
TileRowsOption = Annotated[
    str | None,
    typer.Option("--tile-attention", metavar="ROWS[,ROWS...]", help="the network beside itself with tiled attention"),
]
MappingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mapping",
        metavar="FILE|pipeline|layer-by-layer|fused",
        help="a mapping file, or how to choose one; repeated, their results side by side",
    ),
]
VirtualMapsOption = Annotated[
    bool,
    typer.Option(
        "--virtual-maps",
        help="channels pooled on the way out of convolutions, beside maps stored before; layer by layer if not told",
    ),
]
#: What is set side by side for virtual feature maps.
MAP_MODES = ("virtual", "materialised")


class _Variant(NamedTuple):
    """One column of a comparison; `prepared` is None where it was read from a folder."""

    label: str
    report: Report
    prepared: Prepared | None


def compare_command(
    targets: TargetsArgument,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    mapping: MappingsOption = None,
    tile_attention: TileRowsOption = None,
    tile_count: TileCountOption = None,
    tile_columns: TileColumnsOption = None,
    target_fps: TargetFpsOption = None,
    granularity: GranularityOption = None,
    source: SourceOption = None,
    frames: FramesOption = None,
    settings: SetOption = None,
    input_shape: InputShapeOption = None,
    objective: ObjectiveOption = None,
    frames_per_visit: FramesPerVisitOption = None,
    virtual_maps: VirtualMapsOption = False,
    as_json: JsonOption = False,
    output: FolderOption = None,
) -> None:
    """Compare tiled attention, mappings, virtual feature maps or saved runs."""
    from accelsim.cli import console
    from accelsim.report.compare import Run, comparison_tables

    mappings = mapping or []
    request = Request(
        targets[0], accelerator, mappings[0] if mappings else None, None, tile_count, tile_columns, target_fps,
        granularity, source, settings or (), input_shape or (), objective, frames_per_visit,
    )  # fmt: skip
    rows = _tile_rows(tile_attention)
    if len(targets) > 1 or _is_saved(targets[0]):
        _refuse_options(request, rows, frames, virtual_maps)
        variants = _saved(targets)
    elif virtual_maps:
        variants = _virtual_maps(request, mappings, rows, frames)
    else:
        variants = _simulated(request, mappings, rows, frames)
    if output is not None:
        _write(output, variants, frames)
        console.note(f"wrote {output}")
    console.warn(dict.fromkeys(w for variant in variants for w in variant.report.warnings), shown=not as_json)
    if as_json:
        console.show_json(_json(variants, tiled=bool(rows)))
    else:
        console.show(comparison_tables([Run(variant.label, variant.report.body) for variant in variants]))


def _tile_rows(text: str | None) -> list[int]:
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 and int(part) > 0 for part in parts):
        raise InputError(f"--tile-attention {text}: expected rows such as 7, or several such as 1,3,7")
    return [int(part) for part in dict.fromkeys(parts)]


def _is_saved(target: str) -> bool:
    from accelsim.report.folder import is_run_folder

    return is_run_folder(target)


def _refuse_options(request: Request, rows: Sequence[int], frames: int | None, virtual_maps: bool) -> None:
    """A saved run is what it is; options that would change it are a mistake."""
    plain = Request(request.network)
    given = [name for name in Request.__dataclass_fields__ if getattr(request, name) != getattr(plain, name)]
    given += ["tile_attention"] if rows else []
    given += ["frames"] if frames is not None else []
    given += ["virtual_maps"] if virtual_maps else []
    if given:
        names = {"settings": "set", "input_shapes": "input-shape"}
        options = ", ".join(f"--{names.get(name, name.replace('_', '-'))}" for name in given)
        raise InputError(f"compare: {options} cannot change runs that are saved; give a network instead")


def _saved(targets: Sequence[str]) -> list[_Variant]:
    from accelsim.report.folder import labelled_runs, read_report

    runs = labelled_runs(targets)
    if len(runs) < 2:
        raise InputError(f"compare: {targets[0]} is one run; give another run folder to compare it with")
    return [_Variant(run.label, read_report(run.folder), None) for run in runs]


def _simulated(request: Request, mappings: Sequence[str], rows: Sequence[int], frames: int | None) -> list[_Variant]:
    if rows and len(mappings) > 1:
        raise InputError("compare: --tile-attention goes with one --mapping")
    if rows:
        return _tilings(request, rows, frames)
    if len(mappings) < 2:
        raise InputError(
            "compare: nothing to compare; give --tile-attention ROWS, --mapping twice, --virtual-maps, or run folders"
        )
    return _mappings(request, mappings, frames)


def _tilings(request: Request, rows: Sequence[int], frames: int | None) -> list[_Variant]:
    """The network as it is, then tiled; what both have in common keeps its unrolling."""
    net = load(request)
    baseline = prepare(with_tiles(request, None), net)
    variants = [_variant("untiled", baseline, frames)]
    for count in rows:
        prepared = prepare_like(with_tiles(request, count), net, baseline.design)
        variants.append(_variant(f"tile-{count}", prepared, frames))
    return variants


def _virtual_maps(request: Request, mappings: Sequence[str], rows: Sequence[int], frames: int | None) -> list[_Variant]:
    """Maps pooled over their channels on the way out, then stored before that; each with the best mapping it has."""
    from accelsim.mapping.stages import pooled_layers

    if rows or len(mappings) > 1:
        raise InputError("compare: --virtual-maps goes with one --mapping, and without --tile-attention")
    accelerator, net = machine(request), load(request)
    if not accelerator.channel_pooling:
        raise InputError(
            f"compare: {accelerator.name} does not pool channels on the way out of a convolution; use --accelerator "
            "feature-map-npu, or --set channel_pooling=true"
        )
    asked = replace(request, mapping=request.mapping or "layer-by-layer")
    designs = {label: prepare(replace(asked, materialised=label == "materialised"), net) for label in MAP_MODES}
    if not pooled_layers(net):
        told = f"{net.name} has no convolution whose channels are pooled behind it; there is no map to be virtual"
        designs = {label: replace(prepared, warnings=(*prepared.warnings, told)) for label, prepared in designs.items()}
    return [_variant(label, prepared, frames) for label, prepared in designs.items()]


def _mappings(request: Request, mappings: Sequence[str], frames: int | None) -> list[_Variant]:
    net = load(request)
    labels = [Path(name).stem for name in mappings]
    if len(set(labels)) < len(labels):
        labels = [f"{position + 1}-{label}" for position, label in enumerate(labels)]
    designs = [prepare(asked, net) for asked in _each(request, mappings)]
    return [_variant(label, prepared, frames) for label, prepared in zip(labels, designs, strict=True)]


def _each(request: Request, mappings: Sequence[str]) -> list[Request]:
    """A request a mapping; what is for choosing segments goes to those that choose them, if any does."""
    each = [replace(request, mapping=name) for name in mappings]
    accelerator = machine(request)
    if not any(chooses_segments(name, accelerator) for name in mappings):
        return each
    return [
        asked if chooses_segments(asked.mapping, accelerator) else replace(asked, objective=None, frames_per_visit=None)
        for asked in each
    ]


def _variant(label: str, prepared: Prepared, frames: int | None) -> _Variant:
    from accelsim.cli import console

    with console.working(f"simulating {label}"):
        return _Variant(label, simulated(prepared, frames), prepared)


def _write(output: Path, variants: Sequence[_Variant], frames: int | None) -> None:
    from accelsim.report.folder import write_comparison, write_run

    if any(variant.prepared is None for variant in variants):
        raise InputError("compare: -o writes runs that are simulated; these are saved already")
    folders = write_comparison(output, [variant.label for variant in variants])
    for folder, variant in zip(folders, variants, strict=True):
        assert variant.prepared is not None
        write_run(folder, variant.prepared.design, variant.report, frames)


def _json(variants: Sequence[_Variant], tiled: bool) -> dict[str, Any]:
    """All reports as `runs`; for a tiling also the first two by name, and what changes between them."""
    from accelsim.report.compare import change

    runs = [variant.report.to_dict() for variant in variants]
    if not tiled:
        return {"runs": runs}
    return {"runs": runs, "baseline": runs[0], "tiled": runs[1], "change": change(runs[0], runs[1])}
