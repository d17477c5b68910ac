"""`accelsim report`: a page of one file from run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.folder import SavedRun
    from accelsim.report.page.page import PageRun

SUFFIXES = (".html", ".htm")

FoldersArgument = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="run folders, or a comparison's, as -o writes them")
]
PageOption = Annotated[Path, typer.Option("-o", "--output", metavar="PAGE", help="an .html file")]


def report_command(folders: FoldersArgument, output: PageOption) -> None:
    """Write a page of one file: summary, figures, tables, the network with its buffers."""
    from accelsim.cli import console
    from accelsim.report.folder import labelled_runs
    from accelsim.report.page.page import page_text

    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"{output}: a page's file ends in {' or '.join(SUFFIXES)}")
    with console.working(f"writing {output}"):
        text = page_text([_page_run(run) for run in labelled_runs(folders)])
        output.write_text(text, encoding="utf-8")
    console.note(f"wrote {output}")


def _page_run(run: SavedRun) -> PageRun:
    from accelsim.hardware.accelerator import load_accelerator
    from accelsim.report.folder import ACCELERATOR, read_report, read_versions
    from accelsim.report.page.page import PageRun

    machine = load_accelerator(run.folder / ACCELERATOR).model_dump(mode="json")
    return PageRun(run.label, read_report(run.folder), machine, read_versions(run.folder))
