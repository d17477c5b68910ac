"""The hardware that pools channels on the way out of a convolution, beside the multipliers that it follows.

A stage makes a block of outputs side by side: some channels of some pixels, by its unrolling. The unit folds a block
into one register for every pooled channel that the block touches, with as many comparators or adders as are done
before the next block comes. Stages that are on the engine together need a unit each; of segments that take turns
the one that needs most counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from accelsim.hardware.engine import SystolicEngine
from accelsim.hardware.gates import adder_gates, multiplier_gates, register_gates, selector_gates
from accelsim.mapping.design import Design, Stage
from accelsim.mapping.stages import first_pool
from accelsim.mapping.work import loop_nest
from accelsim.network.layers import ChannelPool
from accelsim.units import ceil_div

#: Operations that choose one of two values, and those that add them up.
CHOOSING = ("maximum", "minimum")
ADDING = ("mean", "sum")


@dataclass(frozen=True, slots=True)
class Block:
    """Outputs that a stage makes in one go: channels by pixels, every `cycles` cycles."""

    channels: int
    pixels: int
    cycles: int = 1

    @property
    def outputs(self) -> int:
        return self.channels * self.pixels


@dataclass(frozen=True, slots=True)
class PoolingUnit:
    """Its registers and operators (comparators or adders), and what these take in gate equivalents.

    `gates` is None where an operation has no count.
    """

    block_outputs: int
    register_bits: int
    operators: int
    gates: Fraction | None


def pooling_unit(design: Design) -> PoolingUnit | None:
    """What the machine needs to pool channels on the way out as this design does; None where it pools none."""
    pooled = [[unit for stage in stages if (unit := _unit_of(design, stage))] for stages in together(design)]
    units = [_sum(units) for units in pooled if units]
    if not units:
        return None
    gates = [unit.gates for unit in units if unit.gates is not None]
    return PoolingUnit(
        block_outputs=max(unit.block_outputs for unit in units),
        register_bits=max(unit.register_bits for unit in units),
        operators=max(unit.operators for unit in units),
        gates=max(gates) if len(gates) == len(units) else None,
    )


def engine_gates(design: Design) -> Fraction:
    """Gates of all multipliers and accumulators, at the least.

    Every multiplier has an adder as wide as its product; every output that is made side by side has an
    accumulator, an adder and a register. Operand and pipeline registers and all control are left out.
    """
    machine = design.accelerator
    product_bits = machine.activation_bits + machine.weight_bits
    each = multiplier_gates(machine.activation_bits, machine.weight_bits) + adder_gates(product_bits)
    sums = max(sum(block_of(design, stage).outputs for stage in stages) for stages in together(design))
    accumulator = adder_gates(machine.accumulator_bits) + register_gates(machine.accumulator_bits)
    return machine.engine.multipliers * each + sums * accumulator


def together(design: Design) -> Iterable[list[Stage]]:
    """Stages that multiply, by what is on the engine at once."""
    parts = [segment.layers for segment in design.mapping.segments] or [tuple(design.stage_by_name)]
    for part in parts:
        stages = (design.stage_by_name[name] for name in part)
        yield [stage for stage in stages if loop_nest(design.network, stage.group.node)]


def block_of(design: Design, stage: Stage) -> Block:
    """The outputs that a stage makes side by side; a systolic array gives out a row of its columns at a time."""
    engine, nest = design.accelerator.engine, loop_nest(design.network, stage.group.node)
    assert nest is not None
    if isinstance(engine, SystolicEngine):
        if engine.dataflow == "input-stationary":
            return Block(1, min(engine.columns, stage.fired.pixels))
        return Block(min(engine.columns, nest.outputs), 1)
    assert stage.unroll is not None
    cycles = nest.inputs // stage.unroll.inputs * (nest.window // stage.unroll.window)
    return Block(stage.unroll.outputs, stage.unroll.pixels, cycles)


def touched(channels: int, factor: int) -> int:
    """Most pooled channels that a block of `channels` touches, blocks and runs of `factor` each being laid end to end.

    A block begins at a multiple of gcd(channels, factor) in a run.
    """
    return ceil_div(factor - gcd(channels, factor) + channels, factor)


def _unit_of(design: Design, stage: Stage) -> PoolingUnit | None:
    node = first_pool(design.network, stage.group)
    if node is None:
        return None
    assert isinstance(node.layer, ChannelPool)
    block, factor, operation = block_of(design, stage), node.layer.factor, node.layer.operation
    outputs = touched(block.channels, factor) * block.pixels
    # a block of whole runs needs no operator for what begins a run
    begun = block.channels // factor if block.channels % factor == 0 else 0
    operators = ceil_div((block.channels - begun) * block.pixels, block.cycles)
    bits = design.accelerator.activation_bits + (ceil_log2(factor) if operation in ADDING else 0)
    gates = _operator_gates(operation, bits)
    if gates is not None:
        gates = operators * gates + register_gates(outputs * bits)
        if operation == "mean" and factor & (factor - 1):
            gates += outputs * multiplier_gates(bits, design.accelerator.activation_bits)
    return PoolingUnit(outputs, outputs * bits, operators, gates)


def _operator_gates(operation: str, bits: int) -> Fraction | None:
    if operation in CHOOSING:
        return selector_gates(bits)
    return adder_gates(bits) if operation in ADDING else None


def ceil_log2(value: int) -> int:
    """The bits by which a sum of `value` numbers is wider than these."""
    return (value - 1).bit_length()


def _sum(units: list[PoolingUnit]) -> PoolingUnit:
    gates = [unit.gates for unit in units if unit.gates is not None]
    return PoolingUnit(
        block_outputs=sum(unit.block_outputs for unit in units),
        register_bits=sum(unit.register_bits for unit in units),
        operators=sum(unit.operators for unit in units),
        gates=sum(gates, Fraction(0)) if len(gates) == len(units) else None,
    )
