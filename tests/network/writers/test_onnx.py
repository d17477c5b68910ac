"""What is written as ONNX computes the same in onnxruntime as every kind of layer in plain NumPy."""

from math import prod

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from accelsim.errors import InputError, UnsupportedError
from accelsim.network.graph import Node, Port, network
from accelsim.network.layers import (
    ACTIVATIONS,
    COMBINATIONS,
    KINDS,
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Concat,
    Constant,
    Convolution,
    Dense,
    Embedding,
    Input,
    LocalNorm,
    Normalise,
    Pad,
    Pool,
    PRelu,
    Product,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    Softmax,
    TransposedConvolution,
)
from accelsim.network.tensor import Tensor
from accelsim.network.window import CENTRES
from accelsim.network.writers.onnx import write_onnx
from accelsim.network.writers.yaml import write_yaml_network
from tests.network.naive_layers import random_weights, run, windows_of


def execute(path, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def channels_first(map_):
    return np.moveaxis(map_, -1, 0)[None].astype(np.float32)


def check(tmp_path, nodes, outputs, feeds, tolerance=1e-4):
    """onnxruntime and NumPy agree on every output of a network of `nodes` with random weights."""
    shapes = network("case", nodes, outputs)
    net = network("case", nodes, outputs, parameters=random_weights(shapes))
    path = tmp_path / "case.onnx"
    write_onnx(net, path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    expected = run(net, feeds)
    found = execute(path, {name: channels_first(feed) for name, feed in feeds.items()})
    for name in outputs:
        assert found[name].shape == (1, net.tensors[name].channels, *net.tensors[name].spatial)
        np.testing.assert_allclose(found[name], channels_first(expected[name]), rtol=tolerance, atol=tolerance)


def one(*spatial):
    return (1,) * len(spatial)


def conv(channels, kernel, stride=None, padding=None, dilation=None, **more):
    none = tuple((0, 0) for _ in kernel)
    return Convolution(channels, kernel, stride or one(*kernel), padding or none, dilation or one(*kernel), **more)


def transposed(channels, kernel, stride, padding, extra, dilation=None, **more):
    return TransposedConvolution(channels, kernel, stride, padding, dilation or one(*kernel), extra, **more)


def pool(operation, kernel, stride, padding=None, dilation=None, **more):
    none = tuple((0, 0) for _ in kernel)
    return Pool(operation, kernel, stride, padding or none, dilation or one(*kernel), **more)


SIDE = ((1, 2), (0, 1))
UNARY = [
    (conv(4, (3, 2), (2, 1), SIDE, (1, 2), bias=True), (6, (7, 9))),
    (conv(4, (3, 3), groups=2), (6, (5, 5))),
    (conv(6, (1, 1), groups=6, bias=True), (6, (3, 2))),
    (conv(5, (4,), (3,), ((2, 1),)), (3, (11,))),
    (conv(2, (2, 3, 1), (1, 2, 1), ((0, 0), (1, 1), (2, 0))), (3, (4, 5, 3))),
    (conv(4, (), bias=True), (3, ())),
    (transposed(4, (3, 2), (2, 3), SIDE, (1, 0), bias=True), (6, (4, 3))),
    (transposed(4, (3,), (2,), ((1, 1),), (1,), (2,), groups=2), (6, (5,))),
    (transposed(4, (), (), (), ()), (3, ())),
    (Dense(5, bias=True), (3, ())),
    (Dense(5), (3, (4,))),
    (Dense(5, bias=True), (3, (4, 2))),
    (Dense(5, bias=True), (3, (2, 2, 2, 3))),
    (pool("maximum", (3, 3), (2, 2), ((1, 1), (1, 1))), (2, (7, 8))),
    (pool("maximum", (3, 2), (2, 2), ((0, 1), (0, 0)), (2, 1), ceil_mode=True), (2, (8, 7))),
    (pool("average", (3, 3), (2, 2), ((1, 1), (1, 0))), (2, (7, 8))),
    (pool("average", (3, 3), (2, 2), ((1, 1), (1, 0)), count_include_pad=True), (2, (7, 8))),
    (pool("average", (3,), (3,), ceil_mode=True), (2, (7,))),
    (pool("average", (2, 2, 2), (1, 2, 2)), (2, (3, 4, 5))),
    (pool("average", (2,), (1,), dilation=(2,)), (2, (7,))),
    (pool("lp", (2, 2), (2, 2)), (2, (4, 6))),
    (pool("maximum", (), ()), (3, ())),
    (ChannelPool("maximum", 3), (6, (2, 3))),
    (ChannelPool("mean", 2), (6, ())),
    (Slice(-1, 1, 2, 2), (6, (2, 3))),
    (Slice(0, 4, 3, -2), (2, (5, 2))),
    (Slice(1, 3, 4, -1), (2, (3, 4))),
    (Pad(((1, 0), (2, 3)), (0, 2), "constant", 0.5), (2, (3, 4))),
    (Pad(((-1, 2), (2, -1)), mode="edge"), (2, (3, 4))),
    (Pad(((1, 2), (2, 1)), mode="reflect"), (2, (3, 4))),
    (Pad(((1, 2), (2, 1)), mode="wrap"), (2, (3, 4))),
    (Pad(()), (2, ())),
    (Resize((6, 8)), (2, (3, 4))),
    (Resize((7, 3)), (2, (3, 4))),
    (Resize((6, 8), "nearest", "half_pixel"), (2, (3, 4))),
    *((Resize((7, 10), "nearest", coordinates), (2, (3, 4))) for coordinates in sorted(CENTRES)),
    *((Resize((2, 3), "nearest", coordinates), (2, (5, 7))) for coordinates in sorted(CENTRES)),
    (Resize((6, 5), "linear", "half_pixel"), (2, (3, 4))),
    (Resize((6, 5), "linear", "align_corners"), (2, (3, 4))),
    (Resize((1, 5), "linear", "pytorch_half_pixel"), (2, (3, 4))),
    (Resize((9,), "linear", "asymmetric"), (2, (4,))),
    (Resize((2, 4, 6), "nearest"), (2, (1, 2, 3))),
    (PRelu(), (3, (2, 2))),
    (PRelu(shared=True), (3, (4,))),
    (BatchNorm(1e-3), (3, (2, 2))),
    (BatchNorm(), (3, ())),
    *((Normalise(over), (4, (3, 5))) for over in ("channels", "space", "all")),
    *((Normalise(over, 2, centred=False), (4, (3, 5))) for over in ("channels", "space", "all")),
    (Normalise("all", 2, affine=False), (4, (3, 5, 2))),
    (Normalise("channels", 2), (4, ())),
    (LocalNorm(3, 0.1, 0.75, 2.0), (6, (3, 2))),
    (LocalNorm(5, 0.1), (6, ())),
    (Softmax(2), (4, (3, 2))),
    (Softmax(over="space"), (4, (3, 2))),
    (Softmax(log=True), (4, ())),
    (Rearrange((2, 3, 4), (2, 0, 1), (), 24), (4, (2, 3))),
    (Rearrange((2, 3, 2, 2), (0, 2, 1, 3), (4, 3), 2), (4, (2, 3))),
    (Rearrange((24,), (0,), (2, 2, 2), 3), (4, (2, 3))),
]
TILES = [None, (2, 3), (3, 6), (5, 2), (7, 6), (100, 1)]
REDUCTIONS = ("mean", "maximum", "minimum", "sum", "product", "l1", "l2", "lp")


def feed(channels, spatial, seed=1):
    return np.random.default_rng(seed).normal(size=(*spatial, channels))


@pytest.mark.parametrize(("layer", "source"), UNARY, ids=str)
def test_layers_with_one_input(tmp_path, layer, source):
    check(tmp_path, [Node("x", Input(*source)), Node("y", layer, ("x",))], ["y"], {"x": feed(*source)})


@pytest.mark.parametrize("tile", TILES, ids=str)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reductions(tmp_path, operation, tile):
    nodes = [Node("x", Input(3, (7, 6))), Node("y", Reduce(operation, tile), ("x",))]
    check(tmp_path, nodes, ["y"], {"x": feed(3, (7, 6))})


@pytest.mark.parametrize("spatial", [(), (7,), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_reductions_of_other_ranks(tmp_path, operation, spatial):
    nodes = [
        Node("x", Input(3, spatial)),
        Node("y", Reduce(operation), ("x",)),
        Node("z", Reduce(operation, (2,) * len(spatial)), ("x",)),
    ]
    check(tmp_path, nodes, ["y", "z"], {"x": feed(3, spatial)})


DEFAULTS = {"clip": (-0.5, 0.7), "hard_sigmoid": (0.2, 0.5), "selu": (1.7, 1.1), "power": (2.0,)}


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations(tmp_path, function):
    parameters = DEFAULTS.get(function, (0.3,) * len(ACTIVATIONS[function]))
    positive = function in ("log", "reciprocal", "sqrt")
    values = feed(4, (3, 5)) * 3
    nodes = [Node("x", Input(4, (3, 5))), Node("y", Activation(function, parameters), ("x",))]
    check(tmp_path, nodes, ["y"], {"x": np.abs(values) + 0.1 if positive else values})


@pytest.mark.parametrize("operation", COMBINATIONS)
def test_combinations(tmp_path, operation):
    """Operands of the same shape, of one point, of one channel, without space, and repeated with a crop."""
    sources = {"a": (4, (5, 6)), "b": (4, (1, 6)), "c": (1, (5, 6)), "d": (4, ()), "e": (4, (2, 3)), "f": (4, (3, 1))}
    nodes = [
        *(Node(name, Input(*source)) for name, source in sources.items()),
        Node("all", Combine(operation, ((), (), (), (), (3, 2), (2, 6))), tuple(sources)),
        Node("line", Combine(operation), ("a", "d")),
        Node("alone", Combine(operation), ("a",)),
    ]
    feeds = {name: np.abs(feed(*source, seed)) + 0.5 for seed, (name, source) in enumerate(sources.items())}
    feeds |= {"a": np.minimum(feeds["a"], 1.5)}
    check(tmp_path, nodes, ["all", "line", "alone"], feeds, 1e-3)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_concatenations(tmp_path, axis):
    nodes = [Node(name, Input(2, (3, 4))) for name in "ab"]
    feeds = {name: feed(2, (3, 4), seed) for seed, name in enumerate("ab")}
    check(tmp_path, [*nodes, Node("y", Concat(axis), ("a", "b", "a"))], ["y"], feeds)


@pytest.mark.parametrize(
    ("layer", "first", "second"),
    [
        (Product(), (6, (4,)), (5, (6,))),
        (Product(2, transposed=True), (6, (4,)), (6, (5,))),
        (Product(3), (6, (2, 4)), (9, (2, 2))),
        (Product(3), (6, (2, 4)), (9, (2,))),
        (Product(1, transposed=True), (6, ()), (6, (5,))),
        (Product(2, transposed=True), (6, (3, 1, 4)), (6, (2, 5))),
    ],
    ids=str,
)
def test_products(tmp_path, layer, first, second):
    nodes = [Node("a", Input(*first)), Node("b", Input(*second)), Node("y", layer, ("a", "b"))]
    check(tmp_path, nodes, ["y"], {"a": feed(*first), "b": feed(*second, 2)})


def test_constants_and_embeddings(tmp_path):
    nodes = [
        Node("x", Input(1, (3, 4))),
        Node("words", Embedding(7, 5), ("x",)),
        Node("where", Constant(5, (3, 4))),
        Node("y", Combine("add"), ("words", "where")),
    ]
    indices = np.random.default_rng(0).integers(0, 7, (3, 4, 1)).astype(float)
    check(tmp_path, nodes, ["y"], {"x": indices})


def test_every_kind_is_covered_here():
    tested = {type(layer) for layer, _ in UNARY} | {
        Input, Constant, Product, Reduce, Combine, Concat, Activation, Embedding,
    }  # fmt: skip
    assert tested == set(KINDS.values())


def test_ports_keep_their_names_and_shapes(tmp_path):
    """A channels-last image with its batch axis in front, and a result with channels split over two axes."""
    image = Port("image:0", "x", (1, 3, 4, 6), (1, 2), (3,))
    result = Port("y", "y", (2, 12, 3), (1,), (0, 2))
    net = network("ports", [Node("x", Input(6, (3, 4))), Node("y", RESHAPED, ("x",))], [result], [image])
    write_onnx(net, tmp_path / "ports.onnx")
    x = feed(6, (3, 4))
    found = execute(tmp_path / "ports.onnx", {"image:0": x[None].astype(np.float32)})["y"]
    np.testing.assert_allclose(found, x.reshape(12, 2, 3).transpose(1, 0, 2).astype(np.float32))


RESHAPED = Rearrange((12, 6), (0, 1), (12,), 6)


def test_layers_keep_their_names(tmp_path):
    """Also where they are outputs: the operator that makes a layer's result is called like the layer."""
    nodes = [Node("x", Input(2, (3, 4))), Node("a", Dense(3), ("x",)), Node("b", Activation("relu"), ("a",))]
    write_onnx(network("names", nodes, ["b"]), tmp_path / "names.onnx")
    operators = onnx.load(tmp_path / "names.onnx").graph.node
    assert [(n.op_type, n.name) for n in operators if n.op_type != "ConstantOfShape"] == [("Conv", "a"), ("Relu", "b")]


def test_an_input_that_is_an_output(tmp_path):
    port = Port("copy", "x", (1, 2, 3), (2,), (1,))
    write_onnx(network("same", [Node("x", Input(2, (3,)))], [port]), tmp_path / "same.onnx")
    x = channels_first(feed(2, (3,)))
    np.testing.assert_array_equal(execute(tmp_path / "same.onnx", {"x": x})["copy"], x)


def test_weights_that_are_not_known_take_no_room(tmp_path):
    nodes = [
        Node("x", Input(512, (4, 4))),
        Node("a", conv(512, (3, 3), padding=((1, 1), (1, 1)), bias=True), ("x",)),
        Node("b", conv(512, (3, 3), padding=((1, 1), (1, 1)), bias=True), ("a",), shares="a"),
        Node("y", BatchNorm(), ("b",)),
    ]
    write_onnx(network("large", nodes, ["y"]), tmp_path / "large.onnx")
    assert (tmp_path / "large.onnx").stat().st_size < 4096
    model = onnx.load(tmp_path / "large.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions[0].input[1:] == convolutions[1].input[1:]
    x = channels_first(feed(512, (4, 4)))
    assert not execute(tmp_path / "large.onnx", {"x": x})["y"].any()


def test_all_layers_without_a_form_are_named(tmp_path):
    nodes = [
        Node("x", Input(2, (3, 3, 3, 3))),
        Node("wide", conv(2, (1, 1, 1, 1)), ("x",)),
        Node("smooth", Resize((6, 6, 6, 6), "linear", "tf_half_pixel_for_nn"), ("wide",)),
    ]
    with pytest.raises(
        UnsupportedError, match=r"2 unsupported operators: wide .*4 axes.*; smooth .*tf_half_pixel_for_nn"
    ):
        write_onnx(network("odd", nodes, ["smooth"]), tmp_path / "odd.onnx")
    assert not (tmp_path / "odd.onnx").exists()


@st.composite
def windows(draw):
    """Any window on a small map, with what it reads."""
    axes = draw(st.integers(1, 3))

    def sizes(low, high):
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes).map(tuple))

    kernel = sizes(1, 3)
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    return sizes(1, 7), kernel, sizes(1, 3), padding, sizes(1, 2)


def check_if_it_fits(folder, source, layer):
    """As `check`, for layers whose window fits the map and, in a pool, always reads something."""
    nodes = [Node("x", Input(*source)), Node("y", layer, ("x",))]
    try:
        network("fits", nodes, ["y"])
    except InputError:
        reject()
    output = layer.output((Tensor(*source),))
    if isinstance(layer, Pool) and not all(reads for _, reads in windows_of(layer, feed(*source), output)):
        reject()
    check(folder, nodes, ["y"], {"x": feed(*source)})


@settings(max_examples=60, deadline=None)
@given(windows(), st.sampled_from(["maximum", "average"]), st.booleans(), st.booleans())
def test_any_pool(tmp_path_factory, window, operation, ceil_mode, count_include_pad):
    spatial, kernel, stride, padding, dilation = window
    layer = Pool(operation, kernel, stride, padding, dilation, ceil_mode, count_include_pad)
    check_if_it_fits(tmp_path_factory.getbasetemp(), (2, spatial), layer)


@settings(max_examples=60, deadline=None)
@given(windows(), st.sampled_from([1, 2]), st.booleans())
def test_any_convolution(tmp_path_factory, window, groups, bias):
    spatial, kernel, stride, padding, dilation = window
    layer = Convolution(4, kernel, stride, padding, dilation, groups, bias)
    check_if_it_fits(tmp_path_factory.getbasetemp(), (2, spatial), layer)


@settings(max_examples=60, deadline=None)
@given(windows(), st.sampled_from([1, 2]), st.integers(0, 1))
def test_any_transposed_convolution(tmp_path_factory, window, groups, extra):
    spatial, kernel, stride, padding, dilation = window
    more = tuple(min(extra, s - 1, d) for s, d in zip(stride, dilation, strict=True))
    layer = TransposedConvolution(4, kernel, stride, padding, dilation, more, groups)
    check_if_it_fits(tmp_path_factory.getbasetemp(), (2, spatial), layer)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_rearrangement(tmp_path_factory, data):
    split = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple))
    order = data.draw(st.permutations(range(len(split))).map(tuple))
    cut, joint = (data.draw(st.integers(0, len(split))) for _ in range(2))
    moved = tuple(split[axis] for axis in order)
    source = (prod(split[cut:]), split[:cut])
    layer = Rearrange(split, order, moved[:joint], prod(moved[joint:]))
    check(
        tmp_path_factory.getbasetemp(),
        [Node("x", Input(*source)), Node("y", layer, ("x",))],
        ["y"],
        {"x": feed(*source)},
    )


def test_an_input_passed_on_under_its_own_name(tmp_path):
    nodes = [Node("x", Input(2, (3,))), Node("y", Activation("relu"), ("x",))]
    write_onnx(network("same", nodes, ["y", "x"]), tmp_path / "same.onnx")
    x = channels_first(feed(2, (3,)))
    np.testing.assert_array_equal(execute(tmp_path / "same.onnx", {"x": x})["x"], x)


def test_an_output_with_the_name_of_an_input(tmp_path):
    nodes = [Node("x", Input(2, (3,))), Node("y", Activation("relu"), ("x",))]
    net = network("clash", nodes, [Port("x", "y", (1, 2, 3), (2,), (1,))])
    with pytest.raises(InputError, match="x: an input has the name of this output"):
        write_onnx(net, tmp_path / "same.onnx")


@pytest.mark.parametrize("write", [write_onnx, write_yaml_network])
def test_files_that_cannot_be_written(tmp_path, write):
    net = network("plain", [Node("x", Input(2)), Node("y", Activation("relu"), ("x",))], ["y"])
    with pytest.raises(InputError, match=r"none/net: No such file or directory"):
        write(net, tmp_path / "none" / "net")
