"""Tables of activations, and sums and products of tensors, against ONNX Runtime and against exact numbers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.arithmetic.formats import Format, IntegerType
from accelsim.arithmetic.operations.pointwise import table
from accelsim.errors import InputError
from accelsim.network.layers import ACTIVATIONS, Activation, Combine, Concat
from tests.arithmetic.layers import one_layer
from tests.arithmetic.models import runtime
from tests.network.naive_layers import FUNCTIONS

INT8, UINT8 = IntegerType(8), IntegerType(8, False)


@pytest.mark.parametrize(
    "function", [f for f in ACTIVATIONS if f not in ("log", "sqrt", "reciprocal", "power", "round")]
)
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_tables_are_the_nearest_integers(function, bits):
    """Of the function in double precision; single precision may fall on the other side of a half."""
    parameters = tuple([-0.5, 0.7][k] if function == "clip" else 0.4 for k in range(len(ACTIVATIONS[function])))
    kind = IntegerType(bits)
    source = Format(kind, (float(np.float32(8 / 2**bits)),), (1,))
    output = Format(kind, (float(np.float32(12 / 2**bits)),), (-2,))
    made = table(Activation(function, parameters), source, output).astype(np.int64)
    with np.errstate(all="ignore"):
        reals = FUNCTIONS[function](source.real(np.arange(kind.low, kind.high + 1)).astype(np.float64), *parameters)
    exact = np.clip(reals / output.scale[0] - 2, kind.low, kind.high)
    # What single precision makes of a real number is off by as many steps as an integer has bits beyond it.
    assert np.abs(made - exact).max() <= 0.5 + 2.0 ** (bits - 18)


def test_functions_without_a_value_are_told():
    inet = one_layer(Activation("sqrt"), [(Format(INT8), 3, 1)], Format(INT8))
    with pytest.raises(InputError, match=r"one: y: sqrt has no value at -128"):
        acs.execute(inet, np.zeros((1, 1, 3), np.int8))


def pair_model(kind, a, b, output, shapes, number):
    stored, names = {}, []
    for k, own in enumerate((a, b, output)):
        dtype = own.type.dtype
        stored |= {f"s{k}": np.float32(own.scale[0]), f"z{k}": np.array(own.zero_point[0], dtype)}
        names.append([f"s{k}", f"z{k}"])
    node = helper.make_node(kind, ["a", *names[0], "b", *names[1], *names[2]], ["y"], domain="com.microsoft")
    result = np.broadcast_shapes(*shapes)
    graph = helper.make_graph(
        [node], "pair", [helper.make_tensor_value_info(n, number, s) for n, s in zip("ab", shapes, strict=True)],
        [helper.make_tensor_value_info("y", number, result)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["QLinearAdd", "QLinearMul"]), st.booleans(), st.integers(0, 2**32 - 1),
    st.sampled_from([((1, 6, 5, 4), (1, 6, 5, 4)), ((1, 6, 5, 4), (1, 6, 1, 1)), ((1, 6, 1, 1), (1, 6, 5, 4))]),
)  # fmt: skip
def _pairs_equal_onnx_runtime(folder, kind, signed, seed, shapes):
    rng = np.random.default_rng(seed)
    own = INT8 if signed else UINT8
    formats = [
        Format(own, (float(np.float32(rng.uniform(0.001, 0.1))),), (int(rng.integers(own.low, own.high + 1)),))
        for _ in range(3)
    ]
    path = folder / "pair.onnx"
    number = TensorProto.INT8 if signed else TensorProto.UINT8
    path.write_bytes(pair_model(kind, *formats, shapes, number).SerializeToString())
    feeds = {n: rng.integers(own.low, own.high + 1, s).astype(own.dtype) for n, s in zip("ab", shapes, strict=True)}
    (expected,) = runtime(path).run(None, feeds)
    assert np.array_equal(acs.execute(acs.load_integer_network(path), feeds)["y"], expected)


def test_pairs_equal_onnx_runtime(tmp_path):
    _pairs_equal_onnx_runtime(tmp_path)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_concatenation_brings_operands_to_one_format(seed):
    rng = np.random.default_rng(seed)
    formats = [
        Format(INT8, (float(np.float32(rng.uniform(0.01, 0.1))),), (int(rng.integers(-128, 128)),)) for _ in range(3)
    ]
    x = {f"x{k}": rng.integers(-128, 128, (1, 2, 4)).astype(np.int8) for k in range(2)}
    inet = one_layer(Concat(-1), [(own, 4, 2) for own in formats[:2]], formats[2])
    made = acs.execute(inet, x)["y"]
    for k in range(2):
        scale, other = (np.float32(formats[j].scale[0]) for j in (k, 2))
        reals = (x[f"x{k}"].astype(np.int64) - formats[k].zero_point[0]).astype(np.float32) * scale
        exact = [Fraction(float(value)) for value in (reals / other).ravel()]
        nearest = [round(value) + formats[2].zero_point[0] for value in exact]
        assert made[0, 2 * k : 2 * k + 2].ravel().tolist() == [min(max(value, -128), 127) for value in nearest]


def test_what_has_no_integer_form_goes_by_way_of_real_numbers():
    kinds = [Format(INT8, (0.5,), (0,)), Format(INT8, (0.25,), (0,)), Format(INT8, (1.0,), (0,))]
    inet = one_layer(Combine("divide"), [(kinds[0], 1), (kinds[1], 1)], kinds[2])
    made = acs.execute(inet, {"x0": np.array([[14]], np.int8), "x1": np.array([[8]], np.int8)})
    assert made["y"].ravel().tolist() == [4]
