"""Which tokens a token reads, against networks of ones: an input is read where changing it changes the output."""

from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.network import layers as kinds
from accelsim.network.layers import Combine, Pad, Product, Rearrange, Reduce, Slice
from accelsim.network.reach import token_reach
from tests.random_networks import random_network

NETWORKS = 400


def changes(layer, operand, inputs, output):
    """bool[input pixels, output pixels]: what changes where a pixel of `operand` does.

    Every layer is evaluated as a sum of all it reads, on arrays (pixel changed, *spatial, channels).
    """
    source = inputs[operand]
    one_hot = np.eye(source.elements, dtype=np.int64).reshape(-1, *source.spatial, source.channels)
    result = evaluate(layer, operand, inputs, output, one_hot)
    assert result.shape[1:] == (*output.spatial, output.channels)
    elements = result.reshape(source.pixels, source.channels, output.pixels, output.channels) != 0
    return elements.any(axis=(1, 3))


def evaluate(layer, operand, inputs, output, x):
    axes = range(1, x.ndim - 1)
    if isinstance(layer, kinds.Convolution | kinds.Pool):
        return across_channels(layer, output, windows(layer, x, output))
    if isinstance(layer, kinds.TransposedConvolution):
        return across_channels(layer, output, scattered(layer, x, output))
    if isinstance(layer, Reduce):
        tile = inputs[0].spatial if layer.tile is None else layer.tile
        for axis, size in zip(axes, tile, strict=True):
            x = np.add.reduceat(x, np.arange(0, x.shape[axis], size), axis=axis)
        return x
    if isinstance(layer, Combine):
        if layer.repeat and layer.repeat[operand]:
            for axis, times in zip(axes, layer.repeat[operand], strict=True):
                x = np.repeat(x, times, axis=axis).take(range(output.spatial[axis - 1]), axis=axis)
        missing = len(output.spatial) - (x.ndim - 2)
        x = x.reshape(x.shape[0], *(1,) * missing, *x.shape[1:])
        return x * np.ones((1, *output.spatial, output.channels), np.int64)
    if isinstance(layer, kinds.Concat):
        parts = [np.zeros((len(x), *t.spatial, t.channels), np.int64) for t in inputs]
        parts[operand] = x
        return np.concatenate(parts, axis=-1 if layer.axis < 0 else layer.axis + 1)
    if isinstance(layer, Slice):
        axis = x.ndim - 1 if layer.axis < 0 else layer.axis + 1
        return x.take(layer.start + np.arange(layer.size) * layer.step, axis=axis)
    if isinstance(layer, Pad):
        return padded(layer, x)
    if isinstance(layer, Rearrange):
        moved = x.reshape(len(x), *layer.split).transpose(0, *(axis + 1 for axis in layer.order))
        return moved.reshape(len(x), *layer.spatial, layer.channels)
    if isinstance(layer, Product):
        return product(layer, operand, inputs, x)
    if isinstance(layer, kinds.Normalise | kinds.Softmax) and layer.over != "channels":
        return x + x.sum(axis=(*axes, x.ndim - 1), keepdims=True)
    return np.repeat(x.sum(axis=-1, keepdims=True), output.channels, axis=-1)


def across_channels(layer, output, x):
    if isinstance(layer, kinds.Pool):
        return x
    by_group = x.reshape(*x.shape[:-1], layer.groups, -1).sum(axis=-1)
    return np.repeat(by_group, output.channels // layer.groups, axis=-1)


def windows(layer, x, output):
    # in ceil mode, and where a slice has its last stride to go, taps lie beyond the padding
    beyond = [k * d + s for k, s, d in zip(layer.kernel, layer.stride, layer.dilation, strict=True)]
    x = np.pad(x, [(0, 0), *((p[0], p[1] + b) for p, b in zip(layer.padding, beyond, strict=True)), (0, 0)])
    total = 0
    for tap in np.ndindex(layer.kernel):
        begin = [k * d for k, d in zip(tap, layer.dilation, strict=True)]
        cut = [slice(b, b + o * s, s) for b, o, s in zip(begin, output.spatial, layer.stride, strict=True)]
        total = total + x[(slice(None), *cut)]
    return total


def scattered(layer, x, output):
    sizes = [
        (n - 1) * s + d * (k - 1) + 1 + o
        for n, s, d, k, o in zip(x.shape[1:-1], layer.stride, layer.dilation, layer.kernel, output.spatial, strict=True)
    ]
    total = np.zeros((len(x), *sizes, x.shape[-1]), np.int64)
    for tap in np.ndindex(layer.kernel):
        fields = zip(tap, layer.dilation, x.shape[1:-1], layer.stride, strict=True)
        total[(slice(None), *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in fields))] += x
    cropped = (slice(p[0], p[0] + o) for p, o in zip(layer.padding, output.spatial, strict=True))
    return total[(slice(None), *cropped)]


