"""`accelsim plot`: a figure from a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from accelsim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Figures of a run's folder, and of a sweep's.
OF_RUNS = ("buffers", "roles", "occupancy", "timeline", "bandwidth", "traffic", "energy", "roofline")
OF_SWEEPS = ("pareto", "axis")
KINDS = (*OF_RUNS, *OF_SWEEPS, "attention", "sizes", "trade")

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
    """Draw buffers by layer, by role, over time, against speed or multipliers; traffic, energy, bandwidth; sweeps."""
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


class _Content(NamedTuple):
    """What a folder may hold besides runs: the file that tells, its name, its figures and what writes it."""

    file: str
    holds: str
    kinds: tuple[str, ...]
    written_by: str


def _contents() -> tuple[_Content, ...]:
    from accelsim.report.folder import SIZES, STUDY, TRADE
    from accelsim.sweeps.store import MANIFEST

    return (
        _Content(MANIFEST, "a sweep", OF_SWEEPS, "accelsim sweep STUDY -o DIR"),
        _Content(SIZES, "sizes of buffers", ("sizes",), "accelsim size NETWORK -o DIR"),
        _Content(TRADE, "multipliers against memory", ("trade",), "accelsim map --objective buffering --curve -o DIR"),
        _Content(STUDY, "an attention study", ("attention", *OF_RUNS), "accelsim attention -o DIR"),
    )


def _check_folder(folder: Path, kind: str) -> None:
    """Says what a folder of another kind is good for."""
    from accelsim.report.folder import is_run_folder

    contents = _contents()
    found = next((content for content in contents if (folder / content.file).is_file()), None)
    if found is not None and kind not in found.kinds:
        raise InputError(f"{folder}: holds {found.holds}; it has no --kind {kind} but {' and '.join(found.kinds)}")
    wanted = next((content for content in contents if kind in content.kinds and kind not in OF_RUNS), None)
    if wanted is not None and wanted is not found and is_run_folder(folder):
        raise InputError(f"{folder}: holds runs; --kind {kind} is of what {wanted.written_by} writes")


def _figure(
    folder: Path, kind: str, edges: Sequence[str] | None, x: str | None, y: str | None, by: str | None
) -> Figure:
    from accelsim import plots
    from accelsim.report.folder import load_reports, read_sizes, read_study, read_trade

    if kind in OF_SWEEPS:
        return _of_sweep(folder, kind, x, y, by)
    if kind == "attention":
        return plots.attention(read_study(folder))
    if kind == "sizes":
        return plots.sizes(read_sizes(folder))
    if kind == "trade":
        return plots.trade(read_trade(folder))
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
