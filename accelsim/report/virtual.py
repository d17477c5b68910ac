"""The part of a report about virtual feature maps (Condensation-Net, Chen et al. 2021, arXiv 2104.14124)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from accelsim.hardware.gates import LIBRARY
from accelsim.mapping.design import Design
from accelsim.mapping.movers import map_bytes, weight_bytes
from accelsim.mapping.pooling_unit import engine_gates, pooling_unit
from accelsim.mapping.stages import Group, first_pool, group_layers
from accelsim.network.graph import Network
from accelsim.network.layers import ChannelPool, Pool
from accelsim.report.report import (
    TrafficRow,
    VirtualMapHardware,
    VirtualMapRow,
    VirtualMaps,
    VirtualMapSaving,
)

Mode = Literal["virtual", "streamed", "materialised"]

RULES = (
    "I is the map a convolution reads, P the map of its size with the channels that are left after pooling, f P the "
    "map before, S what is stored. Closed forms move each map once: virtual I + S, materialised I + f P + f P + S.",
    "S is P, or the map behind a spatial pooling that runs in the same segment. One in a segment of its own reads P "
    "and writes its map in either case: it is in the figures of the network and not in those of the layer.",
    "Saving: 1 - virtual / materialised. With weights: those of the layer once in both; of the network as often as "
    "they are loaded.",
    "Network: what passes the last memory as simulated, partial sums too. Every virtual map is taken to be written "
    "there and read once, though some memory on chip might have room for it.",
    "As simulated: inputs as often as tiles read them, partial sums not counted with a layer's maps.",
    "Register: one for each pooled output that is made side by side (channels by pixels of the unrolling), as wide as "
    "an activation, a sum wider by log2 f; its share is of all memories on chip.",
    "Gates, in two-input NANDs of sky130_fd_sc_hd (AND 1.67, multiplexer 3, full adder and flip-flop 5.33): a "
    "comparator is a full adder and a multiplexer a bit, a register a flip-flop and a multiplexer; as many operators "
    "(adders for a sum or mean) as fold the outputs made side by side before the next come.",
    "Engine gates: m n ANDs and (m-1)(n-1) full adders a multiplier, an adder as wide as its product, and an "
    "accumulator for each output made side by side. Control is left out in both, operand registers in the engine.",
)


class _Found(NamedTuple):
    """A convolution with the pooling behind it, as one stage, and where the design has it."""

    group: Group
    pool: str
    mode: Mode
    home: str | None
    spatial: str | None
    joined: bool


def virtual_maps(design: Design, traffic: Sequence[TrafficRow] | None) -> VirtualMaps | None:
    """Rows, savings and hardware; None where no convolution of the design has its channels pooled behind it."""
    turn = {name: k for k, segment in enumerate(design.mapping.segments) for name in segment.layers}
    found = [
        _found(design, group, pool.name, turn)
        for group in group_layers(design.network, channel_pooling=True)
        if (pool := first_pool(design.network, group))
    ]
    if not found:
        return None
    rows = tuple(_row(design, one, traffic) for one in found)
    return VirtualMaps(
        layers=rows,
        pooled_layers=_saving(
            sum(row.virtual_bytes for row in rows),
            sum(row.materialised_bytes for row in rows),
            sum(row.weight_bytes for row in rows),
        ),
        network=None if traffic is None else _network(design, rows, traffic),
        hardware=_hardware(design),
        rules=RULES,
    )


def _found(design: Design, group: Group, pool: str, turn: Mapping[str, int]) -> _Found:
    mode, home = _mode(design, group, pool, turn)
    last = group.name if mode == "virtual" else pool
    spatial = _spatial_pooling(design.network, group)
    return _Found(group, pool, mode, home, spatial, spatial is not None and turn.get(last) == turn.get(spatial))


def _mode(design: Design, group: Group, pool: str, turn: Mapping[str, int]) -> tuple[Mode, str | None]:
    if pool in design.stage_by_name[group.name].group.layers:
        return "virtual", None
    if turn.get(group.name) != turn.get(pool):
        return "materialised", design.mapping.homes.get(group.name, design.accelerator.off_chip_memory)
    edge = next(edge.name for edge in design.edges if edge.producer == group.name and edge.consumer == pool)
    home = design.mapping.homes.get(edge, design.mapping.homes.get(group.name))
    return ("streamed", None) if home in (None, design.accelerator.local_memory) else ("materialised", home)


def _spatial_pooling(net: Network, group: Group) -> str | None:
    readers = net.consumers[group.output]
    alone = len(readers) == 1 and group.output not in net.output_nodes
    return readers[0] if alone and isinstance(net.by_name[readers[0]].layer, Pool) else None


def _row(design: Design, one: _Found, traffic: Sequence[TrafficRow] | None) -> VirtualMapRow:
    net, bits = design.network, design.accelerator.activation_bits
    layer = net.by_name[one.pool].layer
    assert isinstance(layer, ChannelPool)
    read, unpooled, pooled = (
        sum(map_bytes(net.tensors[name], bits) for name in names)
        for names in (_inputs(one.group), net.by_name[one.pool].inputs, (one.group.output,))
    )
    stored = map_bytes(net.tensors[one.spatial], bits) if one.spatial and one.joined else pooled
    weights = weight_bytes(design, design.stage_by_name[one.group.name])
    saving = _saving(read + stored, read + 2 * unpooled + stored, weights)
    maps = None if traffic is None else [row for row in _own(traffic, one) if row.kind not in ("weight", "partial")]
    return VirtualMapRow(
        layer=one.group.name,
        pool=one.pool,
        operation=layer.operation,
        factor=layer.factor,
        mode=one.mode,
        home=one.home,
        input_bytes=read,
        virtual_map_bytes=unpooled,
        pooled_map_bytes=pooled,
        stored_map_bytes=stored,
        spatial_pooling=one.spatial,
        spatial_pooling_joined=one.joined,
        weight_bytes=weights,
        virtual_bytes=read + stored,
        materialised_bytes=read + 2 * unpooled + stored,
        saving=saving.saving,
        saving_with_weights=saving.saving_with_weights,
        read_bytes=None if maps is None else sum(row.read_bytes for row in maps),
        written_bytes=None if maps is None else sum(row.written_bytes for row in maps),
        off_chip_bytes=None if maps is None else _moved(_off_chip(design, maps)),
        weight_read_bytes=None if traffic is None else _moved(r for r in _own(traffic, one) if r.kind == "weight"),
    )


def _inputs(group: Group) -> tuple[str, ...]:
    """What a convolution reads that is no constant, each once."""
    return tuple(dict.fromkeys(group.node.inputs[operand] for operand, _ in group.operands))


def _own(traffic: Iterable[TrafficRow], one: _Found) -> Iterable[TrafficRow]:
    """What passes memories for a convolution, the pooling of its channels, and a spatial pooling joined to these."""
    layers = {one.group.name, one.pool} | ({one.spatial} if one.joined else set())
    return (row for row in traffic if row.layer in layers)


def _off_chip(design: Design, traffic: Iterable[TrafficRow]) -> Iterable[TrafficRow]:
    return (row for row in traffic if row.memory == design.accelerator.off_chip_memory)


def _moved(traffic: Iterable[TrafficRow]) -> float:
    return sum(row.read_bytes + row.written_bytes for row in traffic)


def _network(design: Design, rows: Sequence[VirtualMapRow], traffic: Sequence[TrafficRow]) -> VirtualMapSaving:
    passed = list(_off_chip(design, traffic))
    stored = {row.layer for row in rows if row.mode == "materialised"}
    weights = _moved(row for row in passed if row.kind == "weight")
    unpooled = _moved(row for row in passed if row.tensor in stored and row.kind in ("input", "output", "spill"))
    virtual = _moved(passed) - weights - unpooled
    return _saving(virtual, virtual + 2 * sum(row.virtual_map_bytes for row in rows), weights)


def _saving(virtual: float, materialised: float, weights: float) -> VirtualMapSaving:
    """Every virtual map has elements, so that what is divided by is positive."""
    return VirtualMapSaving(
        virtual_bytes=virtual,
        materialised_bytes=materialised,
        weight_bytes=weights,
        saving=1 - virtual / materialised,
        saving_with_weights=1 - (virtual + weights) / (materialised + weights),
    )


def _hardware(design: Design) -> VirtualMapHardware | None:
    unit = pooling_unit(design)
    if unit is None:
        return None
    *on_chip, _ = design.accelerator.memories.values() or [None]
    memory_bits = 8 * sum(memory.size for memory in on_chip if memory) or None
    engine = engine_gates(design)
    return VirtualMapHardware(
        block_outputs=unit.block_outputs,
        register_bits=unit.register_bits,
        memory_bits=memory_bits,
        register_share=None if memory_bits is None else unit.register_bits / memory_bits,
        operators=unit.operators,
        gates=None if unit.gates is None else float(unit.gates),
        engine_gates=float(engine),
        gate_share=None if unit.gates is None else float(unit.gates / engine),
        library=LIBRARY,
    )
