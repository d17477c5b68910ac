"""How full buffers are, from the times their slots are taken and freed."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import Pipeline

Ints = NDArray[np.int64]

#: In place of a period: what is measured happens once.
ONCE = 0
#: Cycles of a period, at most and for each change in it, for which a table of one entry a cycle beats sorting.
LARGEST_CYCLE_TABLE = 2**24
CYCLES_A_CHANGE = 16


@njit(cache=True)
def slot_times(p: Pipeline, edge: int, first: Ints, last: Ints, period: int, taken: Ints, freed: Ints) -> int:
    """Fills in when the slots of an edge's tokens are taken and freed, frame by frame; their number.

    `first` and `last`, int64[frames, firings], are arrivals; `period` is the cycles after which these frames come
    again, or `ONCE`. A slot is taken when the producing firing starts; it is freed when the last firing that reads it
    ends, and not before the token has arrived. Tokens leave in order: one that nobody reads leaves as it comes, but
    not before those of the frame before.
    """
    producer, reader = p.producer[edge], p.consumer[edge]
    making, reading = p.first_firing[producer], p.first_firing[reader]
    start = p.first_offset[producer] + p.latency[producer]
    tokens = p.tokens[producer]
    count = 0
    for frame in range(first.shape[0]):
        for token in range(tokens):
            firing = making + (token if p.made_at[producer] < 0 else p.made[p.made_at[producer] + token])
            freeing = p.freed[p.freed_at[edge] + token]
            taken[count] = first[frame, firing] - start
            freed[count] = last[frame, firing]
            if freeing >= 0:
                freed[count] = max(freed[count], last[frame, reading + freeing] - p.latency[reader])
            count += 1
    latest = freed[0]
    if period != ONCE:
        for slot in range(count):
            latest = max(latest, freed[slot])
        latest -= period
    for slot in range(count):
        latest = max(latest, freed[slot])
        freed[slot] = latest
    return count


@njit(cache=True)
def edge_peaks(p: Pipeline, first: Ints, last: Ints, period: int) -> Ints:
    """Most tokens that each edge holds at once, int64[edges]."""
    taken, freed = _room(p, first.shape[0])
    peaks = np.zeros(p.producer.size, np.int64)
    for edge in range(p.producer.size):
        count = slot_times(p, edge, first, last, period, taken, freed)
        peaks[edge] = peak(taken[:count], freed[:count], period)
    return peaks


@njit(cache=True)
def stored_peaks(p: Pipeline, first: Ints, last: Ints, period: int) -> Ints:
    """Most tokens at once in one buffer that all readers of a stage share, int64[stages]; 0 where nobody reads."""
    taken, freed = _room(p, first.shape[0])
    latest = np.empty_like(freed)
    peaks = np.zeros(p.firings.size, np.int64)
    for stage in range(p.firings.size):
        readers = p.out_edges[p.out_start[stage] : p.out_start[stage + 1]]
        for k in range(readers.size):
            count = slot_times(p, readers[k], first, last, period, taken, freed)
            latest[:count] = np.maximum(latest[:count], freed[:count]) if k else freed[:count]
        if readers.size:
            peaks[stage] = peak(taken[:count], latest[:count], period)
    return peaks


@njit(cache=True)
def most_at_once(p: Pipeline, edges: Ints, sizes: Ints, first: Ints, last: Ints, period: int) -> int:
    """Peak of the sum over `edges` of `sizes` elements a token, when the frames repeat every `period` cycles.

    What is freed and taken in the same cycle cancels out.
    """
    taken, freed = _room(p, first.shape[0])
    slots = 0
    for edge in edges:
        slots += p.tokens[p.producer[edge]] * first.shape[0]
    by_cycle = period <= min(LARGEST_CYCLE_TABLE, CYCLES_A_CHANGE * 2 * slots)
    net = np.zeros(period if by_cycle else 0, np.int64)
    moments = np.empty(0 if by_cycle else 2 * slots, np.int64)
    changes = np.empty_like(moments)
    level, change = 0, 0
    for k in range(edges.size):
        count = slot_times(p, edges[k], first, last, period, taken, freed)
        for slot in range(count):
            level += sizes[k] * (freed[slot] // period - taken[slot] // period)
            if by_cycle:
                net[taken[slot] % period] += sizes[k]
                net[freed[slot] % period] -= sizes[k]
            else:
                moments[change], changes[change] = taken[slot] % period, sizes[k]
                moments[change + 1], changes[change + 1] = freed[slot] % period, -sizes[k]
                change += 2
    most = level
    if by_cycle:
        for cycle in range(period):
            level += net[cycle]
            most = max(most, level)
        return most
    order = np.argsort(moments)
    for place in range(order.size):
        level += changes[order[place]]
        if place + 1 == order.size or moments[order[place + 1]] != moments[order[place]]:
            most = max(most, level)
    return most


@njit(cache=True)
def _room(p: Pipeline, frames: int) -> tuple[Ints, Ints]:
    """Room for the times of any one edge."""
    most = 0
    for producer in p.producer:
        most = max(most, p.tokens[producer])
    return np.empty(most * frames, np.int64), np.empty(most * frames, np.int64)


@njit(cache=True)
def peak(taken: Ints, freed: Ints, period: int) -> int:
    """Most slots in use at once when both ascending sequences repeat every `period` cycles for ever, or happen `ONCE`.

    A slot freed at t can be taken at t. The peak stands right after a slot is taken; at that moment all
    tokens up to this one have been taken, and the freed ones are counted by a pointer that only moves on.
    """
    tokens = taken.size
    if period == ONCE:
        pointer, most = 0, 0
        for token in range(tokens):
            while pointer < tokens and freed[pointer] <= taken[token]:
                pointer += 1
            most = max(most, token - pointer + 1)
        return most
    behind = max(0, -((taken[0] - freed[0]) // period))
    pointer = -(behind + 1) * tokens
    most = 0
    for token in range(tokens):
        while freed[pointer % tokens] + (pointer // tokens) * period <= taken[token]:
            pointer += 1
        most = max(most, token - pointer + 1)
    return most
