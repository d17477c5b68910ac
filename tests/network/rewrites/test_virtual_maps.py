"""Virtual maps: the same shapes for whoever reads them, the same numbers, and factor times the work."""

from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from onnx import helper

import accelsim as acs
from accelsim.errors import InputError
from accelsim.network.graph import Port, network
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Constant,
    Convolution,
    Dense,
    Pool,
    PRelu,
    Reduce,
    TransposedConvolution,
)
from accelsim.network.readers.onnx.reader import read_onnx
from accelsim.network.readers.yaml import read_yaml_network
from accelsim.network.rewrites.fold import fold
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.rewrites.virtual_maps import virtual_layers, virtual_maps
from accelsim.network.writers.onnx import write_onnx
from accelsim.network.writers.yaml import write_yaml_network
from tests.network.draft import Draft, block
from tests.network.naive_layers import random_weights, run, windows_of
from tests.network.readers.onnx_models import check_against_onnx, model, weight
from tests.network.writers.test_onnx import channels_first, execute
from tests.random_networks import random_network
from workloads import NETWORKS


def image(net, seed=3):
    tensor = net.tensors["image"]
    return np.random.default_rng(seed).normal(size=(*tensor.spatial, tensor.channels))


def with_weights(net, seed=0):
    return network(net.name, net.nodes, net.outputs, net.inputs, random_weights(net, seed))


def small(spatial=(6, 5), outputs=("answer",)):
    """Convolution, batch norm, activation, spatial maximum, and another convolution for the answer."""
    draft = Draft(3, spatial)
    x = draft.add("norm", BatchNorm(1e-3), draft.conv("wide", draft.image, 4, 3, bias=True))
    x = draft.add("act", PRelu(), x)
    two = (2,) * draft.axes
    x = draft.add("pool", Pool("maximum", two, two, ((0, 0),) * draft.axes, (1,) * draft.axes), x)
    draft.conv("answer", x, 2)
    return with_weights(draft.finished(*outputs))


def by_definition(net, x, factor, reduced):
    """Every virtual channel by itself: convolved, normalised, activated; then runs of `factor` reduced, and so on."""
    arrays = {key: np.asarray(array, np.float64) for key, array in net.parameters.items()}
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    maps = []
    for channel, kernel in enumerate(arrays["wide.weight"]):
        patches = (
            [(padded[r : r + 3, c : c + 3] * kernel.transpose(1, 2, 0)).sum() for c in range(width)]
            for r in range(height)
        )
        y = np.array(list(patches)) + arrays["wide.bias"][channel]
        y = (y - arrays["norm.mean"][channel]) / np.sqrt(arrays["norm.variance"][channel] + 1e-3)
        y = y * arrays["norm.scale"][channel] + arrays["norm.shift"][channel]
        maps.append(np.where(y < 0, arrays["act.slope"][channel] * y, y))
    stored = [reduced(maps[first : first + factor], axis=0) for first in range(0, len(maps), factor)]
    rows, columns = height // 2 * 2, width // 2 * 2
    halved = [m[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3)) for m in stored]
    return np.stack(halved, axis=-1) @ arrays["answer.weight"][:, :, 0, 0].T


