"""Random networks cut into segments at random, with tiles, homes and machines with memories to run them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any

from hypothesis import assume

from accelsim.errors import InfeasibleError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import Design, bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.mapping.segments.visits import visits
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Network
from accelsim.network.layers import Convolution, Dense
from tests.random_networks import random_network, random_unrolling


def random_memory(rng: Random, size: int) -> dict:
    """One level; mostly with bursts and latency, so that rounding shows."""
    return {
        "size": size,
        "port": {"read_bits": rng.choice((8, 32, 64)), "write_bits": rng.choice((8, 64)), "shared": rng.random() < 0.5},
        "banks": rng.choice((1, 1, 3)),
        "latency_cycles": rng.choice((0, 3, 20)),
        "burst": rng.choice((1, 4, 7)),
        "outstanding": rng.choice((1, 4, 64)),
        "efficiency": rng.choice((1.0, 0.7)),
        "arbitration": rng.choice(("first-come", "slots")),
    }


def random_machine(rng: Random, systolic: bool | None = None) -> Accelerator:
    """Two or three levels, the first often too small for everything to stay there."""
    lanes = rng.choice((1, 2, 4, 8))
    engine = {"multipliers": 10**9, "lanes": lanes, "mac_latency_cycles": 3, "lane_latency_cycles": 1}
    if rng.random() < 0.3 if systolic is None else systolic:
        flows = ("output-stationary", "weight-stationary", "input-stationary")
        sides = {"rows": rng.choice((2, 4)), "columns": rng.choice((2, 3))}
        engine = {"kind": "systolic", "dataflow": rng.choice(flows), "lanes": lanes, **sides}
    levels = {"near": random_memory(rng, rng.choice((300, 2000, 10**6)))}
    if rng.random() < 0.4:
        levels["middle"] = random_memory(rng, rng.choice((100, 4000)))
    levels["far"] = random_memory(rng, 10**8)
    return Accelerator.model_validate(
        {
            "name": "random",
            "clock": 10**6,
            "engine": engine,
            "memories": levels,
            "activation_bits": rng.choice((8, 8, 3, 12)),
            "weight_bits": rng.choice((8, 8, 5)),
            "accumulator_bits": rng.choice((32, 17)),
            "fork": rng.choice(("shared", "copy")),
            "weights": rng.choice(("resident", "frame", "tile")),
            "weights_ahead": rng.random() < 0.5,
            "interface": rng.choice(("stream", "memory")),
            "reconfigure_cycles": rng.choice((0, 7)),
        }
    )


def cut_at_random(rng: Random, design: Design) -> tuple[tuple[str, ...], ...]:
    """Names of the stages of every segment: each stage as late as what it reads, or a segment later."""
    turn: dict[str, int] = {}
    apart = rng.choice((0.0, 0.3, 0.6, 1.0))
    for stage in design.stages:
        if not stage.is_source:
            reads = [turn[name] for _, name in stage.group.operands if name in turn]
            turn[stage.name] = max(reads, default=0) + (rng.random() < apart)
    found = sorted(set(turn.values()))
    return tuple(tuple(name for name in turn if turn[name] == k) for k in found)


def random_tile(rng: Random, design: Design, names: tuple[str, ...]) -> Tile:
    stage = design.stage_by_name[names[-1]]
    sizes = [rng.choice((None, rng.randint(1, n))) for n in (*stage.tensor.spatial[:2], 1, 1)[:2]]
    sizes = sizes[: len(stage.tensor.spatial)] + [None] * (2 - min(2, len(stage.tensor.spatial)))
    layer = stage.group.node.layer
    if len(names) > 1 or not isinstance(layer, Convolution | Dense) or rng.random() < 0.4:
        return Tile(sizes[0], sizes[1])
    groups = getattr(layer, "groups", 1)
    outputs = rng.choice((None, layer.channels // groups * rng.randint(1, groups) if groups > 1 else None))
    if groups == 1:
        outputs = rng.choice((None, rng.randint(1, layer.channels)))
    inputs = rng.randint(1, 4) if groups == 1 and rng.random() < 0.5 else None
    return Tile(sizes[0], sizes[1], outputs, inputs)


def random_segments(rng: Random, design: Design) -> tuple[Segment, ...]:
    """Segments that can be tiled as they say; where a tile drawn cannot be, the segment is whole."""
    segments = []
    for names in cut_at_random(rng, design):
        segments.append(
            Segment(
                names,
                random_tile(rng, design, names) if rng.random() < 0.7 else Tile(),
                rng.choice(("cache", "cache", "recompute", "reread")),
                rng.choice((None, None, "resident", "frame", "tile")),
            )
        )
    return tuple(segments)


def segmented(net: Network, machine: Accelerator, segments: tuple[Segment, ...], **fields) -> Design:
    """`net` in these segments, with an unrolling of ones where the engine is unrolled and none is given."""
    unroll = fields.pop("unroll", None)
    if unroll is None:
        unroll = {} if machine.engine.kind == "systolic" else ones(net, machine)
    return bind(net, machine, Mapping(MappingProxyType(dict(unroll)), segments=segments, **fields))


def ones(net: Network, machine: Accelerator) -> dict[str, Unroll]:
    kinds = ("convolution", "transposed_convolution", "dense", "product")
    return {n.name: Unroll() for n in net.nodes if n.kind in kinds and n.name not in net.constant_nodes}


def random_design(rng: Random) -> Design | None:
    """A random network in random segments; None where it has no layer to run."""
    net, machine = random_network(rng), random_machine(rng)
    unroll = {} if machine.engine.kind == "systolic" else random_unrolling(rng, net)
    free = bind(net, machine, Mapping(MappingProxyType(unroll)))
    segments = random_segments(rng, free)
    if not segments:
        return None
    for k, segment in enumerate(segments):
        try:
            visits(segmented(net, machine, (*_plain(segments[:k]), segment, *_plain(segments[k + 1 :])), unroll=unroll))
        except InfeasibleError:
            pass
        except InputError:
            segments = (*segments[:k], replace(segment, tile=Tile()), *segments[k + 1 :])
    homes = {
        stage.name: rng.choice(list(machine.memories))
        for stage in free.stages
        if not stage.is_source and rng.random() < 0.1 and _crosses(free, segments, stage.name)
    }
    frames = rng.choice((1, 1, 2, 3))
    return segmented(net, machine, segments, unroll=unroll, homes=MappingProxyType(homes), frames_per_visit=frames)


def _plain(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    return tuple(Segment(segment.layers) for segment in segments)


def _crosses(design: Design, segments: tuple[Segment, ...], name: str) -> bool:
    turn = {layer: k for k, segment in enumerate(segments) for layer in segment.layers}
    readers = {turn[edge.consumer] for edge in design.edges if edge.producer == name}
    return name in design.output_stages or readers != {turn[name]}


def drawn(seed: int) -> Design:
    """A random design; hypothesis draws again where there is none."""
    design = random_design(Random(seed))
    assume(design is not None)
    return design


def fitting(run: Callable[[Design], Any], design: Design) -> Any:
    """What `run` makes of a design; hypothesis draws again where it does not fit its memories."""
    try:
        return run(design)
    except InfeasibleError:
        assume(False)
