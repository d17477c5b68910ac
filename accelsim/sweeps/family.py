"""What all designs of one network have in common, in tables: closed forms of a design are lookups in these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NotModelled
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.engine import SpatialEngine
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Stage, bind
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.stages import group_layers
from accelsim.mapping.streams import streamed
from accelsim.mapping.unrolling import Folded, Unroll, allotments
from accelsim.mapping.work import loop_nest
from accelsim.network.graph import Network
from accelsim.network.layers import Input, Product
from accelsim.sweeps.kernels.moving import Moving

Ints = NDArray[np.int64]

#: Multipliers and pixels beyond these would leave 64 bits.
MOST_MULTIPLIERS = 10**9
MOST_PIXELS = 2**32


@dataclass(frozen=True)
class Family:
    """One network on machines that group its layers alike.

    `macs` are those of all unrolled loops, `products` the useful ones: by weights, and of two activations.
    `intervals`, ascending, are the frame cycles that some unrolling of some layer has, from the least that full
    unrolling allows; `multipliers` the fewest that reach each. `elements` are sums by role of the least capacity of
    each edge. Network inputs and outputs (`maps`; of segments those that some layer reads or makes, `crossing`) and
    `weights` are in elements, as many as are rounded to bytes together.
    """

    macs: int
    products: tuple[int, int]
    intervals: Ints
    multipliers: Ints
    moving: Moving
    elements: ReadOnly[str, int]
    maps: Ints
    crossing: Ints
    weights: Ints


def family_of(net: Network, machine: Accelerator) -> Family:
    """The tables of `net` on machines like `machine`. Raises `NotModelled` for maps that do not fit 64 bits."""
    design = design_for_tables(net, machine)
    folded = _folded(design)
    intervals, multipliers = allotments(folded)
    sources = [stage for stage in design.stages if stage.is_source]
    results = [design.stage_by_name[name] for name in design.output_stages]
    crossing = [s for s in sources if design.edges_from[s.name]] + [s for s in results if not s.is_source]
    of_activations = sum(stage.macs for stage in design.stages if isinstance(stage.group.node.layer, Product))
    return Family(
        macs=sum(layer.macs for layer in folded),
        products=(sum(stage.macs for stage in design.stages) - of_activations, of_activations),
        intervals=intervals,
        multipliers=multipliers,
        moving=_moving(design),
        elements=_bound_elements(design),
        maps=np.array([stage.tensor.elements for stage in sources + results], np.int64),
        crossing=np.array([stage.tensor.elements for stage in crossing], np.int64),
        weights=np.array([weight_bytes(design, stage) for stage in design.stages], np.int64),
    )


def design_for_tables(net: Network, machine: Accelerator) -> Design:
    """A pipeline of `net`, a multiplier a layer, weights of a byte: what it says of its layers' time is no matter."""
    wide = machine.model_copy(update={"engine": stand_in(), "weight_bits": 8})
    groups = group_layers(net, machine.channel_pooling)
    unrolls = {group.name: Unroll() for group in groups if loop_nest(net, group.node)}
    design = bind(net, wide, Mapping(MappingProxyType(unrolls)))
    if max(stage.fired.pixels for stage in design.stages) > MOST_PIXELS:
        raise NotModelled(f"{net.name} has maps of more than 2^32 pixels: closed forms over many designs end there")
    return design


def _folded(design: Design) -> tuple[Folded, ...]:
    nests = ((stage, loop_nest(design.network, stage.group.node)) for stage in design.stages)
    return tuple(Folded(nest, stage.fired.pixels) for stage, nest in nests if nest is not None)


def stand_in() -> SpatialEngine:
    """An engine with room for every layer."""
    return SpatialEngine(
        kind="spatial",
        multipliers=MOST_MULTIPLIERS,
        lanes=1,
        mac_latency_cycles=0,
        lane_latency_cycles=0,
        window_frames="overlap",
    )


def fastest(family: Family, budget: Ints) -> tuple[NDArray[np.bool_], Ints]:
    """Whether the layers fit each `budget` of multipliers, and the least interval of what they do then."""
    place = np.searchsorted(-family.multipliers, -budget)
    fits = place < family.intervals.size
    return fits, family.intervals[np.minimum(place, family.intervals.size - 1)]


def fewest(family: Family, within: Ints) -> tuple[NDArray[np.bool_], Ints, Ints]:
    """Whether the layers can keep `within` so many cycles, with how many multipliers, and the cycles they take then."""
    place = np.searchsorted(family.intervals, within, side="right") - 1
    return place >= 0, family.multipliers[np.maximum(place, 0)], family.intervals[np.maximum(place, 0)]


def _moving(design: Design) -> Moving:
    """The stages without multiplications."""
    stages = [stage for stage in design.stages if loop_nest(design.network, stage.group.node) is None]
    streams = [_streams(design.network, stage) for stage in stages]
    starts = np.concatenate([[0], np.cumsum([len(rows) for rows in streams])]).astype(np.int64)
    rows = [row for each in streams for row in each]
    return Moving(
        pixels=np.array([stage.fired.pixels for stage in stages], np.int64),
        row_pixels=np.array([stage.fired.row_pixels for stage in stages], np.int64),
        channels=np.array([stage.fired.channels for stage in stages], np.int64),
        is_source=np.array([isinstance(stage.group.node.layer, Input) for stage in stages], np.bool_),
        first_stream=starts,
        streams=np.array(rows, np.int64).reshape(-1, 3),
    )


def _streams(net: Network, stage: Stage) -> list[tuple[int, int, int]]:
    """Elements, pixels and channels of what a stage makes and of what arrives at it during a frame."""
    node = stage.group.node
    sources = net.sources(node)
    tensors = [sources[k] for k, _ in stage.group.operands] + [net.tensors[node.name]]
    return [(tensor.elements, tensor.pixels, tensor.channels) for tensor in tensors]


def _bound_elements(design: Design) -> ReadOnly[str, int]:
    bounds = edge_bounds(design, "row")
    total: dict[str, int] = defaultdict(int)
    for edge in design.edges:
        total[edge.role] += bounds[edge.name] * (edge.tensor.elements // edge.tensor.rows)
    return MappingProxyType(total)


def mover_cycles(net: Network, machine: Accelerator) -> int:
    """Cycles a frame of the busiest mover or port of a pipeline of `net`, 0 where nothing moves to or from memory."""
    wide = design_for_tables(net, machine)
    true_bits = wide.accelerator.model_copy(update={"weight_bits": machine.weight_bits})
    running = streamed(Design(net, true_bits, wide.mapping, wide.stages, wide.edges), "row")
    movers = [stage.work_cycles for stage in running.stages if stage.transfer is not None]
    return max([0, *movers, *running.port_cycles.values()])
