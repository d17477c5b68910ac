"""Floating point of few bits and scales a block in ONNX files, beside the package's reference and ONNX Runtime."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, defs, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import accelsim as acs
from accelsim.arithmetic.encodings import Encoding
from accelsim.arithmetic.minifloats import FloatType
from accelsim.arithmetic.readers.scales import KINDS
from accelsim.cli.main import main
from accelsim.errors import InputError, NotModelled
from tests.arithmetic.models import FAMILIES, images, quantised, runtime
from tests.pages import section

pytest.importorskip("onnxruntime.quantization", reason="ONNX Runtime's quantiser is not installed")

E4M3, E5M2 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e5m2)
E2M1, E8M0 = np.dtype(ml_dtypes.float4_e2m1fn), np.dtype(ml_dtypes.float8_e8m0fnu)
FLOAT8 = [E4M3, np.dtype(ml_dtypes.float8_e4m3fnuz), E5M2, np.dtype(ml_dtypes.float8_e5m2fnuz)]
#: Array types of all numbers that a file may round to and the installed package knows.
ROUNDED = [
    helper.tensor_dtype_to_np_dtype(number)
    for number, name, _ in KINDS
    if name != "int32" and number in TensorProto.DataType.values()
]

node = helper.make_node


def model(nodes, stored, shape, outputs, source=TensorProto.FLOAT, opset=None):
    """A model of input x and `outputs` (name to element type), its constants `stored`."""
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", source, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    opset = defs.onnx_opset_version() if opset is None else opset
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def loaded(made, folder):
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return acs.load_integer_network(path)


def equal(made, expected):
    """Whether outputs are the same codes; of real numbers that are NaN the sign is nobody's."""
    return all(same_bits(*pair) for pair in zip(made.values(), expected, strict=True))


def same_bits(ours, theirs):
    codes = [ours.astype(theirs.dtype), theirs]
    if theirs.dtype == np.float32:
        codes = [np.where(np.isnan(array), np.float32(np.nan), array) for array in codes]
    return ours.shape == theirs.shape and codes[0].tobytes() == codes[1].tobytes()


def rounding(dtype, scale, zero, saturate=1, **options):
    """x rounded and read again, as codes q and as real numbers y."""
    known = {"axis", "block_size"} & options.keys()
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], **options, saturate=saturate),
        node("DequantizeLinear", ["q", "s", "z"], ["y"], **{name: options[name] for name in known}),
    ]
    outputs = {"q": helper.np_dtype_to_tensor_dtype(dtype), "y": TensorProto.FLOAT}
    return lambda shape: model(nodes, {"s": scale, "z": zero}, shape, outputs)


