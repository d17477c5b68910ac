"""Schedules in which every frame is the one before, `pace` cycles later, and the room that they need.

Times of one frame stand for all: what the pipeline's constraints refer to in an earlier frame happened `pace` earlier
for each frame between. They are then a system of difference constraints over the starts and ends of one frame's
firings, which has a solution if and only if no cycle of them takes longer than the frames it spans; of all solutions
that are no earlier than the times it begins with, `settle` finds the earliest.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import ALWAYS, Ints, Pipeline

Nodes = NDArray[np.int32]
Flags = NDArray[np.bool_]

#: Sweeps over the stages between two looks for a cycle of causes.
SWEEPS_A_LOOK = 4


@njit(cache=True)
def settle(p: Pipeline, pace: int, first: Ints, last: Ints, cause: Nodes, moved: Flags) -> int:
    """Moves the times in `first` and `last`, int64[firings], on until all constraints of stages in `moved` hold.

    Stages that are moved thereby are looked at in turn. Node 2k is the start of firing k, 2k + 1 its end; `cause`,
    int32[2, 2 * firings], comes to hold for each that was moved what it had to wait for and the edge that it lacked
    room on, -1 for none. Returns -1, or a node on a cycle of causes: then there is no such schedule at this pace, and
    the times are of no use.
    """
    stages = p.firings.size
    cause[:] = -1
    sweep, quiet = 0, False
    seen = np.zeros(cause.shape[1], np.int32)
    while not quiet:
        quiet = True
        for k in range(stages):
            stage = k if sweep % 2 == 0 else stages - 1 - k
            if not moved[stage]:
                continue
            moved[stage] = quiet = False
            if not _relax(p, pace, first, last, cause, stage):
                continue
            moved[stage] = _waits_for_itself(p, pace, first, last, stage)
            for edge in range(p.in_start[stage], p.in_start[stage + 1]):
                bounded = p.capacity[edge] > 0 or p.apart[edge] > 0 or p.admit_at[edge] >= 0
                moved[p.producer[edge]] |= bounded
            for k_out in range(p.out_start[stage], p.out_start[stage + 1]):
                moved[p.consumer[p.out_edges[k_out]]] = True
        sweep += 1
        if sweep % SWEEPS_A_LOOK == 0 and not quiet:
            node = _on_cycle(cause[0], seen)
            if node >= 0:
                return int(node)
    return -1


@njit(cache=True)
def _waits_for_itself(p: Pipeline, pace: int, first: Ints, last: Ints, stage: int) -> bool:
    """Whether a stage may have to be looked at again for what it did itself in the frame before."""
    begin, end = p.first_firing[stage], p.first_firing[stage + 1] - 1
    if last[end] - pace > first[begin] - p.first_offset[stage]:
        return True
    for k in range(p.out_start[stage], p.out_start[stage + 1]):
        capacity = p.capacity[p.out_edges[k]]
        # a token's place is not free before it has arrived, which only a few slots are too few to hide
        if capacity > 0 and p.latency[stage] > (capacity - 1) // p.together[stage] * p.interval[stage]:
            return True
    return False


@njit(cache=True)
def _relax(p: Pipeline, pace: int, first: Ints, last: Ints, cause: Nodes, stage: int) -> bool:
    """Moves the firings of one stage on as far as the times of all others ask; whether any moved."""
    base, firings, together = p.first_firing[stage], p.firings[stage], p.together[stage]
    latency, offset, interval = p.latency[stage], p.first_offset[stage], p.interval[stage]
    changed = False
    for n in range(firings):
        k = base + n
        start, end = first[k] - offset - latency, last[k] - latency
        start_cause, end_cause, lacking = np.int64(-1), np.int64(-1), np.int64(-1)
        if n == 0:
            free, before = last[base + firings - 1] - latency - pace, 2 * (base + firings - 1) + 1
        elif n % together:
            free, before = first[k - 1] - offset - latency, 2 * (k - 1)
        else:
            free, before = last[k - 1] - latency, 2 * (k - 1) + 1
        if free > start:
            start, start_cause = free, before
        for edge in range(p.in_start[stage], p.in_start[stage + 1]):
            needed = p.need[p.need_at[edge] + n]
            if needed < 0:
                continue
            token = p.first_firing[p.producer[edge]] + needed
            whole = p.head[edge] < 0
            arrival = (last[token] if whole else first[token] + p.head[edge]) - p.lead[edge]
            if arrival > start:
                start, start_cause = arrival, 2 * token + whole
            if last[token] + p.tail[edge] > end:
                end, end_cause = last[token] + p.tail[edge], 2 * token + 1
        made = n if p.makes_at[stage] < 0 else np.int64(p.makes[p.makes_at[stage] + n])
        if made >= 0:
            for j in range(p.out_start[stage], p.out_start[stage + 1]):
                edge = p.out_edges[j]
                reader = p.consumer[edge]
                if p.apart[edge] > 0:
                    token = p.first_firing[reader + 1] - 1
                    slot = last[token] - p.latency[reader] - p.first_offset[reader] - pace
                    if slot > start:
                        start, start_cause, lacking = slot, 2 * token + 1, np.int64(-1)
                if p.admit_at[edge] >= 0 and p.admit[p.admit_at[edge] + made] != ALWAYS:
                    token, slot = _let_in(p, pace, last, reader, p.admit[p.admit_at[edge] + made])
                    slot += p.admit_after[p.admit_at[edge] + made]
                    if slot > start:
                        start, start_cause, lacking = slot, 2 * token + 1, np.int64(-1)
                if p.close_at[edge] >= 0 and p.close[p.close_at[edge] + made] != ALWAYS:
                    token, slot = _let_in(p, pace, last, reader, p.close[p.close_at[edge] + made])
                    slot += p.close_after[p.close_at[edge] + made]
                    if slot > end:
                        end, end_cause = slot, 2 * token + 1
                if p.capacity[edge] == 0:
                    continue
                before = made - p.capacity[edge]
                then = before // p.tokens[stage]
                token = before - then * p.tokens[stage]
                freeing = p.freed[p.freed_at[edge] + token]
                making = base + (token if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + token]))
                if last[making] + then * pace > start:
                    start, start_cause, lacking = last[making] + then * pace, 2 * making + 1, edge
                if freeing >= 0:
                    token = p.first_firing[reader] + freeing
                    slot = last[token] - p.latency[reader] + then * pace
                    if slot > start:
                        start, start_cause, lacking = slot, 2 * token + 1, edge
        if p.offer_at[stage] >= 0:
            if p.offer_first[p.offer_at[stage] + n] > start:
                start, start_cause = np.int64(p.offer_first[p.offer_at[stage] + n]), np.int64(-1)
                lacking = np.int64(-1)
            if p.offer_last[p.offer_at[stage] + n] + offset > end:
                end, end_cause = p.offer_last[p.offer_at[stage] + n] + offset, np.int64(-1)
        if start + interval > end:
            end, end_cause = start + interval, 2 * k
        if start + offset + latency > first[k]:
            first[k], changed = start + offset + latency, True
            cause[0, 2 * k], cause[1, 2 * k] = start_cause, lacking
        if end + latency > last[k]:
            last[k], changed = end + latency, True
            cause[0, 2 * k + 1], cause[1, 2 * k + 1] = end_cause, -1
    return changed


@njit(cache=True)
def _let_in(p: Pipeline, pace: int, last: Ints, reader: int, firing: int) -> tuple[int, int]:
    """The place among all firings, and the end, of a reader's firing; one below 0 is of a frame past."""
    frames = np.int64(firing) // p.firings[reader]
    place = p.first_firing[reader] + np.int64(firing) - frames * p.firings[reader]
    return place, last[place] - p.latency[reader] + frames * pace


