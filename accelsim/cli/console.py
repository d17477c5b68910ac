"""What reaches the user: results on standard output, all else on standard error, colour on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from accelsim.json_text import json_text
from accelsim.report.tables import Table, laid_out, plain, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task


#: Whether what is only of interest meanwhile is left unsaid, process-wide as the streams are.
_is_quiet = False

#: Columns where no terminal sets them: long layer names stay whole.
PIPE_WIDTH = 160
#: How the lines of tables look on terminals.
STYLES = {"title": "bold", "header": "cyan", "": ""}


def be_quiet(wanted: bool) -> None:
    """Leaves notes and progress unsaid, or says them again; results, warnings and errors stay."""
    global _is_quiet
    _is_quiet = wanted


def show(tables: Iterable[Table]) -> None:
    """Prints tables: in colour and as wide as a terminal is, or plain and wide for other programs and files."""
    if not sys.stdout.isatty():
        sys.stdout.write(plain(tables, PIPE_WIDTH))
        return
    from rich.text import Text

    console = _console(sys.stdout)
    for line in laid_out(tables, console.width):
        console.print(Text(line.text, STYLES[line.style]), soft_wrap=True)


def show_text(text: str) -> None:
    """Prints text as it is."""
    sys.stdout.write(text)


def show_json(data: dict[str, Any]) -> None:
    """Prints one JSON object."""
    sys.stdout.write(json_text(data) + "\n")


def note(text: str) -> None:
    """One line on standard error of what was done, unless that is to be quiet."""
    if not _is_quiet:
        _say(text)


def _say(text: str) -> None:
    sys.stderr.write(printable(text) + "\n")


def warn(warnings: Iterable[str], shown: bool = False) -> None:
    """Warnings on standard error, unless a terminal has them already as part of what was `shown` on it."""
    if not (shown and sys.stdout.isatty()):
        for text in warnings:
            _say(f"warning: {text}")


def fail(message: str) -> None:
    """An error on standard error, one line a problem, red on terminals."""
    from rich.text import Text

    for line in message.splitlines():
        if sys.stderr.isatty():
            _console(sys.stderr).print(Text(printable(line), style="red"), soft_wrap=True)
        else:
            _say(line)


@contextmanager
def working(on: str) -> Iterator[Callable[[str], None]]:
    """Says on a terminal what is being worked on, and takes it away afterwards; gives a function to say more of it."""
    if not _shows_progress():
        yield lambda part: None
        return
    with _console(sys.stderr).status(printable(on)) as status:
        yield lambda part: status.update(printable(f"{on}: {part}"))


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A progress bar on terminals; gives a function to be told how many more are done."""
    with bars() as progress:
        task = progress.add_task(printable(what), total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def bars() -> Iterator[Progress]:
    """Bars of progress with rate and remaining time, on terminals, taken away afterwards."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second."""

        def render(self, task: Task) -> Text:
            return Text("" if not task.speed else f"{task.speed:,.1f}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=_console(sys.stderr), transient=True, disable=not _shows_progress()) as shown:
        yield shown


def _shows_progress() -> bool:
    return sys.stderr.isatty() and not _is_quiet


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)