@pytest.mark.parametrize(("operation", "reduced"), [("maximum", np.max), ("mean", np.mean)])
@pytest.mark.parametrize("factor", [2, 3])
def test_onnxruntime_agrees_with_the_definition(tmp_path, operation, reduced, factor):
    net = with_weights(virtual_maps(small(), factor, operation), seed=7)
    assert net.tensors["wide"].channels == 4 * factor
    x = image(net)
    write_onnx(net, tmp_path / "virtual.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "virtual.onnx"), full_check=True)
    found = execute(tmp_path / "virtual.onnx", {"image": channels_first(x)})["answer"]
    expected = by_definition(net, x, factor, reduced)
    np.testing.assert_allclose(found, channels_first(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(net, {"image": x})["answer"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spatial", [(9,), (6, 5), (4, 3, 5)], ids=str)
@pytest.mark.parametrize("operation", ["maximum", "mean"])
def test_files_give_the_network_back(tmp_path, operation, spatial):
    net = virtual_maps(small(spatial), 3, operation, layers=["wide"])
    write_yaml_network(net, tmp_path / "net.yaml")
    again = read_yaml_network(tmp_path / "net.yaml")
    assert (again.nodes, again.outputs, again.inputs) == (net.nodes, net.outputs, net.inputs)
    assert {key: array.tolist() for key, array in again.parameters.items()} == {
        key: array.tolist() for key, array in net.parameters.items()
    }
    write_onnx(net, tmp_path / "net.onnx")
    read = read_onnx(tmp_path / "net.onnx")
    pools = [node.layer for node in read.nodes if node.kind == "channel_pool"]
    assert pools == [ChannelPool(operation, 3)]
    assert [node.kind for node in read.nodes] == [node.kind for node in net.nodes]
    assert (read.macs, read.parameter_count) == (net.macs, net.parameter_count)


def test_the_order_of_layers_and_their_names():
    net = small()
    virtual = virtual_maps(net, 2)
    names = ["image", "wide", "norm", "act", "wide.channel_pool", "pool", "answer"]
    assert [node.name for node in virtual.nodes] == names
    assert virtual.by_name["pool"].inputs == ("wide.channel_pool",)
    assert virtual.by_name["wide.channel_pool"].layer == ChannelPool("maximum", 2)
    assert [virtual.tensors[name].channels for name in names] == [3, 8, 8, 8, 4, 4, 2]
    assert acs.virtual_maps is virtual_maps


@pytest.mark.parametrize("factor", [2, 3, 8])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "regnety_800mf", "efficientdet_d0", "sample_cnn"])
def test_the_work_of_the_chosen_layers_grows_by_the_factor(name, factor):
    net = NETWORKS[name]()
    chosen = virtual_layers(net)
    virtual = virtual_maps(net, factor)
    for node in net.nodes:
        times = factor if node.name in chosen else 1
        same = virtual.by_name[node.name]
        assert virtual.macs_of(same) == times * net.macs_of(node)
        if isinstance(node.layer, Convolution | Dense):
            assert virtual.parameters_of(same) == times * net.parameters_of(node)
    assert virtual.macs == net.macs + (factor - 1) * sum(net.macs_of(net.by_name[name]) for name in chosen)
    assert sum(node.kind == "channel_pool" for node in virtual.nodes) == len(chosen) > 0


def pools_of(net):
    """Names of the nodes that pool channels, with the end of the region they pool."""
    return {node.name: node.inputs[0] for node in net.nodes if node.kind == "channel_pool"}


def check_readers(net, virtual):
    """Whoever is not widened reads what it read, through the new pools, in the shapes it had."""
    ends = {pool: end for pool, end in pools_of(virtual).items() if pool not in net.by_name}
    for old in net.nodes:
        node = virtual.by_name[old.name]
        assert tuple(ends.get(name, name) for name in node.inputs) == old.inputs
        assert node.kind == old.kind
        grown = node.layer != old.layer
        if virtual.tensors[node.name] == net.tensors[old.name] and not grown:
            assert virtual.sources(node) == net.sources(old)
        else:
            assert grown or node.kind in ("batch_norm", "activation", "prelu", "combine")
            assert node.kind in ("convolution", "constant", "channel_pool") or not grown
    for old, new in zip(net.outputs, virtual.outputs, strict=True):
        assert (old.name, old.shape) == (new.name, new.shape)
        assert virtual.tensors[new.node] == net.tensors[old.node]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from(["maximum", "mean"]), st.booleans())
def test_readers_of_random_networks_see_the_same_shapes(seed, factor, operation, everything):
    net = random_network(Random(seed))
    convolutions = [node.name for node in net.nodes if node.kind == "convolution"]
    chosen = tuple(convolutions) if everything else virtual_layers(net)
    assert set(virtual_layers(net)) <= set(convolutions)
    virtual = virtual_maps(net, factor, operation, chosen)
    added = factor - 1
    check_readers(net, virtual)
    assert virtual.macs == net.macs + added * sum(net.macs_of(net.by_name[name]) for name in chosen)


def has_empty_windows(net, node):
    """Whether a maximum is taken of nothing but padding, which has no value."""
    if not isinstance(node.layer, Pool) or node.layer.operation != "maximum":
        return False
    (source,) = net.sources(node)
    values = np.empty((*source.spatial, source.channels))
    return any(not list(window) for _, window in windows_of(node.layer, values, net.tensors[node.name]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 3), st.sampled_from(["maximum", "mean"]))
def test_repeated_filters_compute_what_the_network_did(seed, factor, operation):
    shapes = random_network(Random(seed))
    if any(node.kind == "embedding" or has_empty_windows(shapes, node) for node in shapes.nodes):
        reject()
    net = with_weights(shapes)
    convolutions = [node.name for node in net.nodes if node.kind == "convolution"]
    virtual = virtual_maps(net, factor, operation, convolutions)
    feeds = {
        port.node: np.random.default_rng(1).uniform(
            0.5, 1, (*net.tensors[port.node].spatial, net.tensors[port.node].channels)
        )
        for port in net.inputs
    }
    with np.errstate(all="ignore"):
        before, after = run(net, feeds), run(virtual, feeds)
    for old, new in zip(net.outputs, virtual.outputs, strict=True):
        np.testing.assert_allclose(after[new.node], before[old.node], rtol=1e-6, atol=1e-9)


def test_arrays_are_repeated_channel_by_channel():
    net = small()
    virtual = virtual_maps(net, 3)
    for key in ("wide.weight", "wide.bias", "norm.scale", "norm.mean", "norm.variance", "act.slope"):
        for channel in range(4):
            for copy in range(3):
                np.testing.assert_array_equal(virtual.parameters[key][3 * channel + copy], net.parameters[key][channel])
    assert virtual.parameters["answer.weight"] is net.parameters["answer.weight"]


def test_folding_before_and_after_are_the_same():
    net = small()
    one, other = fold(virtual_maps(net, 2)), virtual_maps(fold(net), 2)
    assert one.nodes == other.nodes
    for key, array in one.parameters.items():
        np.testing.assert_allclose(array, other.parameters[key], rtol=1e-6)


@pytest.mark.parametrize("operation", ["maximum", "mean"])
def test_twice_is_once_with_the_product(operation):
    net = small()
    twice = virtual_maps(virtual_maps(net, 2, operation), 3, operation)
    assert twice.nodes == virtual_maps(net, 6, operation).nodes
    mixed = virtual_maps(virtual_maps(net, 2, "mean"), 3, "maximum")
    assert pools_of(mixed) == {
        "wide.channel_pool": "wide.channel_pool.channel_pool",
        "wide.channel_pool.channel_pool": "act",
    }
    assert mixed.tensors["wide"].channels == 24


def _written_out(draft, x):
    """Quick GELU: x * sigmoid(1.702 x)."""
    draft.add("slope", Constant(1))
    gate = draft.add("gate", Activation("sigmoid"), draft.add("scaled", Combine("multiply"), x, "slope"))
    return draft.add("act", Combine("multiply"), x, gate)


def _affine(draft, x):
    """A number a channel each, as an exporter may write a batch norm."""
    draft.add("scale", Constant(4))
    draft.add("shift", Constant(4, draft.spatial))
    return draft.add("act", Combine("add"), draft.add("scaled", Combine("multiply"), x, "scale"), "shift")


def _shared_slope(draft, x):
    return draft.add("act", PRelu(shared=True), x)


@pytest.mark.parametrize("followers", [_written_out, _affine, _shared_slope])
def test_what_belongs_to_a_convolution_widens_with_it(followers):
    draft = Draft(3, (4, 5))
    x = followers(draft, draft.conv("wide", draft.image, 4, 3))
    net = with_weights(draft.finished(draft.conv("answer", x, 2)))
    virtual = virtual_maps(net, 3, "mean")
    assert pools_of(virtual) == {"wide.channel_pool": "act"}
    assert virtual.tensors["act"].channels == 12
    x = image(net)
    np.testing.assert_allclose(run(virtual, {"image": x})["answer"], run(net, {"image": x})["answer"])


def _read_before(draft, x):
    """The map before its activation is read by someone else."""
    y = draft.add("act", Activation("relu"), x)
    return "wide", draft.add("both", Combine("add"), draft.conv("p", y, 4), draft.conv("q", x, 4))


def _shown(draft, x):
    y = draft.add("act", Activation("relu"), draft.add("norm", BatchNorm(), x))
    return "norm", draft.conv("p", y, 4)


def _joined(draft, x):
    """An add of two maps belongs to neither."""
    y = draft.conv("other", draft.image, 4, 3)
    return "wide", draft.conv("p", draft.add("act", Activation("relu"), draft.add("add", Combine("add"), x, y)), 4)


def _averaged(draft, x):
    return "wide", draft.conv("p", draft.add("act", Activation("relu"), draft.add("mean", Reduce("mean"), x)), 4)


def _shared_constant(draft, x):
    """A number a channel that someone else reads too keeps its channels."""
    draft.add("vector", Constant(4))
    y = draft.add("act", Combine("multiply"), draft.add("sum", Combine("add"), x, "vector"), "vector")
    return "wide", draft.conv("p", y, 4)


@pytest.mark.parametrize("others", [_read_before, _shown, _joined, _averaged, _shared_constant])
def test_pooling_comes_before_anything_else_reads(others):
    draft = Draft(3, (4, 5))
    end, answer = others(draft, draft.conv("wide", draft.image, 4, 3))
    outputs = [answer, "norm"] if others is _shown else [answer]
    net = draft.finished(*outputs)
    virtual = virtual_maps(net, 2, layers=["wide"])
    assert pools_of(virtual) == {"wide.channel_pool": end}
    check_readers(net, virtual)


def test_a_map_that_a_constant_widens_is_pooled_before():
    draft = Draft(3, (4, 5))
    draft.add("vector", Constant(4))
    spread = draft.add("spread", Combine("multiply"), draft.conv("narrow", draft.image, 1, 3), "vector")
    net = with_weights(draft.finished(draft.conv("answer", spread, 2)))
    virtual = virtual_maps(net, 2)
    assert pools_of(virtual) == {"narrow.channel_pool": "narrow"}
    check_readers(net, virtual)
    x = image(net)
    np.testing.assert_allclose(run(virtual, {"image": x})["answer"], run(net, {"image": x})["answer"])


def test_constants_and_pooled_maps_that_are_outputs_keep_their_shape():
    draft = Draft(3, (4, 5))
    draft.add("vector", Constant(4))
    x = draft.add("act", Combine("multiply"), draft.conv("wide", draft.image, 4, 3), "vector")
    net = with_weights(draft.finished(draft.conv("answer", x, 2), "vector"))
    assert pools_of(virtual_maps(net, 2)) == {"wide.channel_pool": "wide"}
    check_readers(net, virtual_maps(net, 2))
    pooled = draft.add("halved", ChannelPool("maximum", 2), x)
    net = draft.finished(draft.conv("answer2", pooled, 2), x)
    virtual = virtual_maps(net, 2, layers=["wide"])
    assert pools_of(virtual) == {"wide.channel_pool": "act", "halved": "wide.channel_pool"}
    check_readers(net, virtual)


def test_outputs_keep_their_ports():
    net = small(outputs=("answer", Port("seen", "act", (1, 4, 30), (2,), (1,))))
    virtual = virtual_maps(net, 2, layers=["wide", "answer"])
    ports = [(port.name, port.node, port.shape) for port in virtual.outputs]
    assert ports == [("answer", "answer.channel_pool", (1, 2, 3, 2)), ("seen", "wide.channel_pool", (1, 4, 30))]
    x = image(net)
    before, after = run(net, {"image": x}), run(virtual, {"image": x})
    np.testing.assert_allclose(after["answer.channel_pool"], before["answer"])


def _shared_heads(count):
    """One convolution and batch norm on `count` maps, each with a projection behind."""
    draft = Draft(3, (4, 5))
    ends = []
    for index in range(count):
        x = draft.add(f"map{index}", Activation("relu" if index else "neg"), draft.image)
        owner = None if index == 0 else "head0"
        layer = Convolution(4, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), bias=True)
        x = draft.add(f"head{index}", layer, x, shares=owner)
        x = draft.add(f"norm{index}", BatchNorm(), x, shares=owner and "norm0")
        ends.append(draft.conv(f"answer{index}", draft.add(f"act{index}", Activation("relu"), x), 2))
    return with_weights(draft.finished(*ends))