@njit(cache=True)
def _on_cycle(cause: Nodes, seen: Nodes) -> int:
    """A node whose causes lead back to it, or -1; `seen`, int32[nodes], is overwritten."""
    seen[:] = 0
    for node in range(cause.size):
        walk = node
        while walk >= 0 and seen[walk] == 0:
            seen[walk] = node + 1
            walk = cause[walk]
        if walk >= 0 and seen[walk] == node + 1:
            return int(walk)
    return -1


@njit(cache=True)
def room_needed(p: Pipeline, pace: int, first: Ints, last: Ints, edge: int) -> int:
    """Least capacity of an edge that a periodic schedule fits in, in tokens.

    Slot k has to be free when token k + capacity takes it, so that the capacity is what has been taken before k is
    freed, less k.
    """
    stage, reader = p.producer[edge], p.consumer[edge]
    tokens, base = p.tokens[stage], p.first_firing[stage]
    taken = np.empty(tokens, np.int64)
    for k in range(tokens):
        making = base + (k if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + k]))
        taken[k] = first[making] - p.first_offset[stage] - p.latency[stage]
    most = np.int64(1)
    for k in range(tokens):
        making = base + (k if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + k]))
        free, freeing = last[making], p.freed[p.freed_at[edge] + k]
        if freeing >= 0:
            free = max(free, last[p.first_firing[reader] + freeing] - p.latency[reader])
        frames = (free - taken[0]) // pace
        before = np.searchsorted(taken, free - frames * pace)
        most = max(most, frames * tokens + before - k)
    return int(most)


@njit(cache=True)
def rooms_needed(p: Pipeline, pace: int, first: Ints, last: Ints) -> Ints:
    """The same of every edge, int64[edges]."""
    rooms = np.empty(p.producer.size, np.int64)
    for edge in range(rooms.size):
        rooms[edge] = room_needed(p, pace, first, last, edge)
    return rooms
