"""`accelsim sweep`: every design of a study, into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.options import JsonOption
from accelsim.errors import InputError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from accelsim.sweeps.run import Progress

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="a study file, or the name of a ready study")]
SweepFolderOption = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="DIR", help="for the table; a sweep that was ended goes on there"),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="processes of this computer; without, one a core")
]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", metavar="ADDRESS", help="a Dask scheduler whose workers do it instead")
]
SearchOption = Annotated[
    int | None, typer.Option("--search", metavar="N", help="try N designs chosen for the study's objectives, not all")
]


def sweep_command(
    study: StudyArgument,
    output: SweepFolderOption,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    search: SearchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate every design of a study, or search it for the best."""
    from accelsim.cli import console
    from accelsim.sweeps.run import sweep
    from accelsim.sweeps.search import search as run_search
    from accelsim.sweeps.summary import summary, summary_tables

    try:
        with _shown_progress() as progress:
            if search is None:
                table = sweep(study, workers, output, cluster, progress)
            else:
                _check_alone(workers, cluster)
                table = run_search(study, search, output, progress)
    except KeyboardInterrupt:
        console.note(f"stopped; what is done is in {output}, the same command goes on from there")
        raise
    console.note(f"wrote {output}")
    said = summary(output, table)
    if as_json:
        console.show_json(said.model_dump(mode="json"))
    else:
        console.show(summary_tables(said))


def _check_alone(workers: int | None, cluster: str | None) -> None:
    """A search chooses every design by those before it."""
    if workers is not None or cluster is not None:
        raise InputError("--search tries designs one after the other; leave --workers and --cluster out")


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    """A bar a speed, with points a second and the time that is left, on terminals."""
    from accelsim.cli.console import bars

    with bars() as shown:
        begun: dict[str, TaskID] = {}

        def show(speed: str, done: int, points: int, before: int) -> None:
            if speed not in begun:
                begun[speed] = shown.add_task(speed, total=points - before)
            shown.update(begun[speed], completed=done - before)

        yield show