@pytest.mark.parametrize("chosen", [(0,), (1,), (0, 2), (1, 2), (0, 1, 2)])
def test_weights_stay_shared_among_those_that_are_alike(chosen):
    net = _shared_heads(3)
    virtual = virtual_maps(net, 2, layers=[f"head{index}" for index in chosen])
    for kind in ("head", "norm"):
        for alike in filter(None, (chosen, sorted({0, 1, 2} - set(chosen)))):
            owners = [virtual.by_name[f"{kind}{index}"].shares for index in alike]
            assert owners == [None, *[f"{kind}{alike[0]}"] * (len(alike) - 1)]
    own = (9 * 3 * 4 + 4) + 2 * 4
    assert virtual.parameter_count == net.parameter_count - own + 2 * own + (own if len(chosen) < 3 else 0)
    x = image(net)
    before, after = run(net, {"image": x}), run(virtual, {"image": x})
    for port in net.outputs:
        np.testing.assert_allclose(after[port.node], before[port.node])


def test_one_array_of_two_layers_stays_one():
    draft = Draft(4, (4, 5))
    x = draft.conv("second", draft.add("act", Activation("relu"), draft.conv("first", draft.image, 4, 3)), 4, 3)
    net = draft.finished(draft.conv("answer", x, 2))
    array = random_weights(net)["first.weight"]
    tied = network("tied", net.nodes, net.outputs, parameters={"first.weight": array, "second.weight": array})
    virtual = virtual_maps(tied, 2)
    assert virtual.parameters["first.weight"] is virtual.parameters["second.weight"]
    assert virtual.parameter_count - 2 * 4 == 2 * array.size


