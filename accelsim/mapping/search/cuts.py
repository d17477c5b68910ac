"""Where to cut a network into segments, and where what crosses a cut lies.

A state is a set of stages that have run (a downset of the stage graph) and the memory of every map that is still
needed. A segment takes one state to another; what it costs depends on nothing else, so the cheapest way to every
state, found in the order of their size, is the cheapest way there is among all downsets and memories.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from accelsim.mapping.search.downsets import Downsets, bits
from accelsim.mapping.search.objective import NOTHING, Cost, Costs, Objective
from accelsim.mapping.search.option import Option, Options
from accelsim.mapping.search.parts import Part, Parts

#: Where the live maps that are on chip lie: positions of map and memory.
Places = tuple[tuple[int, int], ...]


#: Choices of memories for what a segment writes that are all tried.
MOST_PLACEMENTS = 3**6


@dataclass(frozen=True, slots=True)
class Way:
    """The last segment on a way to a state, what it costs to get there, and the way before it.

    `written` are the memories of the maps that cross, in the order in which the segment writes them.
    """

    cost: Cost
    before: Way | None
    members: int
    writes: tuple[int, ...]
    written: tuple[int, ...]
    option: Option | None

    def segments(self) -> list[Way]:
        """From the first segment to this one."""
        found: list[Way] = []
        way: Way | None = self
        while way is not None and way.before is not None:
            found.append(way)
            way = way.before
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Found:
    """The cheapest way; `exact` where no state was left out. `transitions` were tried."""

    way: Way | None
    exact: bool
    transitions: int


class _Stairs:
    """Options by cost: for every room the cheapest that fits."""

    def __init__(self, options: Options, costs: Costs) -> None:
        cost, tie = (np.broadcast_to(column, options.demand_bytes.shape) for column in costs)
        order = np.lexsort((options.demand_bytes, tie, cost))
        demand = options.demand_bytes[order]
        least = np.minimum.accumulate(demand)
        steps = order[np.concatenate([[True], demand[1:] < least[:-1]])]
        self._options = options
        self._rooms = [-int(n) for n in options.demand_bytes[steps]]
        self._steps = [(int(k), (cost[k].item(), tie[k].item())) for k in steps]

    def cheapest(self, room: int) -> tuple[Cost, Option] | None:
        step = bisect_left(self._rooms, -room)
        if step == len(self._steps):
            return None
        position, cost = self._steps[step]
        return cost, self._options[position]


@dataclass(frozen=True)
class Search:
    """The search for the cheapest cuts among `downsets`.

    Segments have one stage where `single`; those of more are cut into tiles only where `tiled`. Of each downset
    the `beam` most promising states are followed, and of all ways only those that may cost less than `ceiling`.
    """

    parts: Parts
    objective: Objective
    downsets: Downsets
    single: bool
    beam: int
    tiled: bool = True
    ceiling: Cost | None = None
    most_placements: int = MOST_PLACEMENTS
    most_transitions: int | None = None

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each memory, less the weights that are in the first for ever."""
        sizes = [level.size for level in self.parts.design.accelerator.memories.values()]
        return (sizes[0] - self.parts.resident_bytes, *sizes[1:])

    @cached_property
    def memories(self) -> tuple[str, ...]:
        return tuple(self.parts.design.accelerator.memories)

    @property
    def away(self) -> int:
        """Position of the memory off chip."""
        return len(self.memories) - 1

    @cached_property
    def held(self) -> tuple[int, ...]:
        """Bytes of each map, of all frames of a visit."""
        frames = self.parts.design.mapping.frames_per_visit
        return tuple(frames * size for size in self.parts.graph.map_bytes)

    @cached_property
    def _crowded(self) -> bool:
        """Whether maps off chip may need more room than there is."""
        return sum(self.held) > self.sizes[self.away]

    @cached_property
    def stairs(self) -> dict[object, _Stairs]:
        return {}

    def run(self) -> Found:
        """The cheapest way from nothing to everything."""
        graph = self.parts.graph
        states: dict[int, dict[Places, Way]] = {0: {(): Way(NOTHING, None, 0, (), (), None)}}
        exact, transitions = True, 0
        best: Way | None = None
        for done in sorted(self.downsets, key=lambda downset: (downset.bit_count(), downset)):
            here = states.pop(done, {})
            if done == graph.everything:
                continue
            if best is not None and best.cost[0] <= self.least():
                break
            known = best.cost if best else None
            here = {places: way for places, way in here.items() if not self._is_beaten(done, places, way.cost, known)}
            if not here:
                continue
            followed = self._followed(done, here)
            exact = exact and len(followed) == len(here)
            for part in self._parts_after(done, followed):
                for after, arrived in self._joined(part, followed):
                    transitions += 1
                    if self._is_beaten(part.after, after, arrived.cost, best.cost if best else None):
                        continue
                    if part.after == graph.everything:
                        best = arrived
                        continue
                    there = states.setdefault(part.after, {})
                    if after not in there or arrived.cost < there[after].cost:
                        there[after] = arrived
            if self.most_transitions is not None and transitions > self.most_transitions:
                return Found(best, False, transitions)
        return Found(best, exact, transitions)

    def _followed(self, done: int, here: dict[Places, Way]) -> list[tuple[Places, Way]]:
        if len(here) <= self.beam:
            return list(here.items())
        ranked = sorted(here.items(), key=lambda one: (one[1].cost[0] + self._least(done, one[0]), one[1].cost, one[0]))
        return ranked[: self.beam]

    def _parts_after(self, done: int, followed: Sequence[tuple[Places, Way]]) -> Iterator[Part]:
        """Segments that can come next, one stage and ever more."""
        room = self.sizes[0] - min(sum(self.held[p] for p, m in places if m == 0) for places, _ in followed)
        waiting = [self.parts.empty(done)]
        seen = {done}
        while waiting:
            part = waiting.pop()
            for after in self.downsets[part.after]:
                if after in seen:
                    continue
                seen.add(after)
                larger = self.parts.extended(part, after)
                if larger is None:
                    continue
                fits = self.parts.fits(larger, room)
                fits = fits or self._fits_in_tiles(larger, room)
                if fits:
                    yield larger
                if (fits or larger.is_single) and not self.single:
                    waiting.append(larger)

    def _fits_in_tiles(self, part: Part, room: int) -> bool:
        if not (self.tiled or part.is_single):
            return False
        options = self.parts.tiled(part, self.sizes[0])
        return options is not None and bool((options.demand_bytes <= room).any())

    def _joined(self, part: Part, followed: Sequence[tuple[Places, Way]]) -> Iterator[tuple[Places, Way]]:
        """The states that `part` leads to from each, for every choice of memories for what it writes."""
        run = _Run(self, part)
        placements = [(written, self._taken(part.writes, written)) for written in self._placements(part)]
        for places, way in followed:
            lies = dict(places)
            used = self._taken(tuple(lies), tuple(lies.values()))
            if self._crowded:
                used[self.away] = sum(self.held[p] for p in self.parts.graph.live(part.done) if p not in lies)
            read = tuple(lies.get(p, self.away) for p in part.reads)
            kept = tuple((p, m) for p, m in places if self.parts.graph.readers[p] & ~part.after)
            for written, taken in placements:
                room = self.sizes[0] - used[0] - taken[0]
                if room < 0 or any(
                    size < a + b for a, b, size in zip(used[1:], taken[1:], self.sizes[1:], strict=True)
                ):
                    continue
                cheapest = run.cheapest(read, written, room)
                if cheapest is None:
                    continue
                (cost, tie), option = cheapest
                total = (way.cost[0] + cost, way.cost[1] + tie)
                more = tuple((p, m) for p, m in zip(part.writes, written, strict=True) if m != self.away)
                yield tuple(sorted(kept + more)), Way(total, way, part.members, part.writes, written, option)

    def _taken(self, maps: Sequence[int], memories: Sequence[int]) -> list[int]:
        """Bytes of each memory that maps take."""
        taken = [0] * len(self.memories)
        for p, m in zip(maps, memories, strict=True):
            taken[m] += self.held[p]
        return taken

    def _placements(self, part: Part) -> Iterator[tuple[int, ...]]:
        """Memories for what a part writes: all choices, or where there are too many, those that keep small maps."""
        choices = [self._choices[p] for p in part.writes]
        if prod(len(choice) for choice in choices) <= self.most_placements:
            yield from product(*choices)
            return
        by_size = sorted(range(len(choices)), key=lambda k: self.held[part.writes[k]])
        yield (self.away,) * len(choices)
        for memory in range(self.away):
            for count in range(1, len(choices) + 1):
                near = set(by_size[:count])
                yield tuple(memory if k in near and memory in c else self.away for k, c in enumerate(choices))

    @cached_property
    def _choices(self) -> tuple[tuple[int, ...], ...]:
        """Memories that can hold each map; what leaves the network lies off chip."""
        graph = self.parts.graph
        return tuple(
            (self.away,) if graph.leaves[p] else (*(m for m in range(self.away) if size <= self.sizes[m]), self.away)
            for p, size in enumerate(self.held)
        )

    def _is_beaten(self, done: int, places: Places, cost: Cost, best: Cost | None) -> bool:
        """Whether no way on from a state costs less than the best one known."""
        known = min((one for one in (best, self.ceiling) if one is not None), default=None)
        return known is not None and (cost[0] + self._least(done, places), cost[1]) >= known

    def _least(self, done: int, places: Places) -> float:
        """The least that is left to pay from a state: weights to load, and what is alive or must be spilled to read."""
        weights, written, macs, reads = self._left(done)
        if done == self.parts.graph.everything:
            return 0
        by_home = {self.memories[self.away]: reads}
        for p, m in places:
            size = self.parts.graph.map_bytes[p]
            by_home[self.memories[self.away]] -= size
            by_home[self.memories[m]] = by_home.get(self.memories[m], 0) + size
        return self.objective.least(weights, written, by_home, macs)

    def _left(self, done: int) -> tuple[int, int, int, int]:
        """Of the stages that have not run weights, bytes written off chip, multiplications, and bytes read."""
        if done not in self._lefts:
            parts, graph = self.parts, self.parts.graph
            left = list(bits(graph.everything & ~done))
            spilled = sum(graph.map_bytes[k] for k in bits(parts.spilled & ~done))
            self._lefts[done] = (
                0 if parts.resident_bytes else sum(parts.weights[k] for k in left),
                spilled + sum(graph.map_bytes[k] for k in left if graph.leaves[k]),
                sum(parts.stages[k].macs for k in left),
                spilled + sum(graph.map_bytes[p] for p in graph.live(done) if graph.readers[p] & ~done),
            )
        return self._lefts[done]

    @cached_property
    def _lefts(self) -> dict[int, tuple[int, int, int, int]]:
        return {}

    def least(self) -> float:
        """A bound on the cost of every way."""
        return self._least(0, ())


