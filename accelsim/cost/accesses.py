"""How often a design multiplies, and what passes the ports of every memory for it: closed forms, a frame each.

Stages that pass maps on do so through buffers in the first memory: what a stage makes is written there once (once a
reader where forks copy), and every reader reads of it what its window needs. Weights are read from there for every
product, once for all pixels that are made side by side or as a stripe, unless each multiplier keeps its own for ever.
Operands of a systolic array are read as its folds need them, padding included, and sums of fewer than all taps go back
and forth.
Everything that passes the port of a memory away from the engine is traffic.

Not counted: registers between multipliers and behind windows, among them those that repeat a window for every
group of outputs; biases, scales and thresholds, which stay beside the arithmetic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from accelsim.cost.operations import operations
from accelsim.cost.parts import Part
from accelsim.cost.windows import elements_read
from accelsim.hardware.engine import SpatialEngine
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.segments.passes import element_bits
from accelsim.mapping.segments.visits import Visits, visits
from accelsim.mapping.streams import streamed
from accelsim.mapping.traffic import Traffic, pipeline_traffic, visit_traffic
from accelsim.mapping.work import fired_tensor, loop_nest
from accelsim.network.layers import Product
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div


@dataclass(frozen=True, slots=True)
class Access:
    """What one layer does of a kind in a frame: MACs, other operations, or bytes at a memory.

    `bits` of a MAC are those of its second operand, a weight or another activation; of an operation of both.
    """

    layer: str
    part: Part
    memory: str | None
    count: Fraction
    bits: int | None = None


class _Key(NamedTuple):
    """What is added up: all but the count of an `Access`."""

    layer: str
    part: Part
    memory: str | None
    bits: int | None = None


#: Operations, or bits at a memory; a fraction where frames or tiles share them.
_Amount = int | Fraction
_Counted = tuple[_Key, _Amount]


def design_accesses(design: Design) -> list[Access]:
    """Of any design, without simulating it. Raises `InfeasibleError` where a segment does not fit its memory."""
    if design.mapping.segments:
        turns = visits(design)
        return visit_accesses(design, turns, visit_traffic(design, turns))
    running = streamed(design, "row")
    return pipeline_accesses(running, pipeline_traffic(running))


def pipeline_accesses(running: Design, traffic: Sequence[Traffic]) -> list[Access]:
    """Of a whole-network pipeline with its movers, and what these move."""
    return _summed([*_of_design(running, 1), *_of_traffic(running, traffic)])


def visit_accesses(design: Design, turns: Visits, traffic: Sequence[Traffic]) -> list[Access]:
    """Of a design with segments: every tile as often as it runs."""
    steps = (step for visit in turns.turns for step in visit.steps)
    inside = (access for step in steps for access in _of_design(step.design, step.times))
    return _summed([*inside, *_of_traffic(design, traffic)])


def _of_design(design: Design, times: int) -> Iterator[_Counted]:
    """Of one pipeline that runs so many times a frame."""
    for count in (_macs, _operations, _weight_reads, _buffer_writes, _buffer_reads, _array_sums):
        for key, amount in count(design):
            yield key, amount * times


def _macs(design: Design) -> Iterator[_Counted]:
    for stage in design.stages:
        if stage.macs:
            yield _Key(stage.name, "mac", None, _operand_bits(design, stage)), stage.macs


def _operations(design: Design) -> Iterator[_Counted]:
    """What the layers of each stage compute besides products."""
    net = design.network
    for stage in design.stages:
        if stage.transfer is not None or _stays(design, stage):
            continue
        share = _share(design, stage)
        for name in stage.group.layers:
            node = net.by_name[name]
            for one in operations(node.layer, net.sources(node), net.tensors[name]):
                yield _Key(stage.name, one.kind, None, one.bits(design.accelerator)), one.amount * share


def _share(design: Design, stage: Stage) -> _Amount:
    """What a tile does of its layer: of the MACs where it has any, else of the elements."""
    net, node = design.network, stage.group.node
    whole = fired_tensor(net, node)
    if stage.fired == whole and stage.macs == net.macs_of(node):
        return 1
    return Fraction(stage.macs, net.macs_of(node)) if stage.macs else Fraction(stage.fired.elements, whole.elements)


def _operand_bits(design: Design, stage: Stage) -> int:
    """Bits of what an activation is multiplied by."""
    machine = design.accelerator
    return machine.activation_bits if isinstance(stage.group.node.layer, Product) else machine.weight_bits


def _weight_reads(design: Design) -> Iterator[_Counted]:
    for stage in design.stages:
        if stage.macs and not isinstance(stage.group.node.layer, Product):
            reads = _placed_weights(design, stage) if _keeps_all(stage) else _held_reads(design, stage)
            yield _local(design, stage.name, "weight_read", reads, design.accelerator.weight_bits)


def _keeps_all(stage: Stage) -> bool:
    """Whether there is a multiplier for every operand that does not stream."""
    if stage.foldings:
        return False
    assert stage.unroll is not None
    return stage.multipliers // stage.unroll.pixels * stage.fired.pixels >= stage.macs


def _placed_weights(design: Design, stage: Stage) -> int:
    """Weights read once a frame, or tile of one, into multipliers that keep them all; never where they are for ever."""
    stays = design.accelerator.weights == "resident" and not design.mapping.segments
    return 0 if stays else stage.macs // stage.fired.pixels


def _held_reads(design: Design, stage: Stage) -> int:
    """Operands that multipliers read from memory because they do not keep them all.

    One serves the pixels that are made side by side, and those of a row that follow while it stays: a stripe.
    """
    if stage.foldings:
        return sum(folding.weight_reads for folding in stage.foldings)
    engine = design.accelerator.engine
    assert stage.unroll is not None
    assert isinstance(engine, SpatialEngine)
    row = stage.fired.spatial[-1] if stage.fired.spatial else 1
    stripes = ceil_div(row, engine.stripe * stage.unroll.pixels)
    return stage.macs * stripes // row


def _buffer_writes(design: Design) -> Iterator[_Counted]:
    """What fills the buffers: a fork's once where its readers share it."""
    written: set[str] = set()
    for edge in design.edges:
        producer = design.stage_by_name[edge.producer]
        if not _is_here(design, edge) or _stays(design, producer):
            continue
        owner = edge.producer if design.accelerator.fork == "shared" else edge.name
        if owner not in written:
            written.add(owner)
            bits = element_bits(design.accelerator, design.stage_by_name, edge)
            yield _local(design, _charged(producer), "buffer_write", edge.tensor.elements, bits)


