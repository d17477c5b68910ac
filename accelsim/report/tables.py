"""Tables of text, laid out line by line for any width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import NamedTuple

#: Columns of the text that `str(report)` gives.
PLAIN_WIDTH = 100

#: Columns of a figure's name and value.
FACT_WIDTHS = (22, 14)

INDENT = GAP = "  "

#: Columns that text is given even where figures leave less.
LEAST_TEXT = 8


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


class Line(NamedTuple):
    """A line of text and what it is, for whoever has colours: "title", "header" or ""."""

    text: str
    style: str = ""


def laid_out(tables: Iterable[Table], width: int) -> Iterator[Line]:
    """`tables` line by line, folded to `width`; only figures that do not fit at all stand out."""
    for position, table in enumerate(tables):
        if position:
            yield Line("")
        yield from (Line(text, "title") for text in wrap(printable(table.title), width))
        if table.rows:
            yield from _grid(table, width - len(INDENT))
        for note in table.notes:
            yield from (Line(INDENT + text) for text in wrap(printable(note), width - len(INDENT)))


def plain(tables: Iterable[Table], width: int = PLAIN_WIDTH) -> str:
    """`tables` as text without colour."""
    return "".join(f"{line.text}\n" for line in laid_out(tables, width))


def _grid(table: Table, width: int) -> Iterator[Line]:
    names = tuple(name.removesuffix("|") for name in table.columns)
    rows = [tuple(printable(cell) for cell in row) for row in (names, *table.rows)]
    text = [name.endswith("|") for name in table.columns]
    widths = _widths(rows, text, width)
    if table.has_header:
        yield from (Line(INDENT + line, "header") for line in _folded(rows[0], widths, text))
    for row in rows[1:]:
        yield from (Line(INDENT + line) for line in _folded(row, widths, text))


def _widths(rows: Sequence[tuple[str, ...]], text: Sequence[bool], width: int) -> list[int]:
    """Figures take what they need, then the names of the rows up to half, then the shortest text first.

    Names leave the other text a fair part of its own.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(text))]
    left = width - len(GAP) * (len(text) - 1) - sum(w for w, folds in zip(widths, text, strict=True) if not folds)
    folding = sorted((k for k in range(len(text)) if text[k]), key=lambda k: (k > 0, widths[k]))
    fair = max(left // (len(folding) + 1), LEAST_TEXT)
    others = sum(min(widths[column], fair) for column in folding[1:])
    for position, column in enumerate(folding):
        is_name = column == 0 and len(folding) > 1
        share = min(width // 2, left - others) if is_name else left // (len(folding) - position)
        widths[column] = min(widths[column], max(share, LEAST_TEXT))
        left -= widths[column]
    return widths


def _folded(row: tuple[str, ...], widths: Sequence[int], text: Sequence[bool]) -> Iterator[str]:
    """The lines of one row."""
    cells = [
        wrap(cell, max(size, 1)) or [""] if folds else [cell]
        for cell, size, folds in zip(row, widths, text, strict=True)
    ]
    for parts in zip_longest(*cells, fillvalue=""):
        padded = (
            part.ljust(size) if folds else part.rjust(size)
            for part, size, folds in zip(parts, widths, text, strict=True)
        )
        yield GAP.join(padded).rstrip()
