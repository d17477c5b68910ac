"""The pipeline as arrays, and the kernel that finds when every firing happens.

A stage fires `firings` times a frame, in order. With s the start, e the end, F and L the arrival of a
token's first and last element, firing n of a stage obeys

    s(n) >= e(n-1)                                  one firing after the other
    s(n) >= F(need) + head, or L(need) if head < 0  on every input edge
    s(n) >= max(e(freeing firing), L)               of the token `capacity` before, on every bounded output edge
    s(n) >= e(last of the frame before) - interval of a pixel    of the reader, on an output edge of frames apart
    s(n) >= offer_first(n)                          at a source that is paced
    e(n) = max(s(n) + interval, L(need) + tail, offer_last(n) + first_offset)
    F(n) = s(n) + first_offset + latency            L(n) = e(n) + latency

and happens as early as these allow. `together` firings may start within one interval. All are maxima
of sums, so there is one least solution whatever the order of evaluation (a Kahn network): every
stage fires as far as it can until none moves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Tables = NDArray[np.int32]

#: Why a stage stood still, as columns of the waiting array.
INPUT, SPACE, SOURCE = 0, 1, 2


class Pipeline(NamedTuple):
    """Stages in topological order, edges sorted by consumer; tables are indexed by firing or token of a frame.

    A table offset of -1 stands for the identity (`makes`, `made`) or for none (`offer`).
    """

    firings: Ints  # [stages] firings a frame
    tokens: Ints  # [stages] tokens a frame
    first_firing: Ints  # [stages + 1] where a stage's times begin within a frame
    interval: Ints  # [stages] cycles
    together: Ints  # [stages] firings that share one interval
    first_offset: Ints  # [stages] cycles from the start to the first element
    latency: Ints  # [stages] cycles from the end of a firing to its arrival
    makes_at: Ints  # [stages] into `makes`: the token a firing makes, or -1
    makes: Tables
    made_at: Ints  # [stages] into `made`: the firing that makes a token
    made: Tables
    offer_at: Ints  # [stages] into the offer tables
    offer_first: Ints
    offer_last: Ints
    in_start: Ints  # [stages + 1] edges into a stage
    out_start: Ints  # [stages + 1] into `out_edges`
    out_edges: Ints  # [edges]
    producer: Ints  # [edges]
    consumer: Ints  # [edges]
    need_at: Ints  # [edges] into `need`: the producer's firing that a firing waits for, or -1
    need: Tables
    freed_at: Ints  # [edges] into `freed`: the consumer's firing that frees a token, -1 for none
    freed: Tables
    head: Ints  # [edges] cycles
    tail: Ints  # [edges] cycles
    capacity: Ints  # [edges] tokens, 0 for unbounded
    apart: Ints  # [edges] 1 where a frame only enters when the last window of the one before is begun


class State(NamedTuple):
    """What a run remembers; the kernel writes frame f at row f % ring of the time arrays."""

    first: NDArray[np.int64]  # [ring, firings] arrival of each token's first element
    last: NDArray[np.int64]  # [ring, firings] arrival of each token's last element
    free_at: Ints  # [stages] end of a stage's last firing
    done: Ints  # [stages] firings of the current frame
    waited: NDArray[np.int64]  # [stages, 3] cycles a stage stood still: for input, for space, for the source
    waited_on: NDArray[np.int64]  # [edges, 2] those an edge was to blame for: as input, as space


@njit(cache=True)
def run_frame(
    p: Pipeline,
    state: State,
    frame: int,
    pace: int,
) -> int:
    """Fires frame `frame` as far as it goes and returns how many stages did not finish it."""
    stages, done = p.firings.size, state.done
    queue = np.empty(stages + 1, np.int64)
    queued = np.ones(stages, np.bool_)
    for stage in range(stages):
        queue[stage] = stage
        done[stage] = 0
    reading, writing = 0, stages
    unfinished = stages
    while reading != writing:
        stage = queue[reading]
        reading = (reading + 1) % (stages + 1)
        queued[stage] = False
        fired = _fire(p, state, stage, frame, pace)
        if fired == 0:
            continue
        if done[stage] == p.firings[stage]:
            unfinished -= 1
        for k in range(p.out_start[stage], p.out_start[stage + 1]):
            other = p.consumer[p.out_edges[k]]
            if not queued[other] and done[other] < p.firings[other]:
                queued[other] = True
                queue[writing] = other
                writing = (writing + 1) % (stages + 1)
        for edge in range(p.in_start[stage], p.in_start[stage + 1]):
            other = p.producer[edge]
            if p.capacity[edge] > 0 and not queued[other] and done[other] < p.firings[other]:
                queued[other] = True
                queue[writing] = other
                writing = (writing + 1) % (stages + 1)
    return unfinished


@njit(cache=True)
def _fire(
    p: Pipeline,
    state: State,
    stage: int,
    frame: int,
    pace: int,
) -> int:
    """Fires one stage until an input or a slot is missing; returns the number of firings."""
    first, last, done = state.first, state.last, state.done
    now = frame % first.shape[0]
    base = p.first_firing[stage]
    interval, latency = p.interval[stage], p.latency[stage]
    together, offset = p.together[stage], p.first_offset[stage]
    free = state.free_at[stage]
    begin = done[stage]
    n = begin
    while n < p.firings[stage]:
        start, end = free, np.int64(0)
        cause, edge_to_blame, last_edge = -1, -1, -1
        ready = True
        for edge in range(p.in_start[stage], p.in_start[stage + 1]):
            needed = p.need[p.need_at[edge] + n]
            if needed < 0:
                continue
            source = p.producer[edge]
            if done[source] <= needed:
                ready = False
                break
            token = p.first_firing[source] + needed
            complete = last[now, token]
            arrival = complete if p.head[edge] < 0 else first[now, token] + p.head[edge]
            if arrival > start:
                start, cause, edge_to_blame = arrival, INPUT, edge
            if complete + p.tail[edge] > end:
                end, last_edge = complete + p.tail[edge], edge
        if not ready:
            break
        made = n if p.makes_at[stage] < 0 else np.int64(p.makes[p.makes_at[stage] + n])
        if made >= 0:
            for k in range(p.out_start[stage], p.out_start[stage + 1]):
                edge = p.out_edges[k]
                if p.capacity[edge] == 0 and p.apart[edge] == 0:
                    continue
                at = _slot_free(p, state, edge, stage, frame, made)
                if at < 0:
                    ready = False
                    break
                if at > start:
                    start, cause, edge_to_blame = at, SPACE, edge
            if not ready:
                break
        if p.offer_at[stage] >= 0:
            offered = frame * pace + p.offer_first[p.offer_at[stage] + n]
            if offered > start:
                start, cause = offered, SOURCE
            end = max(end, frame * pace + p.offer_last[p.offer_at[stage] + n] + offset)
        if cause >= 0:
            state.waited[stage, cause] += start - free
            if cause != SOURCE:
                state.waited_on[edge_to_blame, cause] += start - free
        closing = n % together == together - 1 or n == p.firings[stage] - 1
        own = start + interval
        if end > own:
            state.waited[stage, INPUT if last_edge >= 0 else SOURCE] += end - own
            if last_edge >= 0:
                state.waited_on[last_edge, INPUT] += end - own
        end = max(end, own)
        first[now, base + n] = start + offset + latency
        last[now, base + n] = end + latency
        free = end if closing else start
        n += 1
    state.free_at[stage] = free
    done[stage] = n
    return int(n - begin)


@njit(cache=True)
def _slot_free(
    p: Pipeline,
    state: State,
    edge: int,
    stage: int,
    frame: int,
    made: int,
) -> int:
    """When the slot for token `made` of this frame is free on `edge`; -1 if not yet known."""
    tokens, opened = p.tokens[stage], np.int64(0)
    if p.apart[edge] and frame > 0:
        end_of = p.first_firing[p.consumer[edge] + 1] - 1
        reader = p.consumer[edge]
        opened = state.last[(frame - 1) % state.last.shape[0], end_of] - p.latency[reader] - p.first_offset[reader]
    before = frame * tokens + made - p.capacity[edge]
    if p.capacity[edge] == 0 or before < 0:
        return int(opened)
    then, token = before // tokens, before % tokens
    freeing = p.freed[p.freed_at[edge] + token]
    reader = p.consumer[edge]
    if then == frame and state.done[reader] <= freeing:
        return -1
    row, last = then % state.last.shape[0], state.last
    # what nobody waits for leaves as it comes; that those before it have left, their own slots have seen to
    ended = np.int64(0) if freeing < 0 else last[row, p.first_firing[reader] + freeing] - p.latency[reader]
    making = token if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + token])
    return int(max(opened, ended, last[row, p.first_firing[stage] + making]))


@njit(cache=True)
def frame_shift(p: Pipeline, state: State, now: int, then: int, shifts: Ints) -> None:
    """Writes, for each stage, by how many cycles all its times differ between two rows; -1 if not by the same."""
    for stage in range(p.firings.size):
        begin, end = p.first_firing[stage], p.first_firing[stage + 1]
        shift = state.last[now, begin] - state.last[then, begin]
        for k in range(begin, end):
            alike = state.last[now, k] - state.last[then, k] == shift
            if not alike or state.first[now, k] - state.first[then, k] != shift:
                shift = np.int64(-1)
                break
        shifts[stage] = shift


@njit(cache=True)
def frames_until_change(p: Pipeline, state: State, frame: int, pace: int, first_rate: Ints, last_rate: Ints) -> int:
    """How many more frames every firing keeps its own rate, given that each has for as long as a capacity reaches back.

    The rates, int64[firings], are by how many cycles an arrival comes later from frame to frame, and `frame` is the
    last one fired. What is held up by something slower gets closer to it by the difference each frame;
    the first to meet ends the run. Returns -1 if none ever does.
    """
    least = np.int64(-1)
    now = frame % state.last.shape[0]
    first, last = state.first, state.last
    for stage in range(p.firings.size):
        base = p.first_firing[stage]
        for n in range(p.firings[stage]):
            k = base + n
            start = first[now, k] - p.first_offset[stage] - p.latency[stage]
            end = last[now, k] - p.latency[stage]
            least = _sooner(least, end - start - p.interval[stage], first_rate[k] - last_rate[k])
            if n % p.together[stage]:
                before = first[now, k - 1] - p.first_offset[stage] - p.latency[stage]
                least = _sooner(least, start - before, first_rate[k - 1] - first_rate[k])
            elif n:
                least = _sooner(least, start - last[now, k - 1] + p.latency[stage], last_rate[k - 1] - first_rate[k])
            for edge in range(p.in_start[stage], p.in_start[stage + 1]):
                needed = p.need[p.need_at[edge] + n]
                if needed < 0:
                    continue
                token = p.first_firing[p.producer[edge]] + needed
                complete = last[now, token]
                least = _sooner(least, end - complete - p.tail[edge], last_rate[token] - last_rate[k])
                if p.head[edge] < 0:
                    least = _sooner(least, start - complete, last_rate[token] - first_rate[k])
                else:
                    arrival = first[now, token] + p.head[edge]
                    least = _sooner(least, start - arrival, first_rate[token] - first_rate[k])
            if p.offer_at[stage] >= 0:
                offered = frame * pace + p.offer_first[p.offer_at[stage] + n]
                least = _sooner(least, start - offered, pace - first_rate[k])
                offered = frame * pace + p.offer_last[p.offer_at[stage] + n] + p.first_offset[stage]
                least = _sooner(least, end - offered, pace - last_rate[k])
            made = n if p.makes_at[stage] < 0 else np.int64(p.makes[p.makes_at[stage] + n])
            for j in range(p.out_start[stage], p.out_start[stage + 1]):
                edge = p.out_edges[j]
                if made < 0 or (p.capacity[edge] == 0 and p.apart[edge] == 0):
                    continue
                rate = _slot_rate(p, edge, stage, frame, made, last_rate)
                if rate > first_rate[k]:
                    spare = start - _slot_free(p, state, edge, stage, frame, made)
                    least = _sooner(least, spare, rate - first_rate[k])
    return int(least)


@njit(cache=True)
def _sooner(least: int, spare: int, closing: int) -> int:
    """`least`, or the frames in which `spare` cycles are used up at `closing` a frame if these are fewer."""
    if closing <= 0:
        return least
    frames = spare // closing
    return frames if least < 0 else min(least, frames)


@njit(cache=True)
def _slot_rate(p: Pipeline, edge: int, stage: int, frame: int, made: int, last_rate: Ints) -> int:
    """Cycles a frame by which the slot for token `made` comes free later."""
    tokens, reader, opened = p.tokens[stage], p.consumer[edge], np.int64(0)
    if p.apart[edge] and frame > 0:
        opened = last_rate[p.first_firing[reader + 1] - 1]
    before = frame * tokens + made - p.capacity[edge]
    if p.capacity[edge] == 0 or before < 0:
        return int(opened)
    token = before % tokens
    freeing = p.freed[p.freed_at[edge] + token] % p.firings[reader]
    making = token if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + token])
    return int(max(opened, last_rate[p.first_firing[reader] + freeing], last_rate[p.first_firing[stage] + making]))
