"""`accelsim plot`: a figure from a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (
    "buffers", "roles", "occupancy", "timeline", "bandwidth", "traffic", "attention", "energy", "roofline", "pareto",
    "axis", "sizes",
)  # fmt: skip
#: Figures of a sweep's folder.
OF_SWEEPS = ("pareto", "axis")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="a run folder, or a comparison's, as -o writes it")]
KindOption = Annotated[str, typer.Option("--kind", metavar="|".join(KINDS), help="what to show")]
EdgesOption = Annotated[
    str | None, typer.Option("--edges", metavar="A,B", help="edges of an occupancy plot; the four largest")
]
FigureOption = Annotated[Path, typer.Option("-o", "--output", metavar="FIGURE", help="an .svg, .png or .pdf file")]

XOption = Annotated[str | None, typer.Option("--x", metavar="COLUMN", help="of a sweep: what goes to the right")]
YOption = Annotated[str | None, typer.Option("--y", metavar="COLUMN", help="of a sweep: what goes up")]
ByOption = Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="of a sweep: an axis, a line a value")]


def plot_command(
    folder: FolderArgument,
    kind: KindOption,
    output: FigureOption,
    edges: EdgesOption = None,
    x: XOption = None,
    y: YOption = None,
    by: ByOption = None,
) -> None:
    """Draw buffers by layer, by role, over time or against speed; traffic, energy, bandwidth; roofline; sweeps."""
    from accelsim import plots
    from accelsim.cli import console

    if kind not in KINDS:
        raise InputError(f"--kind {kind}: use {', '.join(KINDS)}")
    if edges is not None and kind != "occupancy":
        raise InputError("--edges goes with --kind occupancy")
    if (x or y or by) and kind not in OF_SWEEPS:
        raise InputError(f"--x, --y and --by go with --kind {' and '.join(OF_SWEEPS)}")
    _check_folder(folder, kind)
    with console.working(f"drawing {folder}"):
        plots.save(_figure(folder, kind, _names(edges), x, y, by), output)
    console.note(f"wrote {output}")


def _check_folder(folder: Path, kind: str) -> None:
    """Says what a folder of another kind is good for."""
    from accelsim.report.folder import SIZES, STUDY, is_run_folder
    from accelsim.sweeps.store import MANIFEST

    is_sweep, is_run, is_study = (folder / MANIFEST).is_file(), is_run_folder(folder), (folder / STUDY).is_file()
    is_sizes = (folder / SIZES).is_file()
    wanted = "sweep" if kind in OF_SWEEPS else {"attention": "study", "sizes": "sizes"}.get(kind, "run")
    if is_sweep and wanted != "sweep":
        raise InputError(f"{folder}: a sweep's folder; it has no --kind {kind} but {' and '.join(OF_SWEEPS)}")
    if is_sizes and wanted != "sizes":
        raise InputError(f"{folder}: holds sizes of buffers; it has no --kind {kind} but sizes")
    if is_run and wanted == "sizes" and not is_sizes:
        raise InputError(f"{folder}: holds runs; --kind sizes is of what accelsim size NETWORK -o DIR writes")
    if is_run and wanted == "sweep":
        raise InputError(f"{folder}: holds runs, no sweep; --kind {kind} is of what accelsim sweep STUDY -o DIR writes")
    if is_run and wanted == "study" and not is_study:
        raise InputError(f"{folder}: holds runs, no study; --kind {kind} is of what accelsim attention -o DIR writes")


def _figure(
    folder: Path, kind: str, edges: Sequence[str] | None, x: str | None, y: str | None, by: str | None
) -> Figure:
    from accelsim import plots
    from accelsim.report.folder import load_reports, read_sizes, read_study

    if kind in OF_SWEEPS:
        return _of_sweep(folder, kind, x, y, by)
    if kind == "attention":
        return plots.attention(read_study(folder))
    if kind == "sizes":
        return plots.sizes(read_sizes(folder))
    runs = load_reports(folder)
    if kind == "occupancy":
        return plots.occupancy(runs, edges)
    draw = {
        "buffers": plots.buffers,
        "roles": plots.roles,
        "timeline": plots.timeline,
        "traffic": plots.traffic,
        "bandwidth": plots.bandwidth,
        "energy": plots.energy,
        "roofline": plots.roofline,
    }[kind]
    return draw(runs)


def _of_sweep(folder: Path, kind: str, x: str | None, y: str | None, by: str | None) -> Figure:
    from accelsim import plots
    from accelsim.sweeps.store import read_manifest, read_table

    study, table = read_manifest(folder)["study"], read_table(folder)
    if kind == "axis":
        return plots.axis(table, x, y, by, title=study["name"])
    if by is not None:
        raise InputError("--by goes with --kind axis")
    given = {name: study["objectives"].get(name, "minimise") for name in (x, y) if name is not None}
    rest = {name: aim for name, aim in study["objectives"].items() if name not in given}
    return plots.pareto(table, given | rest, study["name"])


def _names(edges: str | None) -> list[str] | None:
    return None if edges is None else [name.strip() for name in edges.split(",") if name.strip()]