@st.composite
def roundings(draw):
    """A type, a granularity, and a tensor whose numbers reach beyond what the type holds."""
    dtype, saturate = draw(st.sampled_from(ROUNDED)), draw(st.integers(0, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    form, options = draw(st.sampled_from(["tensor", "axis", "block"])), {}
    sizes = () if form == "tensor" else (shape[axis],)
    if form == "block":
        options["block_size"] = draw(st.integers(1, shape[axis] + 1))
        sizes = tuple(-(-n // options["block_size"]) if k == axis % len(shape) else n for k, n in enumerate(shape))
    if form != "tensor":
        options["axis"] = axis
    # Zero points of floating point are 0; uneven ones of others are anywhere.
    floating = dtype in FLOAT8 or "float" in dtype.name
    zero = np.zeros(sizes) if floating else rng.integers(*((-2, 2) if "u" not in dtype.name else (0, 4)), sizes)
    scale = rng.uniform(0.01, 0.5, sizes).astype(np.float32)
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-2, 4, shape)).astype(np.float32)
    x.flat[0] = draw(st.sampled_from([0.0, -0.0, float(x.flat[0])]))
    return rounding(dtype, scale, zero.astype(dtype), saturate, **options)(shape), x


@settings(deadline=None, max_examples=250)
@given(roundings())
def test_roundings_are_those_of_the_reference(tmp_path_factory, case):
    made, x = case
    with np.errstate(all="ignore"):
        expected = ReferenceEvaluator(made).run(None, {"x": x})
    inet = loaded(made, tmp_path_factory.getbasetemp())
    assert equal(acs.execute(inet, x), expected)


@settings(deadline=None, max_examples=100)
@given(roundings())
def test_constants_are_rounded_the_same(tmp_path_factory, case):
    """x stored, rounded where it is, times an input that is rounded as well."""
    made, x = case
    stored = {entry.name: numpy_helper.to_array(entry) for entry in made.graph.initializer}
    first, second = made.graph.node
    first.input[0] = "w"
    plus = node("Add", ["y", "v"], ["sum"])
    whole = node("QuantizeLinear", ["x", "one"], ["rounded"]), node("DequantizeLinear", ["rounded", "one"], ["v"])
    stored |= {"w": x, "one": np.float32(1)}
    made = model([first, second, *whole, plus], stored, x.shape, {"sum": TensorProto.FLOAT})
    given = np.abs(np.rint(x)) % 100
    with np.errstate(all="ignore"):
        expected = ReferenceEvaluator(made).run(None, {"x": given})
    if np.isfinite(expected[0]).all():
        assert equal(acs.execute(loaded(made, tmp_path_factory.getbasetemp()), given), expected)


def network(dtype, seed=0):
    """A convolution, ReLU, maximum pooling and a fully connected layer, all rounded to 8 bits of floating point."""
    rng = np.random.default_rng(seed)
    stored = {
        "xs": np.float32(0.25), "z": np.zeros((), dtype), "w": (rng.normal(size=(8, 3, 3, 3)) / 2).astype(dtype),
        "ws": np.exp2(rng.integers(-3, 3, 8)).astype(np.float32), "zs": np.zeros(8, dtype), "ys": np.float32(0.5),
        "b": rng.integers(-4, 4, 8).astype(np.float32), "fc": rng.normal(size=(5, 8)).astype(dtype),
        "one": np.float32(1),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "z"], ["xq"]), node("DequantizeLinear", ["xq", "xs", "z"], ["xr"]),
        node("DequantizeLinear", ["w", "ws", "zs"], ["wr"], axis=0),
        node("Conv", ["xr", "wr", "b"], ["c"], name="conv", pads=[1] * 4), node("Relu", ["c"], ["r"], name="relu"),
        node("QuantizeLinear", ["r", "ys", "z"], ["rq"]), node("DequantizeLinear", ["rq", "ys", "z"], ["rr"]),
        node("MaxPool", ["rr"], ["m"], name="pool", kernel_shape=[3, 3], strides=[2, 2]),
        node("QuantizeLinear", ["m", "ys", "z"], ["mq"]), node("DequantizeLinear", ["mq", "ys", "z"], ["mr"]),
        node("GlobalMaxPool", ["mr"], ["g"], name="global"), node("Flatten", ["g"], ["flat"]),
        node("DequantizeLinear", ["fc", "one", "z"], ["fr"]),
        node("Gemm", ["flat", "fr"], ["y"], name="fc", transB=1),
    ]  # fmt: skip
    return model(nodes, stored, [1, 3, 9, 9], {"y": TensorProto.FLOAT}, opset=19)