def padded(layer, x):
    crop = [slice(-min(p[0], 0), n + min(p[1], 0)) for p, n in zip(layer.padding, x.shape[1:-1], strict=True)]
    grow = [(max(p[0], 0), max(p[1], 0)) for p in layer.padding]
    x = x[(slice(None), *crop)]
    x = np.pad(x, [(0, 0), *grow, (0, 0)], mode=layer.mode)
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [layer.channel_padding], constant_values=0)


def product(layer, operand, inputs, x):
    """Operands as (changed, lead..., groups, rows, columns)."""
    ones = [np.ones((1, *t.spatial, t.channels), np.int64) for t in inputs]
    ones[operand] = x
    first, second = (a if a.ndim > 2 else a[:, None] for a in ones)
    first, second = (a.reshape(*a.shape[:-1], layer.groups, -1) for a in (first, second))
    first, second = (np.moveaxis(a, -2, -3) for a in (first, second))
    longest = max(first.ndim, second.ndim)
    first, second = (a.reshape(a.shape[0], *(1,) * (longest - a.ndim), *a.shape[1:]) for a in (first, second))
    result = first @ (np.swapaxes(second, -1, -2) if layer.transposed else second)
    result = np.moveaxis(result, -3, -2)
    result = result.reshape(*result.shape[:-2], -1)
    return result if inputs[0].spatial else result[..., 0, :]


def by_token(read, source, output, granularity):
    """bool[input tokens, output tokens] from bool[input pixels, output pixels]."""
    if granularity == "pixel":
        return read
    return read.reshape(source.rows, source.row_pixels, output.rows, output.row_pixels).any(axis=(1, 3))


def assert_reach(layer, operand, inputs, output):
    source, read = inputs[operand], changes(layer, operand, inputs, output)
    for granularity in ("pixel", "row"):
        found = token_reach(layer, operand, inputs, output, granularity)
        tokens = by_token(read, source, output, granularity)
        for token in range(tokens.shape[1]):
            needed = np.flatnonzero(tokens[:, token])
            if needed.size:
                assert (found.first[token], found.last[token]) == (needed[0], needed[-1])
            else:
                assert found.last[token] == -1
                assert found.first[token] >= tokens.shape[0]
    if isinstance(layer, Rearrange) or len(source.spatial) < 2 or len(output.spatial) < 2:
        assert (found.head, found.tail) == (source.row_pixels, output.row_pixels)
        return
    if not read.any():
        return
    columns = read.reshape(source.rows, source.row_pixels, output.rows, output.row_pixels).any(axis=(0, 2))
    newest = np.flatnonzero(columns.any(axis=1))[-1]
    early = columns.shape[1] - found.tail
    assert not columns[found.head :, 0].any()
    assert found.head == 0 or columns[found.head - 1, 0]
    assert not columns[newest, :early].any()
    assert columns[newest, early]


def operands(net):
    for node in net.nodes:
        for operand in range(len(node.inputs)):
            yield node.layer, operand, net.sources(node), net.tensors[node.name]


def test_every_layer_of_random_networks():
    seen = set()
    for seed in range(NETWORKS):
        for layer, operand, inputs, output in operands(random_network(Random(seed))):
            seen.add(type(layer))
            if not isinstance(layer, kinds.Resize):  # where a sample falls is tested with the windows
                assert_reach(layer, operand, inputs, output)
    assert seen == set(kinds.KINDS.values()) - {kinds.Input, kinds.Constant}


@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_any_layer(rng):
    for layer, operand, inputs, output in operands(random_network(rng)):
        if not isinstance(layer, kinds.Resize):
            assert_reach(layer, operand, inputs, output)
