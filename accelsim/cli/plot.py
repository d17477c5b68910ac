"""`accelsim plot`: a figure from a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.request import of_tokens
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.folder import SavedRun
    from accelsim.timing.simulate import Trace
    from accelsim.timing.timeline import Timeline

KINDS = (
    "buffers", "roles", "occupancy", "timeline", "bandwidth", "traffic", "attention", "energy", "roofline", "pareto",
    "axis",
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
    """Draw buffers by layer, by role or over time; traffic, energy, bandwidth and a roofline; studies and sweeps."""
    from accelsim.cli import console
    from accelsim.report.folder import read_rates, read_report, read_study, saved_runs
    from accelsim.report.plots.costs import plot_energy, plot_roofline
    from accelsim.report.plots.figures import plot_attention, plot_bandwidth, plot_buffers, plot_roles, plot_traffic
    from accelsim.report.plots.timeline import plot_timeline

    if kind not in KINDS:
        raise InputError(f"--kind {kind}: use {', '.join(KINDS)}")
    if edges is not None and kind != "occupancy":
        raise InputError("--edges goes with --kind occupancy")
    if (x or y or by) and kind not in OF_SWEEPS:
        raise InputError(f"--x, --y and --by go with --kind {' and '.join(OF_SWEEPS)}")
    if kind in OF_SWEEPS:
        with console.working(f"drawing {folder}"):
            _plot_sweep(folder, kind, output, x, y, by)
        console.note(f"wrote {output}")
        return
    if kind == "attention":
        plot_attention(read_study(folder), output)
        console.note(f"wrote {output}")
        return
    runs = saved_runs(folder)
    with console.working(f"drawing {folder}"):
        if kind == "occupancy":
            _plot_occupancy(runs, _names(edges), output)
        elif kind == "timeline":
            plot_timeline([(run.label, _timeline(run)) for run in runs], output)
        elif kind == "bandwidth":
            plot_bandwidth([(run.label, read_report(run.folder), read_rates(run.folder)) for run in runs], output)
        else:
            draw = {
                "buffers": plot_buffers,
                "roles": plot_roles,
                "traffic": plot_traffic,
                "energy": plot_energy,
                "roofline": plot_roofline,
            }[kind]
            draw([(run.label, read_report(run.folder)) for run in runs], output)
    console.note(f"wrote {output}")


def _plot_sweep(folder: Path, kind: str, output: Path, x: str | None, y: str | None, by: str | None) -> None:
    from accelsim.sweeps.plots import plot_axis, plot_pareto
    from accelsim.sweeps.store import read_manifest, read_table

    study, table = read_manifest(folder)["study"], read_table(folder)
    if kind == "axis":
        plot_axis(table, output, x, y, by, title=study["name"])
        return
    if by is not None:
        raise InputError("--by goes with --kind axis")
    given = {name: study["objectives"].get(name, "minimise") for name in (x, y) if name is not None}
    plot_pareto(table, given | {k: v for k, v in study["objectives"].items() if k not in given}, output, study["name"])


def _names(edges: str | None) -> list[str]:
    return [] if edges is None else [name.strip() for name in edges.split(",") if name.strip()]


def _plot_occupancy(runs: list[SavedRun], edges: list[str], output: Path) -> None:
    """Simulates every run again from its saved inputs, and draws the same edges of each, where it has them."""
    from accelsim.report.plots.figures import largest_edges, occupancy, plot_occupancy

    traces = [_trace(run) for run in runs]
    chosen = edges or [traces[0].design.edges[k].name for k in largest_edges(traces[0])]
    named = [{edge.name for edge in trace.design.edges} for trace in traces]
    unknown = [name for name in chosen if not any(name in names for names in named)]
    if unknown:
        example = traces[0].design.edges[0].name
        raise InputError(f"--edges {unknown[0]}: no run has such an edge; they are named like '{example}'")
    drawn = [
        (run.label, occupancy(trace, [name for name in chosen if name in names]))
        for run, trace, names in zip(runs, traces, named, strict=True)
    ]
    plot_occupancy(drawn, output)


def _timeline(run: SavedRun) -> Timeline:
    from accelsim.report.folder import read_design
    from accelsim.timing.timeline import timeline

    design, options = read_design(run.folder)
    return timeline(design, options.granularity, frames=options.frames)


def _trace(run: SavedRun) -> Trace:
    from accelsim.cli import console
    from accelsim.report.folder import read_design
    from accelsim.timing.simulate import schedule

    design, options = read_design(run.folder)
    if design.mapping.segments:
        raise InputError(
            f"{run.folder}: segments take turns, and no buffer lasts for a period; use --kind buffers or bandwidth"
        )
    trace = schedule(design, of_tokens(options.granularity), frames=options.frames)
    if trace.growing:
        raise InputError(
            f"{run.folder}: a greedy source fills its unbounded buffers for ever; there is no period to draw"
        )
    if not trace.steady:
        console.warn([f"{run.folder}: no steady state; what is drawn is its last frame, as if it repeated"])
    return trace
