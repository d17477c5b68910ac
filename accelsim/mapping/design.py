"""A network bound to a machine by a mapping: all that timing needs, checked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple

from accelsim.errors import collected
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.array import Folding, stage_foldings
from accelsim.mapping.checks import capacity_problems, cycle_problems, mapping_problems
from accelsim.mapping.mapping import Granularity, Mapping
from accelsim.mapping.pace import Pace, stage_pace
from accelsim.mapping.provenance import with_choice_checked
from accelsim.mapping.roles import Link, Role, assign_roles
from accelsim.mapping.stages import Group, group_layers
from accelsim.mapping.transfer import Transfer
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import fired_tensor, loop_nest
from accelsim.network.graph import Network, once_a_network
from accelsim.network.layers import Input
from accelsim.network.tensor import Tensor

#: The shared resource of layers that take turns on a systolic array, beside the memories.
ARRAY = "array"


@dataclass(frozen=True)
class Stage:
    """A layer with hardware of its own.

    It fires for every pixel of `fired` (its output, or for a reduction what it accumulates), `together`
    pixels at a time, each time for `interval_cycles`; a result is out `latency_cycles` later. One that moves data
    to or from a memory says so in `transfer`. One that makes a tile of its map has the tile's tensors and begins at
    row `row_offset` of what it fires for. Where it needs a `port`, shared with others, a firing holds it
    for `occupancy_cycles`. On a systolic array `foldings` say how its products are laid over it.
    """

    group: Group
    tensor: Tensor
    fired: Tensor
    macs: int
    parameters: int
    unroll: Unroll | None
    multipliers: int
    interval_cycles: int
    together: int
    latency_cycles: int
    row_offset: int = 0
    port: str | None = None
    occupancy_cycles: int = 0
    transfer: Transfer | None = None
    foldings: tuple[Folding, ...] = ()

    @cached_property
    def name(self) -> str:
        return self.group.name

    @property
    def kind(self) -> str:
        """The kind of its layer, or what it moves."""
        return self.group.node.kind if self.transfer is None else self.transfer.label

    @cached_property
    def is_source(self) -> bool:
        return isinstance(self.group.node.layer, Input)

    @property
    def is_input(self) -> bool:
        """Whether it brings frames into the pipeline: a source, but of no weights."""
        return self.is_source and (self.transfer is None or self.transfer.kind == "input")

    @cached_property
    def work_cycles(self) -> int:
        """Cycles a frame the stage is busy."""
        return self.fired.pixels // self.together * self.interval_cycles


@dataclass(frozen=True)
class Edge:
    """A buffer's reader: `capacity` in tokens of the mapping's granularity, None where unbounded.

    What the consumer reads of it is its layer's to say (`window`), or token by token (`each`), or all
    of a frame for every firing (`all`). `home` is the memory where the buffer lies, None for the engine's own.
    What is given is there `delay_cycles` later, if nothing is before it.
    """

    producer: str
    consumer: str
    operand: int
    name: str
    role: Role
    tensor: Tensor
    capacity: int | None
    reads: Literal["window", "each", "all"] = "window"
    home: str | None = None
    delay_cycles: int = 0


@dataclass(frozen=True)
class Design:
    """What `bind` made; whoever holds one checks nothing again."""

    network: Network
    accelerator: Accelerator
    mapping: Mapping
    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]

    @cached_property
    def stage_by_name(self) -> ReadOnly[str, Stage]:
        return MappingProxyType({stage.name: stage for stage in self.stages})

    @cached_property
    def wiring(self) -> Hashable:
        """Which stages there are, what they fire for and what they read: all but time and room."""
        stages = tuple((stage.name, stage.tensor, stage.fired, stage.row_offset) for stage in self.stages)
        return stages, tuple(
            (edge.producer, edge.consumer, edge.operand, edge.tensor, edge.reads) for edge in self.edges
        )

    @cached_property
    def position(self) -> ReadOnly[str, int]:
        """Places of the stages in their order."""
        return MappingProxyType({stage.name: k for k, stage in enumerate(self.stages)})

    def in_order(self, names: Iterable[str]) -> tuple[Stage, ...]:
        """The stages of these names as they follow each other."""
        return tuple(self.stages[position] for position in sorted(self.position[name] for name in names))

    @cached_property
    def edges_to(self) -> ReadOnly[str, tuple[Edge, ...]]:
        """Edges by the stage that reads them."""
        return _by_end(self, [edge.consumer for edge in self.edges])

    @cached_property
    def edges_from(self) -> ReadOnly[str, tuple[Edge, ...]]:
        """Edges by the stage that fills them."""
        return _by_end(self, [edge.producer for edge in self.edges])

    @cached_property
    def output_stages(self) -> tuple[str, ...]:
        """Stages that make the network's outputs; of a tile those that store it, or what no other stage reads."""
        stored = tuple(s.name for s in self.stages if s.transfer and s.transfer.write and s.transfer.kind != "spill")
        wanted = self.network.output_nodes
        made = tuple(s.name for s in self.stages if not s.transfer and wanted.intersection(s.group.layers))
        read = {edge.producer for edge in self.edges}
        return stored or made or tuple(s.name for s in self.stages if s.name not in read)

    @cached_property
    def bottleneck_cycles(self) -> int:
        """Cycles a frame of the busiest stage or port: no pipeline without replication is faster."""
        return max(*(stage.work_cycles for stage in self.stages), *self.port_cycles.values(), 1)

    @cached_property
    def port_cycles(self) -> ReadOnly[str, int]:
        """Cycles a frame for which each shared port, or array, is held."""
        held: dict[str, int] = {}
        for stage in self.stages:
            if stage.port is not None:
                requests = stage.fired.pixels // stage.together
                held[stage.port] = held.get(stage.port, 0) + requests * stage.occupancy_cycles
        return MappingProxyType(held)

    @property
    def pace_cycles(self) -> int:
        """Cycles between frames offered by a paced source."""
        return self.mapping.interval_cycles or self.bottleneck_cycles

    @property
    def multipliers(self) -> int:
        """Most that are on the engine at once."""
        parts = [segment.layers for segment in self.mapping.segments] or [tuple(self.stage_by_name)]
        sums = (sum(self.stage_by_name[name].multipliers for name in part) for part in parts)
        return min(max(sums), self.accelerator.engine.multipliers)


