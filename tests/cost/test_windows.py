"""Reads of buffers against loops over every output and tap."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cost.windows import elements_read
from accelsim.network.layers import Combine, Convolution, Dense, Pool, Product, Reduce, Slice, Softmax
from accelsim.network.tensor import Tensor


def taps_of(position, size, kernel, stride, dilation, before):
    """Input coordinates that one output reads along an axis."""
    places = (position * stride - before + tap * dilation for tap in range(kernel))
    return [place for place in places if 0 <= place < size]


def counted(layer, source, output, slides):
    """Elements read, output by output; with sliding windows a row of outputs remembers its columns."""
    reads = 0
    for row in range(output.spatial[0]):
        seen = set()
        for column in range(output.spatial[1]):
            axes = zip((row, column), source.spatial, layer.kernel, layer.stride, layer.dilation, strict=True)
            rows, columns = (
                taps_of(at, n, k, s, d, p[0]) for (at, n, k, s, d), p in zip(axes, layer.padding, strict=True)
            )
            taps = set(product(rows, columns))
            reads += len({tap for tap in taps if tap[1] not in seen} if slides else taps)
            seen |= set(columns)
    return reads * source.channels


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    before=st.integers(0, 1),
    slides=st.booleans(),
)
def test_windows_read_what_loops_read(size, kernel, stride, dilation, before, slides):
    source = Tensor(3, size)
    padding = ((before, 1), (before, 0))
    for layer in (
        Convolution(4, kernel, stride, padding, dilation),
        Pool("maximum", kernel, stride, padding, dilation),
    ):
        output = layer.output((source,))
        assert elements_read(layer, 0, (source,), output, slides) == counted(layer, source, output, slides)


@pytest.mark.parametrize(
    ("layer", "inputs", "operand", "expected"),
    [
        (Reduce("mean"), (Tensor(8, (5, 7)),), 0, 8 * 35),
        (Dense(10), (Tensor(8),), 0, 8),
        (Combine("add"), (Tensor(8, (5, 7)),) * 2, 1, 8 * 35),
        (Combine("multiply"), (Tensor(8, (5, 7)), Tensor(8)), 1, 8 * 5),  # a gate stays along a row
        (Combine("multiply"), (Tensor(8, (5, 7)), Tensor(8, (1, 1))), 1, 8 * 5),
        (Slice(-1, 2, 3), (Tensor(8, (5, 7)),), 0, 3 * 35),
        (Slice(0, 1, 3), (Tensor(8, (5, 7)),), 0, 8 * 3 * 7),
        (Softmax(over="space"), (Tensor(8, (5, 7)),), 0, 2 * 8 * 35),
        (Softmax(), (Tensor(8, (5, 7)),), 0, 8 * 35),
        (Product(2, transposed=True), (Tensor(16, (5,)), Tensor(16, (7,))), 0, 16 * 5),
    ],
)
def test_reads_of_other_layers(layer, inputs, operand, expected):
    assert elements_read(layer, operand, inputs, layer.output(inputs), True) == expected
