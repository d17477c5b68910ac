"""What a whole-network pipeline moves to and from memory while it runs."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx

from accelsim.mapping.buffers import needed_and_held
from accelsim.mapping.design import Design, Edge, Stage, home_of
from accelsim.mapping.movers import (
    fill_map,
    in_turns,
    load_map,
    load_weights,
    rows_under_way,
    store_map,
    weight_bytes,
)
from accelsim.network.reach import Granularity

#: Requests beyond its window, and those under way, that the reader of a spilled buffer keeps while it works.
SPARE_REQUESTS = 1
#: Frames of weights that a stage holds: those in use, and the next, which load meanwhile.
FRAMES_OF_WEIGHTS = 2


def streamed(design: Design, granularity: Granularity) -> Design:
    """`design`, a single pipeline, with a stage for all that passes a memory's port.

    That is its inputs and outputs where the machine's `interface` is memory, the weights where these are not
    resident, and every buffer whose home is a memory (spilled): written once, read once by each reader, who
    keeps no more than its window of it. Capacities are tokens of `granularity`.
    """
    accelerator = design.accelerator
    off_chip = accelerator.off_chip_memory
    if off_chip is None or design.mapping.segments:
        return design
    stages, edges = list(design.stages), list(design.edges)
    if accelerator.interface == "memory":
        stages = [_loaded(design, stage, off_chip) if stage.is_source else stage for stage in stages]
        for name in design.output_stages:
            stage = design.stage_by_name[name]
            bits = accelerator.activation_bits
            mover, edge = store_map(accelerator, off_chip, "output", stage, stage.tensor, bits, f"store {name}")
            stages.append(mover)
            edges.append(edge)
    if accelerator.weights != "resident":
        for stage in (stage for stage in design.stages if weight_bytes(design, stage)):
            mover, edge = _weights(design, stage, off_chip)
            stages.append(mover)
            edges.append(edge)
    for home, spilled in _spilled(design):
        more_stages, more_edges = _through_memory(design, spilled, home, granularity)
        stages += more_stages
        edges = [edge for edge in edges if edge not in spilled] + more_edges
    if stages == list(design.stages) and edges == list(design.edges):
        return design
    if len(stages) == len(design.stages) and edges == list(design.edges):
        return assembled(design, stages, edges)
    mapping = replace(design.mapping, granularity=granularity)
    return assembled(replace(design, mapping=mapping), stages, edges)


def assembled(design: Design, stages: list[Stage], edges: list[Edge]) -> Design:
    """`design` with these stages and edges: in topological order, ports in turns, edges as their consumers."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(stage.name for stage in stages)
    graph.add_edges_from((edge.producer, edge.consumer) for edge in edges)
    given = {stage.name: position for position, stage in enumerate(stages)}
    names = nx.lexicographical_topological_sort(graph, key=lambda name: given[name])
    order = {name: position for position, name in enumerate(names)}
    arranged = sorted(in_turns(stages, design.accelerator), key=lambda stage: order[stage.name])
    ordered = sorted(edges, key=lambda edge: (order[edge.consumer], edge.operand))
    return replace(design, stages=tuple(arranged), edges=tuple(ordered))


def _loaded(design: Design, stage: Stage, memory: str) -> Stage:
    """A network input that comes from memory instead of a link of its own."""
    bits = design.accelerator.activation_bits
    mover = load_map(design.accelerator, memory, "input", stage.name, stage.name, stage.tensor, bits)
    return replace(mover, group=stage.group)


def _weights(design: Design, stage: Stage, memory: str) -> tuple[Stage, Edge]:
    moved_bytes = weight_bytes(design, stage)
    mover = load_weights(design.accelerator, memory, stage.name, moved_bytes)
    capacity = FRAMES_OF_WEIGHTS * mover.tensor.rows
    operand = len(stage.group.node.inputs)
    name = f"{mover.name} -> {stage.name}"
    return mover, Edge(mover.name, stage.name, operand, name, "rate", mover.tensor, capacity, reads="all")


def _spilled(design: Design) -> list[tuple[str, list[Edge]]]:
    """Memories with the edges whose buffer lies there; where a fork shares one buffer, its edges together."""
    accelerator = design.accelerator
    found: dict[tuple[str, str], list[Edge]] = {}
    for edge in design.edges:
        home = home_of(design, edge)
        if home is not None:
            buffer = edge.producer if accelerator.fork == "shared" else edge.name
            found.setdefault((home, buffer), []).append(edge)
    return [(home, edges) for (home, _), edges in found.items()]


def _through_memory(
    design: Design, edges: list[Edge], memory: str, granularity: Granularity
) -> tuple[list[Stage], list[Edge]]:
    """What stands for `edges` when their buffer lies in `memory`: a store, and for each a fill and a window of it."""
    accelerator, first = design.accelerator, edges[0]
    bits, producer = accelerator.activation_bits, design.stage_by_name[first.producer]
    shared = accelerator.fork == "shared"
    name = f"spill {producer.name}" if shared else f"spill {producer.name} for {first.consumer}{_operand(first)}"
    store, to_store = store_map(accelerator, memory, "spill", producer, first.tensor, bits, name)
    stages, through_memory = [store], [to_store]
    for edge in edges:
        fill, waiting = fill_map(accelerator, memory, store, edge.consumer, bits)
        node = replace(fill.group.node, name=f"{fill.name}{_operand(edge)}")
        fill = replace(fill, group=replace(fill.group, node=node))
        needed, held = needed_and_held(design, edge, granularity)
        request = fill.together if granularity == "pixel" else 1
        window = max(1, int((needed - held + 1).max())) + (SPARE_REQUESTS + rows_under_way(fill)) * request
        stages.append(fill)
        through_memory += [
            replace(waiting, consumer=fill.name, name=edge.name, role=edge.role, capacity=edge.capacity, home=memory),
            replace(edge, producer=fill.name, name=f"{fill.name} -> {edge.consumer}", role="window", capacity=window),
        ]
    return stages, through_memory


def _operand(edge: Edge) -> str:
    return f" ({edge.operand})" if edge.operand else ""
