"""Schedules in which every frame is the one before, `pace` cycles later, and the room that they need.

Times of one frame stand for all: what the pipeline's constraints refer to in an earlier frame happened `pace` earlier
for each frame between. They are then a system of difference constraints over the starts and ends of one frame's
firings, which has a solution if and only if no cycle of them takes longer than the frames it spans; of all solutions
that are no earlier than the times it begins with, `settle` finds the earliest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Nodes = NDArray[np.int32]
Flags = NDArray[np.bool_]


class Constraints(NamedTuple):
    """Node 2k is the start of firing k of a frame, 2k + 1 its end; a slot is a token's place in the buffer of an edge.

    The node that takes the slot of token k + capacity waits for whatever frees that of token k.
    """

    floor: Ints  # [nodes] no node is earlier
    begin: Ints  # [nodes + 1] into `to` and `after`
    to: Nodes  # what waits for a node
    after: Ints  # cycles from the one to the other, less the pace for every frame between
    frees_begin: Ints  # [nodes + 1] into `frees` and `frees_after`
    frees: Nodes  # slots that are not free before a node
    frees_after: Ints  # nor so many cycles after it
    slot_at: Ints  # [edges + 1] where the slots of an edge begin
    slot_edge: Nodes  # [slots]
    taken_by: Nodes  # [slots] the start that takes a slot
    freed_by: Nodes  # [slots] the end of its last reading, -1 for none
    arrives_after: Ints  # [edges] cycles from the end that makes a token to its arrival


class Front(NamedTuple):
    """Times on their way to the earliest that hold.

    Nodes that have moved are in trees by their causes, each in a ring that has what hangs on a node right behind it.
    """

    at: Ints  # [nodes]
    cause: Nodes  # [nodes] what a node had to wait for, -1 for none
    lacking: Nodes  # [nodes] the edge that lacked room for it, -1 for none
    depth: Nodes  # [nodes] causes behind a node, -1 for one that is in no tree
    next: Nodes  # [nodes] round the ring
    previous: Nodes  # [nodes]
    queue: Nodes  # [nodes + 1] those whose followers are to be told, and those that are no longer
    queued: Flags  # [nodes]
    untold: Flags  # [nodes]


def front_of(nodes: int) -> Front:
    """Room for the times of so many nodes."""
    numbers, flags = np.zeros((5, nodes), np.int32), np.zeros((2, nodes), np.bool_)
    queue = np.zeros(nodes + 1, np.int32)
    return Front(
        np.zeros(nodes, np.int64), numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], queue, flags[0], flags[1]
    )


@njit(cache=True)
def settle(c: Constraints, pace: int, capacity: Ints, front: Front, edges: Ints, all_nodes: bool) -> int:
    """Moves `front.at` on until all constraints hold, and returns -1.

    Only `edges` may have too little room for where it begins or, with `all_nodes`, anything may be broken there. What a
    node has put off is put off further when that moves again, so that until then it is told to nobody: labels are
    corrected in the order of a queue, with trees taken apart (Cherkassky and Goldberg, "Negative-cycle
    detection algorithms", 1999). If there is no such schedule at this pace, returns a node on a cycle of causes; then
    the times are of no use.
    """
    at, queue, queued, untold = front.at, front.queue, front.queued, front.untold
    front.cause[:] = front.lacking[:] = front.depth[:] = -1
    queued[:] = untold[:] = False
    head, tail = 0, 0
    if all_nodes:
        for node in range(at.size):
            at[node] = max(at[node], c.floor[node])
            tail = _enqueue(queue, queued, untold, node, tail)
    position, seed, end = 0, np.int64(0), np.int64(0)
    while True:
        if head == tail:
            if seed == end and position == edges.size:
                return -1
            if seed == end:
                seed, end = c.slot_at[edges[position]], c.slot_at[edges[position] + 1]
                position += 1
            tail = _enqueue(queue, queued, untold, int(c.taken_by[seed]) + 1, tail)
            if c.freed_by[seed] >= 0:
                tail = _enqueue(queue, queued, untold, int(c.freed_by[seed]), tail)
            seed += 1
        node = int(queue[head])
        head = head + 1 if head + 1 < queue.size else 0
        queued[node] = False
        if not untold[node]:
            continue
        untold[node] = False
        now = at[node]
        for i in range(c.begin[node], c.begin[node + 1]):
            after = int(c.to[i])
            if now + c.after[i] > at[after]:
                at[after], front.lacking[after] = now + c.after[i], -1
                if _hang(front, node, after):
                    return after
                tail = _enqueue(queue, queued, untold, after, tail)
        for i in range(c.frees_begin[node], c.frees_begin[node + 1]):
            slot = int(c.frees[i])
            edge = int(c.slot_edge[slot])
            if capacity[edge] == 0:
                continue
            begin, tokens = c.slot_at[edge], c.slot_at[edge + 1] - c.slot_at[edge]
            token = slot - begin + capacity[edge]
            frames = token // tokens
            after = int(c.taken_by[begin + token - frames * tokens])
            time = now + c.frees_after[i] - frames * pace
            if time > at[after]:
                at[after], front.lacking[after] = time, edge
                if _hang(front, node, after):
                    return after
                tail = _enqueue(queue, queued, untold, after, tail)


@njit(cache=True)
def _enqueue(queue: Nodes, queued: Flags, untold: Flags, node: int, tail: int) -> int:
    """Has a node's followers told; where the queue ends then."""
    untold[node] = True
    if queued[node]:
        return tail
    queued[node] = True
    queue[tail] = node
    return tail + 1 if tail + 1 < queue.size else 0


@njit(cache=True)
def _hang(front: Front, cause: int, node: int) -> bool:
    """Hangs a node on its cause, and takes all that hung on it away; whether its cause was among that."""
    after, before, depth = front.next, front.previous, front.depth
    front.cause[node] = cause
    if depth[node] >= 0:
        hung = np.int64(after[node])
        while depth[hung] > depth[node]:
            if hung == cause:
                return True
            depth[hung] = -1
            front.untold[hung] = False
            hung = np.int64(after[hung])
        first = before[node]
        after[first], before[hung] = hung, first
    if depth[cause] < 0:
        depth[cause], after[cause], before[cause] = 0, cause, cause
    following = after[cause]
    depth[node], after[node], before[node] = depth[cause] + 1, following, cause
    after[cause] = before[following] = node
    return False


@njit(cache=True)
def go_on(c: Constraints, at: Ints) -> None:
    """Moves times on once for all constraints that point on to a later node."""
    for node in range(at.size):
        for i in range(c.begin[node], c.begin[node + 1]):
            if c.to[i] > node:
                at[c.to[i]] = max(at[c.to[i]], at[node] + c.after[i])


@njit(cache=True)
def room_needed(c: Constraints, pace: int, at: Ints, edge: int) -> int:
    """Least capacity of an edge that a periodic schedule fits in, in tokens.

    Slot k has to be free when token k + capacity takes it, so that the capacity is what has been taken before k is
    freed, less k.
    """
    slots, tokens = c.slot_at[edge], c.slot_at[edge + 1] - c.slot_at[edge]
    taken = np.empty(tokens, np.int64)
    for k in range(tokens):
        taken[k] = at[c.taken_by[slots + k]]
    most = np.int64(1)
    for k in range(tokens):
        free = at[c.taken_by[slots + k] + 1] + c.arrives_after[edge]
        if c.freed_by[slots + k] >= 0:
            free = max(free, at[c.freed_by[slots + k]])
        frames = (free - taken[0]) // pace
        before = np.searchsorted(taken, free - frames * pace)
        most = max(most, frames * tokens + before - k)
    return int(most)


@njit(cache=True)
def rooms_needed(c: Constraints, pace: int, at: Ints) -> Ints:
    """The same of every edge, int64[edges]."""
    rooms = np.empty(c.slot_at.size - 1, np.int64)
    for edge in range(rooms.size):
        rooms[edge] = room_needed(c, pace, at, edge)
    return rooms
