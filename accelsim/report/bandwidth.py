"""Bytes over time at the ports of memories, in few enough spans to draw and to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.bandwidth import Passed

if TYPE_CHECKING:
    import polars as pl

#: Spans at most into which the time is cut.
MOST_BINS = 2000


class Rates(NamedTuple):
    """Mean bytes a cycle, float64[n], at the port of a memory between neighbouring `cycles`, int64[n + 1]."""

    memory: str
    cycles: NDArray[np.int64]
    bytes_per_cycle: NDArray[np.float64]


def binned(passed: Mapping[str, Passed]) -> tuple[Rates, ...]:
    """What passed each memory, in at most `MOST_BINS` spans of a cycle or more."""
    spans = {name: int(one.cycles[-1]) if one.cycles.size else 0 for name, one in passed.items()}
    return tuple(Rates(name, *one.rates(min(MOST_BINS, spans[name]))) for name, one in passed.items() if spans[name])


def rates_table(rates: Sequence[Rates]) -> pl.DataFrame:
    """A row a memory and span: `memory`, `begin_cycle`, `end_cycle`, `bytes_per_cycle`."""
    import polars as pl

    schema = {"memory": pl.String, "begin_cycle": pl.Int64, "end_cycle": pl.Int64, "bytes_per_cycle": pl.Float64}
    columns = [
        {
            "memory": [one.memory] * len(one.bytes_per_cycle),
            "begin_cycle": one.cycles[:-1],
            "end_cycle": one.cycles[1:],
            "bytes_per_cycle": one.bytes_per_cycle,
        }
        for one in rates
    ]
    return pl.concat([pl.DataFrame(schema=schema), *(pl.DataFrame(column, schema=schema) for column in columns)])
