"""Nodes that use another node's weights."""

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.network.graph import Node, network, rebuilt
from accelsim.network.layers import Convolution, Dense, Input

CHANNELS = 5
CONVOLUTION = Convolution(CHANNELS, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), bias=True)
WEIGHTS = CHANNELS * CHANNELS * 9 + CHANNELS


def _nodes(*extra):
    return [
        Node("fine", Input(CHANNELS, (8, 8))),
        Node("coarse", Input(CHANNELS, (4, 4))),
        Node("head.fine", CONVOLUTION, ("fine",)),
        Node("head.coarse", CONVOLUTION, ("coarse",), shares="head.fine"),
        Node("head.own", CONVOLUTION, ("coarse",)),
        *extra,
    ]


def _arrays():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(CHANNELS, CHANNELS, 3, 3)), rng.normal(size=CHANNELS)
    return {"head.fine.weight": weight, "head.fine.bias": bias}


def test_shared_weights_count_once_without_arrays():
    net = network("heads", _nodes(), ["head.fine", "head.coarse", "head.own"])
    assert net.parameter_count == 2 * WEIGHTS


def test_shared_weights_count_once_with_arrays():
    arrays = _arrays()
    net = network("heads", _nodes(), ["head.fine", "head.coarse", "head.own"], parameters=arrays)
    assert net.parameter_count == 2 * WEIGHTS
    assert net.parameters["head.coarse.weight"] is arrays["head.fine.weight"]
    assert rebuilt(net, net.nodes).parameter_count == 2 * WEIGHTS


def test_one_array_under_two_names_counts_once():
    arrays = _arrays()
    same = {key.replace("fine", "own"): array for key, array in arrays.items()}
    net = network("heads", _nodes(), ["head.fine", "head.own"], parameters=arrays | same)
    assert net.parameter_count == WEIGHTS


def test_macs_count_at_every_use():
    net = network("heads", _nodes(), ["head.fine", "head.coarse"])
    assert net.macs == (8 * 8 + 4 * 4) * CHANNELS * CHANNELS * 9


def test_the_first_sharer_inherits_from_an_owner_that_is_left_out():
    arrays = _arrays()
    other = Node("head.other", CONVOLUTION, ("coarse",), shares="head.fine")
    net = network("heads", _nodes(other), ["head.coarse", "head.other"], parameters=arrays)
    assert [(net.by_name[name].shares) for name in ("head.coarse", "head.other")] == [None, "head.coarse"]
    assert net.parameter_count == WEIGHTS
    assert net.parameters["head.other.bias"] is arrays["head.fine.bias"]


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (Node("odd", CONVOLUTION, ("fine",), shares="nobody"), "odd shares the weights of 'nobody', which is no layer"),
        (Node("odd", CONVOLUTION, ("fine",), shares="head.coarse"), "head.coarse, which owns none"),
        (Node("odd", CONVOLUTION, ("fine",), shares="odd"), "odd, which owns none"),
        (Node("odd", Dense(CHANNELS), ("fine",), shares="head.fine"), r"odd \(dense, .* cannot share"),
        (
            Node("odd", Convolution(7, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), ("fine",), shares="head.fine"),
            r"odd \(convolution, .* cannot share",
        ),
    ],
)
def test_misfits_are_named(node, rule):
    with pytest.raises(InputError, match=rule):
        network("heads", _nodes(node), ["head.fine", "odd"])


def test_a_sharer_with_other_arrays_is_refused():
    arrays = _arrays() | {"head.coarse.bias": np.zeros(CHANNELS)}
    with pytest.raises(InputError, match=r"head\.coarse\.bias differs from that of head\.fine"):
        network("heads", _nodes(), ["head.fine", "head.coarse"], parameters=arrays)
