"""`accelsim plot`: a figure from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.errors import InputError, NotModelled

if TYPE_CHECKING:
    from accelsim.report.folder import SavedRun
    from accelsim.timing.simulate import Trace

KINDS = ("buffers", "roles", "occupancy")
NOT_MODELLED = ("timeline", "bandwidth", "roofline", "pareto")

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="a run folder, or a comparison's, as -o writes it")]
KindOption = Annotated[str, typer.Option("--kind", metavar="|".join(KINDS), help="what to show")]
EdgesOption = Annotated[
    str | None, typer.Option("--edges", metavar="A,B", help="edges of an occupancy plot; the four largest")
]
FigureOption = Annotated[Path, typer.Option("-o", "--output", metavar="FIGURE", help="an .svg, .png or .pdf file")]


def plot_command(folder: FolderArgument, kind: KindOption, output: FigureOption, edges: EdgesOption = None) -> None:
    """Draw buffers by layer, their sums by role, or their occupancy over time."""
    from accelsim.cli import console
    from accelsim.report.folder import read_report, saved_runs
    from accelsim.report.plots import plot_buffers, plot_roles

    if kind in NOT_MODELLED:
        raise NotModelled(f"--kind {kind} is not available; use {', '.join(KINDS)}")
    if kind not in KINDS:
        raise InputError(f"--kind {kind}: use {', '.join(KINDS)}")
    if edges is not None and kind != "occupancy":
        raise InputError("--edges goes with --kind occupancy")
    runs = saved_runs(folder)
    with console.working(f"drawing {folder}"):
        if kind == "occupancy":
            _plot_occupancy(runs, _names(edges), output)
        else:
            draw = plot_buffers if kind == "buffers" else plot_roles
            draw([(run.label, read_report(run.folder)) for run in runs], output)
    console.note(f"wrote {output}")


def _names(edges: str | None) -> list[str]:
    return [] if edges is None else [name.strip() for name in edges.split(",") if name.strip()]


def _plot_occupancy(runs: list[SavedRun], edges: list[str], output: Path) -> None:
    """Simulates every run again from its saved inputs, and draws the same edges of each."""
    from accelsim.report.plots import largest_edges, occupancy, plot_occupancy

    traces = [_trace(run) for run in runs]
    first = traces[0].design
    chosen = edges or [first.edges[k].name for k in largest_edges(traces[0])]
    drawn = []
    for run, trace in zip(runs, traces, strict=True):
        there = {edge.name for edge in trace.design.edges}
        known = edges if len(runs) == 1 else [name for name in chosen if name in there]
        drawn.append((run.label, occupancy(trace, known)))
    plot_occupancy(drawn, output)


def _trace(run: SavedRun) -> Trace:
    from accelsim.report.folder import read_design
    from accelsim.timing.simulate import schedule

    design, options = read_design(run.folder)
    return schedule(design, options.granularity, frames=options.frames)
