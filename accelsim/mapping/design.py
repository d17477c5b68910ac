"""A network bound to a machine by a mapping: all that timing needs, checked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from numbers import Integral
from types import MappingProxyType

from accelsim.errors import collected
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapping import MOST_CYCLES, Granularity, Mapping
from accelsim.mapping.roles import Link, Role, assign_roles
from accelsim.mapping.stages import Group, group_layers
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import LoopNest, Pace, fired_tensor, loop_nest, moving_pace
from accelsim.network.graph import Network
from accelsim.network.layers import Input
from accelsim.network.tensor import Tensor
from accelsim.units import divisors
from accelsim.yaml_file import dotted_name

#: Largest capacity of a buffer.
MOST_TOKENS = 2**40


@dataclass(frozen=True)
class Stage:
    """A layer with hardware of its own.

    It fires for every pixel of `fired` (its output, or for a reduction what it accumulates), `together`
    pixels at a time, each time for `interval_cycles`; a result is out `latency_cycles` later.
    """

    group: Group
    tensor: Tensor
    fired: Tensor
    macs: int
    parameters: int
    unroll: Unroll | None
    interval_cycles: int
    together: int
    latency_cycles: int

    @property
    def name(self) -> str:
        return self.group.name

    @property
    def is_source(self) -> bool:
        return isinstance(self.group.node.layer, Input)

    @property
    def multipliers(self) -> int:
        return self.unroll.multipliers if self.unroll else 0

    @property
    def work_cycles(self) -> int:
        """Cycles a frame the stage is busy."""
        return self.fired.pixels // self.together * self.interval_cycles


@dataclass(frozen=True)
class Edge:
    """A buffer's reader: `capacity` in tokens of the mapping's granularity, None where unbounded."""

    producer: str
    consumer: str
    operand: int
    name: str
    role: Role
    tensor: Tensor
    capacity: int | None


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
    def output_stages(self) -> tuple[str, ...]:
        """Stages that make the network's outputs."""
        wanted = self.network.output_nodes
        return tuple(s.name for s in self.stages if wanted.intersection((s.name, *s.group.fused)))

    @property
    def bottleneck_cycles(self) -> int:
        """Cycles a frame of the busiest stage: no pipeline without replication is faster."""
        return max(stage.work_cycles for stage in self.stages)

    @property
    def pace_cycles(self) -> int:
        """Cycles between frames offered by a paced source."""
        return self.mapping.interval_cycles or self.bottleneck_cycles

    @property
    def multipliers(self) -> int:
        return sum(stage.multipliers for stage in self.stages)


def bind(net: Network, accelerator: Accelerator, mapping: Mapping) -> Design:
    """`mapping` checked against network and machine.

    Raises `InputError` with every layer that is missing or unknown, every unrolling that does not
    divide its loop, and every capacity that is no edge's.
    """
    groups = group_layers(net)
    names = _edge_names(groups)
    problems = [
        *_network_problems(net, groups, names),
        *_unroll_problems(net, groups, mapping),
        *_budget_problems(accelerator, mapping),
        *_cycle_problems(mapping),
        *_capacity_problems(net, names.values(), mapping),
    ]
    if problems:
        raise collected(problems)
    stages = tuple(_stage(net, group, accelerator, mapping) for group in groups)
    edges = _edges(net, groups, stages, names, accelerator, mapping)
    return Design(net, accelerator, mapping, stages, edges)


def with_capacities(design: Design, capacities: ReadOnly[str, int], granularity: Granularity | None = None) -> Design:
    """`design` with other buffer capacities; edges left out are unbounded.

    They are tokens of `granularity`, None for the design's own, by edge name. Raises `InputError` for names that
    are no edges and for capacities that are not positive.
    """
    held = MappingProxyType(dict(capacities))
    mapping = replace(design.mapping, capacities=held, granularity=granularity or design.mapping.granularity)
    names = {(edge.producer, edge.consumer, edge.operand): edge.name for edge in design.edges}
    problems = _capacity_problems(design.network, names.values(), mapping)
    if problems:
        raise collected(problems)
    capacity = _capacities(names, design.accelerator, mapping)
    edges = tuple(replace(edge, capacity=capacity.get(edge.name)) for edge in design.edges)
    return replace(design, mapping=mapping, edges=edges)


