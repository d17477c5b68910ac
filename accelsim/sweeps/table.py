"""Rows of a study's table: the values of its axes, how each was found, what was found, and what went wrong.

Every stretch of the table has the same columns of the same types, whoever found it. What is found are arrays and lists,
so that any process can find it; a frame is made of them where the table is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from accelsim.network.reach import Granularity
from accelsim.sweeps.axes import Axis, Column, Listed
from accelsim.sweeps.closed import closed_forms
from accelsim.sweeps.metrics import BOUNDS, metric_type
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.point import simulated
from accelsim.sweeps.study import Speed

#: Columns of every table, in front of and behind the axes.
POINT, SPEED, ERROR = "point", "speed", "error"
TYPES: dict[type, type[pl.DataType]] = {int: pl.Int64, float: pl.Float64, str: pl.String, bool: pl.Boolean}


class Found(NamedTuple):
    """What was found of `points` that have the values in `columns`: cells by name of `figure_types`."""

    points: NDArray[np.int64]
    columns: Mapping[str, Column]
    figures: Mapping[str, Any]


def evaluated(plan: Plan, speed: Speed, points: NDArray[np.int64]) -> Found:
    """What is found of `points`, by closed forms (`bounds`) or simulated; those that `where` leaves out are not."""
    return found_of(plan, speed, *kept(plan, points, plan.space.columns(points)))


def found_of(plan: Plan, speed: Speed, points: NDArray[np.int64], columns: Mapping[str, Column]) -> Found:
    """What is found of `points` that have the values in `columns`."""
    figures = _forms(plan, columns, points.size) if speed == "bounds" else _simulated(plan, speed, columns)
    return Found(points, columns, figures)


def framed(plan: Plan, speed: Speed, found: Found) -> pl.DataFrame:
    """The rows of what was found."""
    axes = {axis.path: axis for dimension in plan.space.dimensions for axis in dimension}
    values = [pl.Series(path, _cells(column, axes[path]), _type(axes[path])) for path, column in found.columns.items()]
    speeds = pl.Series(SPEED, [speed] * found.points.size, pl.String)
    figures = [_series(name, found.figures[name], kind) for name, kind in figure_types(plan, speed).items()]
    return pl.DataFrame([pl.Series(POINT, found.points, pl.Int64), *values, speeds, *figures])


def kept(
    plan: Plan, points: NDArray[np.int64], columns: Mapping[str, Column]
) -> tuple[NDArray[np.int64], Mapping[str, Column]]:
    """Those of `points` that meet all conditions, and their values."""
    for condition in plan.where:
        met = condition.holds({**plan.fixed, **columns}, points.size)
        points, columns = points[met], {path: column[met] for path, column in columns.items()}
    return points, columns


def lost(plan: Plan, speed: Speed, points: NDArray[np.int64], tries: int) -> Found:
    """What is told of points whose worker was lost every time."""
    points, columns = kept(plan, points, plan.space.columns(points))
    error = f"WorkerLost: the worker that had this point was lost {tries} times; has it enough memory?"
    cells = {name: [error if name == ERROR else None] * points.size for name in figure_types(plan, speed)}
    return Found(points, columns, cells)


def figure_types(plan: Plan, speed: Speed) -> dict[str, type[pl.DataType]]:
    """Columns of what is found at a speed, with the error last."""
    if speed == "bounds":
        return {name: pl.Int64 if bound.whole else pl.Float64 for name, bound in BOUNDS.items()} | {ERROR: pl.String}
    return {name: TYPES[metric_type(name)] for name in plan.metrics} | {ERROR: pl.String}


def table_types(plan: Plan, speed: Speed) -> dict[str, type[pl.DataType]]:
    """All columns of a table at one speed."""
    axes = {axis.path: _type(axis) for dimension in plan.space.dimensions for axis in dimension}
    return {POINT: pl.Int64} | axes | {SPEED: pl.String} | figure_types(plan, speed)


def _forms(plan: Plan, columns: Mapping[str, Column], rows: int) -> dict[str, Any]:
    forms = closed_forms(plan.fixed, columns, rows)
    return {**forms.columns, ERROR: forms.errors.tolist()}


def _simulated(plan: Plan, speed: Granularity, columns: Mapping[str, Column]) -> dict[str, Any]:
    rows = [simulated({**plan.fixed, **values}, speed, plan.file.frames, plan.metrics) for values in _rows(columns)]
    return {name: [row[k] for row in rows] for k, name in enumerate(figure_types(plan, speed))}


def _series(name: str, cells: Any, kind: type[pl.DataType]) -> pl.Series:
    """A column of figures: numbers of closed forms, NaN where there is none, or cells of a list."""
    if isinstance(cells, np.ndarray):
        return pl.Series(name, cells, nan_to_null=True).cast(kind)
    return pl.Series(name, cells, kind)


def _rows(columns: Mapping[str, Column]) -> Iterable[dict[str, Any]]:
    """Points as dictionaries of plain values."""
    cells = [column.tolist() for column in columns.values()]
    return (dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True))


def _type(axis: Axis) -> type[pl.DataType]:
    """Of an axis with values of several types text."""
    if not isinstance(axis, Listed):
        return pl.Int64 if axis.whole else pl.Float64
    kinds = {type(value) for value in axis.values} - {type(None)}
    if kinds == {int, float}:
        return pl.Float64
    return TYPES.get(kinds.pop(), pl.String) if len(kinds) == 1 else pl.String


def _cells(column: Column, axis: Axis) -> Any:
    if _type(axis) is pl.String:
        return [None if value is None else _text(value) for value in column.tolist()]
    return column if column.dtype != object else column.tolist()


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