def test_some_arrays_are_enough():
    net = small()
    some = network("some", net.nodes, net.outputs, parameters={"norm.mean": net.parameters["norm.mean"]})
    assert {key: array.shape for key, array in virtual_maps(some, 2).parameters.items()} == {"norm.mean": (8,)}


def test_grouped_convolutions_are_taken_where_they_are_named():
    draft = Draft(6, (4, 5))
    x = draft.conv("grouped", draft.conv("depthwise", draft.image, 6, 3, groups=6), 4, groups=2)
    net = with_weights(draft.finished(draft.conv("answer", x, 2)))
    assert virtual_layers(net) == ()
    assert virtual_maps(net, 2) is net
    virtual = virtual_maps(net, 2, layers=["depthwise", "grouped"])
    assert [virtual.by_name[name].layer.groups for name in ("depthwise", "grouped")] == [6, 2]
    x = image(net)
    np.testing.assert_allclose(run(virtual, {"image": x})["answer"], run(net, {"image": x})["answer"])


def test_what_is_chosen_by_default():
    draft, end = block((9, 6))
    assert virtual_layers(draft.finished(end)) == ("wide",)  # not the excitation; the projection is the answer
    assert virtual_layers(draft.finished(draft.conv("head", end, 5))) == ("wide", "project")
    resnet = NETWORKS["resnet18"]()
    assert virtual_layers(resnet) == tuple(node.name for node in resnet.nodes if node.kind == "convolution")
    assert virtual_layers(NETWORKS["tiny_yolo_v2"]()) == tuple(f"conv{n}" for n in range(1, 9))
    mobile = NETWORKS["mobilenet_v3_small"]()
    chosen = virtual_layers(mobile)
    assert not any(part in name for name in chosen for part in (".se.", ".depthwise", "classifier"))
    heads = [name for name in virtual_layers(NETWORKS["efficientdet_d0"]()) if "prediction" in name]
    assert not heads


