"""How full the buffers are, from a trace: peaks of edges, of sums of edges, and over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels import occupancy as kernels
from accelsim.timing.lower import token_elements
from accelsim.timing.simulate import Trace

Ints = NDArray[np.int64]


def slots(trace: Trace, edge: int) -> tuple[Ints, Ints]:
    """When the slots of an edge's tokens are taken and freed, int64[tokens], over one period."""
    p = trace.pipeline
    count = int(p.tokens[p.producer[edge]]) * trace.period_frames
    taken, freed = np.empty(count, np.int64), np.empty(count, np.int64)
    kernels.slot_times(p, edge, trace.first, trace.last, trace.period_cycles, taken, freed)
    return taken, freed


def peak_tokens(trace: Trace, alone: bool = False) -> Ints:
    """Most tokens that each edge holds at once, int64[edges], in the steady state or with one frame in the machine."""
    times = (trace.alone_first[None], trace.alone_last[None]) if alone else (trace.first, trace.last)
    peaks: Ints = kernels.edge_peaks(trace.pipeline, *times, kernels.ONCE if alone else trace.period_cycles)
    return peaks


def stored_tokens(trace: Trace) -> Ints:
    """Most tokens at once of what each stage makes, int64[stages], in one buffer that all its readers share."""
    peaks: Ints = kernels.stored_peaks(trace.pipeline, trace.first, trace.last, trace.period_cycles)
    return peaks


def simultaneous_peak_elements(trace: Trace, edges: Sequence[int]) -> int:
    """Peak of the sum of elements over `edges` in the steady state."""
    sizes = [token_elements(trace.design.edges[edge].tensor, trace.granularity) for edge in edges]
    chosen, elements = np.array(edges, np.int64), np.array(sizes, np.int64)
    return int(kernels.most_at_once(trace.pipeline, chosen, elements, trace.first, trace.last, trace.period_cycles))


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
    order = np.argsort(moment, kind="stable")
    times, begins = np.unique(moment[order], return_index=True)
    return times, base + np.cumsum(np.add.reduceat(change[order], begins))