def frames(count=3, shape=(3, 9, 9)):
    return (np.random.default_rng(5).normal(size=(count, *shape)) * 3).astype(np.float32)


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_networks_are_those_of_onnx_runtime(dtype, tmp_path):
    """Scales and sums are exact here, so that the order of sums does not matter."""
    inet = loaded(network(dtype), tmp_path)
    session = runtime(tmp_path / "net.onnx", plain=True)
    expected = np.concatenate([session.run(None, {"x": frame[None]})[0] for frame in frames()])
    (y,) = acs.execute(inet, frames()).values()
    assert np.array_equal(y, expected)
    assert inet.real_nodes == tuple(node.name for node in inet.network.nodes)
    assert isinstance(inet.formats["relu"], Encoding)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_the_runtime_quantised(family, tmp_path):
    model = FAMILIES[family]()
    model.opset_import[0].version = 19
    path = quantised(model, tmp_path / "net.onnx", "QDQ", False, "QFLOAT8E4M3FN", "QFLOAT8E4M3FN")
    inet, session = acs.load_integer_network(path), runtime(path, plain=True)
    x = images(3, seed=50)
    expected = np.concatenate([session.run(None, {"x": image[None]})[0] for image in x])
    (made,) = acs.execute(inet, x).values()
    # Real sums in another order may tip a half here and there.
    assert np.mean(made != expected) < 0.1
    assert np.allclose(made, expected, atol=0.05 * np.abs(expected).max())
    assert len(inet.real_nodes) == len(inet.network.nodes)
    assert len(acs.execute(acs.tile_attention(inet, rows=4), x)) == 1


def test_rows_statistics_and_timing_follow(tmp_path):
    inet, x = loaded(network(E4M3), tmp_path), frames(1)
    design = acs.map_network(inet.network, acs.load_accelerator("streaming-asic"))
    whole = acs.execute(inet, x)
    for own in (design, acs.size_buffers(design, "row")):
        assert np.array_equal(acs.execute(inet, x, streaming=own)["y"], whole["y"])
    found = acs.statistics(inet, x)
    assert found["relu"].least == 0
    assert found["relu"].bit_density is None
    assert acs.simulate(acs.map_network(inet.network.with_statistics(found), design.accelerator)).throughput.steady


def test_graphs_are_those_of_the_network(tmp_path):
    inet = loaded(network(E5M2), tmp_path)
    net = acs.load_network(tmp_path / "net.onnx")
    assert [n.layer for n in net.nodes] == [n.layer for n in inet.network.nodes]


def test_blocks_are_not_streamed(tmp_path):
    scale = np.linspace(0.1, 0.2, 32, dtype=np.float32).reshape(1, 2, 4, 4)
    inet = loaded(rounding(E4M3, scale, np.zeros(scale.shape, E4M3), axis=1, block_size=2)((1, 4, 4, 4)), tmp_path)
    design = acs.map_network(inet.network, acs.load_accelerator("streaming-asic"))
    with pytest.raises(NotModelled, match="x has other scales in other rows"):
        acs.execute(inet, frames(1, (4, 4, 4)), streaming=design)


def test_a_block_that_is_a_channel_is_a_scale_a_channel(tmp_path):
    scale = np.broadcast_to(np.array([0.1, 0.2], np.float32).reshape(1, 2, 1, 1), (1, 2, 4, 4)).copy()
    made = rounding(np.dtype(np.int8), scale, np.zeros(scale.shape, np.int8), axis=1, block_size=2)((1, 4, 4, 4))
    inet = loaded(made, tmp_path)
    assert inet.formats["x"].scale == tuple(np.repeat(scale[0, :, 0, 0], 2).tolist())
    x = frames(1, (4, 4, 4))
    assert equal(acs.execute(inet, x), ReferenceEvaluator(made).run(None, {"x": x}))
    design = acs.map_network(inet.network, acs.load_accelerator("streaming-asic"))
    assert equal(acs.execute(inet, x, streaming=design), acs.execute(inet, x).values())


def against_reference(made, x, tmp_path):
    assert equal(acs.execute(loaded(made, tmp_path), x), ReferenceEvaluator(made).run(None, {"x": x}))


def test_four_bit_weights_with_a_power_of_two_a_block(tmp_path):
    """Microscaling: blocks of 32 numbers of 4 bits, whose scale is an exponent of 8."""
    rng = np.random.default_rng(0)
    weight, scale = rng.normal(size=(64, 8)).astype(E2M1), np.exp2(rng.integers(-4, 4, (2, 8))).astype(E8M0)
    nodes = [
        node("DequantizeLinear", ["w", "s"], ["wr"], axis=0, block_size=32, output_dtype=TensorProto.FLOAT),
        node("MatMul", ["x", "wr"], ["y"], name="product"),
    ]
    made = model(nodes, {"w": weight, "s": scale}, [1, 4, 64], {"y": TensorProto.FLOAT})
    x = rng.integers(-9, 9, (1, 4, 64)).astype(np.float32)
    against_reference(made, x, tmp_path)
    assert loaded(made, tmp_path).real_nodes == ("x", "product")