def _buffer_reads(design: Design) -> Iterator[_Counted]:
    """What movers take out of buffers, element by element, and what layers read of their operands."""
    for edge in design.edges:
        if edge.reads == "each" and _is_here(design, edge):
            bits = element_bits(design.accelerator, design.stage_by_name, edge)
            layer = _charged(design.stage_by_name[edge.consumer])
            yield _local(design, layer, "buffer_read", edge.tensor.elements, bits)
    for stage in design.stages:
        for operand, _ in stage.group.operands if stage.transfer is None else ():
            reads = _operand_reads(design, stage, operand)
            yield _local(design, stage.name, "buffer_read", reads, design.accelerator.activation_bits)


def _array_sums(design: Design) -> Iterator[_Counted]:
    """What an array leaves in the first memory between two folds of the taps of one output, and takes up again."""
    bits = design.accelerator.accumulator_bits
    for stage in design.stages:
        results = sum(folding.products * folding.pixels * folding.outputs for folding in stage.foldings)
        sums = sum(folding.output_writes for folding in stage.foldings) - results
        yield _local(design, stage.name, "sum_write", sums, bits)
        yield _local(design, stage.name, "sum_read", sums, bits)


def _is_here(design: Design, edge: Edge) -> bool:
    """Whether an edge is a buffer of maps in the engine's own memory.

    Weights are counted with what loads them. Sums, and maps that are stored, which lie in that memory anyway go
    straight there: the mover's access is the only one.
    """
    ends = (design.stage_by_name[edge.producer].transfer, design.stage_by_name[edge.consumer].transfer)
    local = design.accelerator.local_memory
    straight = (t.memory == local and (t.kind == "partial" or t.write) for t in ends if t)
    return edge.home is None and not any(straight) and not any(t.kind == "weight" for t in ends if t)


def _stays(design: Design, producer: Stage) -> bool:
    """Whether a stage stands for what an earlier tile has left in the first memory."""
    return producer.is_source and producer.transfer is None and producer.name not in design.network.by_name


def _charged(stage: Stage) -> str:
    """The layer that a stage works for."""
    return stage.transfer.layer if stage.transfer else stage.name


def _operand_reads(design: Design, stage: Stage, operand: int) -> _Amount:
    """Elements of an operand that a layer reads; of a tile its share of the outputs, and of the input channels.

    A tile reads what it needs whether it comes with this tile or was kept from those before.
    """
    node, net = stage.group.node, design.network
    inputs = net.sources(node)
    if isinstance(node.layer, Product) and operand == 1:
        return inputs[operand].elements if _keeps_all(stage) else _held_reads(design, stage)
    if stage.foldings:
        return sum(folding.input_reads for folding in stage.foldings)
    nest = loop_nest(net, node)
    slides = nest is None or stage.unroll is None or stage.unroll.window == nest.window
    reads = elements_read(node.layer, operand, inputs, net.tensors[node.name], slides)
    outputs = Fraction(stage.fired.pixels, fired_tensor(net, node).pixels)
    return reads * outputs * _channel_share(design, stage, operand, inputs[operand])


def _channel_share(design: Design, stage: Stage, operand: int, whole: Tensor) -> Fraction:
    """Channels of an operand that a tile reads, of all it has."""
    edges = (edge for edge in design.edges_to[stage.name] if edge.operand == operand)
    channels = next((edge.tensor.channels for edge in edges), whole.channels)
    return Fraction(channels, whole.channels)


def _of_traffic(design: Design, traffic: Sequence[Traffic]) -> Iterator[_Counted]:
    """What passes ports away from the engine; weights that are loaded are written to the first memory too."""
    for row in traffic:
        yield _Key(row.layer, "memory_read", row.memory), 8 * row.read_bytes
        yield _Key(row.layer, "memory_write", row.memory), 8 * row.written_bytes
        if row.kind == "weight":
            yield _Key(row.layer, "weight_write", design.accelerator.local_memory), 8 * row.read_bytes


def _local(design: Design, layer: str, part: Part, elements: _Amount, bits: int) -> _Counted:
    return _Key(layer, part, design.accelerator.local_memory), elements * bits


def _summed(counted: Iterable[_Counted]) -> list[Access]:
    """One a layer, part, memory and width, without those of nothing, in the order in which they first come."""
    amounts: dict[_Key, _Amount] = defaultdict(int)
    for key, amount in counted:
        amounts[key] += amount
    return [
        Access(key.layer, key.part, key.memory, Fraction(amount) / (8 if key.memory else 1), key.bits)
        for key, amount in amounts.items()
        if amount
    ]
