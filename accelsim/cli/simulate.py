"""`accelsim simulate`: one design, one report."""

from __future__ import annotations

from collections.abc import Iterable
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

if TYPE_CHECKING:
    from accelsim.report.report import Report


CertificateOption = Annotated[
    bool, typer.Option("--certificate", help="prove the interval, and say what one step more of anything would buy")
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
    with console.working(f"simulating {network}"):
        prepared = prepare(request)
        report = simulated(prepared, frames)
        report = report.certified() if certificate else report
    if output is not None:
        write_run(output, prepared.design, report, frames)
        console.note(f"wrote {output}")
    console.warn(report.warnings, shown=not as_json)
    if as_json:
        console.show_json(report.to_dict())
    else:
        console.show(report_tables(report.body))


def simulated(prepared: Prepared, frames: int | None) -> Report:
    """The report of a prepared design, with what preparing it gave to warn of."""
    from accelsim.report.build import simulate

    report = simulate(prepared.design, frames=frames, granularity=prepared.granularity)
    return with_warnings(report, prepared.warnings)


def with_warnings(report: Report, warnings: Iterable[str]) -> Report:
    """`report` with more warnings in front."""
    from accelsim.report.report import Report

    body = report.body.model_copy(update={"warnings": (*warnings, *report.warnings)})
    return Report(body, report.rates, report.certify)
