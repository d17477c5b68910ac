"""Which stages can have run at a moment: sets that hold, with a stage, all that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from accelsim.mapping.design import Design
from accelsim.mapping.movers import map_bytes

#: From a downset to those that can come next.
Downsets = dict[int, tuple[int, ...]]


def bits(members: int) -> Iterator[int]:
    """Positions of the bits that are set, ascending."""
    while members:
        low = members & -members
        yield low.bit_length() - 1
        members ^= low


@dataclass(frozen=True)
class StageGraph:
    """Stages by position, without the sources, which come after them; sets of stages are bit sets.

    `operands` are the positions of the maps that each stage reads, each once.
    """

    design: Design

    @cached_property
    def names(self) -> tuple[str, ...]:
        stages = self.design.stages
        return tuple(s.name for s in stages if not s.is_source) + tuple(s.name for s in stages if s.is_source)

    @cached_property
    def position(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.names)}

    @cached_property
    def count(self) -> int:
        """Stages that run, those without sources."""
        return sum(not stage.is_source for stage in self.design.stages)

    @property
    def everything(self) -> int:
        return (1 << self.count) - 1

    @cached_property
    def operands(self) -> tuple[tuple[int, ...], ...]:
        reads: list[dict[int, None]] = [{} for _ in range(self.count)]
        for edge in self.design.edges:
            reads[self.position[edge.consumer]][self.position[edge.producer]] = None
        return tuple(tuple(r) for r in reads)

    @cached_property
    def needs(self) -> tuple[int, ...]:
        """Stages that each stage reads."""
        return tuple(sum(1 << p for p in reads if p < self.count) for reads in self.operands)

    @cached_property
    def readers(self) -> tuple[int, ...]:
        """Stages that read each map."""
        found = [0] * len(self.names)
        for k, reads in enumerate(self.operands):
            for p in reads:
                found[p] |= 1 << k
        return tuple(found)

    @cached_property
    def leaves(self) -> tuple[bool, ...]:
        """Whether each map leaves the network."""
        return tuple(name in self.design.output_stages for name in self.names)

    @cached_property
    def map_bytes(self) -> tuple[int, ...]:
        activation_bits = self.design.accelerator.activation_bits
        return tuple(map_bytes(self.design.stage_by_name[name].tensor, activation_bits) for name in self.names)

    def crosses(self, position: int, done: int) -> bool:
        """Whether a map is needed after the stages `done` have run."""
        return self.leaves[position] or bool(self.readers[position] & ~done)

    def live(self, done: int) -> list[int]:
        """Maps that lie in a memory after the stages `done` have run."""
        sources = range(self.count, len(self.names))
        return [p for p in (*bits(done), *sources) if self.crosses(p, done)]


def all_downsets(graph: StageGraph, most: int) -> Downsets | None:
    """Every downset, or None where there are more than `most`."""
    found: Downsets = {}
    waiting = [0]
    known = {0}
    while waiting:
        done = waiting.pop()
        ready = (k for k in range(graph.count) if not done >> k & 1 and not graph.needs[k] & ~done)
        found[done] = tuple(done | 1 << k for k in ready)
        for after in found[done]:
            if after not in known:
                known.add(after)
                waiting.append(after)
        if len(known) > most:
            return None
    return found


def prefixes(orders: Sequence[Sequence[int]]) -> Downsets:
    """The downsets that some of `orders` passes through; an order is one of bit sets that run one after the other."""
    following: dict[int, dict[int, None]] = {}
    for order in orders:
        done = 0
        for members in order:
            following.setdefault(done, {})[done | members] = None
            done |= members
        following.setdefault(done, {})
    return {done: tuple(after) for done, after in following.items()}


def given_order(graph: StageGraph) -> list[int]:
    """The order of the network."""
    return [1 << k for k in range(graph.count)]


def thrifty_order(graph: StageGraph) -> list[int]:
    """An order that keeps few bytes alive: next comes what leaves least, and of equals what reads the latest map."""
    order: list[int] = []
    done, latest = 0, -1
    ready = {k for k in range(graph.count) if not graph.needs[k]}
    made = dict.fromkeys(range(graph.count, len(graph.names)), -1)
    while ready:
        chosen = min(ready, key=lambda k: (_left_over(graph, k, done), -max(made[p] for p in graph.operands[k]), k))
        latest += 1
        made[chosen] = latest
        order.append(1 << chosen)
        done |= 1 << chosen
        ready.remove(chosen)
        ready |= {k for k in bits(graph.readers[chosen]) if not graph.needs[k] & ~done}
    return order


def _left_over(graph: StageGraph, stage: int, done: int) -> int:
    """Bytes alive that `stage` adds, less those that it is the last to read."""
    after = done | 1 << stage
    freed = sum(graph.map_bytes[p] for p in graph.operands[stage] if not graph.crosses(p, after))
    return graph.map_bytes[stage] - freed
