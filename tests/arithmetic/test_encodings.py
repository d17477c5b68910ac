import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.arithmetic.encodings import Encoding
from accelsim.arithmetic.formats import Format, IntegerType
from accelsim.arithmetic.minifloats import FloatType
from accelsim.arithmetic.network import integer_network
from accelsim.errors import InputError
from accelsim.network.graph import Node, Port, network
from accelsim.network.layers import Activation, Input, Rearrange

E4M3, E2M1 = FloatType(4, 3, 7, "nan"), FloatType(2, 1, 1)


def single(*values):
    return np.array(values[0] if len(values) == 1 else values, np.float32)


@settings(deadline=None)
@given(st.floats(2**-20, 2**20, width=32), st.sampled_from([E4M3, E2M1, FloatType(5, 2, 16, "negative_zero")]))
def test_every_number_survives_being_real(scale, kind):
    own = Encoding(kind, single(scale), np.zeros((), np.int64))
    numbers = kind.nearest(np.linspace(-kind.largest, kind.largest, 999))
    assert np.array_equal(own.nearest(own.real(numbers)), numbers)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 16), st.booleans())
def test_a_scale_a_channel_of_integers_is_what_a_format_has(seed, bits, signed):
    rng, kind = np.random.default_rng(seed), IntegerType(bits, signed)
    scales, zeros = rng.uniform(0.01, 1, 5).astype(np.float32), rng.integers(kind.low, kind.high + 1, 5)
    own, known = Encoding(kind, scales, zeros), Format(kind, tuple(scales.tolist()), tuple(zeros.tolist()))
    reals = (rng.normal(size=(40, 5)) * 2.0**bits / 10).astype(np.float32)
    assert np.array_equal(own.nearest(reals), known.nearest(reals))
    assert np.array_equal(own.real(own.nearest(reals)), known.real(known.nearest(reals)))
    assert own.ends == pytest.approx(known.ends, rel=1e-6)
    assert own != known


def test_ends_are_infinite_where_nothing_saturates():
    scales, zeros = single(0.5, 2), np.zeros(2, np.int64)
    assert Encoding(E4M3, scales, zeros).ends == (-896, 896)
    assert Encoding(FloatType(4, 3, 7, "nan", saturates=False), scales, zeros).ends == (-np.inf, np.inf)
    assert Encoding(FloatType(2, 1, 1, saturates=False), scales, zeros).ends == (-12, 12)


def test_equal_encodings_are_one():
    def made(scale):
        return Encoding(E4M3, single(scale, 2), np.zeros(2, np.int64))

    assert len({made(1), made(1), made(3)}) == 2
    assert made(1) != Encoding(E2M1, single(1, 2), np.zeros(2, np.int64))
    assert made(1) != Encoding(E4M3, single(1, 2).reshape(1, 2), np.zeros((1, 2), np.int64))


@pytest.mark.parametrize(
    ("scales", "zeros", "words"),
    [
        (single(1, 2), np.zeros(3, int), r"scales of shape \(2,\) with zero points of shape \(3,\)"),
        (np.zeros(0, np.float32), np.zeros(0, int), r"scales of shape \(0,\)"),
        (single(1, 0), np.zeros(2, int), r"scale = 0\.0 is not a positive number"),
        (single(1, np.nan), np.zeros(2, int), "scale = nan is not a positive number"),
        (single(np.inf), np.zeros((), int), "scale = inf is not a positive number"),
        (single(1), np.ones((), int), "zero point 1 of float8e4m3fn, where they are 0 to 0"),
    ],
)
def test_encodings_that_are_none(scales, zeros, words):
    with pytest.raises(InputError, match=words):
        Encoding(E4M3, scales, zeros)


def test_formats_and_recipes_are_of_integers():
    with pytest.raises(InputError, match=r"FloatType\(.*\) is no IntegerType; an Encoding takes other numbers"):
        Format(E4M3)
    with pytest.raises(InputError, match=r"weights = FloatType\(.*\); networks are quantised to integers"):
        acs.Recipe(weights=E4M3)


def test_zero_points_of_integers_are_integers_of_the_type():
    with pytest.raises(InputError, match="zero point 8 of int4, where they are -8 to 7"):
        Encoding(IntegerType(4), single(1), np.array(8))


@pytest.mark.parametrize(
    ("shape", "tensor", "fits"),
    [((), (3, 4, 5), True), ((5,), (3, 4, 5), True), ((1, 5), (3, 4, 5), True), ((3, 1, 5), (3, 4, 5), True),
     ((4,), (3, 4, 5), False), ((2, 4, 5), (3, 4, 5), False), ((1, 3, 4, 5), (3, 4, 5), False)],
)  # fmt: skip
def test_scales_fit_tensors_of_their_axes(shape, tensor, fits):
    own = Encoding(E4M3, np.ones(shape, np.float32), np.zeros(shape, np.int64))
    assert own.fits(tensor) is fits
    if fits:
        assert own.real(np.ones(tensor, np.float16)).shape == tensor


def chain(kind, given, shape=(2, 3)):
    """x, turned, and clamped to what is positive; `kind` of x, `given` of the output."""
    nodes = [
        Node("x", Input(3, (2,))), Node("turned", Rearrange((2, 3), (1, 0), (3,), 2), ("x",)),
        Node("y", Activation("relu"), ("turned",)),
    ]  # fmt: skip
    net = network("net", nodes, [Port("y", "y", (3, 2), (0,), (1,))], [Port("x", "x", (2, 3), (0,), (1,))], {})
    return integer_network(net, {"x": kind}, {}, {"x": None, "y": given})


def test_networks_of_encodings_are_executed_and_named():
    scales = single(0.5, 0.25, 2, 1, 4, 1).reshape(2, 3)
    inet = chain(Encoding(E4M3, scales, np.zeros((2, 3), np.int64)), None)
    x = single([[1.03, -2, 300], [900, 901, 0.01]])
    made = acs.execute(inet, x)["y"]
    assert np.array_equal(made, np.maximum(E4M3.nearest(x / scales) * scales, 0).T)
    assert inet.real_nodes == ("x", "turned", "y")


def test_scales_have_to_fit_their_layer():
    with pytest.raises(InputError, match="net: x: 2 scales for 3 channels"):
        chain(Encoding(E4M3, single(1, 2), np.zeros(2, np.int64)), None)
    with pytest.raises(InputError, match="net: y has 2 scales that its layer y has not"):
        chain(Encoding(E4M3), Encoding(E4M3, single(1, 2), np.zeros(2, np.int64)))
