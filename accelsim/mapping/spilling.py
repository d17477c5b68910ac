"""Waits sent to memory: the buffers of a pipeline that hold maps for a gate, in a memory instead of the engine's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from accelsim.errors import InputError
from accelsim.mapping.design import Design, Edge
from accelsim.mapping.streams import streamed


def spill_waits(design: Design, memory: str | None = None) -> Design:
    """`design` with what waits for gates in `memory` (None: the last), written there once and read back once.

    That is every edge of role gate, and every skip round a gate. The largest maps go first, as long as the
    memory's ports are in use no longer than the interval between frames. Buffers that have a home already keep it.
    Raises `InputError` for an unknown memory, for the engine's own, and for a design whose segments take turns.
    """
    home = _checked(design, memory)
    edges = [edge for edge in gate_waits(design) if not {edge.name, edge.producer} & set(design.mapping.homes)]
    ordered = sorted(edges, key=lambda edge: (-edge.tensor.elements, edge.name))
    pace = max(design.pace_cycles, design.bottleneck_cycles)
    count = bisect_right(
        range(len(ordered)), pace, key=lambda k: max(_spilled(design, ordered[: k + 1], home).port_cycles.values())
    )
    homes = {edge.name: home for edge in ordered[:count]}
    return replace(design, mapping=replace(design.mapping, homes=MappingProxyType({**design.mapping.homes, **homes})))


def _checked(design: Design, memory: str | None) -> str:
    machine = design.accelerator
    home = machine.off_chip_memory if memory is None else memory
    if home is None:
        raise InputError(f"{machine.name} describes no memories to which a buffer could be spilled")
    if home not in machine.memories or home == machine.local_memory:
        others = ", ".join(name for name in machine.memories if name != machine.local_memory)
        raise InputError(f"memory = '{home}' is none of {machine.name} beyond the engine's own; use {others}")
    if design.mapping.segments:
        raise InputError(f"{design.network.name}: segments that take turns store what crosses them; nothing to spill")
    return home


def gate_waits(design: Design) -> tuple[Edge, ...]:
    """Edges whose tokens wait for a gate: into its multiply, and skips round that."""
    multiplies = {edge.consumer for edge in design.edges if edge.role == "gate"}
    return tuple(
        edge
        for edge in design.edges
        if edge.role == "gate" or (edge.role == "skip" and _passes_round(design, edge, multiplies))
    )


def _passes_round(design: Design, skip: Edge, multiplies: set[str]) -> bool:
    """Whether a way from where `skip` begins to where it ends passes one of `multiplies`."""
    first = design.position[skip.producer]
    reached: set[str] = set()
    stack = [edge.producer for edge in design.edges_to[skip.consumer] if edge is not skip]
    while stack:
        name = stack.pop()
        if name not in reached and design.position[name] > first:
            reached.add(name)
            stack += [edge.producer for edge in design.edges_to[name]]
    behind = {skip.producer}
    for stage in design.stages[first + 1 :]:
        if any(edge.producer in behind for edge in design.edges_to[stage.name]):
            behind.add(stage.name)
    return not multiplies.isdisjoint(reached & behind)


def _spilled(design: Design, edges: Sequence[Edge], home: str) -> Design:
    """`design` as it runs with `edges` in memory."""
    homes = MappingProxyType({**design.mapping.homes, **{edge.name: home for edge in edges}})
    return streamed(replace(design, mapping=replace(design.mapping, homes=homes)), "row")