def test_integer_weights_and_biases_beside_floating_point(tmp_path):
    rng = np.random.default_rng(0)
    stored = {
        "xs": np.float32(0.5), "z": np.zeros((), E4M3), "w": rng.integers(-9, 9, (3, 4)).astype(np.int8),
        "ws": np.float32(0.5), "b": np.array([4, -8, 9], np.int32), "bs": np.float32(0.25),
    }  # fmt: skip
    weights = [
        node("DequantizeLinear", ["w", "ws"], ["wr"]), node("DequantizeLinear", ["b", "bs"], ["br"]),
        node("Gemm", ["v", "wr", "br"], ["y"], name="fc", transB=1),
    ]  # fmt: skip
    rounded = [
        node("QuantizeLinear", ["x", "xs", "z"], ["q"]), node("DequantizeLinear", ["q", "xs", "z"], ["v"]),
    ]  # fmt: skip
    x = rng.integers(-40, 40, (1, 4)).astype(np.float32) / 8
    for front in (rounded, [node("Identity", ["x"], ["v"])]):
        made = model([*front, *weights], stored, [1, 4], {"y": TensorProto.FLOAT})
        against_reference(made, x, tmp_path)
        assert "fc" in loaded(made, tmp_path).real_nodes


@pytest.mark.parametrize("dtype", [E4M3, E2M1, np.dtype(np.int8), np.dtype(ml_dtypes.uint4)], ids=str)
def test_inputs_that_are_codes_may_be_moved_first(dtype, tmp_path):
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("DequantizeLinear", ["t", "s"], ["y"]),
        node("DequantizeLinear", ["x", "s"], ["z"]),
    ]  # fmt: skip
    made = model(
        nodes, {"s": np.float32(0.5)}, [1, 4, 3], dict.fromkeys("yz", TensorProto.FLOAT),
        helper.np_dtype_to_tensor_dtype(dtype),
    )  # fmt: skip
    x = np.arange(12).reshape(1, 4, 3).astype(dtype)
    expected = ReferenceEvaluator(made).run(None, {"x": x})
    inet = loaded(made, tmp_path)
    wide = x.astype(np.int8 if "int" in dtype.name else np.float32)
    assert equal(acs.execute(inet, x), expected)
    assert equal(acs.execute(inet, wide), expected)


def test_infinities_and_nan_of_an_input_stay(tmp_path):
    x = np.arange(256, dtype=np.uint8).view(E5M2).reshape(1, 256)
    nodes = [
        node("DequantizeLinear", ["x", "s"], ["y"]), node("QuantizeLinear", ["y", "s", "z"], ["a"]),
        node("QuantizeLinear", ["y", "s", "z"], ["b"], saturate=0),
    ]  # fmt: skip
    made = model(
        nodes, {"s": np.float32(0.5), "z": np.zeros((), E5M2)}, [1, 256],
        {"y": TensorProto.FLOAT, "a": TensorProto.FLOAT8E5M2, "b": TensorProto.FLOAT8E5M2}, TensorProto.FLOAT8E5M2,
    )  # fmt: skip
    y, a, b = acs.execute(loaded(made, tmp_path), x).values()
    expected = x.astype(np.float32)
    assert np.array_equal(y, expected / 2, equal_nan=True)
    assert np.array_equal(a, np.clip(expected, -57344, 57344), equal_nan=True)
    assert np.array_equal(b, expected, equal_nan=True)


