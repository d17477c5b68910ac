"""Bytes over time at the ports of memories, in few enough spans to draw and to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

    from accelsim.timing.bandwidth import Passed

#: Spans at most into which the time is cut.
MOST_BINS = 2000


class Rates(NamedTuple):
    """Mean bytes a cycle, float64[n], at the port of a memory between neighbouring `cycles`, int64[n + 1]."""

    memory: str
    cycles: NDArray[np.int64]
    bytes_per_cycle: NDArray[np.float64]


def binned(passed: Mapping[str, Passed]) -> tuple[Rates, ...]:
    """What passes each memory in a period, in at most `MOST_BINS` spans of a cycle or more.

    Requests of a period that are served in later ones are where those of earlier periods are in this one.
    """
    return tuple(_rates(name, one) for name, one in passed.items() if one.cycles.size)


def _rates(memory: str, passed: Passed) -> Rates:
    period = passed.period_cycles
    edges = np.linspace(0, period, min(MOST_BINS, period) + 1).astype(np.int64)
    moved = np.zeros(edges.size - 1)
    for begin in range(int(passed.cycles[0]) // period * period, int(passed.cycles[-1]), period):
        moved += np.diff(passed.at(edges + begin))
    return Rates(memory, edges, moved / np.diff(edges))


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


def rates_of(table: pl.DataFrame) -> tuple[Rates, ...]:
    """What `rates_table` made its rows of."""
    parts = table.partition_by("memory", maintain_order=True)
    return tuple(
        Rates(
            part["memory"][0],
            np.append(part["begin_cycle"].to_numpy(), part["end_cycle"][-1]).astype(np.int64),
            part["bytes_per_cycle"].to_numpy().astype(np.float64),
        )
        for part in parts
    )


def coarser(rates: Rates, most: int) -> Rates:
    """The same in at most so many spans."""
    every = -(-rates.bytes_per_cycle.size // most)
    cycles = np.unique(np.append(rates.cycles[::every], rates.cycles[-1]))
    moved = np.append(0, np.cumsum(rates.bytes_per_cycle * np.diff(rates.cycles)))
    kept = moved[np.searchsorted(rates.cycles, cycles)]
    return Rates(rates.memory, cycles, np.diff(kept) / np.diff(cycles))
