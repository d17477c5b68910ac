"""The pipeline as arrays, and the kernel that finds when every firing happens where nothing is shared.

A stage fires `firings` times a frame, in order. With s the start, e the end, F and L the arrival of a
token's first and last element, firing n of a stage obeys

    s(n) >= e(n-1)                                  one firing after the other
    s(n) >= F(need) + head - lead, or L(need) - lead if head < 0    on every input edge
    s(n) >= max(e(freeing firing), L)               of the token `capacity` before, on every bounded output edge
    s(n) >= e(last of the frame before) - interval of a pixel    of the reader, on an output edge of frames apart
    s(0) >= e(last of the frame before) + gap       its own, on an output edge whose reader ends a frame before the next
    s(n) >= e(admit) + admit_after                  of the reader, on an output edge that lets tokens in by table
    s(n) >= offer_first(n)                          at a source that is paced
    e(n) = max(s(n) + interval, L(need) + tail, e(close) + close_after, offer_last(n) + first_offset)
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

from accelsim.timing.kernels.requests import ask, next_to_ask

Ints = NDArray[np.int64]
Tables = NDArray[np.int32]
Flags = NDArray[np.bool_]

#: Why a stage stood still, as columns of the waiting array; of causes that end together the first is blamed.
INPUT, SPACE, PORT, SOURCE = 0, 1, 2, 3
CAUSES = 4

#: Of a token that no firing keeps out.
ALWAYS = -(2**31)

#: What became of a run.
THROUGH, STUCK, SHORT = 0, 1, 2


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
    lead: Ints  # [edges] cycles for which a firing can be at work before what it needs has come
    capacity: Ints  # [edges] tokens, 0 for unbounded
    apart: Ints  # [edges] 1 where a frame only enters when the last window of the one before is begun
    gap: Ints  # [edges] cycles between frames in which nothing is taken
    admit_at: Ints  # [edges] into `admit` and `admit_after`, -1 for none
    admit: Tables  # the consumer's firing on whose end a token's coming hangs, from the frame before if < 0, or ALWAYS
    admit_after: Tables  # cycles from that end on, negative for before
    close_at: Ints  # [edges] into `close` and `close_after`, -1 for none
    close: Tables  # the same for the end of what makes the token
    close_after: Tables
    port: Ints  # [stages] the shared resource its firings hold, -1 for none
    occupancy: Ints  # [stages] cycles for which a firing holds it


class State(NamedTuple):
    """What a run remembers; frame f is at row f % ring."""

    first: NDArray[np.int64]  # [ring, firings] arrival of each token's first element
    last: NDArray[np.int64]  # [ring, firings] arrival of each token's last element
    free_at: Ints  # [stages] end of a stage's last firing
    fired: Ints  # [stages] firings so far, of all frames
    waited: NDArray[np.int64]  # [ring, stages, CAUSES] cycles a stage stood still before and in a frame's firings
    waited_on: NDArray[np.int64]  # [ring, edges, 2] those an edge was to blame for: as input, as space
    port_free_at: Ints  # [ports] when a port can be held next
    waits_for: Ints  # [stages] the stage that has to fire before more can be said, -1 for none
    waits_until: Ints  # [stages] the firings that it has to have fired
    leads: Flags  # [stages] whether a stage needs nothing of others, so that time alone holds it back
    asking: Flags  # [stages] whether a stage waits for its turn
    granted: Flags  # [stages] whether its turn has come
    near_start: Ints  # [stages + 1] into `near`
    near: Ints  # stages that can wait for a stage
    back_frames: Ints  # [edges] what was made so many frames and tokens before leaves the slot that a token takes
    back_tokens: Ints  # [edges]
    ask_times: Ints  # [stages] those that wait for their turn, as a heap
    ask_stages: Ints
    asked: Ints  # [1] how many


def at_rest(p: Pipeline, ring: int, by_row: bool) -> State:
    """An empty machine with room for `ring` frames; first and last elements are told apart only `by_row`."""
    stages, firings = p.firings.size, int(p.first_firing[-1])
    last = np.zeros((ring, firings), np.int64)
    near_start, near = _near(p)
    return State(
        first=np.zeros_like(last) if by_row else last,
        last=last,
        free_at=np.zeros(stages, np.int64),
        fired=np.zeros(stages, np.int64),
        waited=np.zeros((ring, stages, CAUSES), np.int64),
        waited_on=np.zeros((ring, p.producer.size, 2), np.int64),
        port_free_at=np.zeros(int(p.port.max(initial=-1)) + 1, np.int64),
        waits_for=np.full(stages, -1, np.int64),
        waits_until=np.zeros(stages, np.int64),
        leads=_leads(p),
        asking=np.zeros(stages, np.bool_),
        granted=np.zeros(stages, np.bool_),
        near_start=near_start,
        near=near,
        back_frames=p.capacity // p.tokens[p.producer],
        back_tokens=p.capacity % p.tokens[p.producer],
        ask_times=np.zeros(stages, np.int64),
        ask_stages=np.zeros(stages, np.int64),
        asked=np.zeros(1, np.int64),
    )


def lengthened(state: State, frames: Ints, ring: int) -> State:
    """`state` with a longer ring, which has in it what the shorter one holds of `frames`."""
    rows, longer_rows = frames % state.last.shape[0], frames % ring
    last = _longer(state.last, rows, longer_rows, ring)
    return state._replace(
        first=last if state.first is state.last else _longer(state.first, rows, longer_rows, ring),
        last=last,
        waited=_longer(state.waited, rows, longer_rows, ring),
        waited_on=_longer(state.waited_on, rows, longer_rows, ring),
    )


def _longer(held: NDArray[np.int64], rows: Ints, longer_rows: Ints, ring: int) -> NDArray[np.int64]:
    longer = np.zeros((ring, *held.shape[1:]), np.int64)
    longer[longer_rows] = held[rows]
    return longer


def _leads(p: Pipeline) -> Flags:
    """Whether no firing of a stage needs anything; needs only grow within a frame."""
    leads = np.ones(p.firings.size, np.bool_)
    newest = p.need[p.need_at + p.firings[p.consumer] - 1]
    leads[p.consumer[newest >= 0]] = False
    return leads


def _near(p: Pipeline) -> tuple[Ints, Ints]:
    """The consumers of every stage, and the producers whose room it makes, with where those of each begin."""
    bounded = (p.capacity > 0) | (p.apart > 0) | (p.admit_at >= 0)
    fired = np.concatenate([p.producer, p.consumer[bounded]])
    waiting = np.concatenate([p.consumer, p.producer[bounded]])
    order = np.argsort(fired, kind="stable")
    return np.searchsorted(fired[order], np.arange(p.firings.size + 1)), waiting[order]


@njit(cache=True)
def run(p: Pipeline, state: State, through: int, most: int, kept: int, pace: int) -> int:
    """Fires until every stage is through with frame `through`, or none can.

    No stage fires more than `most` frames, nor goes so far ahead that a frame less than `kept` before
    `through` were overwritten. Returns THROUGH, STUCK, or SHORT where the ring is too short for that; more can be
    asked of the state after any of them.
    """
    stages, ring = p.firings.size, state.last.shape[0]
    first, last, fired, asked = state.first, state.last, state.fired, state.asked[0]
    frames, rows = np.empty(stages, np.int64), np.empty(stages, np.int64)
    queue = np.empty(stages + 1, np.int64)
    reading, writing, behind = 0, 0, 0
    for stage in range(stages):
        frames[stage] = fired[stage] // p.firings[stage]
        rows[stage] = frames[stage] % ring
        behind += frames[stage] <= through
        if not state.asking[stage]:
            state.waits_for[stage] = -1
            queue[writing] = stage
            writing += 1
    status = THROUGH
    while True:
        while reading != writing:
            stage = queue[reading]
            reading = reading + 1 if reading < stages else 0
            begin, firings, frame, now = fired[stage], p.firings[stage], frames[stage], rows[stage]
            n, base = begin - frame * firings, p.first_firing[stage]
            interval, latency = p.interval[stage], p.latency[stage]
            together, offset, port = p.together[stage], p.first_offset[stage], p.port[stage]
            free, of_group = state.free_at[stage], n % together if together > 1 else 0
            while True:
                if n == 0:
                    if frame == most:
                        break
                    if frame - through >= ring - kept:
                        status = SHORT
                        break
                    state.waited[now, stage] = 0
                    for edge in range(p.in_start[stage], p.in_start[stage + 1]):
                        state.waited_on[now, edge, INPUT] = 0
                    for k in range(p.out_start[stage], p.out_start[stage + 1]):
                        state.waited_on[now, p.out_edges[k], SPACE] = 0
                start, end = free, np.int64(0)
                cause, edge_to_blame, last_cause, last_edge = -1, -1, SOURCE, -1
                known = True
                for edge in range(p.in_start[stage], p.in_start[stage + 1]):
                    needed = p.need[p.need_at[edge] + n]
                    if needed < 0:
                        continue
                    source = p.producer[edge]
                    until = frame * p.firings[source] + needed + 1
                    if fired[source] < until:
                        state.waits_for[stage], state.waits_until[stage] = source, until
                        known = False
                        break
                    token = p.first_firing[source] + needed
                    complete = last[now, token]
                    arrival = complete if p.head[edge] < 0 else first[now, token] + p.head[edge]
                    arrival -= p.lead[edge]
                    if arrival > start:
                        start, cause, edge_to_blame = arrival, INPUT, edge
                    if complete + p.tail[edge] > end:
                        end, last_cause, last_edge = complete + p.tail[edge], INPUT, edge
                if not known:
                    break
                made = n if p.makes_at[stage] < 0 else np.int64(p.makes[p.makes_at[stage] + n])
                if made >= 0:
                    for k in range(p.out_start[stage], p.out_start[stage + 1]):
                        edge = p.out_edges[k]
                        if p.apart[edge] > 0 and frame > 0:
                            reader = p.consumer[edge]
                            if fired[reader] < frame * p.firings[reader]:
                                state.waits_for[stage], state.waits_until[stage] = reader, frame * p.firings[reader]
                                known = False
                                break
                            row = now - 1 if now > 0 else ring - 1
                            slot = last[row, p.first_firing[reader + 1] - 1] - p.latency[reader]
                            slot -= p.first_offset[reader]
                            if slot > start:
                                start, cause, edge_to_blame = slot, SPACE, edge
                        if p.gap[edge] > 0 and n == 0 and frame > 0 and free + p.gap[edge] > start:
                            start, cause, edge_to_blame = free + p.gap[edge], SPACE, edge
                        if p.admit_at[edge] >= 0 and p.admit[p.admit_at[edge] + made] != ALWAYS:
                            reader = p.consumer[edge]
                            admitting = np.int64(p.admit[p.admit_at[edge] + made])
                            until = frame * p.firings[reader] + admitting
                            if until >= 0:
                                if fired[reader] <= until:
                                    state.waits_for[stage], state.waits_until[stage] = reader, until + 1
                                    known = False
                                    break
                                row = (until // p.firings[reader]) % ring
                                slot = last[row, p.first_firing[reader] + until % p.firings[reader]]
                                slot += p.admit_after[p.admit_at[edge] + made] - p.latency[reader]
                                if slot > start:
                                    start, cause, edge_to_blame = slot, SPACE, edge
                        if p.close_at[edge] >= 0 and p.close[p.close_at[edge] + made] != ALWAYS:
                            reader = p.consumer[edge]
                            until = frame * p.firings[reader] + np.int64(p.close[p.close_at[edge] + made])
                            if until >= 0:
                                if fired[reader] <= until:
                                    state.waits_for[stage], state.waits_until[stage] = reader, until + 1
                                    known = False
                                    break
                                row = (until // p.firings[reader]) % ring
                                slot = last[row, p.first_firing[reader] + until % p.firings[reader]]
                                slot += p.close_after[p.close_at[edge] + made] - p.latency[reader]
                                if slot > end:
                                    end, last_cause, last_edge = slot, SPACE, edge
                        if p.capacity[edge] == 0:
                            continue
                        token, then = made - state.back_tokens[edge], frame - state.back_frames[edge]
                        if token < 0:
                            token, then = token + p.tokens[stage], then - 1
                        if then < 0:
                            continue
                        row = now + then - frame
                        row += ring if row < 0 else 0
                        freeing, reader = p.freed[p.freed_at[edge] + token], p.consumer[edge]
                        making = token if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + token])
                        # what nobody reads leaves as it comes; that those before it have left, their own slots
                        # have seen to
                        slot = last[row, base + making]
                        if freeing >= 0:
                            until = then * p.firings[reader] + freeing + 1
                            if fired[reader] < until:
                                state.waits_for[stage], state.waits_until[stage] = reader, until
                                known = False
                                break
                            slot = max(slot, last[row, p.first_firing[reader] + freeing] - p.latency[reader])
                        if slot > start:
                            start, cause, edge_to_blame = slot, SPACE, edge
                    if not known:
                        break
                if p.offer_at[stage] >= 0:
                    offered = frame * pace + p.offer_first[p.offer_at[stage] + n]
                    if offered > start:
                        start, cause = offered, SOURCE
                    offered = frame * pace + p.offer_last[p.offer_at[stage] + n] + offset
                    if offered > end:
                        end, last_cause, last_edge = offered, SOURCE, -1
                takes_port = port >= 0 and of_group == 0
                if takes_port or (n == 0 and state.leads[stage]):
                    if not state.granted[stage]:
                        ask(state.ask_times, state.ask_stages, asked, start, stage)
                        asked += 1
                        state.asking[stage] = True
                        break
                    state.granted[stage] = False
                    if takes_port:
                        port_free = state.port_free_at[port]
                        if port_free > start or (port_free == start and cause == SOURCE):
                            start, cause = port_free, PORT
                        state.port_free_at[port] = start + p.occupancy[stage]
                if start > free:
                    state.waited[now, stage, cause] += start - free
                    if cause in (INPUT, SPACE):
                        state.waited_on[now, edge_to_blame, cause] += start - free
                own = start + interval
                if end > own:
                    state.waited[now, stage, last_cause] += end - own
                    if last_edge >= 0:
                        state.waited_on[now, last_edge, last_cause] += end - own
                end = max(end, own)
                first[now, base + n] = start + offset + latency
                last[now, base + n] = end + latency
                n, of_group, free = n + 1, of_group + 1, start
                if of_group == together or n == firings:
                    of_group, free = 0, end
                if n == firings:
                    frame, n = frame + 1, 0
                    now = now + 1 if now < ring - 1 else 0
                    behind -= frame == through + 1
            fired[stage], frames[stage], rows[stage] = frame * firings + n, frame, now
            state.free_at[stage] = free
            if fired[stage] == begin:
                continue
            for k in range(state.near_start[stage], state.near_start[stage + 1]):
                other = state.near[k]
                if state.waits_for[other] == stage and state.waits_until[other] <= fired[stage]:
                    state.waits_for[other] = -1
                    queue[writing] = other
                    writing = writing + 1 if writing < stages else 0
        if behind == 0 or status == SHORT:
            break
        if asked == 0:
            status = STUCK
            break
        stage = next_to_ask(state.ask_times, state.ask_stages, asked)
        asked -= 1
        state.asking[stage] = False
        state.granted[stage] = True
        queue[writing] = stage
        writing = writing + 1 if writing < stages else 0
    state.asked[0] = asked
    return THROUGH if behind == 0 else status


@njit(cache=True)
def next_period(state: State, frame: int, depth: int, period: int, same: NDArray[np.int64]) -> int:
    """The next longer period in which `frame`, and all for as long as a capacity reaches back, came again; or 0.

    `same`, int64[periods + 1, 2], keeps for each period the shift of all times since one before, -1 if there is no
    single one, and how many frames in a row it has been that; `depth` is how many a capacity reaches back.
    """
    first, last, ring = state.first, state.last, state.last.shape[0]
    now = frame % ring
    for longer in range(period + 1, min(same.shape[0] - 1, frame) + 1):
        then = (frame - longer) % ring
        shift = last[now, 0] - last[then, 0]
        for k in range(last.shape[1]):
            if last[now, k] - last[then, k] != shift or first[now, k] - first[then, k] != shift:
                shift = np.int64(-1)
                break
        # frames may all move on alike and yet by turns 4 and 5 cycles, where a capacity reaches further back
        same[longer, 1] = same[longer, 1] + 1 if shift == same[longer, 0] else 1
        same[longer, 0] = shift
        if shift >= 0 and same[longer, 1] >= max(depth, longer):
            return longer
    return 0


@njit(cache=True)
def is_shifted_ahead(p: Pipeline, state: State, frame: int, period: int, shift: int) -> bool:
    """Whether all that has been fired of `frame` and later ones comes `shift` after what was fired `period` before."""
    first, last, ring = state.first, state.last, state.last.shape[0]
    for stage in range(p.firings.size):
        base, firings = p.first_firing[stage], p.firings[stage]
        for fired in range(frame * firings, state.fired[stage]):
            row, n = fired // firings, fired % firings
            now, then, k = row % ring, (row - period) % ring, base + n
            if last[now, k] - last[then, k] != shift or first[now, k] - first[then, k] != shift:
                return False
    return True


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
                    spare = start - complete + p.lead[edge]
                    least = _sooner(least, spare, last_rate[token] - first_rate[k])
                else:
                    arrival = first[now, token] + p.head[edge] - p.lead[edge]
                    least = _sooner(least, start - arrival, first_rate[token] - first_rate[k])
            if p.offer_at[stage] >= 0:
                offered = frame * pace + p.offer_first[p.offer_at[stage] + n]
                least = _sooner(least, start - offered, pace - first_rate[k])
                offered = frame * pace + p.offer_last[p.offer_at[stage] + n] + p.first_offset[stage]
                least = _sooner(least, end - offered, pace - last_rate[k])
            made = n if p.makes_at[stage] < 0 else np.int64(p.makes[p.makes_at[stage] + n])
            for j in range(p.out_start[stage], p.out_start[stage + 1]):
                edge = p.out_edges[j]
                if made >= 0 and p.apart[edge] > 0 and frame > 0:
                    reader, row = p.consumer[edge], (frame - 1) % last.shape[0]
                    ended = p.first_firing[reader + 1] - 1
                    free = last[row, ended] - p.latency[reader] - p.first_offset[reader]
                    least = _sooner(least, start - free, last_rate[ended] - first_rate[k])
                if p.gap[edge] > 0 and n == 0 and frame > 0:
                    ended = p.first_firing[stage + 1] - 1
                    free = last[(frame - 1) % last.shape[0], ended] - p.latency[stage] + p.gap[edge]
                    least = _sooner(least, start - free, last_rate[ended] - first_rate[k])
                if made >= 0 and p.admit_at[edge] >= 0 and p.admit[p.admit_at[edge] + made] != ALWAYS:
                    reader = p.consumer[edge]
                    until = frame * p.firings[reader] + np.int64(p.admit[p.admit_at[edge] + made])
                    if until >= 0:
                        row = (until // p.firings[reader]) % last.shape[0]
                        ended = p.first_firing[reader] + until % p.firings[reader]
                        free = last[row, ended] + p.admit_after[p.admit_at[edge] + made] - p.latency[reader]
                        least = _sooner(least, start - free, last_rate[ended] - first_rate[k])
                if made >= 0 and p.close_at[edge] >= 0 and p.close[p.close_at[edge] + made] != ALWAYS:
                    reader = p.consumer[edge]
                    until = frame * p.firings[reader] + np.int64(p.close[p.close_at[edge] + made])
                    if until >= 0:
                        row = (until // p.firings[reader]) % last.shape[0]
                        ended = p.first_firing[reader] + until % p.firings[reader]
                        free = last[row, ended] + p.close_after[p.close_at[edge] + made] - p.latency[reader]
                        least = _sooner(least, end - free, last_rate[ended] - last_rate[k])
                if made < 0 or p.capacity[edge] == 0:
                    continue
                before = frame * p.tokens[stage] + made - p.capacity[edge]
                if before < 0:
                    continue
                then, token, reader = before // p.tokens[stage], before % p.tokens[stage], p.consumer[edge]
                freeing = np.int64(p.freed[p.freed_at[edge] + token])
                making = token if p.made_at[stage] < 0 else np.int64(p.made[p.made_at[stage] + token])
                rate, row = last_rate[base + making], then % last.shape[0]
                free = last[row, base + making]
                if freeing >= 0:
                    rate = max(rate, last_rate[p.first_firing[reader] + freeing])
                    free = max(free, last[row, p.first_firing[reader] + freeing] - p.latency[reader])
                least = _sooner(least, start - free, rate - first_rate[k])
    return int(least)


@njit(cache=True)
def _sooner(least: int, spare: int, closing: int) -> int:
    """`least`, or the frames in which `spare` cycles are used up at `closing` a frame if these are fewer."""
    if closing <= 0:
        return least
    frames = spare // closing
    return frames if least < 0 else min(least, frames)
