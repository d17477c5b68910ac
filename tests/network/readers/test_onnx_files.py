"""Files as they come: real networks, names, open dimensions, folded shape arithmetic, and what is refused."""

import re
import time
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper

from accelsim.errors import AccelsimError, InputError, UnsupportedError
from accelsim.network.readers.onnx import read_onnx
from tests.materials import material
from tests.network.readers.interpreter import run
from tests.network.readers.onnx_models import check_against_onnx, kinds, model, reference, save, single, weight

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
#: Parameters and MACs as the published descriptions of these networks give them, within what they round.
TOPOLOGIES = {
    "bvlc_alexnet": (60.97e6, 0.655e9), "densenet121": (7.98e6, 2.83e9), "inception_v1": (7.0e6, 1.43e9),
    "inception_v2": (11.2e6, 2.02e9), "resnet50": (25.56e6, 4.09e9), "shufflenet": (1.4e6, 0.125e9),
    "squeezenet": (1.24e6, 0.349e9), "vgg19": (143.67e6, 19.63e9), "zfnet512": (87.25e6, 1.48e9),
}  # fmt: skip


def ints(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_published_topologies(name):
    net = read_onnx(LIGHT / f"light_{name}.onnx")
    parameters, macs = TOPOLOGIES[name]
    assert net.parameter_count == pytest.approx(parameters, rel=0.02)
    assert net.macs == pytest.approx(macs, rel=0.02)
    assert prod(net.outputs[0].shape) == 1000


#: File, shape, blocks whose squeeze is a reduction of the whole map, output shapes.
TRAINED = [
    ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), 9 + 1, [(1, 2)]),
    ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", (1, 3, 320, 320), 10, [(1, 1, 320, 320)]),
    ("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320), 2, [(1, 40, 6625)]),
    ("mtcnnruntime/weights/pnet.onnx", (1, 3, 48, 64), 0, [(1, 4, 19, 27), (1, 2, 19, 27)]),
    ("mtcnnruntime/weights/rnet.onnx", None, 0, [(1, 4), (1, 2)]),
    ("mtcnnruntime/weights/onet.onnx", None, 0, [(1, 10), (1, 4), (1, 2)]),
]


@pytest.mark.parametrize(("file", "shape", "squeezes", "outputs"), TRAINED, ids=[Path(t[0]).stem for t in TRAINED])
def test_trained_networks(file, shape, squeezes, outputs):
    path = material(file)
    net = read_onnx(path, shape)
    assert [port.shape for port in net.outputs] == outputs
    whole = [n for n in net.nodes if n.kind == "reduce" and n.layer.tile is None]
    assert len(whole) == squeezes


def test_a_trained_classifier_computes_what_onnxruntime_computes():
    path = material(TRAINED[0][0])
    net = read_onnx(path, TRAINED[0][1])
    x = np.random.default_rng(0).normal(size=TRAINED[0][1]).astype(np.float32)
    (expected,) = reference(onnx.load(path), {"x": x})
    np.testing.assert_allclose(run(net, {"x": x})[0], expected, rtol=1e-3, atol=1e-4)


