"""Additions and multiplications of layers that are no products: joins, pools, averages, scales.

Tables of activations, divisions, powers, roots, exponentials and interpolation are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

from accelsim.cost.windows import elements_read
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.technology import Kind
from accelsim.network.layers import BatchNorm, ChannelPool, Combine, Inputs, Layer, Pool, PRelu, Reduce
from accelsim.network.tensor import Tensor

#: Operations that add or compare two values, and those whose sums are as wide as an accumulator.
ADDING = ("add", "subtract", "maximum", "minimum", "mean", "sum", "average")
SUMMING = ("mean", "sum", "average")


class Operations(NamedTuple):
    """So many of a kind in a frame, of operands as wide as activations, or as an accumulator."""

    kind: Kind
    amount: int
    is_wide: bool = False

    def bits(self, machine: Accelerator) -> int:
        return machine.accumulator_bits if self.is_wide else machine.activation_bits


@singledispatch
def operations(layer: Layer, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    """What a layer computes besides products."""
    return iter(())


@operations.register
def _(layer: Combine, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    count = (len(inputs) - 1) * output.elements
    if layer.operation == "multiply":
        yield Operations("multiply", count)
    elif layer.operation in ADDING:
        yield Operations("add", count)


@operations.register
def _(layer: Pool, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    taps = elements_read(layer, 0, inputs, output, slides=False)
    yield from _folded(layer.operation, max(0, taps - output.elements))


@operations.register
def _(layer: Reduce, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    yield from _folded(layer.operation, inputs[0].elements - output.elements)


@operations.register
def _(layer: ChannelPool, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    yield from _folded(layer.operation, inputs[0].elements - output.elements)


@operations.register
def _(layer: BatchNorm, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    yield Operations("multiply", output.elements)
    yield Operations("add", output.elements, is_wide=True)


@operations.register
def _(layer: PRelu, inputs: Inputs, output: Tensor) -> Iterator[Operations]:
    yield Operations("multiply", output.elements)


def _folded(operation: str, count: int) -> Iterator[Operations]:
    """Values taken together one by one."""
    if operation in ADDING:
        yield Operations("add", count, is_wide=operation in SUMMING)