def with_interval(design: Design, interval_cycles: int | None) -> Design:
    """`design` with another pace of its source; None for that of its busiest stage."""
    mapping = replace(design.mapping, interval_cycles=interval_cycles)
    problems = _cycle_problems(mapping)
    if problems:
        raise collected(problems)
    return replace(design, mapping=mapping)


def _stage(net: Network, group: Group, accelerator: Accelerator, mapping: Mapping) -> Stage:
    node, engine = group.node, accelerator.engine
    nest = loop_nest(net, node)
    unroll = mapping.unroll[node.name] if nest else None
    if nest and unroll:
        pace = Pace(nest.macs // (unroll.inputs * unroll.outputs * unroll.window), unroll.pixels)
        latency = engine.mac_latency_cycles
    else:
        pace = moving_pace(net, node, tuple(k for k, _ in group.operands), engine.lanes)
        latency = 0 if isinstance(node.layer, Input) else engine.lane_latency_cycles
    measured = mapping.measured.get(node.name)
    if measured:
        if measured.interval_cycles is not None:
            pace = Pace(measured.interval_cycles, unroll.pixels if unroll else 1)
        latency = latency if measured.latency_cycles is None else measured.latency_cycles
    return Stage(
        group=group,
        tensor=net.tensors[group.output],
        fired=fired_tensor(net, node),
        macs=net.macs_of(node),
        parameters=sum(net.parameters_of(net.by_name[name]) for name in (node.name, *group.fused)),
        unroll=unroll,
        interval_cycles=pace.interval_cycles,
        together=pace.together,
        latency_cycles=latency,
    )


def _edges(
    net: Network,
    groups: tuple[Group, ...],
    stages: tuple[Stage, ...],
    names: ReadOnly[tuple[str, str, int], str],
    accelerator: Accelerator,
    mapping: Mapping,
) -> tuple[Edge, ...]:
    tensors = {stage.name: stage.tensor for stage in stages}
    roles = assign_roles(net, groups)
    capacity = _capacities(names, accelerator, mapping)
    return tuple(
        Edge(*link, name=name, role=roles[Link(*link)], tensor=tensors[link[0]], capacity=capacity.get(name))
        for link, name in names.items()
    )


def _capacities(
    names: ReadOnly[tuple[str, str, int], str], accelerator: Accelerator, mapping: Mapping
) -> dict[str, int]:
    """Tokens by edge; where a fork shares one buffer, its tightest reader's figure holds for all of them."""
    given = {name: int(tokens) for name, tokens in mapping.capacities.items()}
    if accelerator.fork == "copy":
        return given
    shared: dict[str, int] = {}
    for (producer, _, _), name in names.items():
        if name in given:
            shared[producer] = min(given[name], shared.get(producer, given[name]))
    return {name: shared[producer] for (producer, _, _), name in names.items() if producer in shared}


def _edge_names(groups: tuple[Group, ...]) -> dict[tuple[str, str, int], str]:
    """Names by (producer, consumer, operand); where one pair has two edges the operand tells them apart."""
    links = [(producer, group.name, operand) for group in groups for operand, producer in group.operands]
    times = Counter((producer, consumer) for producer, consumer, _ in links)
    return {(p, c, k): f"{p} -> {c}" if times[p, c] == 1 else f"{p} -> {c} (operand {k})" for p, c, k in links}


def _unroll_problems(net: Network, groups: tuple[Group, ...], mapping: Mapping) -> list[str]:
    nests = {group.name: nest for group in groups if (nest := loop_nest(net, group.node))}
    problems = [
        f"{mapping.where('segments', 0, 'unroll', name)}: '{name}' is no layer of {net.name} with multiplications"
        for name in mapping.unroll
        if name not in nests
    ]
    stages = {group.name for group in groups}
    problems += [
        f"{mapping.where('segments', 0, 'measured', name)}: '{name}' is no stage of {net.name}"
        for name in mapping.measured
        if name not in stages
    ]
    missing = [name for name in nests if name not in mapping.unroll]
    if missing:
        problems.append(f"{mapping.where('segments', 0, 'unroll')}: no unrolling for {', '.join(missing)}")
    for name, nest in nests.items():
        if name in mapping.unroll:
            problems += _loop_problems(name, nest, mapping)
    return problems


def _loop_problems(name: str, nest: LoopNest, mapping: Mapping) -> list[str]:
    problems = []
    for axis in ("inputs", "outputs", "window", "pixels"):
        factor, size = getattr(mapping.unroll[name], axis), getattr(nest, axis)
        if factor <= 0 or size % factor:
            close = ", ".join(str(d) for d in divisors(size) if d <= max(2 * factor, 1))
            place = mapping.where("segments", 0, "unroll", name, axis)
            problems.append(
                f"{place}: segments[0].unroll.{name}.{axis} = {factor} does not divide {size}; divisors: {close}"
            )
    return problems


def _network_problems(net: Network, groups: tuple[Group, ...], names: ReadOnly[tuple[str, str, int], str]) -> list[str]:
    problems = [f"{net.name}: edges {twice}" for twice in _ambiguous(names)]
    made = {name for group in groups for name in (group.name, *group.fused)}
    constant = sorted(net.output_nodes - made)
    if constant:
        problems.append(f"{net.name}: no input reaches output {', '.join(constant)}; there is nothing to simulate")
    return problems


def _ambiguous(names: ReadOnly[tuple[str, str, int], str]) -> list[str]:
    counts = Counter(names.values())
    return [
        f"named '{name}' are {count}: rename the layers whose names contain ' -> '"
        for name, count in counts.items()
        if count > 1
    ]


def _cycle_problems(mapping: Mapping) -> list[str]:
    figures: list[tuple[tuple[str | int, ...], int | None, int]] = []
    figures += [(("interval_cycles",), mapping.interval_cycles, 1)]
    for name, measured in mapping.measured.items():
        figures += [(("segments", 0, "measured", name, "interval_cycles"), measured.interval_cycles, 1)]
        figures += [(("segments", 0, "measured", name, "latency_cycles"), measured.latency_cycles, 0)]
    return [
        f"{mapping.where(*path)}: {dotted_name(path)} = {value} is not a whole number from {least} to {MOST_CYCLES:,}"
        for path, value, least in figures
        if value is not None and not (isinstance(value, Integral) and least <= value <= MOST_CYCLES)
    ]


def _capacity_problems(net: Network, names: Collection[str], mapping: Mapping) -> list[str]:
    problems = []
    for name, tokens in mapping.capacities.items():
        place = mapping.where("segments", 0, "buffers", name)
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            problems.append(f"{place}: '{name}' is no edge of {net.name}{hint}")
        elif not (isinstance(tokens, Integral) and 0 < tokens <= MOST_TOKENS):
            problems.append(
                f"{place}: capacity of '{name}' = {tokens} is not a whole number from 1 to {MOST_TOKENS:,}; "
                "leave it out for an unbounded buffer"
            )
    return problems


def _budget_problems(accelerator: Accelerator, mapping: Mapping) -> list[str]:
    used, budget = sum(u.multipliers for u in mapping.unroll.values()), accelerator.engine.multipliers
    if used <= budget:
        return []
    return [
        f"{mapping.where('segments', 0, 'unroll')}: the unrolling takes {used:,} multipliers, "
        f"engine.multipliers is {budget:,} (short by {used - budget:,})"
    ]
