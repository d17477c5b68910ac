"""Convolutions and products against Python's integers, whatever instructions they run on."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.arithmetic.execute import execute
from accelsim.arithmetic.formats import Accumulator, Format, IntegerType
from accelsim.arithmetic.kernels.tiles import PAIRS_256
from accelsim.arithmetic.operations import fast, processor
from accelsim.arithmetic.operations.fast import Blocked
from accelsim.arithmetic.operations.squares import Squared, by_squares
from accelsim.errors import InputError
from accelsim.network.layers import Convolution, Dense, Product, TransposedConvolution
from tests.arithmetic.layers import one_layer, plain
from tests.arithmetic.naive import by_fixed, by_float, convolution_terms, summed

AVAILABLE = [processor.PORTABLE]
if processor.instructions() is processor.AVX512_VNNI:
    AVAILABLE += [processor.AVX512_VNNI, processor.AVX512, processor.AVX2]
elif processor.instructions() is not processor.PORTABLE:
    AVAILABLE.append(processor.instructions())


@pytest.fixture(params=AVAILABLE, ids=lambda own: own.name)
def instructions(request, monkeypatch):
    monkeypatch.setattr(fast, "instructions", lambda: request.param)
    return request.param


@st.composite
def layers(draw):
    """A convolution with its input's shape and numbers, extremes among them."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 2, 3, 20]))
    inputs = groups * (draw(st.integers(1, 5)) if groups < 20 else 1)
    outputs = groups * (draw(st.integers(1, 4)) if groups < 20 else draw(st.integers(1, 2)))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    window = [(k, draw(st.integers(1, 3)), draw(st.integers(1, 2))) for k in kernel]
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 4)) for k, _, d in window)
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(axes))
    layer = Convolution(
        outputs, kernel, tuple(s for _, s, _ in window), padding, tuple(d for _, _, d in window), groups, True
    )
    bits, signed = draw(
        st.sampled_from([(8, True), (8, False), (8, True), (4, False), (1, False), (12, True), (16, True)])
    )
    kind = IntegerType(bits, signed)
    zero = draw(st.sampled_from([0, kind.low, kind.high, 3 if kind.low <= 3 <= kind.high else 0]))
    weight_bits = draw(st.sampled_from([8, 8, 4, 2, 16]))
    seed = draw(st.integers(0, 2**32 - 1))
    return layer, (*size, inputs), Format(kind, (0.5,), (zero,)), IntegerType(weight_bits), seed


def numbers(rng, kind, shape):
    """Random values of a type, a quarter of them at its ends."""
    values = rng.integers(kind.low, kind.high + 1, shape)
    ends = rng.choice([kind.low, kind.high], shape)
    return np.where(rng.random(shape) < 0.25, ends, values).astype(kind.dtype)


