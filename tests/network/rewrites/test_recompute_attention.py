"""Maps computed twice: the same bits, the same weights, less that waits."""

from itertools import product
from random import Random

import numpy as np
import pytest

import accelsim as acs
from accelsim.arithmetic.network import integer_network
from accelsim.errors import InputError
from accelsim.network.gates import find_gates
from accelsim.network.layers import Activation, BatchNorm, Combine, Reduce
from accelsim.network.rewrites.recompute_attention import recompute_attention, recomputed_maps
from accelsim.network.writers.onnx import write_onnx
from tests.network.draft import EXCITATIONS, GATES, SQUEEZES, Draft, block, weighted
from tests.network.writers.test_onnx import channels_first, execute
from tests.random_networks import random_network
from workloads import NETWORKS

SIGMOID = Activation("sigmoid")


def image(spatial, channels=4, seed=3):
    return np.random.default_rng(seed).normal(size=(*spatial, channels))


def bottleneck(skip=True, spatial=(9, 6), silu="layer"):
    """An inverted bottleneck of 4 channels, 12 inside; its input is made from the image by a convolution."""
    draft = Draft(4, spatial)
    start = draft.conv("stem", draft.image, 4)
    wide = _silu(draft, "wide", draft.add("wide.norm", BatchNorm(), draft.conv("wide", start, 12)), silu)
    deep = _silu(draft, "deep", draft.conv("deep", wide, 12, 3, groups=12), silu)
    hidden = draft.add("relu", Activation("relu"), draft.conv("reduce", draft.add("mean", Reduce("mean"), deep), 3))
    scaled = draft.scale("scale", deep, draft.add("gate", SIGMOID, draft.conv("expand", hidden, 12)))
    end = draft.conv("project", scaled, 4)
    return weighted(draft, draft.add("add", Combine("add"), end, start) if skip else end)


def _silu(draft, name, source, form):
    if form == "layer":
        return draft.add(f"{name}.silu", Activation("silu"), source)
    return draft.scale(f"{name}.silu", source, draft.add(f"{name}.sigmoid", SIGMOID, source))


@pytest.mark.parametrize(("skip", "silu"), [*product([True, False], ["layer", "written out"])])
def test_the_input_of_the_bottleneck_waits(skip, silu):
    net = bottleneck(skip, silu=silu)
    (plan,) = recomputed_maps(net)
    assert plan.held == "stem"
    again = recompute_attention(net)
    assert again.by_name["scale"].inputs == ("deep.silu.again", "gate")
    assert again.by_name["mean"].inputs == ("deep.silu",)
    assert again.by_name["deep.again"].shares == "deep"


def test_weights_count_once_and_macs_twice():
    net = bottleneck()
    (plan,) = recomputed_maps(net)
    again = recompute_attention(net)
    assert again.parameter_count == net.parameter_count
    assert again.macs - net.macs == sum(net.macs_of(net.by_name[name]) for name in plan.again) == 54 * 12 * (4 + 9)


@pytest.mark.parametrize(("squeeze", "excitation", "gate"), [*product(SQUEEZES, EXCITATIONS, GATES)])
def test_dialects_give_the_same_bits_in_onnxruntime(tmp_path, squeeze, excitation, gate):
    draft, end = block(squeeze=squeeze, excitation=excitation, gate=gate, swapped=gate == "sigmoid")
    net = weighted(draft, end)
    again = recompute_attention(net)
    assert "act.again" in again.by_name["scale"].inputs
    found = []
    for name, graph in (("once", net), ("twice", again)):
        write_onnx(graph, tmp_path / f"{name}.onnx")
        found.append(execute(tmp_path / f"{name}.onnx", {"image": channels_first(image((9, 6)))})[end])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("skip", "silu"), [*product([True, False], ["layer", "written out"])])
