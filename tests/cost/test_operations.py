"""Operations of layers that are no products, counted by hand."""

import pytest

from accelsim import load_accelerator
from accelsim.cost.operations import Operations, operations
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Convolution,
    Pool,
    PRelu,
    Reduce,
)
from accelsim.network.tensor import Tensor

MAP = Tensor(8, (6, 6))


@pytest.mark.parametrize(
    ("layer", "inputs", "expected"),
    [
        (Combine("add"), (MAP,) * 3, [Operations("add", 2 * 288)]),
        (Combine("maximum"), (MAP,) * 2, [Operations("add", 288)]),
        (Combine("multiply"), (MAP, Tensor(8)), [Operations("multiply", 288)]),
        (Combine("divide"), (MAP,) * 2, []),
        (Pool("maximum", (2, 2), (2, 2), ((0, 0),) * 2, (1, 1)), (MAP,), [Operations("add", 3 * 8 * 9)]),
        (Pool("average", (3, 3), (3, 3), ((0, 0),) * 2, (1, 1)), (MAP,), [Operations("add", 8 * 8 * 4, True)]),
        (Pool("maximum", (3, 3), (1, 1), ((1, 1),) * 2, (1, 1)), (MAP,), [Operations("add", 8 * (16 * 16 - 36))]),
        (Pool("lp", (2, 2), (2, 2), ((0, 0),) * 2, (1, 1)), (MAP,), []),
        (Reduce("mean"), (MAP,), [Operations("add", 8 * 35, True)]),
        (Reduce("maximum", (2, 6)), (MAP,), [Operations("add", 8 * (36 - 3))]),
        (ChannelPool("maximum", 4), (MAP,), [Operations("add", 6 * 36)]),
        (BatchNorm(), (MAP,), [Operations("multiply", 288), Operations("add", 288, True)]),
        (PRelu(), (MAP,), [Operations("multiply", 288)]),
        (Activation("relu"), (MAP,), []),
        (Convolution(4, (1, 1), (1, 1), ((0, 0),) * 2, (1, 1)), (MAP,), []),
    ],
)
def test_operations_are_those_counted_by_hand(layer, inputs, expected):
    assert list(operations(layer, inputs, layer.output(inputs))) == expected


def test_sums_are_as_wide_as_an_accumulator():
    machine = load_accelerator("streaming-asic")
    assert Operations("add", 1).bits(machine) == 8
    assert Operations("add", 1, True).bits(machine) == 32