def windows_of(layer):
    return [
        (k, s, p[0], d) for k, s, p, d in zip(layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(case=layers(), rounding=st.sampled_from(["float", "fixed_point"]), bits=st.sampled_from([8, 4, 16]))
def _convolves(case, rounding, bits):
    layer, shape, source, weight_kind, seed = case
    rng = np.random.default_rng(seed)
    x = numbers(rng, source.type, shape)
    weight = numbers(rng, weight_kind, (layer.channels, shape[-1] // layer.groups, *layer.kernel))
    bias = rng.integers(-(2**15), 2**15, layer.channels).astype(np.int32)
    scales = tuple(float(np.float32(s)) for s in rng.uniform(1e-6, 1e-2, layer.channels))
    weight_format = Format(weight_kind, scales, (0,) * layer.channels)
    output = Format(IntegerType(bits), (0.25,), (1,))
    arrays = {"weight": weight, "bias": bias}
    inet = one_layer(
        layer, [(source, *shape)], output, arrays, {"weight": weight_format}, requantiser=rounding,
        accumulator=Accumulator(48),
    )  # fmt: skip
    made = execute(inet, channels_first(x))["y"]
    tensor = inet.network.tensors["y"]
    terms = convolution_terms(
        x.astype(object) - source.zero_point[0], weight, windows_of(layer), tensor.spatial, layer.groups
    )
    expected = np.empty((*tensor.spatial, tensor.channels), np.int64)
    for place, products in terms.items():
        total = int(bias[place[-1]]) + sum(products)
        expected[place] = finished(total, source, scales[place[-1]], output, rounding)
    assert np.array_equal(made[0], np.moveaxis(expected, -1, 0))


@pytest.mark.slow
def test_convolutions(instructions):
    _convolves()


def channels_first(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))[None]


def finished(total, source, scale, output, rounding):
    low, high, zero = output.type.low, output.type.high, output.zero_point[0]
    if rounding == "float":
        multiplier = np.float32(np.float32(source.scale[0]) * np.float32(scale)) / np.float32(output.scale[0])
        return by_float(total, multiplier, zero, low, high)
    significand, shift = fixed(source.scale[0] * float(np.float32(scale)) / output.scale[0])
    return by_fixed(total, significand, shift, zero, low, high)


def fixed(real):
    shift = 0
    while real >= 1:
        real, shift = real / 2, shift + 1
    while real < 0.5:
        real, shift = real * 2, shift - 1
    significand = int(real * 2**31 + 0.5)
    return (2**30, shift + 1) if significand == 2**31 else (significand, shift)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(case=layers(), extra=st.integers(0, 1))
def test_transposed_convolutions(case, extra):
    drawn, shape, source, _, seed = case
    weight_kind = IntegerType(8)
    rng = np.random.default_rng(seed)
    padding = tuple((min(a, k - 1), min(b, k - 1)) for (a, b), k in zip(drawn.padding, drawn.kernel, strict=True))
    outputs = drawn.groups * 2
    layer = TransposedConvolution(
        outputs, drawn.kernel, drawn.stride, padding, drawn.dilation, (extra,) * len(drawn.kernel), drawn.groups
    )
    x = numbers(rng, source.type, shape)
    weight = numbers(rng, weight_kind, (shape[-1], 2, *layer.kernel))
    inet = one_layer(
        layer, [(source, *shape)], Format(IntegerType(32), (0.5,)), {"weight": weight}, {"weight": Format(weight_kind)},
        accumulator=Accumulator(48),
    )  # fmt: skip
    made = execute(inet, channels_first(x))["y"]
    spatial = inet.network.tensors["y"].spatial
    terms = convolution_terms(
        x.astype(object) - source.zero_point[0], weight, windows_of(layer), spatial, layer.groups, transposed=True
    )
    expected = np.empty((*spatial, outputs), np.int64)
    for place, products in terms.items():
        expected[place] = sum(products)
    assert np.array_equal(made[0], np.moveaxis(expected, -1, 0))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), bits=st.integers(2, 20), overflow=st.sampled_from(["error", "wrap", "saturate"]),
    inputs=st.integers(1, 40), kernel=st.integers(1, 3),
)  # fmt: skip
def test_accumulators_of_any_width(seed, bits, overflow, inputs, kernel):
    rng = np.random.default_rng(seed)
    x, weight = numbers(rng, IntegerType(8), (4, inputs)), numbers(rng, IntegerType(8), (3, inputs, kernel))
    bias = rng.integers(-300, 300, 3).astype(np.int32)
    layer = Convolution(3, (kernel,), (1,), ((1, 1),), (1,), 1, True)
    inet = one_layer(
        layer, [(plain(8), 4, inputs)], plain(32), {"weight": weight, "bias": bias}, {"weight": plain(8)},
        accumulator=Accumulator(bits, overflow),
    )  # fmt: skip
    spatial = inet.network.tensors["y"].spatial
    terms = convolution_terms(x, weight, [(kernel, 1, 1, 1)], spatial, 1)
    expected = {place: summed(products, int(bias[place[-1]]), bits, overflow) for place, products in terms.items()}
    if None in expected.values():
        with pytest.raises(InputError, match=f"one: y: sums .* overflow an accumulator of {bits} bits"):
            execute(inet, channels_first(x))
        return
    made = execute(inet, channels_first(x))["y"][0].T
    assert all(made[place] == total for place, total in expected.items())


@pytest.mark.parametrize("size", [(), (1,), (5,), (9, 2)])
@pytest.mark.parametrize("outputs", [1, 16, 17, 70])
def test_fully_connected(instructions, size, outputs):
    rng = np.random.default_rng(outputs)
    x, weight = numbers(rng, IntegerType(8), (*size, 37)), numbers(rng, IntegerType(8), (outputs, 37))
    source = Format(IntegerType(8), (1.0,), (-7,))
    inet = one_layer(Dense(outputs), [(source, *size, 37)], plain(32), {"weight": weight}, {"weight": plain(8)})
    expected = (x.astype(np.int64) + 7) @ weight.T.astype(np.int64)
    assert np.array_equal(np.moveaxis(execute(inet, channels_first(x))["y"][0], 0, -1), expected)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.booleans(), st.integers(1, 4), st.integers(1, 4))