def test_integers_are_the_same(skip, silu):
    net = bottleneck(skip, silu=silu)
    x = np.stack([channels_first(image((9, 6), seed=seed))[0] for seed in range(4)])
    whole = acs.quantise(net, x)
    again = recompute_attention(whole.network)
    assert len(again.nodes) > len(whole.network.nodes)

    def formats(given):
        names = {node.name: node.name.removesuffix(".again") for node in again.nodes}
        copied = {name: given[original] for name, original in names.items() if original in given}
        keys = {key: key.replace(".again.", ".") for key in again.parameters}
        return copied | {key: given[original] for key, original in keys.items() if original in given}

    twice = integer_network(
        again, formats(whole.formats), formats(whole.weight_formats), whole.ports, whole.requantiser
    )
    for name, expected in acs.execute(whole, x).items():
        np.testing.assert_array_equal(acs.execute(twice, x)[name], expected)


def with_copies_taken_for_originals(net):
    """The layers of `net` with every copy called what it copies: the network before, where they are the same."""
    plain = str.removesuffix
    return {(plain(n.name, ".again"), n.layer, tuple(plain(s, ".again") for s in n.inputs)) for n in net.nodes}


def test_every_copy_computes_what_its_original_does():
    changed = 0
    for seed in range(250):
        net = random_network(Random(f"recompute {seed}"))
        again = recompute_attention(net)
        assert with_copies_taken_for_originals(again) == {(n.name, n.layer, n.inputs) for n in net.nodes}
        assert again.outputs == net.outputs
        assert again.parameter_count == net.parameter_count
        changed += again is not net
    assert changed > 3


@pytest.mark.parametrize("name", ["efficientdet_d0", "mobilenet_v3_large", "efficientnet_b0"])
def test_what_is_held_and_the_weights_that_are_there_twice_are_less_than_the_map(name):
    net = NETWORKS[name]()
    plans = recomputed_maps(net)
    assert 0 < len(plans) < len(find_gates(net))
    for plan in plans:
        weights = sum(net.parameters_of(net.by_name[layer]) for layer in plan.again)
        skips = {n.name for n in net.nodes if isinstance(n.layer, Combine) and n.layer.operation == "add"}
        held = 0 if skips & set(net.consumers[plan.held]) else net.tensors[plan.held].elements
        assert held + weights < net.tensors[plan.gate.map].elements


def test_layers_with_more_weights_than_the_map_has_elements_are_not_there_twice():
    deep, shallow = bottleneck(spatial=(3, 2)), bottleneck(spatial=(9, 6))
    assert recompute_attention(deep) is deep  # 12 x 6 elements, 48 + 24 + 108 weights
    assert recompute_attention(shallow) is not shallow


def test_a_map_that_is_the_smallest_stays():
    draft = Draft(4, (9, 6))
    wide = draft.conv("wide", draft.image, 2)
    gate = draft.add("gate", SIGMOID, draft.conv("expand", draft.add("mean", Reduce("mean"), wide), 2))
    net = weighted(draft, draft.scale("scale", wide, gate))
    assert recompute_attention(net) is net


def test_a_map_behind_another_reduction_is_not_computed_from_before_it():
    draft = Draft(4, (18, 12))
    wide = draft.conv("wide", draft.add("tiles", Reduce("mean", (3, 3)), draft.image), 12)
    gate = draft.add("gate", SIGMOID, draft.conv("expand", draft.add("mean", Reduce("mean"), wide), 12))
    (plan,) = recomputed_maps(weighted(draft, draft.scale("scale", wide, gate)))
    assert plan.held == "tiles"


def test_only_the_first_so_many():
    net = NETWORKS["efficientnet_b0"]()
    copies = [node for node in recompute_attention(net, count=2).nodes if node.name.endswith(".again")]
    assert len(copies) == sum(len(plan.again) for plan in recomputed_maps(net)[:2])
    assert recompute_attention(net, count=0) is net


def test_what_reads_the_map_behind_the_gate_reads_the_copy():
    draft = Draft(4, (9, 6))
    wide = draft.conv("wide", draft.image, 12)
    gate = draft.add("gate", SIGMOID, draft.conv("expand", draft.add("mean", Reduce("mean"), wide), 12))
    end = draft.add("sum", Combine("add"), draft.scale("scale", wide, gate), wide)
    again = recompute_attention(weighted(draft, end))
    assert again.by_name["sum"].inputs == ("scale", "wide.again")
    assert again.by_name["mean"].inputs == ("wide",)


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_counts_that_are_none(count):
    with pytest.raises(InputError, match="count"):
        recompute_attention(bottleneck(), count=count)
