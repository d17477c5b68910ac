"""From a network and a machine to a design: choosing the unrolling, or taking one that is given."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from collections.abc import Mapping as ReadOnly
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import ARRAY, Design, bind
from accelsim.mapping.mapping import Mapping, read_mapping
from accelsim.mapping.pace import moving_work_cycles
from accelsim.mapping.search.segmenting import segmented
from accelsim.mapping.stages import group_layers, pooled_layers
from accelsim.mapping.unrolling import (
    Folded,
    Unroll,
    extended_multipliers,
    fastest_multipliers,
    fewest_multipliers,
    multiplier_choices,
    unroll,
)
from accelsim.mapping.work import fired_tensor, loop_nest
from accelsim.network.graph import Network

#: Cycles between frames that a mapping can ask for at most.
LONGEST_INTERVAL = 2**40


def map_network(
    net: Network,
    accelerator: Accelerator,
    target_fps: float | None = None,
    mapping: Mapping | str | Path | None = None,
    like: Design | None = None,
    objective: str = "bytes",
    frames_per_visit: int = 1,
    materialised: Collection[str] | bool = (),
) -> Design:
    """`net` on `accelerator`, as one pipeline or in segments that take turns.

    `mapping` is a `Mapping`, a file, or what to choose: "pipeline" (without memories, or on a spatial engine, the
    default), "layer-by-layer" (on a systolic array the default) or "fused", segments of as many stages as pay.

    A pipeline is the fastest for the machine's multipliers, or with `target_fps` the one with the fewest that
    reaches it, its source paced at that rate. `like` keeps the unrolling of every layer that another design has
    too, and adds to it only where a layer has more to do here.

    Segments, each of which has the whole engine, are cut and tiled for the least of `objective`: "bytes" off chip,
    "cycles" (estimated) or "energy" of a frame; a visit takes `frames_per_visit` of them. `Mapping.choice` tells
    how far that may be from the best.

    Of `materialised` convolutions (True: of all) the maps are stored before their channels are pooled, even where the
    machine could pool them on the way out: in a pipeline off chip, else as any map that crosses a cut.

    Raises `InfeasibleError` where the machine is too small or too slow.
    """
    if not isinstance(accelerator, Accelerator):
        raise InputError(f"accelerator = {accelerator!r} is no Accelerator; load_accelerator gives one")
    stored = _materialised(net, accelerator, mapping, materialised)
    if isinstance(mapping, Mapping):
        return bind(net, accelerator, mapping)
    kind = mapping or _usual(accelerator)
    if kind in ("layer-by-layer", "fused"):
        if target_fps is not None:
            raise InputError(
                f"target_fps = {target_fps} chooses the multipliers of a pipeline; segments ({kind}) have all of them"
            )
        return segmented(net, accelerator, kind == "layer-by-layer", objective, frames_per_visit, stored)
    if kind != "pipeline":
        return bind(net, accelerator, read_mapping(kind))
    interval = None if target_fps is None else _interval_cycles(accelerator, target_fps)
    if accelerator.engine.kind == "systolic":
        return _with_stored(_shared(net, accelerator, interval), stored)
    multipliers = _multipliers(net, accelerator, interval, like, stored)
    layers = _folded(net)
    kept = {} if like is None else _unrolled_alike(layers, like)
    chosen = {
        name: kept[name] if name in kept and kept[name].multipliers == count else unroll(layers[name].nest, count)
        for name, count in multipliers.items()
    }
    return _with_stored(bind(net, accelerator, Mapping(MappingProxyType(chosen), interval_cycles=interval)), stored)


def _materialised(
    net: Network, accelerator: Accelerator, mapping: Mapping | str | Path | None, materialised: Collection[str] | bool
) -> frozenset[str]:
    """Names of the convolutions whose maps are stored. Raises `InputError` for what cannot be."""
    if isinstance(materialised, str):
        raise InputError(f"materialised = '{materialised}' is no list of names; write ['{materialised}']")
    pooled = pooled_layers(net)
    names = (pooled if materialised else ()) if isinstance(materialised, bool) else tuple(materialised)
    unknown = sorted(str(name) for name in set(names) - set(pooled))
    if unknown:
        raise InputError(
            f"materialised: {', '.join(unknown)}: {net.name} has no such convolution whose channels are pooled; "
            f"use {', '.join(pooled) or 'virtual_maps first'}"
        )
    if names and mapping is not None and mapping not in ("pipeline", "layer-by-layer", "fused"):
        raise InputError("materialised is for choosing a mapping; in one that is given, name the layers in it")
    if names and accelerator.off_chip_memory is None:
        raise InputError(f"materialised: {accelerator.name} describes no memories in which maps could be stored")
    return frozenset(names)


def _with_stored(design: Design, stored: frozenset[str]) -> Design:
    """A pipeline with the maps of `stored` layers in the last memory, from where they are read to be pooled."""
    if not stored:
        return design
    apart = bind(design.network, design.accelerator, replace(design.mapping, materialised=stored))
    away = design.accelerator.off_chip_memory
    assert away is not None
    homes = {edge.name: away for edge in apart.edges if edge.producer in stored}
    return replace(apart, mapping=replace(apart.mapping, homes=MappingProxyType(homes)))


def _usual(accelerator: Accelerator) -> str:
    """What a machine does where nothing else is asked for."""
    takes_turns = accelerator.engine.kind == "systolic" and accelerator.memories
    return "layer-by-layer" if takes_turns else "pipeline"


def _shared(net: Network, accelerator: Accelerator, interval: int | None) -> Design:
    """One pipeline whose layers share a systolic array."""
    design = bind(net, accelerator, Mapping(MappingProxyType({}), interval_cycles=interval))
    busy = sum(stage.work_cycles for stage in design.stages if stage.port == ARRAY)
    slowest = max(busy, design.bottleneck_cycles)
    if interval is not None and slowest > interval:
        raise InfeasibleError(
            f"the array is busy for {slowest:,} cycles a frame, the target allows {interval:,} "
            f"(over by {slowest - interval:,}); raise engine.rows, engine.columns or the clock, or lower the frame rate"
        )
    return design


def widen(design: Design, stages: Collection[str] | str, factor: int) -> Design:
    """`design` with about `factor` times the multipliers in `stages` (or one stage), its source paced as before.

    Each gets the next larger number that an unrolling has, or all it can use. Stages without multiplications
    stay as they are. Raises `InputError` for an unknown stage, a factor below 1, or more multipliers than there are.
    """
    stages = (stages,) if isinstance(stages, str) else stages
    unknown = sorted(set(stages) - set(design.stage_by_name))
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no stage of {design.network.name}")
    if not isinstance(factor, int) or factor < 1:
        raise InputError(f"factor = {factor} is not a whole number from 1")
    unrolls = dict(design.mapping.unroll)
    for stage in (design.stage_by_name[name] for name in stages):
        nest = loop_nest(design.network, stage.group.node)
        if nest is not None:
            choices = multiplier_choices(nest)
            wanted = min(bisect_left(choices, factor * stage.multipliers), len(choices) - 1)
            unrolls[stage.name] = unroll(nest, choices[wanted])
    mapping = replace(design.mapping, unroll=MappingProxyType(unrolls), interval_cycles=design.pace_cycles)
    return bind(design.network, design.accelerator, mapping)


def _interval_cycles(accelerator: Accelerator, target_fps: float) -> int:
    if not isinstance(target_fps, int | float) or not target_fps > 0:
        raise InputError(f"target_fps = {target_fps} must be positive")
    if accelerator.clock_hz / LONGEST_INTERVAL > target_fps:
        raise InputError(f"target_fps = {target_fps} is less than a frame in 2^40 cycles, the slowest pace there is")
    interval = int(accelerator.clock_hz / target_fps)
    if interval < 1:
        raise InfeasibleError(
            f"{target_fps:,} frames/s need less than a cycle each at {accelerator.clock_hz:,} Hz; raise clock"
        )
    return interval


def _folded(net: Network) -> dict[str, Folded]:
    layers = {}
    for group in group_layers(net):
        nest = loop_nest(net, group.node)
        if nest:
            layers[group.name] = Folded(nest, fired_tensor(net, group.node).pixels)
    return layers


def _floor_cycles(net: Network, accelerator: Accelerator, stored: frozenset[str]) -> dict[str, int]:
    """Frame cycles of the stages without multiplications, by name."""
    lanes = accelerator.engine.lanes
    return {
        group.name: moving_work_cycles(net, group.node, tuple(k for k, _ in group.operands), lanes)
        for group in group_layers(net, accelerator.channel_pooling, stored)
        if loop_nest(net, group.node) is None
    }


def _multipliers(
    net: Network, accelerator: Accelerator, interval: int | None, like: Design | None, stored: frozenset[str]
) -> ReadOnly[str, int]:
    layers = _folded(net)
    floor = _floor_cycles(net, accelerator, stored)
    slowest = max(floor, key=lambda name: floor[name], default=None)
    if slowest is None:
        raise InputError(f"{net.name}: no input reaches an output; there is nothing to map")
    if interval is not None and floor[slowest] > interval:
        raise InfeasibleError(
            f"{slowest} moves its elements in {floor[slowest]:,} cycles a frame, the target allows {interval:,} "
            f"(over by {floor[slowest] - interval:,}); raise engine.lanes or the clock, or lower the frame rate"
        )
    budget = accelerator.engine.multipliers
    if like is not None:
        known = {name: unrolled.multipliers for name, unrolled in _unrolled_alike(layers, like).items()}
        if interval is None:
            return extended_multipliers(layers, known, budget, max(like.bottleneck_cycles, floor[slowest]))
        fewest = {name: max(known.get(name, 0), n) for name, n in fewest_multipliers(layers, interval).items()}
        return _within(fewest, budget, interval)
    if interval is None:
        return fastest_multipliers(layers, budget, floor[slowest])
    return _within(fewest_multipliers(layers, interval), budget, interval)


def _within(multipliers: dict[str, int], budget: int, interval: int) -> dict[str, int]:
    """`multipliers` if the engine has so many."""
    used = sum(multipliers.values())
    if used > budget:
        raise InfeasibleError(
            f"{interval:,} cycles a frame take {used:,} multipliers, the engine has {budget:,} "
            f"(short by {used - budget:,}); raise engine.multipliers or lower the frame rate"
        )
    return multipliers


def _unrolled_alike(layers: ReadOnly[str, Folded], like: Design) -> dict[str, Unroll]:
    """Unrolling in another design of the layers that have the same name and loops there."""
    return {
        stage.name: stage.unroll
        for stage in like.stages
        if stage.unroll
        and stage.name in layers
        and loop_nest(like.network, stage.group.node) == layers[stage.name].nest
    }