def _by_end(design: Design, ends: Sequence[str]) -> ReadOnly[str, tuple[Edge, ...]]:
    found: dict[str, list[Edge]] = {stage.name: [] for stage in design.stages}
    for end, edge in zip(ends, design.edges, strict=True):
        found[end].append(edge)
    return MappingProxyType({name: tuple(edges) for name, edges in found.items()})


def bind(net: Network, accelerator: Accelerator, mapping: Mapping) -> Design:
    """`mapping` checked against network and machine.

    Raises `InputError` with every layer that is missing or unknown, every unrolling that does not
    divide its loop, every capacity that is no edge's, and every segment that cannot be.
    """
    groups = group_layers(net, accelerator.channel_pooling, mapping.materialised)
    names = _edge_names(net, accelerator.channel_pooling, mapping.materialised)
    problems = mapping_problems(net, groups, names, accelerator, mapping)
    if problems:
        raise collected(problems)
    alone = array_users(net, groups, mapping)
    stages = tuple(stage_of(net, group, accelerator, mapping, group.name in alone) for group in groups)
    roles = _roles(net, accelerator.channel_pooling, mapping.materialised)
    edges = edges_of(stages, names, roles, accelerator, mapping)
    return Design(net, accelerator, with_choice_checked(mapping, net, accelerator), stages, edges)


@once_a_network
def _edge_names(net: Network, channel_pooling: bool, materialised: frozenset[str]) -> ReadOnly[Link, str]:
    return MappingProxyType(edge_names(group_layers(net, channel_pooling, materialised)))


@once_a_network
def _roles(net: Network, channel_pooling: bool, materialised: frozenset[str]) -> ReadOnly[Link, Role]:
    return assign_roles(net, group_layers(net, channel_pooling, materialised))


def with_capacities(design: Design, capacities: ReadOnly[str, int], granularity: Granularity | None = None) -> Design:
    """`design` with other buffer capacities; edges left out are unbounded.

    They are tokens of `granularity`, None for the design's own, by edge name. Raises `InputError` for names that
    are no edges and for capacities that are not positive.
    """
    held = MappingProxyType(dict(capacities))
    mapping = replace(design.mapping, capacities=held, granularity=granularity or design.mapping.granularity)
    names = {Link(edge.producer, edge.consumer, edge.operand): edge.name for edge in design.edges}
    problems = capacity_problems(design.network, names.values(), mapping)
    if problems:
        raise collected(problems)
    capacity = _capacities(names, design.accelerator, mapping)
    edges = tuple(replace(edge, capacity=capacity.get(edge.name)) for edge in design.edges)
    return replace(design, mapping=mapping, edges=edges)


def with_interval(design: Design, interval_cycles: int | None) -> Design:
    """`design` with another pace of its source; None for that of its busiest stage."""
    mapping = replace(design.mapping, interval_cycles=interval_cycles)
    problems = cycle_problems(mapping)
    if problems:
        raise collected(problems)
    return replace(design, mapping=mapping)


