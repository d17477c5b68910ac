"""DSPs, block RAM, UltraRAM and LUTs of a pipeline of streaming blocks, layer by layer, before synthesis.

A matrix unit of P outputs (processing elements) and Q products each, W by A bits, takes 300 + 1.1 P ((W + A)(2 Q - 1) +
accumulator) LUTs beside its DSPs (FINN-R, Blott et al., ACM TRETS 2018, arXiv 1809.04570, with constants as its
estimate in Xilinx/finn has them); an accumulator has W + A + log2 of the products that are summed. Addresses of a queue
take two counters of log2 of its words. An addition or comparison takes a LUT a bit (UG574, carry chains).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.cost.parts import ResourcePart
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.fpga import (
    DSP58_BITS,
    DSP58_INPUTS,
    Ram,
    dsps_a_product,
    products_together,
)
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.streams import FRAMES_OF_WEIGHTS
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Combine, Convolution, Pool, Product, Reduce, TransposedConvolution
from accelsim.units import ceil_div

#: LUTs of a matrix unit whatever its size, and tenths of a LUT for each that its adders would take.
UNIT_LUTS, ADDER_TENTHS = 300, 11
#: Bits up to which activations are made by comparisons with 2^bits - 1 thresholds a channel.
MOST_THRESHOLD_BITS = 16


@dataclass(frozen=True, slots=True)
class Use:
    """What one part of a layer takes: DSPs, LUTs beside those that are memory, and memories."""

    layer: str
    part: ResourcePart
    name: str
    dsp: int = 0
    lut: int = 0
    memories: tuple[Ram, ...] = ()


def stage_uses(design: Design, stage: Stage) -> Iterator[Use]:
    """What a stage takes beside the buffers in front of it; nothing for those that are not counted."""
    if stage.transfer is not None:
        return
    net, node, machine = design.network, stage.group.node, design.accelerator
    nest = loop_nest(net, node)
    if nest is not None and stage.unroll is not None:
        yield _multipliers(machine, node, nest, stage.unroll, net)
        weights = _weights(machine, net, node, stage.unroll)
        if weights is not None:
            yield weights
        if machine.activation_bits <= MOST_THRESHOLD_BITS:
            yield _thresholds(machine, nest, stage)
    elif (luts := _arithmetic_luts(design, stage)) is not None:
        yield Use(stage.name, "arithmetic", node.kind, lut=luts)


def is_counted(design: Design, stage: Stage) -> bool:
    """Whether there is a figure for a stage, or nothing that would need one."""
    return stage.is_source or stage.transfer is not None or any(True for _ in stage_uses(design, stage))


def buffer_use(design: Design, edge: Edge, elements: int) -> Use:
    """A buffer of `elements`, words as wide as its reader takes in a cycle."""
    width = _lanes_taken(design, edge) * design.accelerator.activation_bits
    words = ceil_div(elements * design.accelerator.activation_bits, width)
    luts = 2 * (max(words, 1) - 1).bit_length()
    return Use(edge.consumer, "buffer", edge.name, lut=luts, memories=(Ram(width, words),))


def accumulator_bits(machine: Accelerator, nest: LoopNest) -> int:
    """Bits of a sum of products that cannot overflow, or the machine's if these are fewer."""
    grown = machine.weight_bits + machine.activation_bits + (nest.inputs * nest.window - 1).bit_length()
    return min(machine.accumulator_bits, grown)


def _multipliers(machine: Accelerator, node: Node, nest: LoopNest, unroll: Unroll, net: Network) -> Use:
    elements, products = unroll.outputs * unroll.pixels, unroll.inputs * unroll.window
    both = machine.weight_bits + machine.activation_bits
    adders = elements * (both * (2 * products - 1) + accumulator_bits(machine, nest))
    lut = UNIT_LUTS + ceil_div(ADDER_TENTHS * adders, 10)
    return Use(node.name, "multipliers", node.kind, dsp=_dsps(machine, node, unroll, net), lut=lut)


