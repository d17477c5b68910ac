"""Reading `measured.csv`: key, quantity and value of each figure to be predicted."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from accelsim.errors import InputError, collected

COLUMNS = ("key", "quantity", "measured")
LARGEST_FILE_BYTES = 2**28


class Figure(NamedTuple):
    """One measured figure and where it stands."""

    place: str
    key: str
    quantity: str
    measured: float


def read_text(path: Path, form: str = "a folder with specs.jsonl and measured.csv") -> str:
    """The text of a data file; raises `InputError` where there is none to be read."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: {size:,} bytes; the most is {LARGEST_FILE_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; --data takes {form}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r} is no path: {error}") from None


def read_figures(path: Path) -> tuple[Figure, ...]:
    """All figures of a file, in its order.

    Raises `InputError` with every line that is no figure, and every figure given twice.
    """
    lines = read_text(path).splitlines()
    header = next(csv.reader(lines[:1]), [])
    if missing := [column for column in COLUMNS if column not in header]:
        raise InputError(f"{path}:1: no column {', '.join(missing)}; the first line names {', '.join(COLUMNS)}")
    if repeated := [column for column in COLUMNS if header.count(column) > 1]:
        raise InputError(f"{path}:1: more than one column {', '.join(repeated)}; leave one of each")
    figures: list[Figure] = []
    problems: list[str] = []
    for place, row in _rows(path, lines, header, problems):
        figure = _figure(place, row, problems)
        if figure is not None:
            figures.append(figure)
    problems += _twice(figures)
    if problems:
        raise collected(problems)
    return tuple(figures)


def _rows(path: Path, lines: list[str], header: list[str], problems: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(lines[1:], strict=True)
    try:
        for values in reader:
            place = f"{path}:{reader.line_num + 1}"
            if not values:
                continue
            if len(values) == len(header):
                yield place, dict(zip(header, values, strict=True))
            else:
                problems.append(f"{place}: {len(values)} values for {len(header)} columns")
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num + 1}: {error}")


def _figure(place: str, row: dict[str, str], problems: list[str]) -> Figure | None:
    try:
        measured = math.nan if "_" in row["measured"] else float(row["measured"])
    except ValueError:
        measured = math.nan
    if not math.isfinite(measured):
        problems.append(f"{place}: measured = '{row['measured'][:40]}' is no finite number ({row['key'][:60]})")
        return None
    return Figure(place, row["key"], row["quantity"], measured)


def _twice(figures: list[Figure]) -> list[str]:
    seen: dict[tuple[str, str], str] = {}
    problems = []
    for figure in figures:
        first = seen.setdefault((figure.key, figure.quantity), figure.place)
        if first != figure.place:
            problems.append(f"{figure.place}: {figure.quantity} of {figure.key} is given twice, first at {first}")
    return problems