def test_products_of_two_activations(seed, groups, transposed, rows, columns):
    rng = np.random.default_rng(seed)
    first_kind, second_kind = Format(IntegerType(8), (1.0,), (5,)), Format(IntegerType(8, False), (1.0,), (200,))
    inner = 3
    second_shape = (2, columns, groups * inner) if transposed else (2, inner, groups * columns)
    a, b = numbers(rng, first_kind.type, (2, rows, groups * inner)), numbers(rng, second_kind.type, second_shape)
    layer = Product(groups, transposed)
    inet = one_layer(layer, [(first_kind, *a.shape), (second_kind, *b.shape)], plain(32))
    made = np.moveaxis(execute(inet, {"x0": channels_first(a), "x1": channels_first(b)})["y"][0], 0, -1)
    heads = [
        (x.astype(np.int64) - 5) @ (np.swapaxes(y, -1, -2) if transposed else y)
        for x, y in zip(np.split(a, groups, axis=-1), np.split(b.astype(np.int64) - 200, groups, axis=-1), strict=True)
    ]
    assert np.array_equal(made, np.concatenate(heads, axis=-1))


@pytest.mark.slow
def test_every_channel_count_and_point_count(instructions):
    """Tails of blocks and tiles: each count of outputs round a block's edge, each of points round a tile's."""
    rng = np.random.default_rng(0)
    for outputs in (1, 15, 16, 17, 31, 33, 48, 63, 64, 65, 129):
        for points in (1, 6, 7, 8, 15):
            x, weight = numbers(rng, IntegerType(8), (points, 5)), numbers(rng, IntegerType(8), (outputs, 5, 1))
            layer = Convolution(outputs, (1,), (1,), ((0, 0),), (1,))
            inet = one_layer(layer, [(plain(8), points, 5)], plain(32), {"weight": weight}, {"weight": plain(8)})
            expected = x.astype(np.int64) @ weight[..., 0].T.astype(np.int64)
            assert np.array_equal(execute(inet, channels_first(x))["y"][0].T, expected), (outputs, points)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [16, 17, 40, 64, 96, 100])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 2)])