def test_shape_arithmetic_is_folded(tmp_path):
    """Padding as TensorFlow computes it, in the graph, from the size of the map."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["height"]),
        helper.make_node("Add", ["height", "one"], ["h1"]),
        helper.make_node("Div", ["h1", "two"], ["outputs"]),
        helper.make_node("Sub", ["outputs", "one"], ["o1"]),
        helper.make_node("Mul", ["o1", "two"], ["reach"]),
        helper.make_node("Add", ["reach", "three"], ["need"]),
        helper.make_node("Sub", ["need", "height"], ["total"]),
        helper.make_node("Max", ["total", "nothing"], ["pad"]),
        helper.make_node("Unsqueeze", ["pad", "nothing1"], ["after"]),
        helper.make_node("Concat", ["zeros", "after", "after"], ["pads"], axis=0),
        helper.make_node("Pad", ["x", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["y"], strides=[2, 2]),
    ]
    weights = {
        "axis": ints(2).reshape(()), "one": ints(1).reshape(()), "two": ints(2).reshape(()),
        "three": ints(3).reshape(()), "nothing": ints(0).reshape(()), "nothing1": ints(0), "zeros": ints(*[0] * 6),
        "w": weight(4, 3, 3, 3),
    }  # fmt: skip
    net = check_against_onnx(tmp_path, model(nodes, {"x": (1, 3, 8, 8)}, ["y"], weights))
    assert kinds(net) == ["convolution"]
    assert net.nodes[-1].layer.padding == ((0, 1), (0, 1))


def test_a_constant_condition_chooses_its_branch(tmp_path):
    branches = {}
    for name, kind in (("then_branch", "Relu"), ("else_branch", "Tanh")):
        node = helper.make_node(kind, ["x"], [f"{name}_y"])
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        branches[name] = helper.make_graph([node], name, [], [value])
    choice = helper.make_node("If", ["condition"], ["y"], **branches)
    for condition, function in ((True, "relu"), (False, "tanh")):
        made = model([choice], {"x": (1, 3, 4)}, ["y"], {"condition": np.array(condition)})
        net = read_onnx(save(tmp_path, made))
        assert net.nodes[-1].layer.function == function


def test_layers_are_named_as_their_nodes_or_outputs(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Tanh", ["a"], ["b"], name="twice"),
        helper.make_node("Exp", ["b"], ["c"], name="twice"),
        helper.make_node("Sqrt", ["c"], ["y"]),
    ]
    net = read_onnx(save(tmp_path, model(nodes, {"x": (1, 3, 4)}, ["y"])))
    assert [node.name for node in net.nodes] == ["x", "first", "b", "c", "y"]


def test_a_weight_read_twice_counts_once(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    net = read_onnx(save(tmp_path, model(nodes, {"x": (1, 3, 4)}, ["y"], {"w": weight(4, 4)})))
    assert net.parameter_count == 16


def test_open_dimensions(tmp_path):
    path = save(tmp_path, single("Relu", ("batch", 3, "height", "width")))
    with pytest.raises(
        InputError, match=r"input x: shape batchx3xheightxwidth leaves height, width open.*input_shape=1"
    ):
        read_onnx(path)
    assert read_onnx(path, (1, 3, 5, 6)).inputs[0].shape == (1, 3, 5, 6)
    assert read_onnx(path, {"x": (1, 3, 5, 6)}).inputs[0].shape == (1, 3, 5, 6)
    for wrong in ((3, 5, 6), {"z": (1, 3, 5, 6)}, (1, 3, 0, 6), (1, 3, 2**25, 2**25)):
        with pytest.raises(InputError):
            read_onnx(path, wrong)


def test_an_open_batch_is_one_frame_and_a_larger_one_is_refused(tmp_path):
    made = single("Conv", ("n", 3, 5, 5), [weight(2, 3, 3, 3)])
    assert read_onnx(save(tmp_path, made)).outputs[0].shape == (1, 2, 3, 3)
    with pytest.raises(InputError, match="batch of 8"):
        read_onnx(save(tmp_path, single("Conv", (8, 3, 5, 5), [weight(2, 3, 3, 3)])))


def test_every_operator_that_cannot_be_read_is_named_at_once(tmp_path):
    nodes = [
        helper.make_node("LSTM", ["x"], ["a"], name="memory"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Odd", ["b"], ["c"], domain="some.where"),
        helper.make_node("NonMaxSuppression", ["c", "c"], ["d"], name="suppress"),
        helper.make_node("BatchNormalization", ["x", "d", "d", "d", "d"], ["y"], training_mode=1),
    ]
    with pytest.raises(UnsupportedError) as caught:
        read_onnx(save(tmp_path, model(nodes, {"x": (1, 3, 4)}, ["y"])))
    assert caught.value.problems == ("memory (LSTM)", "c (some.where.Odd)", "suppress (NonMaxSuppression)")
    assert str(caught.value).startswith(f"{tmp_path / 'model.onnx'}: 3 unsupported operators: ")


def one_line(path, *arguments):
    """The message of the error that reading a file ends with, in a second at most."""
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        read_onnx(path, *arguments)
    assert time.monotonic() - start < 5
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


GOOD = single("Conv", (1, 3, 5, 5), [weight(2, 3, 3, 3)])


def changed(change):
    made = onnx.ModelProto()
    made.CopyFrom(GOOD)
    change(made.graph)
    return made


def set_dims(*dims):
    def change(graph):
        graph.initializer[0].dims[:] = dims

    return change


def set_input(*dims):
    def change(graph):
        for dimension, size in zip(graph.input[0].type.tensor_type.shape.dim, dims, strict=True):
            dimension.dim_value = size

    return change


def set_kernel(kernel, stride=1, pad=0):
    def change(graph):
        node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=kernel, strides=[stride] * 2, pads=[pad] * 4)
        graph.node[0].CopyFrom(node)

    return change


HOSTILE = {
    "stored bytes": (set_dims(2, 3, 3, 4), "need 288 bytes, 216 are stored"),
    "3 GB of dims": (set_dims(3 * 2**20, 2**10, 1, 1), "bytes"),
    "too many elements": (set_dims(2**21, 2**21, 1, 1), r"2\^40"),
    "negative dims": (set_dims(-2, 3, 3, -3), "must not be negative"),
    "zero input": (set_input(1, 3, 0, 5), "must be positive"),
    "negative input": (set_input(1, 3, -7, 5), "must be positive"),
    "huge input": (set_input(1, 3, 2**31, 2**31), r"2\^40"),
    "kernel of 10^9": (set_kernel([10**9, 10**9]), "between 1 and"),
    "padding of 10^9": (set_kernel([3, 3], pad=10**9), "between 0 and"),
    "stride of nothing": (set_kernel([3, 3], stride=0), "between 1 and"),
    "kernel that does not fit": (set_kernel([6, 6]), "does not fit"),
    "dangling input": (lambda g: g.node[0].input.__setitem__(0, "nobody"), "which nothing makes"),
    "own output": (lambda g: g.node[0].input.__setitem__(0, "y"), "cycle: y"),
    "made twice": (lambda g: g.node.append(g.node[0]), "'y' is made 2 times"),
    "stored twice": (lambda g: g.initializer.append(g.initializer[0]), "stored twice"),
    "no output": (lambda g: g.output.__delitem__(0), "no output"),
    "output of nobody": (lambda g: setattr(g.output[0], "name", "nobody"), "made by no node"),
    "unknown data type": (lambda g: setattr(g.initializer[0], "data_type", 99), "data type 99"),
    "no weights": (lambda g: g.node[0].input.__delitem__(1), "input 1 is missing"),
    "not finite": (lambda g: setattr(g.initializer[0], "raw_data", b"\xff" * 216), "not finite"),
    "attribute of another type": (
        lambda g: g.node[0].attribute.append(helper.make_attribute("group", 2.5)), "must be of type INT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models_end_in_one_line(tmp_path, name):
    change, rule = HOSTILE[name]
    assert re.search(rule, one_line(save(tmp_path, changed(change))))


def test_files_that_are_no_models(tmp_path):
    good = GOOD.SerializeToString()
    contents = {"empty": b"", "text": b"hello, world\n" * 50, "truncated": good[:-40], "zeros": bytes(1000)}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        one_line(path)
    assert "no such file" in one_line(tmp_path / "absent.onnx")
    assert "no such file" in one_line(tmp_path)


def test_a_file_of_3_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    assert "2 GiB" in one_line(path)


def test_a_name_that_is_not_unicode(tmp_path):
    path = tmp_path / "name.onnx"
    path.write_bytes(
        changed(lambda g: setattr(g.node[0], "name", "zzzz")).SerializeToString().replace(b"zzzz", b"\xff" * 4)
    )
    assert "UTF-8" in one_line(path)


def external(location, **entries):
    def change(graph):
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            tensor.external_data.add(key=key, value=str(value))

    return changed(change)


def test_weights_beside_the_file_are_mapped(tmp_path):
    array = weight(2, 3, 3, 3)
    (tmp_path / "weights.bin").write_bytes(b"head" + array.tobytes())
    net = read_onnx(save(tmp_path, external("weights.bin", offset=4, length=216)))
    np.testing.assert_array_equal(net.parameters["y.weight"], array)


def test_weights_outside_the_folder_are_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(216))
    (inside / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        assert "outside the model's folder" in one_line(save(inside, external(location)))
    for location in ("absent.bin", ".", "a\0b", "", "x" * 5000):
        one_line(save(inside, external(location)))
    (inside / "short.bin").write_bytes(bytes(100))
    assert "lie outside short.bin" in one_line(save(inside, external("short.bin")))
    for entries in ({"offset": -1}, {"length": 10**30}, {"offset": "x"}):
        one_line(save(inside, external("short.bin", **entries)))


BOMBS = {
    "range": [("Range", ["zero", "huge", "one"])],
    "tile": [("Tile", ["ones", "many"])],
    "expand": [("Expand", ["ones", "square"]), ("Add", ["v0", "ones"])],
    "constant of shape": [("ConstantOfShape", ["square"]), ("Neg", ["v0"])],
    "repeat": [("Concat", ["ones"] * 2**10), ("Concat", ["v0"] * 2**10), ("Concat", ["v1"] * 2**10)],
}


@pytest.mark.parametrize("name", BOMBS)
def test_shape_arithmetic_does_not_explode(tmp_path, name):
    weights = {
        "zero": ints(0).reshape(()), "one": ints(1).reshape(()), "huge": ints(10**12).reshape(()), "ones": ints(1, 1),
        "many": ints(10**12), "square": ints(2**19, 2**20, 2),
    }  # fmt: skip
    nodes = [
        helper.make_node(kind, inputs, [f"v{k}"], **({"axis": 0} if kind == "Concat" else {}))
        for k, (kind, inputs) in enumerate(BOMBS[name])
    ]
    nodes.append(helper.make_node("Reshape", ["x", nodes[-1].output[0]], ["y"]))
    one_line(save(tmp_path, model(nodes, {"x": (1, 3, 4)}, ["y"], weights)))


def test_tiled_activations_do_not_explode(tmp_path):
    one_line(save(tmp_path, single("Tile", (1, 3, 4), [ints(1, 1, 10**12)])))
    one_line(save(tmp_path, single("Expand", (1, 1, 4), [ints(1, 10**12, 4)])))
    one_line(save(tmp_path, single("Resize", (1, 1, 4), [None, np.array([1, 1, 1e30], np.float32)])))


def test_deeply_nested_branches(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y0"])
    for depth in range(1, 14):
        value = helper.make_tensor_value_info(f"y{depth - 1}", TensorProto.FLOAT, None)
        graph = helper.make_graph([node], "branch", [], [value])
        node = helper.make_node("If", ["yes"], [f"y{depth}"], then_branch=graph, else_branch=graph)
    made = model([node], {"x": (1, 3, 4)}, [node.output[0]], {"yes": np.array(True)})
    net = read_onnx(save(tmp_path, made))
    assert kinds(net) == ["activation"]


def test_functions_that_call_themselves(tmp_path):
    made = model([helper.make_node("F", ["x"], ["y"], domain="own")], {"x": (1, 3, 4)}, ["y"])
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    made.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    made.opset_import.append(helper.make_opsetid("own", 1))
    assert "calls itself" in one_line(save(tmp_path, made))


def test_local_functions_are_written_out(tmp_path):
    made = model([helper.make_node("F", ["x"], ["y"], domain="own")], {"x": (1, 3, 4)}, ["y"])
    body = [helper.make_node("Sigmoid", ["a"], ["g"]), helper.make_node("Mul", ["a", "g"], ["b"])]
    made.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    made.opset_import.append(helper.make_opsetid("own", 1))
    assert read_onnx(save(tmp_path, made)).nodes[-1].layer.function == "silu"


NUMBERS = st.sampled_from([0, -1, 1, 2, 7, 2**31, -(2**31), 2**63 - 1, -(2**63), 10**9, 2**40])
VICTIMS = [
    GOOD,
    single("MaxPool", (1, 3, 8, 8), kernel_shape=[2, 2], strides=[2, 2]),
    single("Reshape", (1, 6, 4), [ints(2, 3, -1)]),
    single("Pad", (1, 3, 4, 4), [ints(0, 0, 1, 1, 0, 0, 1, 1)]),
    single("Slice", (1, 6, 4), [ints(1), ints(5), ints(1), ints(2)]),
    single("Split", (1, 6, 4), [ints(2, 4)], outputs=("y", "z"), axis=1),
    single("Gather", (1, 6, 4), [ints(3, 1)], axis=1),
    single("Resize", (1, 2, 3, 3), [None, np.array([1, 1, 2, 2], np.float32)]),
    single("ConvTranspose", (1, 3, 4, 4), [weight(3, 2, 3, 3)], strides=[2, 2]),
    single("LayerNormalization", (1, 4, 8), [weight(8), weight(8)]),
    single("Gemm", (1, 8), [weight(8, 4), weight(4)]),
    single("ReduceMean", (1, 3, 4, 4), axes=[2, 3]),
    single("Transpose", (1, 3, 4), perm=[0, 2, 1]),
    single("Tile", (1, 3, 4), [ints(1, 2, 1)]),
    single("DepthToSpace", (1, 8, 2, 2), blocksize=2),
]


def damaged(data, made):
    """A copy of a model with one of its fields changed."""
    victim = onnx.ModelProto()
    victim.CopyFrom(made)
    graph, number = victim.graph, data.draw(NUMBERS)
    attributes = [a for node in graph.node for a in node.attribute]
    kind = data.draw(
        st.sampled_from(["attribute", "dims", "input", "type", "elements", "operator", "opset", "missing"])
    )
    if kind == "attribute" and attributes:
        attribute = data.draw(st.sampled_from(attributes))
        if attribute.type == AttributeProto.INTS:
            attribute.ints[data.draw(st.integers(0, len(attribute.ints) - 1))] = number
        elif attribute.type == AttributeProto.INT:
            attribute.i = number
    elif kind == "input":
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[data.draw(st.integers(0, len(dims) - 1))].dim_value = number
    elif kind == "opset":
        victim.opset_import[0].version = data.draw(st.sampled_from([0, 1, 7, 9, 10, 11, 13, 18, 22, 1000]))
    elif kind == "operator":
        graph.node[0].op_type = data.draw(st.sampled_from([made.graph.node[0].op_type for made in VICTIMS]))
    elif kind == "missing" and len(graph.node[0].input) > 1:
        del graph.node[0].input[-1]
    elif graph.initializer:
        tensor = graph.initializer[0]
        if kind == "type":
            tensor.data_type = data.draw(st.integers(0, 30))
        elif kind == "dims":
            tensor.dims[0] = number
        elif tensor.data_type == TensorProto.INT64:
            tensor.raw_data = np.full(len(tensor.raw_data) // 8, number, np.int64).tobytes()
    return victim.SerializeToString()


def read_or_refuse(path, content):
    path.write_bytes(content)
    start = time.monotonic()
    refused = None
    try:
        read_onnx(path)
    except AccelsimError as error:
        refused = str(error)
    assert refused is None or refused.startswith(str(path))
    assert time.monotonic() - start < 5


LENIENT = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LENIENT
@given(data=st.data(), made=st.sampled_from(VICTIMS))
def test_a_changed_field_is_read_or_refused(tmp_path, data, made):
    read_or_refuse(tmp_path / "changed.onnx", damaged(data, made))


@LENIENT
@given(data=st.data(), made=st.sampled_from(VICTIMS))
def test_changed_bytes_are_read_or_refused(tmp_path, data, made):
    content = bytearray(made.SerializeToString())
    for position, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[position] = byte
    end = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    read_or_refuse(tmp_path / "changed.onnx", bytes(content[:end]))
