"""Tables of comma-separated values with named columns, as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.errors import InputError, collected
from accelsim.validation.measured import read_text

MOST_DIGITS = 19


@dataclass(frozen=True)
class Line:
    """One line of a sheet; columns are asked for by `plain` names."""

    place: str
    cells: Mapping[str, str]

    def text(self, *names: str) -> str:
        """The cell of the first of these columns that there is; empty where there is none."""
        return next((self.cells[name] for name in names if self.cells.get(name)), "")

    def whole(self, name: str, least: int, most: int, *others: str) -> int:
        """A whole number; raises `InputError` with place, column, value and rule."""
        text = self.text(name, *others)
        if not re.fullmatch(rf"\d{{1,{MOST_DIGITS}}}(\.0*)?", text) or not least <= int(text.split(".")[0]) <= most:
            rule = f"is no whole number from {least:,} to {most:,}; write it in digits alone"
            raise InputError(f"{self.place}: {name} = '{text[:40]}' {rule}")
        return int(text.split(".")[0])


def plain(name: str) -> str:
    """A column's name in small letters, with underscores for all else."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def read_sheet(path: Path, needed: Iterable[Sequence[str]]) -> Iterator[Line]:
    """The lines of a sheet; cells and lines that are empty at the end do not count.

    Of each of `needed` the header names one. Raises `InputError` where it does not, and with every line that has
    more cells than the header.
    """
    text = read_text(path, "a table of comma-separated values")
    reader = csv.reader(text.splitlines(), strict=True)
    problems: list[str] = []
    lines: list[Line] = []
    header: list[str] = []
    try:
        for cells in reader:
            row, place = _trimmed(cells), f"{path}:{reader.line_num}"
            if not header:
                header = [plain(cell) for cell in row]
                problems += _missing(place, header, needed) if row else []
            elif len(row) > len(header):
                problems.append(f"{place}: {len(row)} values for {len(header)} columns")
            elif row:
                lines.append(Line(place, dict(zip(header, row, strict=False))))
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num}: {error}")
    if not header:
        problems.append(f"{path}: it is empty; the first line names the columns")
    if problems:
        raise collected(problems)
    return iter(lines)


def _trimmed(cells: Sequence[str]) -> list[str]:
    row = [cell.strip() for cell in cells]
    while row and not row[-1]:
        row.pop()
    return row


def _missing(place: str, header: Sequence[str], needed: Iterable[Sequence[str]]) -> Iterator[str]:
    for name in {name for name in header if header.count(name) > 1}:
        yield f"{place}: two columns are called {name}; leave one out"
    for names in needed:
        if not set(names) & set(header):
            yield f"{place}: no column {' or '.join(names)}; it has {', '.join(header)[:200]}"