class _Run:
    """A part to be run from many states: its cheapest option for the memories and the room that each leaves it."""

    def __init__(self, search: Search, part: Part) -> None:
        self._search = search
        self._part = part
        self._priced: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[Cost, Option]]] = {}

    @cached_property
    def _whole(self) -> Option:
        return self._search.parts.whole(self._part)

    @cached_property
    def _tiles(self) -> Options | None:
        wanted = self._search.tiled or self._part.is_single
        return self._search.parts.tiled(self._part, self._search.sizes[0]) if wanted else None

    @cached_property
    def _few(self) -> list[Option]:
        return [] if self._tiles is None else [self._tiles[k] for k in range(len(self._tiles))]

    def cheapest(self, read: tuple[int, ...], written: tuple[int, ...], room: int) -> tuple[Cost, Option] | None:
        """What costs least of all that fits; in one go, if it does."""
        if self._search.parts.fits(self._part, room):
            return self._prices(self._whole, read, written), self._whole
        if self._part.weight_bytes > room and not self._part.is_single:
            return None
        if self._tiles is None:
            return None
        if self._part.is_single:
            return self._stairs(self._tiles, read, written).cheapest(room)
        if (read, written) not in self._priced:
            self._priced[read, written] = [(self._prices(option, read, written), option) for option in self._few]
        fitting = [one for one in self._priced[read, written] if one[1].demand_bytes <= room]
        return min(fitting, key=lambda one: one[0], default=None)

    def _prices(self, option: Option | Options, read: tuple[int, ...], written: tuple[int, ...]) -> Costs:
        names = self._search.memories
        return self._search.objective.of(option, [names[m] for m in read], [names[m] for m in written])

    def _stairs(self, options: Options, read: tuple[int, ...], written: tuple[int, ...]) -> _Stairs:
        key = (self._part.members, self._part.reads, read, written)
        known = self._search.stairs
        if key not in known:
            known[key] = _Stairs(options, self._prices(options, read, written))
        return known[key]