def test_gates_vectors_and_constants_are_no_maps():
    draft, end = block((9, 6))
    x = draft.conv("head", end, 5)
    tiled = tile_attention(draft.finished(x), 3)
    assert tiled.tensors["reduce"].pixels > 1
    assert virtual_layers(tiled) == ("wide", "project")
    x = draft.conv("vector", draft.add("mean", Reduce("mean"), x), 5)
    draft.add("fixed", Constant(5, (9, 6)))
    x = draft.add("sum", Combine("add"), x, draft.conv("of_fixed", "fixed", 5))
    net = draft.finished(draft.conv("answer", x, 2))
    assert net.tensors["of_fixed"].pixels == 54
    assert virtual_layers(net) == ("wide", "project", "head")


def test_answers_behind_shape_changes_and_decoding_are_left_alone():
    draft = Draft(3, (4, 5))
    x = draft.add("act", Activation("relu"), draft.conv("body", draft.image, 4, 3))
    y = draft.add("box", Activation("sigmoid"), draft.conv("head", x, 6))
    draft.add("anchors", Constant(6, (4, 5)))
    net = draft.finished(draft.add("decoded", Combine("multiply"), y, "anchors"), draft.add("mean", Reduce("mean"), y))
    assert virtual_layers(net) == ("body",)