CASES = {
    "a scale a channel, read by others too": (
        [node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), node("DequantizeLinear", ["q", "s"], ["y"], axis=1),
         node("Relu", ["x"], ["r"])],
        {"y": TensorProto.FLOAT, "r": TensorProto.FLOAT},
    ),
    "part of the channels": (
        [node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), node("DequantizeLinear", ["q", "s"], ["d"], axis=1),
         node("Slice", ["d", "from", "to", "on"], ["y"])],
        {"y": TensorProto.FLOAT},
    ),
    "transposed with its axis": (
        [node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), node("Transpose", ["q"], ["t"], perm=[0, 2, 3, 1]),
         node("DequantizeLinear", ["t", "s"], ["y"], axis=3)],
        {"y": TensorProto.FLOAT},
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [E4M3, np.dtype(np.int8)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_scales_a_channel(case, dtype, tmp_path):
    nodes, outputs = CASES[case]
    stored = {
        "s": np.array([0.01, 1], np.float32), "z": np.zeros(2, dtype), "from": np.array([1]), "to": np.array([2]),
        "on": np.array([1]),
    }  # fmt: skip
    against_reference(model(nodes, stored, [1, 2, 3, 4], outputs), frames(1, (2, 3, 4)) * 50, tmp_path)


def test_blocks_that_are_transposed_with_their_scales(tmp_path):
    rng = np.random.default_rng(0)
    scale, zero = rng.uniform(0.1, 1, (1, 3, 4, 3)).astype(np.float32), rng.integers(0, 9, (1, 3, 4, 3))
    stored = {"s": scale, "z": zero.astype(np.uint8), "st": scale.transpose(0, 2, 3, 1)}
    stored["zt"] = stored["z"].transpose(0, 2, 3, 1)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1, block_size=2),
        node("Transpose", ["q"], ["t"], perm=[0, 2, 3, 1]),
        node("DequantizeLinear", ["t", "st", "zt"], ["d"], axis=-1, block_size=2), node("Relu", ["d"], ["y"]),
    ]  # fmt: skip
    against_reference(model(nodes, stored, [1, 5, 4, 3], {"y": TensorProto.FLOAT}), frames(1, (5, 4, 3)), tmp_path)


def hostile(shape=(4, 6), kind="QuantizeLinear", scale=(), zero=None, zero_type=np.int8, **options):
    """One operator on an input; scales of a shape, or as they are."""
    scale = np.full(scale, 0.5, np.float32) if isinstance(scale, tuple) else scale
    zero = np.zeros(scale.shape, zero_type) if zero is None else zero
    given = helper.np_dtype_to_tensor_dtype(np.dtype(zero_type))
    codes = kind == "DequantizeLinear"
    return model(
        [node(kind, ["x", "s", "z"], ["y"], **options)], {"s": scale, "z": zero}, shape,
        {"y": TensorProto.FLOAT if codes else given}, given if codes else TensorProto.FLOAT,
    )  # fmt: skip


BLOCKS = {"axis": 1, "block_size": 2}


