"""Rows of a study's table: the values of its axes, how each was found, what was found, and what went wrong.

Every stretch of the table has the same columns of the same types, whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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


def evaluated(plan: Plan, speed: Speed, points: NDArray[np.int64]) -> pl.DataFrame:
    """The rows of `points`, by closed forms (`bounds`) or simulated; those that `where` leaves out are not there."""
    return rows_of(plan, speed, *kept(plan, points, plan.space.columns(points)))


def rows_of(plan: Plan, speed: Speed, points: NDArray[np.int64], columns: Mapping[str, Column]) -> pl.DataFrame:
    """The rows of `points` that have the values in `columns`."""
    figures = _forms(plan, columns, points.size) if speed == "bounds" else _simulated(plan, speed, columns)
    return _axes_frame(plan, points, columns, speed).hstack(figures)


def kept(
    plan: Plan, points: NDArray[np.int64], columns: Mapping[str, Column]
) -> tuple[NDArray[np.int64], Mapping[str, Column]]:
    """Those of `points` that meet all conditions, and their values."""
    for condition in plan.where:
        met = condition.holds({**plan.fixed, **columns}, points.size)
        points, columns = points[met], {path: column[met] for path, column in columns.items()}
    return points, columns


def lost(plan: Plan, speed: Speed, points: NDArray[np.int64], tries: int) -> pl.DataFrame:
    """The rows of points whose worker was lost every time."""
    points, columns = kept(plan, points, plan.space.columns(points))
    types = figure_types(plan, speed)
    error = f"WorkerLost: the worker that had this point was lost {tries} times; has it enough memory?"
    figures = pl.DataFrame({name: [error if name == ERROR else None] * points.size for name in types}, schema=types)
    return _axes_frame(plan, points, columns, speed).hstack(figures)


def figure_types(plan: Plan, speed: Speed) -> dict[str, type[pl.DataType]]:
    """Columns of what is found at a speed, with the error last."""
    if speed == "bounds":
        return {name: pl.Int64 if bound.whole else pl.Float64 for name, bound in BOUNDS.items()} | {ERROR: pl.String}
    return {name: TYPES[metric_type(name)] for name in plan.metrics} | {ERROR: pl.String}


def table_types(plan: Plan, speed: Speed) -> dict[str, type[pl.DataType]]:
    """All columns of a table at one speed."""
    axes = {axis.path: _type(axis) for dimension in plan.space.dimensions for axis in dimension}
    return {POINT: pl.Int64} | axes | {SPEED: pl.String} | figure_types(plan, speed)


def _forms(plan: Plan, columns: Mapping[str, Column], rows: int) -> pl.DataFrame:
    found = closed_forms(plan.fixed, columns, rows)
    cells: dict[str, Any] = {**found.columns, ERROR: found.errors.tolist()}
    types = figure_types(plan, "bounds")
    series = [pl.Series(name, cells[name], nan_to_null=True).cast(kind) for name, kind in types.items()]
    return pl.DataFrame(series)


def _simulated(plan: Plan, speed: Granularity, columns: Mapping[str, Column]) -> pl.DataFrame:
    types = figure_types(plan, speed)
    rows = [simulated({**plan.fixed, **values}, speed, plan.file.frames, plan.metrics) for values in _rows(columns)]
    return pl.DataFrame({name: [row[k] for row in rows] for k, name in enumerate(types)}, schema=types)


def _rows(columns: Mapping[str, Column]) -> Iterable[dict[str, Any]]:
    """Points as dictionaries of plain values."""
    cells = [column.tolist() for column in columns.values()]
    return (dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True))


def _axes_frame(plan: Plan, points: NDArray[np.int64], columns: Mapping[str, Column], speed: Speed) -> pl.DataFrame:
    axes = {axis.path: axis for dimension in plan.space.dimensions for axis in dimension}
    series = [pl.Series(path, _cells(column, axes[path]), _type(axes[path])) for path, column in columns.items()]
    speeds = pl.Series(SPEED, [speed] * points.size, pl.String)
    return pl.DataFrame([pl.Series(POINT, points, pl.Int64), *series, speeds])


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