def test_no_layers_is_no_change():
    net = small()
    assert virtual_maps(net, 2, layers=[]) is net
    assert virtual_maps(net, 2, layers=("wide", "wide")).nodes == virtual_maps(net, 2, layers={"wide"}).nodes


def test_all_problems_are_told():
    draft = Draft(3, (4, 5))
    x = draft.add("act", Activation("relu"), draft.conv("wide", draft.image, 4, 3))
    one = (1, 1)
    x = draft.add("up", TransposedConvolution(4, one, one, ((0, 0), (0, 0)), one, (0, 0)), x)
    net = draft.finished(x)
    with pytest.raises(InputError) as raised:
        virtual_maps(net, 1, "median", layers=["wdie", "wide", "act", "up", 3])
    assert str(raised.value).splitlines() == [
        "virtual_maps: factor = 1 must be an integer of at least 2",
        "virtual_maps: operation = 'median' is unknown; use maximum or mean",
        "virtual_maps: layers[0] = 'wdie' is no layer of draft; did you mean 'wide'?",
        "virtual_maps: layers[2] = 'act' is of kind activation, not a convolution; name 'wide' in front of it",
        "virtual_maps: layers[3] = 'up' is of kind transposed_convolution, not a convolution",
        "virtual_maps: layers[4] = 3 is no layer of draft; its convolutions: wide",
    ]


@pytest.mark.parametrize("factor", [0, -2, 1, 2.0, "2", True, None])
def test_factors_that_make_no_sense(factor):
    with pytest.raises(InputError, match=r"factor = .* must be an integer of at least 2"):
        virtual_maps(small(), factor)


@pytest.mark.parametrize("layers", ["wide", 3])
def test_layers_that_are_no_list(layers):
    with pytest.raises(InputError, match=rf"layers = {layers!r} is no list of names; write \[{layers!r}\]"):
        virtual_maps(small(), 2, layers=layers)


def test_a_factor_that_no_network_can_have_is_told_before_arrays_grow():
    with pytest.raises(InputError, match=r"draft: wide \(convolution\): .* 2\^40"):
        virtual_maps(small(), 2**40)


