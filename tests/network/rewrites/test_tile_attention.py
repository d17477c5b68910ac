"""Tiled squeeze-excite: what every tile computes, what is kept for others, and what does not change."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    Combine,
    Concat,
    Constant,
    Dense,
    Input,
    Reduce,
    Resize,
    Slice,
)
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.writers.onnx import write_onnx
from accelsim.units import ceil_div
from tests.network.draft import EXCITATIONS, GATES, SQUEEZES, Draft, bare, block, weighted
from tests.network.naive_layers import run
from tests.network.writers.test_onnx import channels_first, execute
from workloads import NETWORKS


def image(spatial, channels=4, seed=3):
    return np.random.default_rng(seed).normal(size=(*spatial, channels))


def tiled_by_definition(x, arrays, rows, columns):
    """Pool with ceil, excite every tile with the same weights, repeat, crop, multiply."""
    height, width, _ = x.shape
    means = np.array(
        [
            [x[top : top + rows, left : left + columns].mean(axis=(0, 1)) for left in range(0, width, columns)]
            for top in range(0, height, rows)
        ]
    )
    hidden = np.maximum(means @ arrays["reduce.weight"].reshape(3, -1).T + arrays["reduce.bias"], 0)
    excited = hidden @ arrays["expand.weight"].reshape(-1, 3).T + arrays["expand.bias"]
    gate = 1 / (1 + np.exp(-excited))
    return x * gate.repeat(rows, axis=0)[:height].repeat(columns, axis=1)[:, :width]


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, None), (2, None), (4, None), (6, None), (8, 5), (100, None), (4, 2), (3, 3), (100, 2)]
)
@pytest.mark.parametrize("spatial", [(9, 5), (8, 6)])
def test_onnxruntime_agrees_with_the_definition(tmp_path, spatial, rows, columns):
    net = weighted(bare(spatial, "global pool", "convolutions", "sigmoid"), "scale")
    x = image(spatial)
    write_onnx(tile_attention(net, rows, columns=columns), tmp_path / "tiled.onnx")
    found = execute(tmp_path / "tiled.onnx", {"image": channels_first(x)})["scale"]
    height, width = spatial
    expected = tiled_by_definition(x, net.parameters, min(rows, height), min(columns or width, width))
    np.testing.assert_allclose(found, channels_first(expected), rtol=1e-5, atol=1e-5)


def by_tiles(build, x, rows, columns):
    """The untiled network on every tile by itself."""
    result = np.empty_like(x)
    last = x.ndim - 2
    steps = [rows, *x.shape[1:-1]]
    steps[last] = columns or steps[last]
    for corner in product(*(range(0, n, step) for n, step in zip(x.shape[:-1], steps, strict=True))):
        part = tuple(slice(c, c + step) for c, step in zip(corner, steps, strict=True))
        tile = x[part]
        net = weighted(build(tile.shape[:-1]), "scale")
        result[part] = run(net, {"image": tile})["scale"]
    return result


@pytest.mark.parametrize(
    ("spatial", "rows", "columns"), [((7,), 3, None), ((7, 4), 3, None), ((7, 5), 2, 3), ((5, 3, 4), 2, 3)], ids=str
)
@pytest.mark.parametrize(
    ("squeeze", "excitation", "gate"),
    [*zip((*SQUEEZES, "global pool"), EXCITATIONS, GATES, strict=True), ("flat map", "with batch norm", "sigmoid")],
)
def test_every_tile_is_a_block_of_its_own(tmp_path, squeeze, excitation, gate, spatial, rows, columns):
    def build(size):
        return bare(size, squeeze, excitation, gate)

    net = weighted(build(spatial), "scale")
    tiled = tile_attention(net, rows, columns=columns)
    x = image(spatial)
    expected = by_tiles(build, x, rows, columns)
    np.testing.assert_allclose(run(tiled, {"image": x})["scale"], expected, rtol=1e-9, atol=1e-9)
    write_onnx(tiled, tmp_path / "tiled.onnx")
    found = execute(tmp_path / "tiled.onnx", {"image": channels_first(x)})["scale"]
    np.testing.assert_allclose(found, channels_first(expected), rtol=1e-4, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    st.integers(1, 14),
    st.none() | st.integers(1, 14),
    st.sampled_from(sorted(SQUEEZES)),
    st.sampled_from(sorted(EXCITATIONS)),
    st.sampled_from(sorted(GATES)),
)
def test_the_accounting_of_the_tiled_network(spatial, rows, columns, squeeze, excitation, gate):
    draft, end = block(spatial, squeeze, excitation, gate)
    net = weighted(draft, end)
    tiled = tile_attention(net, rows, columns=columns)
    (before,), (after,) = attention_buffering(net).blocks, attention_buffering(tiled).blocks
    assert after.rows == min(rows, spatial[0])
    assert (after.width, after.channels, after.skip_channels) == (before.width, before.channels, before.skip_channels)
    assert after.gate_elements * before.rows == before.gate_elements * after.rows
    assert tiled.parameter_count == net.parameter_count
    assert tiled.tensors["add"] == net.tensors["add"]
    means = tiled.tensors[after.block.squeeze]
    widths = (*spatial[1:-1], *([min(columns, spatial[-1])] if columns and len(spatial) > 1 else spatial[-1:]))
    if tiled is not net:
        tile = (min(rows, spatial[0]), *widths)[: len(spatial)]
        assert means.spatial == tuple(ceil_div(n, t) for n, t in zip(spatial, tile, strict=True))
    assert set(tiled.parameters) == set(net.parameters)


@pytest.mark.parametrize("rows", [1, 3, 7, 14])
def test_a_published_network(rows):
    net = NETWORKS["efficientnet_b0"]()
    tiled = tile_attention(net, rows)
    before, after = attention_buffering(net), attention_buffering(tiled)
    assert [b.block.multiply for b in before.blocks] == [b.block.multiply for b in after.blocks]
    for old, new in zip(before.blocks, after.blocks, strict=True):
        assert new.gate_elements == min(rows, old.rows) * old.width * old.channels
        assert new.skip_elements == min(rows, old.rows) * old.width * old.skip_channels
    assert tiled.parameter_count == net.parameter_count
    extra = 0
    for old in before.blocks:
        chain = [net.by_name[name] for name in old.block.excite]
        extra += sum(net.macs_of(node) for node in chain) * (ceil_div(old.rows, rows) - 1)
    assert tiled.macs == net.macs + extra
    assert [n.name for n in tiled.nodes] == [n.name for n in net.nodes]


def test_convolutions_get_the_axes_of_the_map():
    """One-dimensional ones behind a flattened map become two-dimensional, their weights views of the old ones."""
    net = weighted(bare((9, 6), "flat map", "convolutions", "sigmoid"), "scale")
    tiled = tile_attention(net, 2)
    assert (net.by_name["reduce"].layer.kernel, tiled.by_name["reduce"].layer.kernel) == ((1,), (1, 1))
    assert tiled.parameters["reduce.weight"].base is net.parameters["reduce.weight"]
    assert tiled.parameters["reduce.bias"] is net.parameters["reduce.bias"]


def test_excitations_of_efficientdet_d2_stay_below_a_thousandth_of_the_work():
    """1.31 M and 6.23 M multiply-accumulates, counted from the published widths."""
    net = NETWORKS["efficientdet_d2"]()
    tiled = tile_attention(net, 7)
    for variant, expected in ((net, 1.31e6), (tiled, 6.23e6)):
        names = [name for block in find_attention(variant) for name in block.excite]
        macs = sum(variant.macs_of(variant.by_name[name]) for name in names)
        assert round(macs, -4) == expected
        assert macs < variant.macs / 1000


@pytest.mark.parametrize("rows", [9, 10, 1000])
def test_maps_within_a_tile_are_left_alone(rows):
    draft, end = block((9, 6))
    net = draft.finished(end)
    assert tile_attention(net, rows) is net


def test_networks_without_blocks_are_left_alone():
    net = NETWORKS["mobilenet_v2"]()
    assert tile_attention(net, 7) is net


def test_count_takes_the_first_blocks():
    net = NETWORKS["efficientnet_b0"]()
    tiled = tile_attention(net, 7, count=3)
    assert [b.tile is not None for b in find_attention(tiled)] == [True] * 3 + [False] * 13
    assert tile_attention(net, 7, count=0) is net
    assert tile_attention(net, 7, count=100).nodes == tile_attention(net, 7).nodes


def test_the_given_network_and_its_arrays_stay_as_they_are():
    draft, end = block((9, 6))
    net = weighted(draft, end)
    nodes, keys = net.nodes, set(net.parameters)
    tiled = tile_attention(net, 2)
    assert (net.nodes, set(net.parameters)) == (nodes, keys)
    assert all(tiled.parameters[key] is net.parameters[key] for key in keys)


def test_tiles_replace_tiles():
    net = NETWORKS["efficientnet_b0"]()
    once = tile_attention(net, 7)
    for rows, columns in [(3, None), (14, None), (7, 5), (1000, None)]:
        assert tile_attention(once, rows, columns=columns).nodes == tile_attention(net, rows, columns=columns).nodes
    assert tile_attention(once, 7) is once


def test_tiles_spread_by_resize_and_crop_are_replaced(tmp_path):
    """As another tool writes them."""
    draft = Draft(4, (8, 6))
    mean = draft.add("squeeze", Reduce("mean", (3, 6)), draft.image)
    gate = draft.add("gate", Activation("sigmoid"), draft.add("expand", Dense(4), mean))
    wide = draft.add("wide", Resize((9, 6)), gate)
    draft.scale("scale", draft.image, draft.add("crop", Slice(0, 0, 8), wide))
    net = weighted(draft, "scale")
    tiled = tile_attention(net, 5)
    assert {"wide", "crop"}.isdisjoint(tiled.by_name)
    whole = weighted(_plain(draft), "scale")
    x = image((8, 6))
    expected = run(tile_attention(whole, 5), {"image": x})["scale"]
    np.testing.assert_allclose(run(tiled, {"image": x})["scale"], expected)
    assert tile_attention(net, 8).by_name["squeeze"].layer == Reduce("mean")


def _plain(draft):
    """The draft of the test above without tiles."""
    plain = Draft(4, draft.spatial)
    mean = plain.add("squeeze", Reduce("mean"), plain.image)
    gate = plain.add("gate", Activation("sigmoid"), plain.add("expand", Dense(4), mean))
    plain.scale("scale", plain.image, gate)
    return plain


def _with_gate(spatial=(9, 6)):
    draft = Draft(4, spatial)
    mean = draft.add("squeeze", Reduce("mean"), draft.image)
    draft.add("gate", Activation("sigmoid"), draft.add("norm", BatchNorm(), draft.add("expand", Dense(4), mean)))
    draft.scale("scale", draft.image, "gate")
    return draft


def test_what_else_reads_the_average_keeps_it():
    draft = _with_gate()
    draft.add("head", Dense(7), "squeeze")
    net = weighted(draft, "scale", "head")
    tiled = tile_attention(net, 2)
    assert tiled.by_name["squeeze"].layer == Reduce("mean")
    assert tiled.by_name["squeeze.tiled"].layer == Reduce("mean", (2, 6))
    assert tiled.by_name["expand"].inputs == ("squeeze.tiled",)
    x = image((9, 6))
    np.testing.assert_allclose(run(tiled, {"image": x})["head"], run(net, {"image": x})["head"])


@pytest.mark.parametrize("output", ["gate", "expand"])
def test_an_excitation_that_is_read_elsewhere_is_copied_with_shared_weights(output):
    net = weighted(_with_gate(), "scale", output)
    tiled = tile_attention(net, 2)
    x = image((9, 6))
    np.testing.assert_allclose(run(tiled, {"image": x})[output], run(net, {"image": x})[output])
    alone = tile_attention(weighted(_with_gate(), "scale"), 2)
    np.testing.assert_allclose(run(tiled, {"image": x})["scale"], run(alone, {"image": x})["scale"])
    assert tiled.by_name["expand.tiled"].shares == "expand"
    assert tiled.parameter_count == net.parameter_count
    assert tiled.parameters["expand.tiled.weight"] is net.parameters["expand.weight"]


def test_names_that_are_taken_are_not_given_again():
    draft = _with_gate()
    draft.add("squeeze.tiled", Activation("relu"), "squeeze")
    tiled = tile_attention(draft.finished("scale", "squeeze.tiled"), 2)
    assert tiled.by_name["squeeze.tiled"].layer == Activation("relu")
    assert tiled.by_name["squeeze.tiled.tiled"].layer == Reduce("mean", (2, 6))


def test_a_gate_applied_twice_is_spread_twice():
    draft = _with_gate()
    draft.scale("again", "scale", "gate", swapped=True)
    tiled = tile_attention(weighted(draft, "again"), 2)
    values = run(tiled, {"image": image((9, 6))})
    gate = values["gate"].repeat(2, axis=0)[:9]
    np.testing.assert_allclose(values["again"], values["image"] * gate * gate)
    assert set(tiled.by_name) == {"image", "squeeze", "expand", "norm", "gate", "scale", "again"}


def test_a_gate_on_a_map_of_another_size_stays_whole():
    draft = _with_gate()
    small = draft.add("small", Reduce("mean", (3, 3)), "image")
    draft.scale("other", small, "gate")
    net = weighted(draft, "scale", "other")
    x = image((9, 6))
    tiled = run(tile_attention(net, 2), {"image": x})
    np.testing.assert_allclose(tiled["other"], run(net, {"image": x})["other"])


def test_blocks_that_share_a_gate_share_its_tiles():
    draft = _with_gate()
    draft.scale("active.scale", draft.add("active", Activation("relu"), draft.image), "gate")
    draft.add("both", Concat(), "scale", "active.scale")
    net = draft.finished("both")
    tiled = tile_attention(net, 2)
    assert len(tiled.nodes) == len(net.nodes)
    assert [b.tile for b in find_attention(tiled)] == [(2, 6), (2, 6)]
    first = tile_attention(net, 2, count=1)
    assert [b.tile for b in find_attention(first)] == [(2, 6), None]
    assert (first.by_name["scale"].inputs, first.by_name["active.scale"].inputs) == (
        ("image", "gate.tiled"), ("active", "gate"),
    )  # fmt: skip
    assert first.parameter_count == net.parameter_count


def test_a_constant_in_the_excitation_serves_every_tile():
    draft = Draft(4, (9, 6))
    mean = draft.add("squeeze", Reduce("mean"), draft.image)
    shifted = draft.add("plus", Combine("add"), draft.add("expand", Dense(4), mean), draft.add("shift", Constant(4)))
    draft.scale("scale", draft.image, draft.add("gate", Activation("sigmoid"), shifted))
    tiled = tile_attention(draft.finished("scale"), 2)
    assert tiled.tensors["gate"].spatial == (5, 1)
    assert tiled.by_name["plus"].inputs == ("expand", "shift")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"rows": 0}, "rows = 0 must be an integer of at least 1"),
        ({"rows": -7}, "rows = -7"),
        ({"rows": 2.5}, r"rows = 2\.5 must be an integer"),
        ({"rows": "7"}, "rows = '7'"),
        ({"rows": True}, "rows = True"),
        ({"rows": None}, "rows = None"),
        ({"rows": 7, "count": -1}, "count = -1 must be an integer of at least 0"),
        ({"rows": 7, "columns": 0}, "columns = 0"),
    ],
)
def test_sizes_that_make_no_sense(arguments, rule):
    draft, end = block((9, 6))
    with pytest.raises(InputError, match=rule):
        tile_attention(draft.finished(end), **arguments)


def test_all_sizes_are_checked_at_once():
    with pytest.raises(InputError) as caught:
        tile_attention(NETWORKS["resnet18"](), 0, -1, 0)
    assert len(str(caught.value).splitlines()) == 3


def test_the_input_may_be_the_map():
    tiled = tile_attention(_with_gate().finished("scale"), 4)
    assert isinstance(tiled.by_name["image"].layer, Input)
    assert tiled.by_name["squeeze"].inputs == ("image",)
