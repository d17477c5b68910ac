"""What can be wrong with a mapping, each fault with its place, the value, the rule and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from collections.abc import Mapping as ReadOnly
from dataclasses import fields
from difflib import get_close_matches
from numbers import Integral
from typing import get_args

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapping import MEASURED_CYCLES, MOST_CYCLES, Mapping
from accelsim.mapping.roles import Link
from accelsim.mapping.segments.segment import Halo, Segment, Weights
from accelsim.mapping.stages import Group
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.graph import Network
from accelsim.network.layers import Dense, Input, Weighted
from accelsim.units import divisors
from accelsim.yaml_file import dotted_name

#: Largest capacity of a buffer.
MOST_TOKENS = 2**40
#: Most frames that a segment processes before the next takes the engine.
MOST_FRAMES_PER_VISIT = 10**6


def mapping_problems(
    net: Network,
    groups: Sequence[Group],
    names: ReadOnly[Link, str],
    accelerator: Accelerator,
    mapping: Mapping,
) -> list[str]:
    """Everything that is wrong with `mapping` for this network and machine."""
    return [
        *_network_problems(net, groups, names),
        *_unroll_problems(net, groups, accelerator, mapping),
        *_measured_problems(net, groups, names.values(), mapping),
        *_segment_problems(net, groups, accelerator, mapping),
        *_budget_problems(accelerator, mapping),
        *cycle_problems(mapping),
        *capacity_problems(net, names.values(), mapping),
        *_home_problems(net, groups, names, accelerator, mapping),
        *_crossing_problems(net, groups, names, mapping),
        *_visit_problems(net, mapping),
    ]


def _unroll_problems(net: Network, groups: Sequence[Group], accelerator: Accelerator, mapping: Mapping) -> list[str]:
    nests = {group.name: nest for group in groups if (nest := loop_nest(net, group.node))}
    problems = [
        f"{_place(mapping, 'unroll', name)}: '{name}' is no layer of {net.name} with multiplications"
        for name in mapping.unroll
        if name not in nests
    ]
    if accelerator.engine.kind == "systolic":
        rule = "layers take turns on a systolic array and are not unrolled; leave it out"
        return problems + [f"{_place(mapping, 'unroll', name)}: {rule}" for name in mapping.unroll]
    missing = [name for name in nests if name not in mapping.unroll]
    if missing:
        problems.append(f"{_place(mapping, 'unroll')}: no unrolling for {', '.join(missing)}")
    for name, nest in nests.items():
        if name in mapping.unroll:
            problems += _loop_problems(name, nest, mapping)
    return problems


def _measured_problems(net: Network, groups: Sequence[Group], edges: Collection[str], mapping: Mapping) -> list[str]:
    stages = {group.name for group in groups}
    problems = [
        f"{_place(mapping, 'measured', name)}: '{name}' is no stage of {net.name}, and no edge"
        for name in mapping.measured
        if name not in stages and name not in edges
    ]
    return problems + [
        f"{_place(mapping, 'measured', name)}: '{name}' is an edge and has no {figure}; give its latency_cycles"
        for name, measured in mapping.measured.items()
        for figure in ("interval_cycles", "pipeline_cycles", "gap_cycles")
        if name not in stages and name in edges and getattr(measured, figure) is not None
    ]


def _loop_problems(name: str, nest: LoopNest, mapping: Mapping) -> list[str]:
    problems = []
    for axis in ("inputs", "outputs", "window", "pixels"):
        factor, size = getattr(mapping.unroll[name], axis), getattr(nest, axis)
        if factor <= 0 or size % factor:
            close = ", ".join(str(d) for d in divisors(size) if d <= max(2 * factor, 1))
            path = mapping.path_of("unroll", name, axis)
            problems.append(
                f"{mapping.where(*path)}: {dotted_name(path)} = {factor} does not divide {size}; divisors: {close}"
            )
    return problems


def _network_problems(net: Network, groups: Sequence[Group], names: ReadOnly[Link, str]) -> list[str]:
    problems = [f"{net.name}: edges {twice}" for twice in _ambiguous(names)]
    made = {name for group in groups for name in group.layers}
    constant = sorted(net.output_nodes - made)
    if constant:
        problems.append(f"{net.name}: no input reaches output {', '.join(constant)}; there is nothing to simulate")
    return problems


def _ambiguous(names: ReadOnly[Link, str]) -> list[str]:
    counts = Counter(names.values())
    return [
        f"named '{name}' are {count}: rename the layers whose names contain ' -> '"
        for name, count in counts.items()
        if count > 1
    ]


def cycle_problems(mapping: Mapping) -> list[str]:
    figures: list[tuple[tuple[str | int, ...], int | None, int, int]] = []
    figures += [(("interval_cycles",), mapping.interval_cycles, 1, MOST_CYCLES)]
    for name, measured in mapping.measured.items():
        figures += [
            (mapping.path_of("measured", name, figure), getattr(measured, figure), least, most)
            for figure, (least, most) in MEASURED_CYCLES.items()
        ]
    return [
        f"{mapping.where(*path)}: {dotted_name(path)} = {value} is not a whole number from {least} to {most:,}"
        for path, value, least, most in figures
        if value is not None and not (isinstance(value, Integral) and least <= value <= most)
    ]


def capacity_problems(net: Network, names: Collection[str], mapping: Mapping) -> list[str]:
    problems = []
    for name, tokens in mapping.capacities.items():
        place = _place(mapping, "buffers", name)
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
    budget = accelerator.engine.multipliers
    problems = []
    for k, layers in enumerate([segment.layers for segment in mapping.segments] or [tuple(mapping.unroll)]):
        used = sum(mapping.unroll[name].multipliers for name in layers if name in mapping.unroll)
        if used > budget:
            problems.append(
                f"{mapping.where('segments', k, 'unroll')}: the unrolling takes {used:,} multipliers, "
                f"engine.multipliers is {budget:,} (short by {used - budget:,})"
            )
    return problems


def _segment_problems(net: Network, groups: Sequence[Group], accelerator: Accelerator, mapping: Mapping) -> list[str]:
    if not mapping.segments:
        return []
    if not accelerator.memories:
        rule = f"segments keep tensors in memory, and {accelerator.name} describes none; give its file memories"
        return [f"{mapping.where('segments')}: {rule}"]
    stages = {group.name: group for group in groups if not isinstance(group.node.layer, Input)}
    problems = []
    turn: dict[str, int] = {}
    for k, segment in enumerate(mapping.segments):
        if not segment.layers:
            problems.append(f"{mapping.where('segments', k)}: segments[{k}] has no layers; leave it out")
            continue
        problems += _choice_problems(k, segment, mapping)
        for position, name in enumerate(segment.layers):
            path = ("segments", k, "layers", position)
            if name not in stages:
                problems.append(f"{mapping.where(*path)}: {dotted_name(path)} = {_no_stage(net, groups, name)}")
            elif name in turn:
                problems.append(f"{mapping.where(*path)}: {name} is in segments[{turn[name]}] too; keep one")
            turn.setdefault(name, k)
        problems += _tile_problems(net, stages, k, segment, mapping)
    missing = [name for name in stages if name not in turn]
    if missing:
        problems.append(f"{mapping.where('segments')}: in no segment: {', '.join(missing)}")
    problems += [
        f"{mapping.where('segments', turn[group.name])}: {group.name} reads {producer}, which is made later, in "
        f"segments[{turn[producer]}]; order segments by what they read"
        for group in groups
        for _, producer in group.operands
        if turn.get(producer, -1) > turn.get(group.name, len(mapping.segments))
    ]
    return problems


def _choice_problems(k: int, segment: Segment, mapping: Mapping) -> list[str]:
    choices = {"halo": (segment.halo, get_args(Halo)), "weights": (segment.weights, (None, *get_args(Weights)))}
    return [
        f"{mapping.where('segments', k, field)}: segments[{k}].{field} = {value!r} is none of "
        f"{', '.join(str(choice) for choice in allowed)}"
        for field, (value, allowed) in choices.items()
        if value not in allowed
    ]


def _no_stage(net: Network, groups: Sequence[Group], name: str) -> str:
    for group in groups:
        if name in group.fused:
            return f"'{name}' is done on the way out of {group.name}; name that"
    if name in net.by_name:
        return f"'{name}' is an input or a constant, which no engine computes; leave it out"
    close = get_close_matches(name, [group.name for group in groups], n=1)
    return f"'{name}' is no layer of {net.name}" + (f"; did you mean '{close[0]}'?" if close else "")


def _tile_problems(net: Network, stages: ReadOnly[str, Group], k: int, segment: Segment, mapping: Mapping) -> list[str]:
    problems = []
    tile = {axis.name: getattr(segment.tile, axis.name) for axis in fields(segment.tile)}
    for axis, size in tile.items():
        if size is not None and not (isinstance(size, int) and size > 0):
            place = mapping.where("segments", k, "tile", axis)
            problems.append(f"{place}: segments[{k}].tile.{axis} = {size} is not a whole number from 1")
    path = ("segments", k, "tile")
    channels = tile["outputs"] is not None or tile["inputs"] is not None
    if channels and len(segment.layers) > 1:
        rule = "tiles channels of several stages; only a segment of one can (outputs and inputs)"
        problems.append(f"{mapping.where(*path)}: {dotted_name(path)} {rule}")
    elif channels and segment.layers[0] in stages:
        problems += _channel_problems(net, stages[segment.layers[0]], k, segment, mapping)
    return problems


def _channel_problems(net: Network, group: Group, k: int, segment: Segment, mapping: Mapping) -> list[str]:
    layer, tile = group.node.layer, segment.tile
    path = ("segments", k, "tile")
    if not isinstance(layer, Weighted):
        rule = (
            f"tiles channels of {group.name}, a {group.node.kind}; only convolutions and dense layers have such tiles"
        )
        return [f"{mapping.where(*path)}: {dotted_name(path)} {rule}"]
    groups = 1 if isinstance(layer, Dense) else layer.groups
    problems = []
    if groups > 1 and tile.inputs is not None:
        rule = f"tile.inputs of {group.name}: its {groups} channel groups share no inputs; tile its outputs instead"
        problems.append(f"{mapping.where(*path)}: {rule}")
    pooled = layer.channels // net.tensors[group.output].channels
    whole = max(pooled, layer.channels // groups if groups > 1 else 1)
    if tile.outputs is not None and tile.outputs % whole:
        rule = f"tile.outputs = {tile.outputs} of {group.name} is no multiple of {whole}, the channels that go together"
        problems.append(f"{mapping.where(*path)}: {rule}")
    return problems


def _home_problems(
    net: Network,
    groups: Sequence[Group],
    names: ReadOnly[Link, str],
    accelerator: Accelerator,
    mapping: Mapping,
) -> list[str]:
    problems = []
    known = [*(group.name for group in groups), *names.values()]
    for key, memory in mapping.homes.items():
        place = mapping.where("homes", key)
        if memory not in accelerator.memories:
            there = ", ".join(accelerator.memories) or "none"
            problems.append(f"{place}: homes.{key} = '{memory}' is no memory of {accelerator.name} (has: {there})")
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            problems.append(f"{place}: '{key}' is no stage and no edge of {net.name}{hint}")
    return problems


def _crossing_problems(
    net: Network, groups: Sequence[Group], names: ReadOnly[Link, str], mapping: Mapping
) -> list[str]:
    """Homes of what does not lie in memory between segments."""
    turn = {name: k for k, segment in enumerate(mapping.segments) for name in segment.layers}
    made = {group.output: group.name for group in groups}
    outputs = {made[name] for name in net.output_nodes if name in made}
    leaving = {link.producer for link in names if turn.get(link.producer) != turn.get(link.consumer)} | outputs
    edges = set(names.values())
    problems = []
    for key in mapping.homes if turn else ():
        place = mapping.where("homes", key)
        if key in edges:
            rule = "is a buffer; where a network is cut into segments, homes are those of tensors that cross a cut"
            problems.append(f"{place}: homes.{key} {rule}: name the stage that makes it")
        elif key in turn and key not in leaving:
            rule = f"is read in segments[{turn[key]}] alone and never in memory; cut the segment behind it"
            problems.append(f"{place}: homes.{key}: what it makes {rule}")
    return problems


def _visit_problems(net: Network, mapping: Mapping) -> list[str]:
    frames = mapping.frames_per_visit
    problems = []
    if not (isinstance(frames, Integral) and 1 <= frames <= MOST_FRAMES_PER_VISIT):
        rule = f"is not a whole number from 1 to {MOST_FRAMES_PER_VISIT:,}"
        problems.append(f"{mapping.where('frames_per_visit')}: frames_per_visit = {frames} {rule}")
    problems += [
        f"{mapping.where('materialised')}: materialised: '{name}' is no layer of {net.name}"
        for name in sorted(mapping.materialised)
        if name not in net.by_name
    ]
    return problems


def _place(mapping: Mapping, table: str, *names: str) -> str:
    return mapping.where(*mapping.path_of(table, *names))