def test_depthwise(instructions, channels, kernel):
    rng = np.random.default_rng(channels)
    x, weight = numbers(rng, IntegerType(8), (9, 8, channels)), numbers(rng, IntegerType(8), (channels, 1, *kernel))
    source = Format(IntegerType(8), (1.0,), (11,))
    layer = Convolution(channels, kernel, (2, 1), ((1, 1), (2, 0)), (1, 2), channels)
    for output in (plain(32), Format(IntegerType(8), (300.0,), (-5,)), Format(IntegerType(8, False), (300.0,), (99,))):
        inet = one_layer(layer, [(source, *x.shape)], output, {"weight": weight}, {"weight": plain(8)})
        tensor = inet.network.tensors["y"]
        terms = convolution_terms(x.astype(object) - 11, weight, windows_of(layer), tensor.spatial, channels)
        made = np.moveaxis(execute(inet, channels_first(x))["y"][0], 0, -1)
        for place, products in terms.items():
            total = sum(products)
            assert made[place] == (total if output.type.bits == 32 else finished(total, source, 1.0, output, "float"))


@pytest.mark.slow
def test_threads_change_nothing(instructions):
    rng = np.random.default_rng(3)
    x, weight = numbers(rng, IntegerType(8), (13, 11, 20)), numbers(rng, IntegerType(8), (70, 20, 3, 3))
    layer = Convolution(70, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    inet = one_layer(layer, [(plain(8), *x.shape)], plain(32), {"weight": weight}, {"weight": plain(8)})
    one, two = (execute(inet, channels_first(x), threads=count)["y"] for count in (1, 2))
    assert np.array_equal(one, two)
    assert one.size == prod((70, 13, 11))


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "repeats"), [(1, 3), (3, 1), (2, 5), (7, 1), (5, 8)])
def test_depthwise_of_few_channels_and_several_outputs(instructions, channels, repeats):
    rng = np.random.default_rng(channels)
    x = numbers(rng, IntegerType(8), (6, 5, channels))
    weight = numbers(rng, IntegerType(8), (channels * repeats, 1, 3, 2))
    layer = Convolution(channels * repeats, (3, 2), (1, 2), ((1, 1), (2, 0)), (1, 1), channels)
    source = Format(IntegerType(8), (1.0,), (11,))
    inet = one_layer(layer, [(source, *x.shape)], plain(32), {"weight": weight}, {"weight": plain(8)})
    terms = convolution_terms(
        x.astype(object) - 11, weight, windows_of(layer), inet.network.tensors["y"].spatial, channels
    )
    for threads in (1, 2):
        made = np.moveaxis(execute(inet, channels_first(x), threads=threads)["y"][0], 0, -1)
        assert all(made[place] == sum(products) for place, products in terms.items())


#: Maps with squares cut off at the right and below, channels that fill no vector, and one point high.
SQUARES = [((4, 4), 32, 16), ((5, 7), 33, 16), ((7, 2), 40, 37), ((1, 6), 32, 20), ((9, 9), 49, 80)]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "inputs", "outputs"), SQUARES)
@pytest.mark.parametrize(("bits", "signed", "zero"), [(8, True, 11), (8, False, 255), (12, True, 3)])
def test_squares_of_outputs(instructions, size, inputs, outputs, bits, signed, zero):
    """3x3 layers of many channels, at the ends of their types, on one thread and several."""
    source = Format(IntegerType(bits, signed), (0.5,), (zero,))
    rng = np.random.default_rng(inputs)
    x, weight = numbers(rng, source.type, (*size, inputs)), numbers(rng, IntegerType(8), (outputs, inputs, 3, 3))
    weight[0], x[0, 0] = -128, source.type.high
    bias = rng.integers(-(2**15), 2**15, outputs).astype(np.int32)
    layer = Convolution(outputs, (3, 3), (1, 1), ((1, 1), (2, 1)), (1, 1), 1, True)
    scales = tuple(float(np.float32(s)) for s in rng.uniform(1e-6, 1e-2, outputs))
    arrays, kinds = {"weight": weight, "bias": bias}, {"weight": Format(IntegerType(8), scales, (0,) * outputs)}
    for output in (Format(IntegerType(8), (0.25,), (1,)), Format(IntegerType(16), (0.25,), (1,))):
        inet = one_layer(layer, [(source, *x.shape)], output, arrays, kinds)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(x.astype(np.int64) - source.zero_point[0], ((1, 1), (2, 1), (0, 0))), (3, 3), (0, 1)
        )
        sums = np.einsum("yxkab,nkab->nyx", windows, weight.astype(np.int64)) + bias[:, None, None]
        expected = [
            [finished(int(total), source, scale, output, "float") for total in plane.reshape(-1)]
            for plane, scale in zip(sums, scales, strict=True)
        ]
        for threads in (1, 2, 3):
            made = execute(inet, channels_first(x), threads=threads)["y"][0]
            assert np.array_equal(made.reshape(outputs, -1), expected)