@pytest.mark.parametrize("kind", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": (4, 2), **BLOCKS}, r"shape \[4, 2\] for blocks of 2 on axis 1 of shape \[4, 6\], not \[4, 3\]"),
        ({"scale": (4, 3), "axis": 0, "block_size": 2}, r"not \[2, 6\]"),
        ({"scale": (), **BLOCKS}, r"scales of shape \[\] for blocks of 2"),
        ({"scale": (3,), **BLOCKS}, r"scales of shape \[3\] for blocks of 2"),
        ({"scale": (4, 3), "axis": 2, "block_size": 2}, "block_size = 2 on axis 2"),
        ({"scale": (4, 3), "axis": 1, "block_size": -2}, "block_size = -2 on axis 1"),
        ({"scale": (4, 3), "zero": np.zeros((4, 2), np.int8), **BLOCKS}, "12 scales with 8 zero points"),
        ({"scale": (4, 3), "zero": np.zeros((3, 4), np.int8), **BLOCKS}, r"zero points of shape \[3, 4\] for blocks"),
        ({"scale": (4, 3)}, "12 scales on axis 1"), ({"scale": (3, 2), "axis": 1}, "6 scales on axis 1"),
        ({"scale": (5,), "axis": 0}, r"5 scales on axis 0 of shape \[4, 6\]"),
        ({"scale": (4,), "axis": 7}, "4 scales on axis 7"), ({"scale": np.float32(np.nan)}, "scale = nan is not a pos"),
        ({"scale": np.full((4, 3), np.nan, np.float32), **BLOCKS}, "scale = nan is not a positive"),
        ({"scale": np.float32(0)}, r"scale = 0\.0 is not a positive"), ({"scale": np.float32(-1)}, "is not a positive"),
        ({"scale": np.float32(0), "zero_type": E4M3}, r"scale = 0\.0 is not a positive"),
        ({"scale": np.float32(np.inf), "zero_type": E4M3}, "scale = inf is not a positive"),
        ({"zero": np.array(1, E4M3), "zero_type": E4M3}, "a zero point of float8e4m3fn other than 0"),
        ({"zero": np.array(0.5, E2M1), "zero_type": E2M1}, "a zero point of float4e2m1 other than 0"),
        ({"scale": np.zeros((4, 0), np.float32)}, "a scale is missing"),
        ({"scale": np.array(1e300)}, "scale = inf is not a positive"),
        ({"output_dtype": 99}, "element type 99"), ({"output_dtype": TensorProto.INT64}, "element type 7"),
    ],
)  # fmt: skip
def test_scales_that_do_not_fit(kind, options, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        loaded(hostile(kind=kind, **options), tmp_path)
    assert "net.onnx" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"saturate": 2, "zero_type": E4M3}, "saturate = 2 is not 0 or 1"), ({"saturate": -1}, "saturate = -1"),
        ({"precision": TensorProto.FLOAT16}, "division in element type 10"), ({"precision": 99}, "element type 99"),
        ({"output_dtype": TensorProto.UINT8}, "a zero point of type int8 for uint8"),
        ({"output_dtype": TensorProto.FLOAT8E5M2, "zero_type": E4M3}, "of type float8_e4m3fn for float8e5m2"),
    ],
)  # fmt: skip
def test_roundings_that_are_none(options, words, tmp_path):
    with pytest.raises(InputError, match=words):
        loaded(hostile(**options), tmp_path)


def test_what_is_dequantised_is_of_the_type_that_was_made(tmp_path):
    made = hostile(kind="DequantizeLinear", zero=np.int8(0), zero_type=np.uint8)
    with pytest.raises(InputError, match="a zero point of type int8 for uint8"):
        loaded(made, tmp_path)
    made = hostile(kind="DequantizeLinear", scale=np.array(2, E8M0), zero_type=E4M3)
    with pytest.raises(InputError, match="scales of type float8_e8m0fnu without output_dtype"):
        loaded(made, tmp_path)


