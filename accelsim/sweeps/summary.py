"""What a sweep has come to, in a few lines: how many designs, which failed and why, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from accelsim.report.tables import Table, facts_table, quantity
from accelsim.sweeps.pareto import NETWORK, pareto_front
from accelsim.sweeps.store import read_manifest

#: Rows and kinds of error shown at most.
MOST_SHOWN = 20
MOST_ERRORS = 5


class ErrorRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str
    points: int


class SweepSummary(BaseModel):
    """A sweep that has ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    folder: str
    points: int = Field(description="of the study's space, with those that its conditions leave out")
    rows: int = Field(description="of the table")
    errors: int = Field(description="rows that have an error instead of figures")
    most_errors: tuple[ErrorRow, ...] = Field(description="the errors that most rows have")
    objectives: dict[str, str]
    front: tuple[dict[str, Any], ...] = Field(
        description="first rows that no other of their network is better than; of all rows where no objectives"
    )


def summary(folder: str | Path, table: pl.DataFrame) -> SweepSummary:
    """The summary of the sweep in `folder`, and the first rows of its front, or of its table without objectives."""
    manifest = read_manifest(Path(folder))
    study = manifest["study"]
    failed = table.filter(pl.col("error").is_not_null())
    counts = failed.group_by("error").len().sort("len", "error", descending=[True, False]).head(MOST_ERRORS)
    best = pareto_front(table, study["objectives"], NETWORK) if study["objectives"] else table
    return SweepSummary(
        study=study["name"],
        folder=str(folder),
        points=manifest["points"],
        rows=table.height,
        errors=failed.height,
        most_errors=tuple(ErrorRow(error=error, points=count) for error, count in counts.iter_rows()),
        objectives=study["objectives"],
        front=tuple(best.head(MOST_SHOWN).to_dicts()),
    )


def summary_tables(said: SweepSummary) -> Iterator[Table]:
    """The same as tables."""
    yield facts_table(
        f"{said.study}: {said.folder}",
        [
            ("designs", f"{said.rows:,}", f"of {said.points:,} points"),
            ("errors", f"{said.errors:,}", "rows without figures"),
        ],
    )
    for row in said.most_errors:
        yield Table(f"{row.points:,} times", (), (), (row.error,))
    if said.front:
        wanted = ", ".join(f"{direction} {name}" for name, direction in said.objectives.items())
        yield _rows(f"front: {wanted}" if wanted else f"first {len(said.front)} rows", said.front)


def _rows(title: str, rows: tuple[dict[str, Any], ...]) -> Table:
    varied = [name for name in rows[0] if len(rows) == 1 or len({str(row[name]) for row in rows}) > 1]
    columns = tuple(name if all(_is_number(row[name]) for row in rows) else f"{name}|" for name in varied)
    return Table(title, columns, tuple(tuple(_cell(row[name]) for name in varied) for row in rows))


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    return "-" if value is None else quantity(value) if _is_number(value) else str(value)
