"""Pareto fronts: the rows of a table that no other row is better than."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from accelsim.errors import InputError
from accelsim.sweeps.kernels.front import undominated
from accelsim.yaml_file import suggestion

#: Designs of different networks do not compete.
NETWORK = ("network",)


def pareto_front(table: pl.DataFrame, objectives: Mapping[str, str], within: Collection[str] = ()) -> pl.DataFrame:
    """The rows of `table` on the front of `objectives` (column to "minimise" or "maximise"), best first one first.

    Rows that lack one of the figures are not on it; rows that are equal in all of them are on it together. Rows with
    other values in columns `within`, where the table has these, are on fronts of their own, one after the other.
    Raises `InputError` for columns that the table does not have, or that are no numbers.
    """
    _check(table, objectives)
    whole = table.drop_nulls(list(objectives))
    whole = whole.filter(~pl.any_horizontal(pl.col(name).cast(pl.Float64).is_nan() for name in objectives))
    apart = [name for name in within if name in whole.columns]
    parts = whole.partition_by(apart, maintain_order=True) if apart and whole.height else [whole]
    return pl.concat([_front(part, objectives) for part in parts])


def _front(rows: pl.DataFrame, objectives: Mapping[str, str]) -> pl.DataFrame:
    signs = np.array([1.0 if direction == "minimise" else -1.0 for direction in objectives.values()])
    costs = rows.select(pl.col(name).cast(pl.Float64) for name in objectives).to_numpy() * signs
    order = np.lexsort(costs.T[::-1])
    kept = order[undominated(np.ascontiguousarray(costs[order]))]
    return rows.select(pl.all().gather(kept))


def _check(table: pl.DataFrame, objectives: Mapping[str, str]) -> None:
    if not objectives:
        raise InputError("a front needs objectives: figures to minimise or maximise")
    numbers = [name for name, kind in table.schema.items() if kind.is_numeric()]
    for name, direction in objectives.items():
        if name not in numbers:
            raise InputError(f"objective {name} is no column of numbers{suggestion(name, numbers)}")
        if direction not in ("minimise", "maximise"):
            raise InputError(f"objective {name}: {direction} is neither minimise nor maximise")