def test_scales_stay_with_the_axis_they_are_on(tmp_path):
    """The same two scales, read along another axis than they were rounded along."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
        node("DequantizeLinear", ["t", "s"], ["y"], axis=1),
    ]  # fmt: skip
    stored = {"s": np.array([0.1, 1], np.float32), "z": np.zeros(2, np.int8)}
    with pytest.raises(InputError, match="t was moved since it was rounded, which its 2 scales were not"):
        loaded(model(nodes, stored, [1, 2, 2], {"y": TensorProto.FLOAT}), tmp_path)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.full((4, 6), 17, np.float32), "input x: 17 is no float8e4m3fn; the nearest is 16"),
        (np.full((4, 6), np.inf, np.float32), "inf is no float8e4m3fn"),
        (np.full((4, 6), 3, np.int8), "values of type int8 where numbers of float8e4m3fn are expected"),
        (np.zeros((4, 6), "V1"), "where numbers of float8e4m3fn are expected"),
    ],
)
def test_inputs_that_are_no_numbers_of_the_type(x, words, tmp_path):
    inet = loaded(hostile(kind="DequantizeLinear", zero_type=E4M3), tmp_path)
    with pytest.raises(InputError, match=words):
        acs.execute(inet, x)


def test_nan_is_no_number_of_four_bits(tmp_path):
    nodes = [node("Log", ["x"], ["l"]), node("QuantizeLinear", ["l", "s", "z"], ["y"])]
    for dtype, kind in ((E2M1, TensorProto.FLOAT4E2M1), (E4M3, TensorProto.FLOAT8E4M3FN)):
        inet = loaded(model(nodes, {"s": np.float32(1), "z": np.zeros((), dtype)}, [1, 4], {"y": kind}), tmp_path)
        if dtype == E4M3:
            assert np.isnan(acs.execute(inet, np.full((1, 4), -1, np.float32))["y"]).all()
            continue
        with pytest.raises(InputError, match="NaN is no float4e2m1"):
            acs.execute(inet, np.full((1, 4), -1, np.float32))


def test_commands(tmp_path, capsys):
    path = tmp_path / "net.onnx"
    path.write_bytes(network(E4M3).SerializeToString())
    np.save(tmp_path / "x.npy", frames())
    np.savez(tmp_path / "data.npz", x=frames(), y=np.array([0, 1, 2]))
    assert main(["execute", str(path), "--input", str(tmp_path / "x.npy"), "--statistics", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outputs"]["y"]["type"] == "float32"
    assert set(told["real_nodes"]) >= {"conv", "fc"}
    assert main(["accuracy", str(path), "--data", str(tmp_path / "data.npz")]) == 0
    assert main(["inspect", str(path)]) == 0
    assert main(["simulate", str(path), "--json"]) == 0


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("dtype", [*FLOAT8, E2M1], ids=str)
def test_casts_round(dtype, saturate, tmp_path):
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    nodes = [
        node("Relu", ["x"], ["r"]), node("Cast", ["r"], ["c"], to=kind, saturate=saturate),
        node("Identity", ["c"], ["i"]), node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        node("CastLike", ["r", "f"], ["l"], saturate=saturate), node("CastLike", ["r", "x"], ["same"]),
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
    ]  # fmt: skip
    stored = {"s": np.float32(1), "z": np.int8(0), "f": np.zeros((), dtype)}
    outputs = {"c": kind, "y": TensorProto.FLOAT, "q": TensorProto.INT8, "l": kind, "same": TensorProto.FLOAT}
    made = model(nodes, stored, [1, 64], outputs, opset=25)
    x = (np.random.default_rng(0).normal(size=(1, 64)) * np.exp2(np.arange(-16, 16, 0.5))).astype(np.float32)
    with np.errstate(all="ignore"):
        expected = ReferenceEvaluator(made).run(None, {"x": x})
    assert equal(acs.execute(loaded(made, tmp_path), x), expected)


def test_a_cast_of_scaled_codes_is_refused(tmp_path):
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("Cast", ["q"], ["y"], to=TensorProto.FLOAT)]
    made = model(nodes, {"s": np.float32(0.5), "z": np.zeros((), E4M3)}, [1, 4], {"y": TensorProto.FLOAT})
    with pytest.raises(InputError, match=r"q is float8e4m3fn x 0\.5 where it is made and float8e4m3fn x 1 where"):
        loaded(made, tmp_path)


def test_clamps_come_before_roundings_that_do_not_saturate(tmp_path):
    nodes = [
        node("Neg", ["x"], ["n"]), node("Clip", ["n", "low", "high"], ["c"]),
        node("QuantizeLinear", ["c", "s", "z"], ["q"], saturate=0), node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]  # fmt: skip
    stored = {"low": np.float32(0), "high": np.float32(6), "s": np.float32(1 / 32), "z": np.zeros((), E4M3)}
    made = model(nodes, stored, [1, 4], {"y": TensorProto.FLOAT})
    against_reference(made, np.array([[-100, -0.3, 100, -6]], np.float32), tmp_path)


def test_a_maximum_is_of_real_numbers(tmp_path):
    """These are infinite, which is no number of the type that they come from."""
    nodes = [
        node("DequantizeLinear", ["x", "s"], ["d"]), node("MaxPool", ["d"], ["y"], kernel_shape=[2], strides=[2]),
    ]  # fmt: skip
    made = model(nodes, {"s": np.float32(1e38)}, [1, 1, 4], {"y": TensorProto.FLOAT}, TensorProto.FLOAT8E4M3FN)
    y = acs.execute(loaded(made, tmp_path), np.array([[[1, 448, 1, 2]]], E4M3))["y"]
    assert y.tolist() == [[[np.inf, float(np.float32(1e38) * 2)]]]


@pytest.mark.parametrize("reader", ["MatMul", "Conv", "Mul", "Transpose", "Resize", "Flat"])
@pytest.mark.parametrize("dtype", [E4M3, np.dtype(np.int8)], ids=str)
@pytest.mark.parametrize(
    "options", [{"axis": 1}, {"axis": 2}, {"axis": 1, "block_size": 2}, {"axis": 2, "block_size": 3}], ids=str
)
def test_inputs_keep_the_axes_of_their_scales(reader, dtype, options, tmp_path):
    """Whatever order of axes the layer behind them would like."""
    rng = np.random.default_rng(0)
    sizes = [1, 4, 5]
    if "block_size" in options:
        sizes[options["axis"]] = -(-sizes[options["axis"]] // options["block_size"])
    else:
        sizes = [sizes[options["axis"]]]
    stored = {"s": np.exp2(rng.integers(-3, 4, sizes)), "m": rng.integers(-3, 4, (5, 2))}
    stored |= {"w": rng.integers(-3, 4, (2, 4, 1)), "n": rng.integers(-3, 4, (20, 2))}
    stored = {name: array.astype(np.float32) for name, array in stored.items()}
    stored |= {"sizes": np.array([1, 4, 10]), "flat": np.array([1, 20])}
    behind = {
        "MatMul": [node("MatMul", ["d", "m"], ["y"])],
        "Conv": [node("Conv", ["d", "w"], ["y"])],
        "Mul": [node("Mul", ["d", "d"], ["y"])],
        "Transpose": [node("Transpose", ["d"], ["y"], perm=[2, 0, 1])],
        "Resize": [node("Resize", ["d", "", "", "sizes"], ["y"], mode="nearest")],
        "Flat": [
            node("Transpose", ["d"], ["t"], perm=[0, 2, 1]),
            node("Reshape", ["t", "flat"], ["f"]),
            node("MatMul", ["f", "n"], ["y"]),
        ],
    }[reader]
    nodes = [node("DequantizeLinear", ["x", "s"], ["d"], **options), *behind]
    source = helper.np_dtype_to_tensor_dtype(dtype)
    made = model(nodes, stored, [1, 4, 5], {"y": TensorProto.FLOAT}, source)
    against_reference(made, rng.integers(-8, 9, (1, 4, 5)).astype(dtype), tmp_path)


def test_products_of_floating_point_in_one_operator_are_refused(tmp_path):
    stored = {"s": np.float32(1), "z": np.zeros((), E4M3), "w": np.ones((4, 2), E4M3)}
    product = node("QLinearMatMul", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"])
    made = model([product], stored, [1, 4], {"y": TensorProto.FLOAT8E4M3FN}, TensorProto.FLOAT8E4M3FN)
    with pytest.raises(InputError, match=r"y \(QLinearMatMul\): on numbers of float8e4m3fn"):
        loaded(made, tmp_path)


def test_the_page_lists_the_types_of_floating_point():
    page = section("Floating point of few bits, and scales a block")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `float")]
    listed = {row[0].strip("`"): (row[1], int(row[2]), float(row[3].replace(",", ""))) for row in rows}
    kinds = [kind for _, _, kind in KINDS if isinstance(kind, FloatType)]
    assert listed == {kind.label: (f"{kind.exponent}, {kind.mantissa}", kind.bias, kind.largest) for kind in kinds}
