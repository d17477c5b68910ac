"""Real networks made integer: as near as their widths allow, and told what cannot be."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.arithmetic.calibrate import Range, scale_and_zero
from accelsim.errors import InputError
from accelsim.network.graph import Node, network
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    Combine,
    Convolution,
    Dense,
    Input,
    Pool,
    Reduce,
    Softmax,
    TransposedConvolution,
)
from tests.network.naive_layers import random_weights, run

RNG = np.random.default_rng(0)


def small(seed=0):
    """A little of everything that has weights, with a squeeze-excite block over tiles."""
    nodes = [
        Node("x", Input(3, (12, 10))),
        Node("conv", Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), ("x",)),
        Node("norm", BatchNorm(), ("conv",)),
        Node("relu", Activation("relu"), ("norm",)),
        Node("deep", Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 8, True), ("relu",)),
        Node("silu", Activation("silu"), ("deep",)),
        Node("mean", Reduce("mean", (4, 10)), ("silu",)),
        Node("gate", Dense(8, True), ("mean",)),
        Node("sigmoid", Activation("sigmoid"), ("gate",)),
        Node("scaled", Combine("multiply", ((), (4, 10))), ("silu", "sigmoid")),
        Node("skip", Combine("add"), ("scaled", "relu")),
        Node("pool", Pool("average", (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), ("skip",)),
        Node("up", TransposedConvolution(6, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), (0, 0), 2, True), ("pool",)),
        Node("score", Dense(5), ("up",)),
        Node("y", Softmax(), ("score",)),
    ]
    bare = network("small", nodes, ["y"])
    return network("small", nodes, ["y"], (), random_weights(bare, seed))


def frames(count=4, seed=3):
    return np.random.default_rng(seed).normal(size=(count, 3, 12, 10)).astype(np.float32)


@pytest.mark.parametrize("requantiser", ["float", "fixed_point"])
@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_near_the_real_network(requantiser, method):
    net, x = small(), frames()
    inet = acs.quantise(net, x, acs.Recipe(method=method), requantiser)
    assert inet.real_nodes == ()
    (made,) = acs.execute(inet, x).values()
    for image, own in zip(x, made, strict=True):
        real = run(net, {"x": np.moveaxis(image, 0, -1).astype(np.float64)})["y"]
        assert np.abs(own - np.moveaxis(real, -1, 0)).max() < 0.05
    assert all(row.cosine > 0.99 and row.sqnr_db > 15 for row in acs.fidelity(net, inet, x))


def test_wider_integers_are_nearer():
    net, x = small(), frames()
    noise = []
    for bits in (4, 8, 12, 16):
        recipe = acs.Recipe(acs.IntegerType(bits), acs.IntegerType(bits, narrow=True))
        noise.append(acs.fidelity(net, acs.quantise(net, x, recipe, accumulator=acs.Accumulator(48)), x)[-2].sqnr_db)
    assert noise == sorted(noise)
    assert noise[-1] - noise[0] > 30


def test_a_scale_a_channel_is_no_worse_than_one_for_all():
    net, x = small(), frames()
    one, many = (
        acs.fidelity(net, acs.quantise(net, x, acs.Recipe(weights=acs.IntegerType(4), per_channel=own)), x)[-2].sqnr_db
        for own in (False, True)
    )
    assert many >= one


def test_batch_norms_are_folded():
    inet = acs.quantise(small(), frames())
    assert "norm" not in inet.network.by_name
    assert inet.network.by_name["conv"].layer.bias


def test_shared_weights_become_integers_of_their_own():
    """In another range of inputs the same bias is another integer."""
    nodes = [
        Node("x", Input(2, (4,))), Node("a", Dense(2, True), ("x",)), Node("b", Dense(2, True), ("a",), shares="a"),
    ]  # fmt: skip
    arrays = {"a.weight": np.array([[3, 1], [0.5, -2]], np.float32), "a.bias": np.array([1, -1], np.float32)}
    net = network("shared", nodes, ["b"], (), arrays)
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    inet = acs.quantise(net, x)
    assert np.array_equal(inet.network.parameters["a.weight"], inet.network.parameters["b.weight"])
    assert not np.array_equal(inet.network.parameters["a.bias"], inet.network.parameters["b.bias"])
    assert acs.fidelity(net, inet, x)[-1].sqnr_db > 30


def test_what_is_only_clamped_or_moved_keeps_its_format():
    inet = acs.quantise(small(), frames())
    assert inet.formats["conv"] == inet.formats["relu"]


def test_symmetric_activations_have_no_zero_point():
    inet = acs.quantise(small(), frames(), acs.Recipe(symmetric=True))
    assert all(kind.symmetric for name, kind in inet.formats.items() if name != "y")


def test_calibration_by_name_and_in_parts():
    net, x = small(), frames()
    whole = acs.quantise(net, x)
    assert acs.quantise(net, {"x": x}).formats == whole.formats
    assert acs.quantise(net, [x[:1], {"x": x[1:]}]).formats == whole.formats


@pytest.mark.parametrize(
    ("low", "high", "symmetric"), [(-1.0, 3.0, False), (0.0, 5.0, False), (-2.0, 0.0, False), (-3.0, 1.0, True)]
)
def test_a_range_is_covered_and_zero_is_exact(low, high, symmetric):
    kind = acs.IntegerType(8)
    scale, zero = scale_and_zero(Range(low, high), kind, symmetric)
    step = scale * (1 + 1e-6)
    assert (kind.low - zero) * scale <= low + step
    assert (kind.high - zero) * scale >= high - step
    assert kind.low <= zero <= kind.high


def test_a_tensor_of_nothing_but_zeros():
    net = network(
        "zeros", [Node("x", Input(2, (3,))), Node("y", Dense(2, True), ("x",))], ["y"], (),
        {"y.weight": np.zeros((2, 2), np.float32), "y.bias": np.zeros(2, np.float32)},
    )  # fmt: skip
    x = np.zeros((1, 2, 3), np.float32)
    assert not acs.execute(acs.quantise(net, x), x)["y"].any()


def test_a_bias_too_large_for_its_scale_widens_it():
    arrays = {"y.weight": np.full((2, 1), 1e-9, np.float32), "y.bias": np.array([1000, -2000], np.float32)}
    net = network("biased", [Node("x", Input(1, (1,))), Node("y", Dense(2, True), ("x",))], ["y"], (), arrays)
    x = np.ones((1, 1, 1), np.float32)
    inet = acs.quantise(net, x)
    assert np.abs(inet.network.parameters["y.bias"].astype(np.int64)).max() <= 2**30 * (1 + 1e-6)
    assert np.allclose(acs.execute(inet, x)["y"].ravel(), [1000, -2000], rtol=0.01)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((1, 3, 12, 10), np.nan, np.float32), "small: input x: values that are not finite"),
        (np.full((1, 3, 12, 10), np.inf, np.float32), "not finite"),
        (np.zeros((1, 3, 12, 11), np.float32), "shape"),
        (np.zeros((0, 3, 12, 10), np.float32), "shape"),
        (np.zeros((1, 3, 12, 10), np.int8), "real numbers"),
        (np.full((1, 3, 12, 10), 1e300), "not finite in single precision"),
        ([], "calibration without a single frame"),
        (None, "calibration = None is no array"),
    ],
)
def test_calibration_that_does_not_fit(x, words):
    with pytest.raises(InputError, match=words):
        acs.quantise(small(), x)


@pytest.mark.parametrize("threads", [0, -1, 1.5, None])
def test_threads_that_are_no_number(threads):
    inet = acs.quantise(small(), frames(1))
    with pytest.raises(InputError, match=r"threads = .* is no whole number from 1"):
        acs.execute(inet, frames(1), threads=threads)


def test_networks_of_another_kind_and_requantisers_there_are_none_of():
    inet = acs.quantise(small(), frames(1))
    with pytest.raises(InputError, match="IntegerNetwork where a network in real numbers is expected"):
        acs.quantise(inet, frames(1))
    with pytest.raises(InputError, match="Network where an integer network is expected: quantise makes one"):
        acs.execute(small(), frames(1))
    with pytest.raises(InputError, match="requantiser = 'double' is not float or fixed_point"):
        acs.quantise(small(), frames(1), requantiser="double")


def test_numbers_that_grow_out_of_bounds_are_told_where():
    net = network("large", [Node("x", Input(1, (1,))), Node("y", Activation("exp"), ("x",))], ["y"])
    with pytest.raises(InputError, match=r"large: y \(activation\) takes values that are not finite"):
        acs.quantise(net, np.full((1, 1, 1), 200, np.float32))


def test_a_network_without_weights():
    with pytest.raises(InputError, match=r"conv \(convolution\) has no values for weight"):
        acs.quantise(network("bare", small().nodes, ["y"]), frames())


@pytest.mark.parametrize(
    "arguments",
    [{"method": "entropy"}, {"percentile": 10}, {"weights": acs.IntegerType(8, signed=False)},
     {"activations": acs.IntegerType(17)}],
)  # fmt: skip
def test_recipes_that_are_none(arguments):
    with pytest.raises(InputError):
        acs.Recipe(**arguments)


def test_inputs_by_other_names_are_told_in_order():
    inet = acs.quantise(small(), frames())
    (port,) = inet.network.inputs
    given = {1: frames(1), "else": frames(1)}
    with pytest.raises(InputError) as caught:
        acs.execute(inet, given)
    others = [f"{inet.name}: no input '{name}'; inputs are {port.name}" for name in given]
    assert str(caught.value).splitlines() == [f"{inet.name}: input '{port.name}' is missing", *others]
