"""A pipeline's rules as differences between the starts and ends of one frame's firings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.periodic import Constraints
from accelsim.timing.kernels.pipeline import ALWAYS, Pipeline

Ints = NDArray[np.int64]
Table = NDArray[np.int32]


class _Waits(NamedTuple):
    """Nodes `later` that come no less than `cycles` after nodes `earlier`."""

    earlier: Ints
    later: Ints
    cycles: Ints | int


def constraints_of(p: Pipeline, pace: int) -> Constraints:
    """What holds at `pace` whatever the capacities, and what waits for each slot of a buffer."""
    stage = np.repeat(np.arange(p.firings.size), p.firings)
    begin, to, after = _by_node(2 * stage.size, _waits(p, pace, stage))
    slot_at = np.concatenate([np.zeros(1, np.int64), np.cumsum(p.tokens[p.producer])])
    taken_by, freed_by = np.zeros(int(slot_at[-1]), np.int64), np.zeros(int(slot_at[-1]), np.int64)
    for edge in range(p.producer.size):
        slots = slice(slot_at[edge], slot_at[edge + 1])
        taken_by[slots] = _start(_making(p, int(p.producer[edge])))
        freed = _table(p.freed, int(p.freed_at[edge]), int(p.tokens[p.producer[edge]]))
        freed_by[slots] = np.where(freed >= 0, _end(p.first_firing[p.consumer[edge]] + freed), -1)
    slot_edge, slot = np.repeat(np.arange(p.producer.size), np.diff(slot_at)), np.arange(int(slot_at[-1]))
    arrives_after, read = p.latency[p.producer], freed_by >= 0
    arrivals = _Waits(taken_by + 1, slot, arrives_after[slot_edge])
    frees_begin, frees, frees_after = _by_node(2 * stage.size, [arrivals, _Waits(freed_by[read], slot[read], 0)])
    return Constraints(
        floor=_floor(p, stage),
        begin=begin,
        to=to,
        after=after,
        frees_begin=frees_begin,
        frees=frees,
        frees_after=frees_after,
        slot_at=slot_at,
        slot_edge=slot_edge.astype(np.int32),
        taken_by=taken_by.astype(np.int32),
        freed_by=freed_by.astype(np.int32),
        arrives_after=arrives_after,
    )


def _start(firing: Ints) -> Ints:
    return 2 * firing


def _end(firing: Ints) -> Ints:
    return 2 * firing + 1


def _table(tables: Table, begin: int, size: int) -> Ints:
    return tables[begin : begin + size].astype(np.int64)


def _making(p: Pipeline, stage: int) -> Ints:
    """The firing that makes each token of a stage."""
    tokens, made_at = int(p.tokens[stage]), int(p.made_at[stage])
    made: Ints = p.first_firing[stage] + (np.arange(tokens) if made_at < 0 else _table(p.made, made_at, tokens))
    return made


def _floor(p: Pipeline, stage: Ints) -> Ints:
    """The earliest times from which arrivals are not before cycle 0, nor before a source offers."""
    floor = np.empty(2 * stage.size, np.int64)
    floor[0::2], floor[1::2] = -(p.first_offset + p.latency)[stage], -p.latency[stage]
    for source in np.flatnonzero(p.offer_at >= 0):
        firings = slice(p.first_firing[source], p.first_firing[source + 1])
        offers = slice(p.offer_at[source], p.offer_at[source] + p.firings[source])
        floor[0::2][firings] = np.maximum(floor[0::2][firings], p.offer_first[offers])
        floor[1::2][firings] = np.maximum(floor[1::2][firings], p.offer_last[offers] + p.first_offset[source])
    return floor


def _waits(p: Pipeline, pace: int, stage: Ints) -> Iterator[_Waits]:
    firing = np.arange(stage.size)
    place = firing - p.first_firing[stage]
    yield _Waits(_start(firing), _end(firing), p.interval[stage])
    follows = firing[place > 0]
    alongside = place[follows] % p.together[stage[follows]] > 0
    yield _Waits(np.where(alongside, _start(follows - 1), _end(follows - 1)), _start(follows), 0)
    yield _Waits(_end(p.first_firing[1:] - 1), _start(p.first_firing[:-1]), -pace)
    for edge in range(p.producer.size):
        yield from _waits_for_input(p, edge)
        yield from _waits_for_reader(p, pace, edge)


def _waits_for_input(p: Pipeline, edge: int) -> Iterator[_Waits]:
    """A firing starts and ends after what it needs has come."""
    source, reader = int(p.producer[edge]), int(p.consumer[edge])
    latency, head, lead = int(p.latency[source]), int(p.head[edge]), int(p.lead[edge])
    needed = _table(p.need, int(p.need_at[edge]), int(p.firings[reader]))
    waiting = np.flatnonzero(needed >= 0)
    made, read = p.first_firing[source] + needed[waiting], p.first_firing[reader] + waiting
    if head < 0:
        yield _Waits(_end(made), _start(read), latency - lead)
    else:
        yield _Waits(_start(made), _start(read), int(p.first_offset[source]) + latency + head - lead)
    yield _Waits(_end(made), _end(read), latency + int(p.tail[edge]))


def _waits_for_reader(p: Pipeline, pace: int, edge: int) -> Iterator[_Waits]:
    """A token comes after what its reader lets it in by, on some machines."""
    maker, reader = int(p.producer[edge]), int(p.consumer[edge])
    if p.apart[edge] > 0:
        last = p.first_firing[reader + 1 : reader + 2] - 1
        yield _Waits(_end(last), _start(_making(p, maker)[:1]), -int(p.first_offset[reader]) - pace)
    if p.gap[edge] > 0:
        own = slice(p.first_firing[maker], p.first_firing[maker + 1])
        firings_of = np.arange(own.start, own.stop)
        yield _Waits(_end(firings_of[-1:]), _start(firings_of[:1]), int(p.gap[edge]) - pace)
    gates = ((p.admit_at, p.admit, p.admit_after, _start), (p.close_at, p.close, p.close_after, _end))
    for begins, tables, cycles, node in gates:
        begin, tokens, firings = int(begins[edge]), int(p.tokens[maker]), int(p.firings[reader])
        if begin < 0:
            continue
        letting, after = _table(tables, begin, tokens), _table(cycles, begin, tokens)
        kept = letting != ALWAYS
        frames, place = np.divmod(letting[kept], firings)
        ended = _end(p.first_firing[reader] + place)
        yield _Waits(ended, node(_making(p, maker)[kept]), frames * pace + after[kept])


def _by_node(nodes: int, waits: Iterable[_Waits]) -> tuple[Ints, Table, Ints]:
    """Waits by what they are for: where those of each node begin, what waits, and for how many cycles."""
    found = list(waits)
    earlier = np.concatenate([each.earlier for each in found])
    order = np.argsort(earlier, kind="stable")
    begin = np.searchsorted(earlier[order], np.arange(nodes + 1))
    later = np.concatenate([each.later for each in found])[order]
    cycles = np.concatenate([np.broadcast_to(each.cycles, each.earlier.shape) for each in found])[order]
    return begin, later.astype(np.int32), cycles.astype(np.int64)
