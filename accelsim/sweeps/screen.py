"""Closed forms first: which designs are worth simulating, and one table of both."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from accelsim.sweeps.pareto import NETWORK, pareto_front
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.table import ERROR, POINT, SPEED


def passed(plan: Plan, bounds: pl.DataFrame) -> NDArray[np.int64]:
    """Points that the screen of a plan lets through, by their closed forms, in order.

    A point without closed forms because they are not modelled for it is let through: nothing speaks against it.
    """
    unknown = bounds[ERROR].str.starts_with("NotModelled").fill_null(False)
    rest = bounds.filter(pl.col(ERROR).is_null())
    for condition in plan.keep:
        columns = {**plan.fixed, **{name: rest[name].to_numpy() for name in condition.names if name in rest.columns}}
        rest = rest.filter(pl.Series(condition.holds(columns, rest.height)))
    if plan.front and rest.height:
        rest = pareto_front(rest, plan.front, NETWORK)
    points = np.concatenate([rest[POINT].to_numpy(), bounds.filter(unknown)[POINT].to_numpy()])
    return np.sort(points.astype(np.int64))


def with_simulated(bounds: pl.DataFrame, simulated: pl.DataFrame) -> pl.DataFrame:
    """The table of all points: `bounds.` columns are closed forms, the others simulated, where `speed` says so."""
    figures = [name for name in simulated.columns if name not in bounds.columns or name in (SPEED, ERROR)]
    found = simulated.select(POINT, *figures).rename({SPEED: "_speed", ERROR: "_error"})
    both = bounds.join(found, on=POINT, how="left", maintain_order="left")
    told = both.with_columns(
        pl.coalesce("_speed", SPEED).alias(SPEED),
        pl.when(pl.col("_speed").is_null()).then(pl.col(ERROR)).otherwise(pl.col("_error")).alias(ERROR),
    )
    names = [name for name in told.columns if name not in ("_speed", "_error", ERROR)]
    return told.select(*names, ERROR)