def _dsps(machine: Accelerator, node: Node, unroll: Unroll, net: Network) -> int:
    """Outputs of a group share an input, and pixels a weight; what pairs up best is packed."""
    core = "dsp48" if machine.blocks is None else machine.blocks.core
    weight, activation = machine.weight_bits, machine.activation_bits
    products = unroll.inputs * unroll.window
    if core == "dsp58" and max(weight, activation) <= DSP58_BITS[0] and min(weight, activation) <= DSP58_BITS[1]:
        return ceil_div(products, DSP58_INPUTS) * unroll.outputs * unroll.pixels
    together = products_together(weight, activation)
    sharing = min(unroll.outputs, _outputs_a_group(net, node))
    by_outputs = unroll.pixels * ceil_div(unroll.outputs, sharing) * ceil_div(sharing, together)
    by_pixels = unroll.outputs * ceil_div(unroll.pixels, together)
    return products * min(by_outputs, by_pixels) * dsps_a_product(core, weight, activation)


def _outputs_a_group(net: Network, node: Node) -> int:
    layer = node.layer
    groups = layer.groups if isinstance(layer, Convolution | TransposedConvolution | Product) else 1
    return net.tensors[node.name].channels // groups


def _weights(machine: Accelerator, net: Network, node: Node, unroll: Unroll) -> Use | None:
    """Weights in words for one cycle; twice where the next frame's load meanwhile. None where there are none."""
    shapes = node.layer.weights(net.sources(node))
    if "weight" not in shapes:
        return None
    values = 1
    for size in shapes["weight"]:
        values *= size
    lanes = unroll.inputs * unroll.outputs * unroll.window
    frames = 1 if machine.weights == "resident" else FRAMES_OF_WEIGHTS
    words = ceil_div(values, lanes) * frames
    return Use(node.name, "weights", f"{node.name}.weight", memories=(Ram(lanes * machine.weight_bits, words),))


def _thresholds(machine: Accelerator, nest: LoopNest, stage: Stage) -> Use:
    """A comparison a bit: the k-th with one of 2^k thresholds of the channel, each in a memory of its own."""
    assert stage.unroll is not None
    bits = accumulator_bits(machine, nest)
    width = bits * stage.unroll.outputs * stage.unroll.pixels
    channels = ceil_div(stage.fired.channels, stage.unroll.outputs)
    levels = tuple(Ram(width, channels << bit) for bit in range(machine.activation_bits))
    luts = machine.activation_bits * width
    return Use(stage.name, "thresholds", f"{stage.name}.thresholds", lut=luts, memories=levels)


def _arithmetic_luts(design: Design, stage: Stage) -> int | None:
    """LUTs of element-wise operations and poolings; None for what has no figure."""
    layer, bits = stage.group.node.layer, design.accelerator.activation_bits
    lanes = ceil_div(stage.together * stage.fired.channels, stage.interval_cycles)
    operands = len(stage.group.operands)
    if isinstance(layer, Combine) and layer.operation in ("add", "subtract", "maximum", "minimum", "mean"):
        return lanes * bits * max(1, operands - 1)
    if isinstance(layer, Combine) and layer.operation == "multiply":
        return lanes * max(1, operands - 1) * (2 * ceil_div(2 * bits, 6) - 1) * 2 * bits
    if isinstance(layer, Pool) and layer.operation in ("maximum", "average"):
        taken = design.network.sources(stage.group.node)[0].elements * stage.together
        lanes = ceil_div(taken, stage.fired.pixels * stage.interval_cycles)
        return lanes * _sum_bits(bits, layer.kernel, layer.operation)
    if isinstance(layer, Reduce) and layer.operation in ("mean", "maximum", "minimum", "sum"):
        return lanes * _sum_bits(bits, layer.sizes(stage.fired), layer.operation)
    return None


def _sum_bits(bits: int, sizes: tuple[int, ...], operation: str) -> int:
    """Bits of what is compared, or of a sum over `sizes` points."""
    points = 1
    for size in sizes:
        points *= size
    return bits + ((points - 1).bit_length() if operation in ("average", "mean", "sum") else 0)


def _lanes_taken(design: Design, edge: Edge) -> int:
    """Elements that a reader takes of a buffer in a cycle."""
    reader = design.stage_by_name[edge.consumer]
    if reader.unroll is None or edge.reads != "window":
        return ceil_div(reader.together * edge.tensor.channels, reader.interval_cycles)
    node = reader.group.node
    groups = ceil_div(reader.unroll.outputs, _outputs_a_group(design.network, node))
    return reader.unroll.inputs * groups * reader.unroll.pixels
