"""Our figures beside measured ones: a row a figure, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `predicted` is None where there is none, or none can be said, and `why`; `name` a name of the key.

    Where granularities predict, `by` is the one that did, and `why` says what the one asked for does not tell.
    """

    key: str
    quantity: str
    measured: float
    predicted: float | None
    name: str | None = None
    why: str | None = None
    by: str | None = None

    @property
    def difference(self) -> float | None:
        """Predicted less measured, in the figure's unit."""
        return None if self.predicted is None else self.predicted - self.measured

    @property
    def error(self) -> float | None:
        """(predicted - measured) / measured; 0 where both are 0, None where only the measured one is."""
        difference = self.difference
        if difference is None or (self.measured == 0 and difference != 0):
            return None
        return 0.0 if difference == 0 else difference / self.measured


@dataclass(frozen=True, slots=True)
class Spread:
    """The errors of one quantity: how many figures, how many equal, and the size of the others' errors.

    `missing` have no error: nothing was predicted, or not 0 where 0 was measured. Without any error there is no size.
    """

    rows: int
    equal: int
    missing: int
    median: float | None
    p95: float | None
    worst: float | None
    worst_difference: float | None


@dataclass(frozen=True)
class Comparison:
    """All rows of a set of measurements, in their order.

    `details` are further figures of the same runs, `skipped` files beside them that are no part of it.
    """

    rows: tuple[Row, ...]
    details: tuple[Row, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def quantities(self) -> dict[str, Spread]:
        """Errors by quantity, details too; what a quantity is of, behind a colon in its name, is left out."""
        grouped: dict[str, list[Row]] = {}
        for row in (*self.rows, *self.details):
            grouped.setdefault(row.quantity.partition(":")[0], []).append(row)
        return {quantity: spread(rows) for quantity, rows in grouped.items()}

    @property
    def by_granularity(self) -> dict[str, Comparison]:
        """The figures that each granularity predicted; empty where none did."""
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.by is not None:
                grouped.setdefault(row.by, []).append(row)
        return {by: Comparison(tuple(rows)) for by, rows in grouped.items()}

    @property
    def by_finer(self) -> dict[str, tuple[Row, ...]]:
        """Figures that the granularity asked for does not tell, by why."""
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.why is not None:
                grouped.setdefault(row.why, []).append(row)
        return {why: tuple(rows) for why, rows in grouped.items()}

    def to_dict(self) -> dict[str, Any]:
        """Rows and summary as plain data; details, and files left out, where there are any."""
        summary = _summary(spread(self.rows)) | {"quantities": _summaries(self)}
        if self.by_granularity:
            summary["granularities"] = {by: _summaries(of) for by, of in self.by_granularity.items()}
        if self.by_finer:
            summary["by_finer"] = [_finer(why, rows) for why, rows in self.by_finer.items()]
        found: dict[str, Any] = {"rows": [_row(row) for row in self.rows], "summary": summary}
        if self.details:
            found["details"] = [_row(row) for row in self.details]
        if self.skipped:
            found["skipped_files"] = list(self.skipped)
        return found


def spread(rows: Sequence[Row]) -> Spread:
    """How far apart the figures of `rows` are."""
    errors = [abs(row.error) for row in rows if row.error is not None]
    differences = [abs(row.difference) for row in rows if row.difference is not None]
    return Spread(
        rows=len(rows),
        equal=sum(row.difference == 0 for row in rows),
        missing=sum(row.error is None for row in rows),
        median=float(np.median(errors)) if errors else None,
        p95=float(np.percentile(errors, 95)) if errors else None,
        worst=max(errors, default=None),
        worst_difference=max(differences, default=None),
    )


def comparison(rows: Iterable[Row]) -> Comparison:
    return Comparison(tuple(rows))


def _row(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        **({} if row.name is None else {"name": row.name}),
        "quantity": row.quantity,
        "measured": whole(row.measured),
        "predicted": whole(row.predicted),
        "error": row.error,
        "difference": whole(row.difference),
        **({} if row.by is None else {"by": row.by}),
        **({} if row.why is None else {"why": row.why}),
    }


def _finer(why: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {"why": why, "rows": len(rows), "figures": [f"{row.key} {row.quantity}" for row in rows]}


def _summaries(of: Comparison) -> dict[str, dict[str, Any]]:
    return {quantity: _summary(spread) for quantity, spread in of.quantities.items()}


def _summary(of: Spread) -> dict[str, Any]:
    return {
        "rows": of.rows,
        "equal": of.equal,
        "missing": of.missing,
        "median_error": of.median,
        "p95_error": of.p95,
        "worst_error": of.worst,
        "worst_difference": whole(of.worst_difference),
    }


def whole(value: float | None) -> float | int | None:
    """Counts as whole numbers."""
    return int(value) if value is not None and float(value).is_integer() else value
