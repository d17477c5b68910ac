"""`accelsim simulate`: one design, one report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.options import (
    AcceleratorOption,
    FolderOption,
    FramesOption,
    FramesPerVisitOption,
    GranularityOption,
    InputShapeOption,
    JsonOption,
    MappingOption,
    NetworkArgument,
    ObjectiveOption,
    SetOption,
    SourceOption,
    TargetFpsOption,
    TileAttentionOption,
    TileColumnsOption,
    TileCountOption,
)
from accelsim.cli.request import DEFAULT_ACCELERATOR, Prepared, Request, prepare
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.report import Report
    from accelsim.timing.timeline import Timeline


CertificateOption = Annotated[
    bool, typer.Option("--certificate", help="prove the interval, and say what one step more of anything would buy")
]
TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--trace", metavar="FILE", help="write a .json.gz for Perfetto or chrome://tracing: stages, buffers, ports"
    ),
]
TraceCyclesOption = Annotated[
    str | None,
    typer.Option("--trace-cycles", metavar="FROM:TO", help="of --trace: these cycles alone; without, a whole period"),
]


def simulate_command(
    network: NetworkArgument,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    mapping: MappingOption = None,
    tile_attention: TileAttentionOption = None,
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
    certificate: CertificateOption = False,
    trace: TraceOption = None,
    trace_cycles: TraceCyclesOption = None,
    as_json: JsonOption = False,
    output: FolderOption = None,
) -> None:
    """Simulate a network: throughput, latency, buffering."""
    from accelsim.cli import console
    from accelsim.report.folder import write_run
    from accelsim.report.text import report_tables

    request = Request(
        network, accelerator, mapping, tile_attention, tile_count, tile_columns, target_fps, granularity, source,
        settings or (), input_shape or (), objective, frames_per_visit,
    )  # fmt: skip
    window = None if trace_cycles is None else _window(trace_cycles, trace)
    with console.working(f"simulating {network}"):
        prepared = prepare(request)
        traced = None if trace is None else _timeline(prepared, frames)
        report = simulated(prepared, frames)
        report = report.certified() if certificate else report
    if output is not None:
        write_run(output, prepared.design, report, frames)
        console.note(f"wrote {output}")
    if trace is not None and traced is not None:
        _write_trace(traced, trace, window)
    console.warn(report.warnings, shown=not as_json)
    if as_json:
        console.show_json(report.to_dict())
    else:
        console.show(report_tables(report.body))


def _window(cycles: str, trace: Path | None) -> tuple[int, int]:
    if trace is None:
        raise InputError("--trace-cycles goes with --trace")
    begin, colon, end = cycles.partition(":")
    if not (colon and begin.isdecimal() and end.isdecimal()):
        raise InputError(f"--trace-cycles {cycles}: expected two cycles, such as 0:20000")
    return int(begin), int(end)


def _timeline(prepared: Prepared, frames: int | None) -> Timeline:
    from accelsim.timing.timeline import timeline

    return timeline(prepared.design, prepared.granularity, frames=frames)


def _write_trace(traced: Timeline, path: Path, window: tuple[int, int] | None) -> None:
    from accelsim.cli import console
    from accelsim.report.trace_file import trace_size, write_trace

    size = trace_size(traced, window)
    console.note(f"tracing {size.events:,} events, about {size.text_bytes / 10**6:,.1f} MB before compression")
    write_trace(traced, path, window)
    console.note(f"wrote {path}")


def simulated(prepared: Prepared, frames: int | None) -> Report:
    """The report of a prepared design, with what preparing it gave to warn of."""
    from accelsim.report.build import simulate

    report = simulate(prepared.design, frames=frames, granularity=prepared.granularity)
    return report.with_warnings(prepared.warnings)
