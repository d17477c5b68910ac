"""Where the stages of a pipeline are drawn: in ranks from the source down, with room for what passes by.

The steps are those of K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (1981): ranks by longest path, a place in every
rank for edges that pass it, orders by the mean of neighbours. Places are then the nearest to these means in that
order, which is an isotonic regression.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from accelsim.errors import InputError

Edge = tuple[str, str]
#: What has a place in a rank: a stage, or an edge that passes, as its number and the rank.
Item = str | tuple[int, int]

STAGE_WIDTH, PASSING_WIDTH = 190.0, 16.0
#: Ranks at most that edges pass in all; those that pass most go straight when there are more.
MOST_PASSED = 40_000
SWEEPS = 6


class Layout(NamedTuple):
    """The middle of every stage across and its rank downwards; of every edge the places where it passes ranks."""

    places: dict[str, tuple[float, int]]
    bends: tuple[tuple[tuple[float, int], ...], ...]
    width: float
    ranks: int


def layered(stages: Sequence[str], edges: Sequence[Edge]) -> Layout:
    """A layout in which all `edges` lead downwards. Raises `InputError` where edges form a circle."""
    if not stages:
        return Layout({}, (), 0.0, 0)
    ranks = _ranks(stages, edges)
    chains = _chains(edges, ranks)
    rows = _rows(stages, ranks, chains)
    links = [pair for chain in chains for pair in itertools.pairwise(chain)]
    found = _placed(rows, links)
    left = min(found.values())
    places = {stage: (found[stage] - left, ranks[stage]) for stage in stages}
    bends = tuple(tuple((found[item] - left, item[1]) for item in chain if isinstance(item, tuple)) for chain in chains)
    return Layout(places, bends, max(found.values()) - left, len(rows))


def _ranks(stages: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The longest way to each stage; what nothing leads to stands just above its first reader."""
    producers: dict[str, list[str]] = {name: [] for name in stages}
    for producer, consumer in edges:
        producers[consumer].append(producer)
    try:
        order = list(TopologicalSorter(producers).static_order())
    except CycleError:
        raise InputError("the buffers of this report lead round in a circle; there is no pipeline to draw") from None
    ranks: dict[str, int] = {}
    for name in order:
        ranks[name] = max((ranks[producer] + 1 for producer in producers[name]), default=0)
    first_reader: dict[str, int] = {}
    for producer, consumer in edges:
        first_reader[producer] = min(first_reader.get(producer, ranks[consumer]), ranks[consumer])
    lone = {name for name in stages if not producers[name] and name in first_reader}
    return {name: first_reader[name] - 1 if name in lone else ranks[name] for name in stages}


def _chains(edges: Sequence[Edge], ranks: Mapping[str, int]) -> list[list[Item]]:
    """Each edge as what it leads through, rank by rank."""
    chains: list[list[Item]] = [[] for _ in edges]
    left = MOST_PASSED
    for number in sorted(range(len(edges)), key=lambda k: ranks[edges[k][1]] - ranks[edges[k][0]]):
        producer, consumer = edges[number]
        passed = range(ranks[producer] + 1, ranks[consumer])
        left -= len(passed)
        chains[number] = [producer, *((number, rank) for rank in passed if left >= 0), consumer]
    return chains


def _rows(stages: Sequence[str], ranks: Mapping[str, int], chains: Sequence[Sequence[Item]]) -> list[list[Item]]:
    rows: list[list[Item]] = [[] for _ in range(max(ranks.values()) + 1)]
    for stage in stages:
        rows[ranks[stage]].append(stage)
    for chain in chains:
        for item in chain:
            if isinstance(item, tuple):
                rows[item[1]].append(item)
    return rows


def _placed(rows: Sequence[list[Item]], links: Iterable[tuple[Item, Item]]) -> dict[Item, float]:
    """The middle of every item: near what it is linked to, and apart from its neighbours.

    The ranks are gone through down and up; the order is settled by the first sweeps.
    """
    above: dict[Item, list[Item]] = {item: [] for row in rows for item in row}
    below: dict[Item, list[Item]] = {item: [] for row in rows for item in row}
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    places: dict[Item, float] = {}
    for sweep in range(SWEEPS):
        linked, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            wanted = {item: _wanted(item, linked[item] if sweep else above[item], places) for item in row}
            if sweep < SWEEPS - 2:
                row.sort(key=wanted.__getitem__)
            _set_apart(row, wanted, places)
    return places


def _wanted(item: Item, linked: Sequence[Item], places: Mapping[Item, float]) -> float:
    """The mean of what an item is linked to; where it is already, or in the middle, without any."""
    if not linked:
        return places.get(item, 0.0)
    return sum(places[other] for other in linked) / len(linked)


def _set_apart(row: Sequence[Item], wanted: Mapping[Item, float], places: dict[Item, float]) -> None:
    """Places a rank as near to what is wanted as its order and the widths allow, passing edges the nearest."""
    widths = [STAGE_WIDTH if isinstance(item, str) else PASSING_WIDTH for item in row]
    offsets = [0.0, *itertools.accumulate((one + other) / 2 for one, other in itertools.pairwise(widths))]
    aims = [wanted[item] - offset for item, offset in zip(row, offsets, strict=True)]
    found = ascending(aims, [1.0 if width == STAGE_WIDTH else 2.0 for width in widths])
    places.update((item, place + offset) for item, place, offset in zip(row, found, offsets, strict=True))


def ascending(aims: Iterable[float], weights: Iterable[float]) -> list[float]:
    """The nearest to `aims` that never falls, by weighted least squares: neighbours that would are pooled.

    >>> ascending([1.0, 4.0, 2.0, 9.0], [1.0, 1.0, 3.0, 1.0])
    [1.0, 2.5, 2.5, 9.0]
    """
    pools: list[tuple[float, float, int]] = []
    for mean, weight in zip(aims, weights, strict=True):
        pool = (mean, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            (low, light, few), (high, heavy, many) = pools.pop(), pool
            pool = (low * light + high * heavy) / (light + heavy), light + heavy, few + many
        pools.append(pool)
    return [mean for mean, _, count in pools for _ in range(count)]
