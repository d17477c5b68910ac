"""Gates of any kind, found by structure."""

from itertools import product

import pytest

from accelsim.network.attention import find_attention
from accelsim.network.gates import Gate, find_gates
from accelsim.network.layers import Activation, Combine, Convolution, Pool, Rearrange, Reduce
from tests.network.draft import EXCITATIONS, GATES, SQUEEZES, Draft, block, weighted
from workloads import NETWORKS

SIGMOID = Activation("sigmoid")


@pytest.mark.parametrize(("squeeze", "excitation", "gate"), [*product(SQUEEZES, EXCITATIONS, GATES)])
def test_every_squeeze_excite_block_is_one(squeeze, excitation, gate):
    draft, end = block(squeeze=squeeze, excitation=excitation, gate=gate)
    (found,) = find_gates(weighted(draft, end))
    assert (found.multiply, found.map) == ("scale", "act")


def _by_maxima(draft, wide):
    return draft.add("gate", SIGMOID, draft.add("squeeze", Reduce("maximum"), wide))


def _by_a_pool(draft, wide):
    spatial, axes = draft.spatial, draft.axes
    layer = Pool("maximum", spatial, (1,) * axes, ((0, 0),) * axes, (1,) * axes)
    return draft.add("gate", SIGMOID, draft.add("squeeze", layer, wide))


def _over_neighbours(draft, wide):
    """The gate of ECA: a convolution along the channels of the averages."""
    x = draft.add("squeeze", Reduce("mean"), wide)
    x = draft.add("across", Rearrange((1, 1, 4), (2, 0, 1), (4,), 1), x)
    x = draft.add("mix", Convolution(1, (3,), (1,), ((1, 1),), (1,)), x)
    return draft.add("gate", SIGMOID, draft.add("back", Rearrange((4, 1), (1, 0), (1, 1), 4), x))


@pytest.mark.parametrize("made", [_by_maxima, _by_a_pool, _over_neighbours])
def test_gates_that_are_no_excitation(made):
    draft = Draft(4, (9, 6))
    wide = draft.conv("wide", draft.image, 4, 3)
    net = weighted(draft, draft.scale("scale", wide, made(draft, wide)))
    assert find_attention(net) == ()
    assert find_gates(net) == (Gate("scale", "wide", "gate"),)


def test_both_branches_wait_for_what_their_sum_gives():
    draft = Draft(4, (9, 6))
    first, second = (draft.conv(name, draft.image, 4, kernel) for name, kernel in (("first", 3), ("second", 5)))
    mean = draft.add("squeeze", Reduce("mean"), draft.add("sum", Combine("add"), first, second))
    scaled = [
        draft.scale(f"{name}.scale", name, draft.add(f"{name}.gate", SIGMOID, draft.conv(f"{name}.mix", mean, 4)))
        for name in (first, second)
    ]
    net = weighted(draft, draft.add("both", Combine("add"), *scaled))
    assert {(gate.multiply, gate.map) for gate in find_gates(net)} == {
        ("first.scale", "first"),
        ("second.scale", "second"),
    }


@pytest.mark.parametrize("written_out", [True, False])
def test_a_silu_behind_a_block_is_no_gate(written_out):
    draft, end = block()
    net = weighted(draft, draft.scale("silu", end, draft.add("silu.sigmoid", SIGMOID, end)) if written_out else end)
    assert [gate.multiply for gate in find_gates(net)] == ["scale"]


def test_a_gate_of_a_few_points_waits_for_no_map():
    draft = Draft(4, (9, 6))
    wide = draft.conv("wide", draft.image, 4, 3)
    net = weighted(draft, draft.scale("scale", wide, draft.add("gate", SIGMOID, draft.conv("local", wide, 4, 3))))
    assert find_gates(net) == ()


@pytest.mark.parametrize("name", ["efficientdet_d0", "mobilenet_v3_large", "resnet50"])
def test_of_a_network_all_blocks_and_nothing_else(name):
    net = NETWORKS[name]()
    assert [gate.multiply for gate in find_gates(net)] == [block.multiply for block in find_attention(net)]
