"""Changes to a design one at a time: more multipliers for a stage, more room for a buffer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from accelsim.mapping.blocks import block_unrolls
from accelsim.mapping.design import Design, Edge, Stage, stage_of
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.unrolling import Unroll, multiplier_choices, unroll
from accelsim.mapping.work import loop_nest


@dataclass(frozen=True, slots=True)
class Step:
    """A stage's `multipliers`, unrolled as `unroll`, or the `capacity` of the buffer behind `edges`, raised."""

    kind: Literal["multipliers", "capacity"]
    name: str
    before: int
    after: int
    unroll: Unroll | None = None
    edges: tuple[str, ...] = ()

    @property
    def added_multipliers(self) -> int:
        return self.after - self.before if self.kind == "multipliers" else 0

    @property
    def added_tokens(self) -> int:
        return self.after - self.before if self.kind == "capacity" else 0


def with_steps(design: Design, steps: Iterable[Step]) -> Design:
    """`design` with these changes; it may take more multipliers than the machine has."""
    taken = tuple(steps)
    unrolls = dict(design.mapping.unroll) | {step.name: step.unroll for step in taken if step.unroll is not None}
    rooms = {edge: step.after for step in taken for edge in step.edges}
    mapping = replace(
        design.mapping,
        unroll=MappingProxyType(unrolls),
        capacities=MappingProxyType(dict(design.mapping.capacities) | rooms),
    )
    changed = {step.name for step in taken if step.unroll is not None}
    stages = tuple(
        stage_of(design.network, stage.group, design.accelerator, mapping, alone=False)
        if stage.name in changed
        else stage
        for stage in design.stages
    )
    edges = tuple(replace(edge, capacity=rooms.get(edge.name, edge.capacity)) for edge in design.edges)
    return replace(design, mapping=mapping, stages=stages, edges=edges)


def wider_choices(design: Design, stage: Stage, granularity: Granularity) -> tuple[Step, ...]:
    """Every way to give a stage more multipliers, fewest first; none where it has none, or where its pace is given."""
    nest = loop_nest(design.network, stage.group.node)
    measured = design.mapping.measured.get(stage.name)
    if nest is None or stage.unroll is None or (measured is not None and measured.interval_cycles is not None):
        return ()
    if granularity == "word":
        choices: Iterable[Unroll] = block_unrolls(nest)
    else:
        choices = (unroll(nest, multipliers) for multipliers in multiplier_choices(nest))
    return tuple(
        Step("multipliers", stage.name, stage.multipliers, choice.multipliers, choice)
        for choice in choices
        if choice.multipliers > stage.multipliers
    )


def roomier(design: Design, edge: Edge, tokens: int = 1) -> Step | None:
    """More room for the buffer of an edge; None where nothing bounds it.

    Where a fork shares one buffer, all its readers' edges have that room.
    """
    if edge.capacity is None:
        return None
    shared = design.accelerator.fork == "shared"
    edges = design.edges_from[edge.producer] if shared else (edge,)
    name = edge.producer if len(edges) > 1 else edge.name
    return Step("capacity", name, edge.capacity, edge.capacity + tokens, edges=tuple(e.name for e in edges))
