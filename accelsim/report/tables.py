"""Tables of text, and their one rendering: plain at a given width, or in colour by whoever has a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table as Grid

#: Columns of the text that `str(report)` gives.
PLAIN_WIDTH = 100

#: Columns of a figure's name and value.
FACT_WIDTHS = (22, 14)


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; a column whose name ends in `|` is text, aligned left, all others are numbers.

    Without names there is no header and only the second column is numbers. `notes` are lines below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def has_header(self) -> bool:
        return any(name.strip("|") for name in self.columns)


def facts_table(title: str, rows: Iterable[tuple[str, str, str]]) -> Table:
    """A table of (name, value, remark) without a header; tables below each other line up."""
    padded = ((name.ljust(FACT_WIDTHS[0]), value.rjust(FACT_WIDTHS[1]), remark) for name, value, remark in rows)
    return Table(title, ("|", "", "|"), tuple(padded))


def lines_table(title: str, lines: Iterable[str]) -> Table:
    """A title with lines of running text below it."""
    return Table(title, (), (), tuple(lines))


def printable(text: str) -> str:
    """`text` with control characters written out, so that a name from a file cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quantity(value: float) -> str:
    """A number as text: thousands separated; two decimals, or three digits below 1, where it is no integer.

    >>> quantity(50176.0), quantity(1234.5), quantity(0.01234)
    ('50,176', '1,234.50', '0.0123')
    """
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"


def rendered(tables: Iterable[Table]) -> Group:
    """`tables` as something a rich console prints."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for table in tables:
        if parts:
            parts.append(Text())
        parts.append(Text(printable(table.title), style="bold"))
        if table.rows:
            parts.append(Padding(_grid(table), (0, 0, 0, 2)))
        parts += [Padding(Text(printable(note)), (0, 0, 0, 2)) for note in table.notes]
    return Group(*parts)


def _grid(table: Table) -> Grid:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=None, show_header=table.has_header, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in table.columns:
        text = name.endswith("|")
        grid.add_column(
            Text(printable(name.removesuffix("|"))),
            justify="left" if text else "right",
            overflow="fold",
            no_wrap=not text,
        )
    for row in table.rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    return grid


def plain(tables: Iterable[Table], width: int = PLAIN_WIDTH) -> str:
    """`tables` as text without colour, the same wherever it is made."""
    from rich.console import Console

    stream = StringIO()
    console = Console(
        file=stream, width=width, color_system=None, force_terminal=False, legacy_windows=False, _environ={}
    )
    console.print(rendered(tables))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