@pytest.mark.parametrize(
    ("kind", "value", "inputs"), [(IntegerType(8), 127, 4096), (IntegerType(14), 1, 32), (IntegerType(8), 32767, 32)]
)
def test_squares_are_for_numbers_that_stay_whole(kind, value, inputs):
    """Transformed values have 16 bits, four times a sum 32; what is larger goes window by window."""
    source, weight = Format(kind, (1.0,)), np.full((1, 1, 3, 3, inputs, 16), value, np.int64)
    layer = Convolution(16, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    windows = Blocked(PAIRS_256, (), weight, np.zeros(16, np.int64), source, None, None)
    assert by_squares(layer, windows) is windows
    smaller = Blocked(PAIRS_256, (), weight[..., :32, :] % 2, windows.bias, Format(IntegerType(8)), None, None)
    assert isinstance(by_squares(layer, smaller), Squared)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [
        ((13, 11), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        ((14, 9), (5, 3), (2, 2), ((2, 1), (0, 3)), (1, 1)),
        ((12, 12), (3, 3), (1, 1), ((2, 2), (2, 2)), (2, 2)),
        ((2, 1), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
        ((40,), (3,), (1,), ((1, 1),), (1,)),
        ((5, 4, 6), (3, 3, 3), (1, 1, 1), ((1, 1),) * 3, (1, 1, 1)),
    ],
)
def test_threads_of_depthwise_layers_find_all_lines_they_read(size, kernel, stride, padding, dilation, threads):
    """Every thread pads for itself, into a room that still holds another map."""
    rng = np.random.default_rng(4)
    weight = numbers(rng, IntegerType(8), (48, 1, *kernel))
    layer = Convolution(48, kernel, stride, padding, dilation, groups=48)
    inet = one_layer(layer, [(plain(8), *size, 48)], plain(32), {"weight": weight}, {"weight": plain(8)})
    maps = [channels_first(numbers(rng, IntegerType(8), (*size, 48))) for _ in range(3)]
    for x in maps:
        one, several = (execute(inet, x, threads=count)["y"] for count in (1, threads))
        assert np.array_equal(one, several)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("overflow", ["error", "saturate"])
def test_a_small_layer(transposed, overflow):
    """The same properties where kernels are interpreted."""
    rng = np.random.default_rng(5)
    x = numbers(rng, IntegerType(8), (4, 3, 2))
    kind = TransposedConvolution if transposed else Convolution
    extra = ((0, 1),) if transposed else ()
    layer = kind(2, (2, 3), (2, 1), ((1, 0), (1, 1)), (1, 1), *extra)
    weight = numbers(rng, IntegerType(8), (2, 2, 2, 3))
    inet = one_layer(
        layer, [(plain(8), *x.shape)], plain(32), {"weight": weight}, {"weight": plain(8)},
        accumulator=Accumulator(16 if overflow == "saturate" else 32, overflow),
    )  # fmt: skip
    spatial = inet.network.tensors["y"].spatial
    terms = convolution_terms(x, weight, windows_of(layer), spatial, 1, transposed)
    made = np.moveaxis(execute(inet, channels_first(x))["y"][0], 0, -1)
    for place, products in terms.items():
        assert made[place] == summed(products, 0, inet.accumulator.bits, overflow)
