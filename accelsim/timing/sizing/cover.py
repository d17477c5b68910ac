"""The least total that is enough, with proof: what is too little together becomes a clause, and a solver covers all.

A cycle of waits lacks room on some buffers. With no more room on these it stays, whatever the others hold, so that
one of them has to be larger: a clause. The cheapest capacities that satisfy all clauses found so far, an integer
program, cost no more than the best that do; if they do themselves, they are the best. Otherwise they are blocked by
further cycles, and the program is solved again.

Most clauses are of two buffers, a skip and one on the way round it, where more of one spares the other. All such
pairs of sizes make a staircase; the lower convex hull of its corners tells the program at once what clause after
clause would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.sizing.buffers import Buffer, bounds_of, total_elements
from accelsim.timing.sizing.solver import is_solved, new_solver

Ints = NDArray[np.int64]

#: One of these buffers, by number, has to hold so many tokens or more.
Clause = Mapping[int, int]

#: Firings after which the search ends without an answer, branches of one integer program, and sizes on a staircase.
MOST_FIRINGS = 2**28
MOST_BRANCHES = 2_000
MOST_STEPS = 512
#: It ends too with a clause of so many buffers: that one of them is a token too small says little.
LONG_CLAUSE = 9
#: And where, with so many clauses, a round raises the total by less than one part in so many.
MANY_CLAUSES, LEAST_GAIN = 30, 1_000


class Blocked(Protocol):
    """What says whether capacities do: `lacking` names full edges of a cycle in the way, None where there is none."""

    pipeline: Pipeline

    def lacking(self, capacity: Ints) -> tuple[int, ...] | None: ...


class Line(NamedTuple):
    """`of_first` tokens of `first` + `of_second` tokens of `second` are at least `least`."""

    first: int
    second: int
    of_first: int
    of_second: int
    least: int


class Cover(NamedTuple):
    """`elements` that no capacities which do come to less than, and `lines` that all of them keep to.

    `capacity` are the cheapest by all that was found out; where it is `exact`, they do.
    """

    elements: int
    capacity: Ints
    exact: bool = False
    lines: Sequence[Line] = ()


@dataclass
class _Known:
    """What has been found out so far."""

    clauses: list[Clause] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    pairs: set[frozenset[int]] = field(default_factory=set)


def covered(blocked: Blocked, buffers: Sequence[Buffer]) -> Cover:
    """The least total of all `buffers`, which need their bounds at least, or what it is not below."""
    edges = sum(buffer.edges.size for buffer in buffers)
    search, known = _Search(blocked, {buffer.number: buffer for buffer in buffers}, edges), _Known()
    lowest = bounds_of(buffers, edges)
    cover = Cover(total_elements(buffers, lowest), lowest)
    while search.learn(known, cover.capacity):
        before, cover = cover, _cheapest(buffers, known, cover)
        long = max(len(clause) for clause in known.clauses) >= LONG_CLAUSE
        slow = len(known.clauses) > MANY_CLAUSES and LEAST_GAIN * (cover.elements - before.elements) < before.elements
        if search.spent or cover is before or long or slow:
            return cover._replace(lines=known.lines)
    return cover._replace(exact=not search.spent, lines=known.lines)


class _Search:
    """Clauses, from asking again and again what is lacking."""

    def __init__(self, blocked: Blocked, buffers: Mapping[int, Buffer], edges: int) -> None:
        self.blocked, self.buffers, self.edges = blocked, buffers, edges
        self.owner = {int(edge): number for number, buffer in buffers.items() for edge in buffer.edges}
        self.left = MOST_FIRINGS // int(blocked.pipeline.first_firing[-1])

    @property
    def spent(self) -> bool:
        """Whether nothing more is to be tried."""
        return self.left <= 0

    def _lacking(self, capacity: Ints) -> tuple[int, ...] | None:
        self.left -= 1
        return self.blocked.lacking(capacity)

    def learn(self, known: _Known, capacity: Ints) -> bool:
        """Adds clauses that `capacity` breaks, no buffer in two of them; whether there were any."""
        capacity, before = capacity.copy(), len(known.clauses)
        while not self.spent and (lacking := self._lacking(capacity)) is not None:
            numbers = sorted({self.owner[edge] for edge in lacking})
            assert numbers, "what no buffer is to blame for, none can mend"
            clause = self._strengthened({number: int(capacity[number]) for number in numbers})
            known.clauses.append(clause)
            if len(clause) == 2 and (pair := frozenset(clause)) not in known.pairs:
                known.pairs.add(pair)
                known.lines += self._lines(*clause)
            for number in clause:
                capacity[self.buffers[number].edges] = 0
        return len(known.clauses) > before

    def _strengthened(self, few: dict[int, int]) -> Clause:
        """The clause of buffers that are too small together: none in it for nothing, each as large as may be said."""
        for number in sorted(few, key=lambda n: (self.buffers[n].elements * few[n], n)):
            without = {n: tokens for n, tokens in few.items() if n != number}
            if without and self._too_few(without):
                few = without
        for number in sorted(few, key=lambda n: (-self.buffers[n].elements, n)):
            few[number] = self._enough(few, number) - 1
        return {number: tokens + 1 for number, tokens in few.items()}

    def _enough(self, few: Mapping[int, int], number: int) -> int:
        """Least tokens of one buffer that do beside `few` of the others, more than it has there."""
        low, step = few[number], 1
        while self._too_few({**few, number: low + step}):
            low, step = low + step, 2 * step
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._too_few({**few, number: middle}) else (low, middle)
        return high

    def _too_few(self, few: Mapping[int, int]) -> bool:
        """Whether so many tokens in these buffers are too few, all others unbounded."""
        capacity = np.zeros(self.edges, np.int64)
        for number, tokens in few.items():
            capacity[self.buffers[number].edges] = tokens
        return self._lacking(capacity) is not None

    def _lines(self, first: int, second: int) -> list[Line]:
        """The lower convex hull of all sizes of two buffers that do."""
        hull: list[tuple[int, int]] = []
        for x, y in self._staircase(first, second):
            while len(hull) > 1 and _above(hull[-2], hull[-1], (x, y)):
                hull.pop()
            hull.append((x, y))
        return [Line(first, second, y - v, u - x, (y - v) * x + (u - x) * y) for (x, y), (u, v) in pairwise(hull)]

    def _staircase(self, first: int, second: int) -> list[tuple[int, int]]:
        """For every size of `first`, from its bound on, the least of `second`, down to its bound; none if too long."""
        x, least = self.buffers[first].bound, self.buffers[second].bound
        y = self._enough({first: x, second: least - 1}, second)
        if y - least > MOST_STEPS or self.spent:
            return []
        corners = [(x, y)]
        for _ in range(MOST_STEPS):
            if y == least:
                return corners
            if self._too_few({first: x, second: y - 1}):
                x += 1
                corners.append((x, y))
            else:
                y -= 1
                corners[-1] = (x, y)
        return []


def _above(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """Whether b is on the line from a to c, or above it."""
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])


def _cheapest(buffers: Sequence[Buffer], known: _Known, cover: Cover) -> Cover:
    """The cheapest capacities that satisfy all clauses; where the solver gives up, `cover` as it is."""
    of_number = {buffer.number: buffer for buffer in buffers}
    named = {number: of_number[number] for number in sorted({n for clause in known.clauses for n in clause})}
    program = new_solver(mip_rel_gap=0.0, mip_abs_gap=0.5, mip_max_nodes=MOST_BRANCHES)
    tokens = {number: program.addIntegral(lb=buffer.bound) for number, buffer in named.items()}
    for clause in known.clauses:
        chosen = {number: program.addBinary() for number in clause}
        program.addConstr(program.qsum(chosen.values()) >= 1)
        for number, wanted in clause.items():
            bound = named[number].bound
            program.addConstr(tokens[number] - (wanted - bound) * chosen[number] >= bound)
    for line in known.lines:
        program.addConstr(line.of_first * tokens[line.first] + line.of_second * tokens[line.second] >= line.least)
    program.minimize(program.qsum(buffer.elements * tokens[number] for number, buffer in named.items()))
    if not is_solved(program):
        return cover
    values = program.getSolution().col_value
    capacity = cover.capacity.copy()
    for number, buffer in named.items():
        capacity[buffer.edges] = round(values[tokens[number].index])
    return Cover(total_elements(buffers, capacity), capacity)