def array_users(net: Network, groups: Sequence[Group], mapping: Mapping) -> frozenset[str]:
    """Layers with multiplications that have no others in their segment."""
    multiplying = [group.name for group in groups if loop_nest(net, group.node)]
    parts = [set(segment.layers) for segment in mapping.segments] or [set(multiplying)]
    users = [[name for name in multiplying if name in part] for part in parts]
    return frozenset(names[0] for names in users if len(names) == 1)


def stage_of(net: Network, group: Group, accelerator: Accelerator, mapping: Mapping, alone: bool) -> Stage:
    """The stage of a group; `alone` where no other layer of its segment multiplies."""
    node, engine = group.node, accelerator.engine
    nest, amount = loop_nest(net, node), _amount(net, group)
    unroll = mapping.unroll.get(node.name) if nest else None
    foldings = stage_foldings(net, node, engine, fired_tensor(net, node), alone)
    pace = stage_pace(net, node, tuple(k for k, _ in group.operands), engine, unroll, foldings)
    latency = 0 if isinstance(node.layer, Input) else engine.mac_latency_cycles if nest else engine.lane_latency_cycles
    measured = mapping.measured.get(node.name)
    if measured:
        if measured.interval_cycles is not None:
            pace = Pace(measured.interval_cycles, unroll.pixels if unroll else 1)
        latency = latency if measured.latency_cycles is None else measured.latency_cycles
    takes_turns = bool(foldings) and not alone
    return Stage(
        group=group,
        tensor=net.tensors[group.output],
        fired=fired_tensor(net, node),
        macs=amount.macs,
        parameters=amount.parameters,
        unroll=unroll,
        multipliers=unroll.multipliers if unroll else engine.multipliers if foldings else 0,
        interval_cycles=pace.interval_cycles,
        together=pace.together,
        latency_cycles=latency,
        port=ARRAY if takes_turns else None,
        occupancy_cycles=pace.interval_cycles if takes_turns else 0,
        foldings=foldings,
    )


class _Amount(NamedTuple):
    macs: int
    parameters: int


@once_a_network
def _amount(net: Network, group: Group) -> _Amount:
    return _Amount(net.macs_of(group.node), sum(net.parameters_of(net.by_name[name]) for name in group.layers))


def edges_of(
    stages: Sequence[Stage],
    names: ReadOnly[Link, str],
    roles: ReadOnly[Link, Role],
    accelerator: Accelerator,
    mapping: Mapping,
) -> tuple[Edge, ...]:
    tensors = {stage.name: stage.tensor for stage in stages}
    capacity = _capacities(names, accelerator, mapping)
    delays = {name: measured.latency_cycles or 0 for name, measured in mapping.measured.items()}
    return tuple(
        Edge(
            *link,
            name=name,
            role=roles[link],
            tensor=tensors[link.producer],
            capacity=capacity.get(name),
            delay_cycles=delays.get(name, 0),
        )
        for link, name in names.items()
    )


def home_of(design: Design, edge: Edge) -> str | None:
    """The memory where the buffer of an edge lies by the mapping, None for the engine's own."""
    return _home(design.mapping, edge.producer, edge.name, design.accelerator.local_memory)


def buffer_of(design: Design, edge: Edge) -> str:
    """Names the buffer of an edge: under shared forks one for all who read the same tensor from the same memory."""
    if design.accelerator.fork == "copy":
        return edge.name
    home = home_of(design, edge)
    return edge.producer if home is None else f"{edge.producer} in {home}"


def _home(mapping: Mapping, producer: str, name: str, local: str | None) -> str | None:
    home = mapping.homes.get(name, mapping.homes.get(producer))
    return None if home == local else home


def _capacities(names: ReadOnly[Link, str], accelerator: Accelerator, mapping: Mapping) -> dict[str, int]:
    """Tokens by edge; where a fork shares one buffer, its tightest reader's figure holds for all of them."""
    given = {name: int(tokens) for name, tokens in mapping.capacities.items()}
    if accelerator.fork == "copy":
        return given
    local = accelerator.local_memory
    buffers = {name: (link.producer, _home(mapping, link.producer, name, local)) for link, name in names.items()}
    shared: dict[tuple[str, str | None], int] = {}
    for name, buffer in buffers.items():
        if name in given:
            shared[buffer] = min(given[name], shared.get(buffer, given[name]))
    return {name: shared[buffer] for name, buffer in buffers.items() if buffer in shared}


def edge_names(groups: Sequence[Group]) -> dict[Link, str]:
    """Names by link; where one pair of stages has two edges the operand tells them apart."""
    links = [Link(producer, group.name, operand) for group in groups for operand, producer in group.operands]
    times = Counter((link.producer, link.consumer) for link in links)
    return {
        link: f"{link.producer} -> {link.consumer}" + ("" if times[link[:2]] == 1 else f" (operand {link.operand})")
        for link in links
    }
