"""How full the buffers are, from a trace: peaks of edges, of sums of edges, and over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.occupancy import periodic_peak, single_peak
from accelsim.timing.lower import token_elements
from accelsim.timing.simulate import Trace

Ints = NDArray[np.int64]

#: Cycles of a period, at most and for each change in it, for which a table of one entry a cycle beats sorting.
LARGEST_CYCLE_TABLE = 2**24
CYCLES_A_CHANGE = 16


def slots(trace: Trace, edge: int, alone: bool = False) -> tuple[Ints, Ints]:
    """When the slots of an edge's tokens are taken and freed, int64[tokens], over one period, or the first frame.

    A slot is taken when the producing firing starts; it is freed when the last firing that reads it ends,
    and not before the token has arrived.
    """
    p = trace.pipeline
    producer, reader = int(p.producer[edge]), int(p.consumer[edge])
    first, last = (trace.alone_first[None], trace.alone_last[None]) if alone else (trace.first, trace.last)
    tokens = int(p.tokens[producer])
    freeing = p.freed[p.freed_at[edge] : p.freed_at[edge] + tokens]
    making = slice(None) if p.made_at[producer] < 0 else p.made[p.made_at[producer] : p.made_at[producer] + tokens]
    arrived = last[:, p.first_firing[producer] : p.first_firing[producer + 1]][:, making]
    taken = trace.starts(producer, first)[:, making]
    ends = trace.ends(reader, last)
    freed = np.where(freeing < 0, arrived, np.maximum(ends[:, freeing], arrived)).ravel()
    # tokens leave in order: what nobody reads leaves as it comes, but not before those of the frame before
    if not alone:
        freed = np.maximum(freed, freed.max() - trace.period_cycles)
    return taken.ravel(), np.maximum.accumulate(freed)


def peak_tokens(trace: Trace, edge: int, alone: bool = False) -> int:
    """Most tokens an edge holds at once, in the steady state or with one frame in the machine."""
    taken, freed = slots(trace, edge, alone)
    return int(single_peak(taken, freed) if alone else periodic_peak(taken, freed, trace.period_cycles))


def stored_tokens(trace: Trace, edges: Sequence[int]) -> int:
    """Most tokens at once in one buffer that all `edges` (of one producer) read."""
    times = [slots(trace, edge) for edge in edges]
    freed = np.maximum.reduce([freed for _, freed in times])
    return int(periodic_peak(times[0][0], freed, trace.period_cycles))


def simultaneous_peak_elements(trace: Trace, edges: Sequence[int]) -> int:
    """Peak of the sum of elements over `edges` in the steady state."""
    if not edges:
        return 0
    _, level = levels(trace, edges)
    return int(level.max())


def levels(trace: Trace, edges: Sequence[int]) -> tuple[Ints, Ints]:
    """Elements held by `edges` together over one period: the times of change, and the level from each on.

    What is freed and taken in the same cycle cancels out.
    """
    period = trace.period_cycles
    base, moments, changes = 0, [], []
    for edge in edges:
        taken, freed = slots(trace, edge)
        size = token_elements(trace.design.edges[edge].tensor, trace.granularity)
        base += size * int((freed // period - taken // period).sum())
        moments += [taken % period, freed % period]
        changes += [np.full(taken.size, size), np.full(freed.size, -size)]
    moment, change = np.concatenate(moments), np.concatenate(changes)
    if period <= min(LARGEST_CYCLE_TABLE, CYCLES_A_CHANGE * moment.size):
        net = np.bincount(moment, weights=change, minlength=period).astype(np.int64)
        times = np.union1d(np.zeros(1, np.int64), np.flatnonzero(net))
        return times, base + np.cumsum(net[times])
    order = np.argsort(moment, kind="stable")
    times, begins = np.unique(moment[order], return_index=True)
    return times, base + np.cumsum(np.add.reduceat(change[order], begins))