#: Ways in which files pool runs of 3 channels of `r`, a map of 12x6x5, and the arrays they need.
MAXOUTS = {
    "a run an axis": (["v = Reshape r s", "y = ReduceMax v axes=2 keepdims=0"], {"s": (1, 4, 3, 6, 5)}),
    "and back": (
        ["v = Reshape r s", "m = ReduceMean v axes=2 keepdims=1", "y = Reshape m t"],
        {"s": (1, 4, 3, 6, 5), "t": (1, 4, 6, 5)},
    ),
    "space in one axis": (
        ["v = Reshape r s", "m = ReduceMax v axes=2 keepdims=0", "y = Reshape m t"],
        {"s": (1, 4, 3, -1), "t": (1, 4, 6, 5)},
    ),
    "channels last": (
        ["p = Transpose r perm=0,2,3,1", "v = Reshape p s", "m = ReduceMax v axes=-1 keepdims=0",
         "y = Transpose m perm=0,3,1,2"],
        {"s": (1, 6, 5, 4, 3)},
    ),
    "depth of a volume": (
        ["v = Unsqueeze r s", "m = MaxPool v kernel_shape=3,1,1 strides=3,1,1", "y = Squeeze m s"], {"s": (1,)},
    ),
    "mean over a volume's depth": (
        ["v = Unsqueeze r s", "m = AveragePool v kernel_shape=3,1,1 strides=3,1,1", "y = Squeeze m s"], {"s": (1,)},
    ),
    "positions of a line": (
        ["v = Reshape r s", "p = Transpose v perm=0,2,1", "m = MaxPool p kernel_shape=3 strides=3",
         "q = Transpose m perm=0,2,1", "y = Reshape q t"],
        {"s": (1, 12, 30), "t": (1, 4, 6, 5)},
    ),
    "columns of a transposed map": (
        ["p = Transpose r perm=0,2,3,1", "m = MaxPool p kernel_shape=1,3 strides=1,3", "y = Transpose m perm=0,3,1,2"],
        {},
    ),
    "every third channel": (
        ["a = Slice r k2 e k1 k3", "b = Slice r k0 e k1 k3", "d = Slice r k1 e k1 k3", "y = Max a b d"],
        {"k0": (0,), "k1": (1,), "k2": (2,), "k3": (3,), "e": (12,)},
    ),
}  # fmt: skip


def _lines(lines):
    for line in lines:
        output, _, call = line.partition(" = ")
        kind, *words = call.split()
        attributes = {key: value for key, _, value in (word.partition("=") for word in words if "=" in word)}
        values = {key: [int(number) for number in value.split(",")] for key, value in attributes.items()}
        values |= {key: numbers[0] for key, numbers in values.items() if key == "keepdims"}
        yield helper.make_node(kind, [word for word in words if "=" not in word], [output], **values)


def _file(lines, arrays):
    """A convolution and its activation with `lines` behind them."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["r"])]
    weights = {"w": weight(12, 3, 3, 3)} | {key: np.array(values, np.int64) for key, values in arrays.items()}
    return model([*nodes, *_lines(lines)], {"x": (1, 3, 6, 5)}, ["y"], weights)


@pytest.mark.parametrize("name", MAXOUTS)
def test_files_pool_channels_in_many_ways(tmp_path, name):
    net = check_against_onnx(tmp_path, _file(*MAXOUTS[name]))
    operation = "mean" if any("Mean" in line or "Average" in line for line in MAXOUTS[name][0]) else "maximum"
    assert [node.layer for node in net.nodes][2:] == [Activation("relu"), ChannelPool(operation, 3)]


#: What is no run of channels: windows over channels and space at once, partial ones, halves, and slices too few.
OTHERS = {
    "channels and rows": (
        ["v = Unsqueeze r s", "m = MaxPool v kernel_shape=3,2,1 strides=3,2,1", "y = Squeeze m s"], {"s": (1,)},
    ),
    "overlapping": (
        ["v = Unsqueeze r s", "m = MaxPool v kernel_shape=3,1,1 strides=1,1,1", "y = Squeeze m s"], {"s": (1,)},
    ),
    "the last channels left out": (
        ["v = Unsqueeze r s", "m = MaxPool v kernel_shape=5,1,1 strides=5,1,1", "y = Squeeze m s"], {"s": (1,)},
    ),
    "thirds": (
        ["a = Slice r k0 k4 k1", "b = Slice r k4 k8 k1", "d = Slice r k8 e k1", "y = Max a b d"],
        {"k0": (0,), "k1": (1,), "k4": (4,), "k8": (8,), "e": (12,)},
    ),
    "one slice twice": (
        ["a = Slice r k0 e k1 k2", "b = Slice r k0 e k1 k2", "y = Max a b"],
        {"k0": (0,), "k1": (1,), "k2": (2,), "e": (12,)},
    ),
    "the last run left out": (
        ["a = Slice r k0 e k1 k2", "b = Slice r k1 e k1 k2", "y = Max a b"],
        {"k0": (0,), "k1": (1,), "k2": (2,), "e": (10,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_resembles_a_run_is_left_alone(tmp_path, name):
    net = check_against_onnx(tmp_path, _file(*OTHERS[name]))
    assert "channel_pool" not in [node.kind for node in net.nodes]
