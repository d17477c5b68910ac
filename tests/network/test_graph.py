"""What a network promises, and what it refuses."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.mapping.stages import group_layers
from accelsim.network.graph import LARGEST_TENSOR, Node, Port, network, rebuilt, renamed
from accelsim.network.layers import Activation, BatchNorm, Combine, Concat, Constant, Convolution, Dense, Input
from accelsim.network.tensor import Tensor

DEEP = 5000
X = Node("x", Input(2, (4, 4)))
RELU = Activation("relu")


def refused(nodes, outputs, **arguments):
    """The lines of the error that `nodes` cause."""
    with pytest.raises(InputError) as caught:
        network("net", nodes, outputs, **arguments)
    return str(caught.value).splitlines()


def test_duplicate_names_are_all_told():
    nodes = [X, Node("x", RELU, ("x",)), Node("y", RELU, ("x",)), Node("y", RELU, ("x",)), Node("z", RELU, ("y",))]
    assert refused(nodes, ["z"]) == ["net: layer names must differ, given twice: x, y"]


def test_inputs_that_dangle_are_all_told():
    nodes = [X, Node("a", RELU, ("nobody",)), Node("b", Combine("add"), ("x", "none"))]
    assert refused(nodes, ["a", "b"]) == [
        "net: a reads 'nobody', which is no layer",
        "net: b reads 'none', which is no layer",
    ]


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (Node("a", RELU, ()), "a (activation) has 0 inputs, not 1"),
        (Node("a", RELU, ("x", "x")), "a (activation) has 2 inputs, not 1"),
        (Node("a", Input(1), ("x",)), "a (input) has 1 inputs, not 0"),
        (Node("a", Combine("add"), ()), "a (combine) has 0 inputs, not one or more"),
    ],
)
def test_a_wrong_number_of_inputs(node, told):
    assert refused([X, node], ["a"]) == [f"net: {told}"]


def test_outputs_must_be_there():
    assert refused([X], []) == ["net: the network has no output"]
    assert refused([X], ["y", "x", "z"]) == ["net: output 'y' is not a layer", "net: output 'z' is not a layer"]


def test_everything_wrong_comes_at_once():
    nodes = [X, X, Node("a", RELU, ("nobody",)), Node("b", RELU, ())]
    assert len(refused(nodes, ["c"])) == 4


@pytest.mark.parametrize("length", [1, 2, 3, DEEP])
def test_cycles_are_followed(length):
    names = [f"n{k}" for k in range(length)]
    nodes = [X] + [Node(n, Combine("add"), ("x", names[k - 1])) for k, n in enumerate(names)]
    (told,) = refused(nodes, [names[-1]])
    start, *way = told.removeprefix("net: layers form a cycle: ").split(" -> ")
    assert way[-1] == start
    assert sorted(way) == sorted(names)
    reads = {node.name: node.inputs for node in nodes}
    assert all(before in reads[after] for before, after in zip([start, *way], way, strict=False))


@pytest.mark.parametrize(
    ("layer", "inputs", "told"),
    [
        (
            Convolution(2, (5,), (1,), ((0, 0),), (1,)),
            ("x",),
            "a (convolution): kernel (5,) has not the 2 spatial axes",
        ),
        (Combine("add"), ("x", "y"), "a (combine): sizes (4, 4), (3, 4) do not broadcast"),
        (Concat(), ("x", "y"), "a (concat): maps of 2x4x4, 2x3x4 differ in space"),
        (Concat(2), ("x", "y"), "a (concat): axis = 2 is not an axis of 2x4x4"),
        (Activation("relo"), ("x",), "a (activation): unknown activation 'relo'"),
        (Dense(0), ("x",), "a (dense): channels = 0 must be positive"),
    ],
)
def test_misfits_name_the_layer_and_the_rule(layer, inputs, told):
    (line,) = refused([X, Node("y", Input(2, (3, 4))), Node("a", layer, inputs)], ["a"])
    assert line.startswith(f"net: {told}")


def test_tensors_have_a_largest_size():
    nodes = [Node("x", Input(1, (2**20, 2**20))), Node("y", Dense(2), ("x",))]
    assert network("net", nodes, ["x"]).tensors["x"].elements == LARGEST_TENSOR
    assert "the most is 2^40" in refused(nodes, ["y"])[0]


def test_a_deep_chain_needs_no_stack():
    nodes = [X, Node("c0", Dense(2), ("x",))]
    nodes += [Node(f"c{k}", RELU if k % 2 else Dense(2), (f"c{k - 1}",)) for k in range(1, DEEP)]
    net = network("deep", nodes[::-1], [f"c{DEEP - 1}"])
    assert [node.name for node in net.nodes] == [node.name for node in nodes]
    assert net.macs == DEEP // 2 * 16 * 2 * 2
    groups = group_layers(net)
    assert len(groups) == 1 + DEEP // 2
    assert sum(len(group.fused) for group in groups) == DEEP // 2


def test_a_deep_chain_of_joins_needs_no_stack():
    nodes = [X, Node("j0", Combine("add"), ("x", "x"))]
    nodes += [Node(f"j{k}", Combine("add"), (f"j{k - 1}", "x")) for k in range(1, DEEP)]
    net = network("deep", nodes, [f"j{DEEP - 1}"])
    assert len(net.consumers["x"]) == DEEP + 1


@given(seed=st.integers(0, 10**6), count=st.integers(1, 30))
def test_any_order_becomes_topological(seed, count):
    rng = Random(seed)
    nodes = [X]
    for k in range(count):
        names = [node.name for node in nodes]
        nodes.append(Node(f"n{k}", Combine("add"), tuple(rng.choices(names, k=rng.randint(1, 3)))))
    given_order = rng.sample(nodes, len(nodes))
    outputs = rng.sample([node.name for node in nodes], rng.randint(1, len(nodes)))
    net = network("net", given_order, outputs)
    place = {node.name: k for k, node in enumerate(net.nodes)}
    assert all(place[source] < place[node.name] for node in net.nodes for source in node.inputs)
    needed = {"x", *outputs}
    for node in reversed(nodes):
        needed |= set(node.inputs) if node.name in needed else set()
    assert set(place) == needed
    readers = {name: [n.name for n in net.nodes for source in n.inputs if source == name] for name in place}
    assert {name: list(names) for name, names in net.consumers.items()} == readers


def test_an_order_that_is_topological_is_kept():
    nodes = [X, *(Node(f"n{k}", RELU, ("x",)) for k in (3, 1, 2))]
    assert network("net", nodes, ["n1", "n2", "n3"]).nodes == tuple(nodes)


def test_inputs_stay_though_nothing_reads_them():
    net = network("net", [X, Node("y", Input(3)), Node("z", RELU, ("x",)), Node("w", RELU, ("y",))], ["z"])
    assert [node.name for node in net.nodes] == ["x", "y", "z"]
    assert [port.node for port in net.inputs] == ["x", "y"]


def test_ports_are_channels_first_unless_given():
    mine = Port("output:0", "y", (4, 4, 2), (0, 1), (2,))
    net = network("net", [X, Node("y", RELU, ("x",))], [mine, "x"])
    assert net.inputs == (Port("x", "x", (1, 2, 4, 4), (2, 3), (1,)),)
    assert net.outputs == (mine, Port("x", "x", (1, 2, 4, 4), (2, 3), (1,)))


def test_arrays_of_layers_that_are_left_out_go_too():
    nodes = [X, Node("y", BatchNorm(), ("x",)), Node("z", BatchNorm(), ("x",))]
    arrays = {f"{n}.{w}": np.ones(2) for n in "yz" for w in ("scale", "shift", "mean", "variance", "odd")}
    net = network("net", nodes, ["y"], parameters=arrays)
    assert set(net.parameters) == {"y.scale", "y.shift", "y.mean", "y.variance"}


def test_parameters_are_those_that_were_trained():
    table, mask = Constant(3, (5,), trained=True), Constant(3, (5,))
    nodes = [Node("x", Input(3, (5,))), Node("t", table), Node("m", mask)]
    nodes += [Node("y", Combine("add"), ("x", "t", "m")), Node("z", Dense(4, bias=True), ("y",))]
    assert network("net", nodes, ["z"]).parameter_count == 3 * 5 + 3 * 4 + 4


def test_a_network_can_be_renamed_and_rebuilt():
    net = network("net", [X, Node("y", RELU, ("x",))], ["y"])
    assert renamed(net, "other").name == "other"
    assert rebuilt(net, net.nodes).tensors == net.tensors
    with pytest.raises(TypeError):
        net.tensors["y"] = Tensor(1)
