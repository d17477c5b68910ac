"""Ranges and densities beside plain loops over the same numbers."""

from itertools import product

import numpy as np
import pytest

import accelsim as acs
from accelsim.arithmetic.execute import each_frame, program_of
from accelsim.arithmetic.statistics import shifted_weights, useful_products
from accelsim.errors import InputError
from accelsim.network.graph import Node, network
from accelsim.network.layers import Convolution, Dense, Input, Product, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.network.writers.yaml import write_yaml_network
from tests.arithmetic.test_quantise import frames, small

RNG = np.random.default_rng(0)


def mask(*shape):
    return RNG.random(shape) < 0.6


def convolved(layer, source, weight, spatial):
    """Products of operands that are not 0, one at a time."""
    ins, outs = source.shape[-1] // layer.groups, layer.channels // layer.groups
    total = 0
    for out, there in product(range(layer.channels), np.ndindex(*spatial)):
        for k, taps in product(range(ins), np.ndindex(*layer.kernel)):
            axes = zip(there, taps, layer.stride, layer.dilation, layer.padding, strict=True)
            here = tuple(o * s + t * d - p[0] for o, t, s, d, p in axes)
            if all(0 <= h < n for h, n in zip(here, source.shape, strict=False)):
                total += int(source[(*here, out // outs * ins + k)] and weight[(out, k, *taps)])
    return total


@pytest.mark.parametrize(
    "layer",
    [
        Convolution(6, (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2), 2),
        Convolution(4, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 4),
        Convolution(3, (5, 3), (1, 2), ((4, 4), (1, 0)), (1, 1), 1),
    ],
)
def test_useful_products_of_a_convolution(layer):
    source, weight = mask(7, 6, 4), mask(layer.channels, 4 // layer.groups, *layer.kernel)
    spatial = layer.output((Tensor(4, (7, 6)),)).spatial
    assert useful_products(layer, [source, weight], spatial) == convolved(layer, source, weight, spatial)


def test_useful_products_of_a_transposed_convolution():
    layer = TransposedConvolution(6, (3, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), (0, 0), 2)
    source, weight = mask(4, 3, 4), mask(4, 3, 3, 2)
    expected = sum(int(source[..., c].sum() * weight[c].sum()) for c in range(4))
    assert useful_products(layer, [source, weight], (9, 6)) == expected


def test_useful_products_of_a_dense_layer():
    source, weight = mask(5, 4), mask(3, 4)
    assert useful_products(Dense(3), [source, weight], (5,)) == int((source[:, None] & weight).sum())


@pytest.mark.parametrize("transposed", [True, False])
def test_useful_products_of_two_activations(transposed):
    first, second = mask(2, 5, 6), mask(2, *((7, 6) if transposed else (3, 8)))
    layer = Product(transposed=transposed, groups=2)
    total = 0
    for a, b in zip(np.split(first, 2, -1), np.split(second, 2, -1), strict=True):
        other = b if transposed else b.swapaxes(-1, -2)
        total += int((a[:, :, None] & other[:, None]).sum())
    assert useful_products(layer, [first, second], (2, 5)) == total


def test_figures_of_a_network_with_everything():
    inet, x = acs.quantise(small(), frames()), frames(3)
    found = acs.statistics(inet, x)
    assert list(found) == [node.name for node in inet.network.nodes]
    every = {name: [] for name in found}
    for feeds in each_frame(inet, {"x": x}):
        for name, value in program_of(inet).tensors(feeds, set(found)).items():
            every[name].append(value)
    for name, figures in found.items():
        kind = inet.formats[name]
        values = np.stack(every[name]).astype(np.int64) - kind.zero_point[0]
        assert figures.zero_density == (values == 0).mean()
        assert (figures.least, figures.most) == tuple(
            float(np.float32(end) * np.float32(kind.scale[0])) for end in (values.min(), values.max())
        )
        ones = sum(bin(abs(int(v))).count("1") for v in values.reshape(-1))
        assert figures.bit_density == ones / (values.size * 8)
    assert found["relu"].least == 0
    assert {name for name, figures in found.items() if figures.sparsity is not None} == {
        "conv", "deep", "gate", "up", "score",
    }  # fmt: skip


def test_weights_without_their_zero_points():
    inet = acs.quantise(small(), frames())
    node = inet.network.by_name["up"]
    assert np.array_equal(shifted_weights(inet, node), inet.network.parameters["up.weight"])
    figures = acs.statistics(inet, frames(1))["up"]
    integers = inet.network.parameters["up.weight"].astype(int)
    assert figures.weight_zero_density == pytest.approx((integers == 0).mean())
    assert figures.weight_bit_density == sum(bin(abs(w)).count("1") for w in integers.flat) / (integers.size * 8)


def test_zeros_on_the_way_in_are_idle_products():
    nodes = [Node("x", Input(1, (4, 4))), Node("y", Convolution(1, (1, 1), (1, 1), ((0, 0),) * 2, (1, 1)), ("x",))]
    net = network("one", nodes, ["y"], (), {"y.weight": np.ones((1, 1, 1, 1), np.float32)})
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[..., :1] = 1
    found = acs.statistics(acs.quantise(net, x), x)
    assert found["x"].zero_density == found["y"].sparsity == 0.75


def test_statistics_go_with_the_network(tmp_path):
    inet, x = acs.quantise(small(), frames()), frames(2)
    found = acs.statistics(inet, x)
    net = inet.network.with_statistics(found)
    write_yaml_network(net, tmp_path / "net.yaml")
    assert acs.load_network(tmp_path / "net.yaml").statistics == found
    assert acs.map_network(net, acs.load_accelerator("streaming-asic")).network.statistics == found


def test_a_rewrite_keeps_the_figures_of_what_it_leaves_alone():
    inet = acs.quantise(small(), frames())
    net = inet.network.with_statistics(acs.statistics(inet, frames(1)))
    tiled = acs.tile_attention(net, rows=2)
    assert set(tiled.statistics) == {"x", "conv", "relu", "deep", "silu"}


def test_figures_of_no_layer_or_out_of_range_are_refused(tmp_path):
    net = small()
    with pytest.raises(InputError, match="statistics of 'none', which is no layer"):
        net.with_statistics({"none": acs.LayerStatistics(0, 1, 0)})
    with pytest.raises(InputError, match=r"zero_density = 1\.5 is not from 0 to 1"):
        acs.LayerStatistics(0, 1, 1.5)
    with pytest.raises(InputError, match="no range"):
        acs.LayerStatistics(float("nan"), 1, 0.5)
    write_yaml_network(net, tmp_path / "net.yaml")
    text = (tmp_path / "net.yaml").read_text(encoding="utf-8")
    wrong = "statistics:\n  none: {least: 0, most: 1, zero_density: 0}\n  x: {least: 2, most: 1, zero_density: 0}\n"
    (tmp_path / "net.yaml").write_text(text + wrong, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        acs.load_network(tmp_path / "net.yaml")
    assert "statistics.none is no layer" in str(caught.value)
    assert "statistics.x values from 2.0 to 1.0 are no range" in str(caught.value)
