"""Squeeze-excite blocks are found by structure, in any dialect, and nothing else is."""

from itertools import product
from math import prod

import pytest

from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.layers import (
    Activation,
    Combine,
    Concat,
    Constant,
    Convolution,
    Dense,
    Normalise,
    Pool,
    PRelu,
    Product,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    Softmax,
)
from tests.network.draft import EXCITATIONS, GATES, SQUEEZES, Draft, block
from workloads import NETWORKS


def found(draft, *outputs):
    return find_attention(draft.finished(*outputs))


def excited(draft, name, source, channels, squeeze=None):
    """A gate for a map of `channels` channels, from `source`."""
    mean = draft.add(f"{name}.squeeze", squeeze or Reduce("mean"), source)
    hidden = draft.add(f"{name}.relu", Activation("relu"), draft.conv(f"{name}.reduce", mean, 2))
    return draft.add(f"{name}.gate", Activation("sigmoid"), draft.conv(f"{name}.expand", hidden, channels))


@pytest.mark.parametrize("spatial", [(7,), (9, 6), (5, 4, 3)], ids=str)
@pytest.mark.parametrize(("squeeze", "excitation", "gate"), list(product(SQUEEZES, EXCITATIONS, GATES)))
def test_every_dialect_is_found(squeeze, excitation, gate, spatial):
    draft, end = block(spatial, squeeze, excitation, gate, swapped=gate == "hard sigmoid")
    (only,) = found(draft, end)
    assert (only.multiply, only.map, only.squeezed, only.skip, only.tile) == ("scale", "act", "act", "image", None)
    assert only.squeeze.startswith("squeeze")
    assert only.gate == only.excite[-1] == "gate"
    assert {"expand", "gate"} <= set(only.excite) <= {n.name for n in draft.nodes} - {only.squeeze, "act", "scale"}


def test_the_accounting_of_one_block():
    draft, end = block((9, 6))
    table = attention_buffering(draft.finished(end))
    (row,) = table.blocks
    assert (row.rows, row.width, row.channels, row.skip_channels) == (9, 6, 4, 4)
    assert (table.gate_elements, table.skip_elements, table.total_elements) == (9 * 6 * 4, 9 * 6 * 4, 2 * 9 * 6 * 4)


def test_the_map_may_be_an_activation_of_what_is_averaged_or_the_other_way_round():
    draft = Draft(4, (8, 8))
    raw = draft.conv("raw", draft.image, 4, 3)
    active = draft.add("active", PRelu(), raw)
    ends = [
        draft.scale("late", active, excited(draft, "early", raw, 4)),
        draft.scale("early.scale", raw, excited(draft, "late.se", active, 4)),
    ]
    assert [(b.map, b.squeezed) for b in found(draft, *ends)] == [("active", "raw"), ("raw", "active")]


def test_blocks_that_share_a_map_are_two():
    draft = Draft(4, (8, 8))
    ends = [draft.scale(name, draft.image, excited(draft, f"{name}.se", draft.image, 4)) for name in "ab"]
    assert [b.multiply for b in found(draft, draft.add("both", Combine("add"), *ends))] == ["a", "b"]


def test_a_gate_applied_twice_waits_once():
    draft = Draft(4, (8, 8))
    gate = excited(draft, "se", draft.image, 4)
    once = draft.scale("once", draft.image, gate)
    assert [b.multiply for b in found(draft, draft.scale("twice", once, gate))] == ["once"]


def test_one_gate_on_two_functions_of_a_map_is_two_blocks():
    draft = Draft(4, (8, 8))
    gate = excited(draft, "se", draft.image, 4)
    active = draft.add("active", Activation("relu"), draft.image)
    ends = [draft.scale("a", draft.image, gate), draft.scale("b", active, gate)]
    assert [b.multiply for b in found(draft, *ends)] == ["a", "b"]


def test_a_block_on_a_concatenation():
    draft = Draft(2, (8, 8))
    joined = draft.add("joined", Concat(), draft.conv("left", draft.image, 3), draft.image)
    (only,) = found(draft, draft.scale("scale", joined, excited(draft, "se", joined, 5)))
    assert only.map == "joined"


def test_a_map_of_one_point_is_a_block_of_one_row():
    draft = Draft(4, (1, 1))
    net = draft.finished(draft.scale("scale", draft.image, excited(draft, "se", draft.image, 4)))
    assert attention_buffering(net).gate_elements == 4


def _identity_skip(draft, scaled):
    return draft.add("add", Combine("add"), draft.conv("project", scaled, 4), draft.image)


def _late_skip(draft, scaled):
    """Past a constant that is added first."""
    biased = draft.add("bias", Combine("add"), scaled, draft.add("constant", Constant(4)))
    return draft.add("add", Combine("add"), draft.image, biased)


def _around_two_layers(draft, scaled):
    """An add of two tensors that both come after the multiply is no skip, the one behind it is."""
    left, right = draft.conv("left", scaled, 4), draft.conv("right", scaled, 4)
    inner = draft.add("inner", Combine("add"), left, right)
    return draft.add("add", Combine("add"), inner, draft.image)


def _of_three(draft, scaled):
    return draft.add("add", Combine("add"), scaled, draft.conv("other", draft.image, 4), draft.image)


def _round_the_gate_only(draft, scaled):
    return draft.add("add", Combine("add"), scaled, "wide")


def _projected_skip(draft, scaled):
    return draft.add("add", Combine("add"), scaled, draft.conv("other", draft.image, 4))


def _projected_then_identity(draft, scaled):
    """The first add with something from elsewhere ends the search."""
    return draft.add("late", Combine("add"), _projected_skip(draft, scaled), draft.image)


def _concatenated(draft, scaled):
    return draft.add("joined", Concat(), scaled, draft.image)


def _other_resolution(draft, scaled):
    small = draft.add("small", Slice(0, 0, 4), scaled)
    return draft.add("add", Combine("add"), small, draft.add("row", Slice(0, 0, 4), draft.image))


@pytest.mark.parametrize(
    ("end", "skip"),
    [
        (_identity_skip, "image"), (_late_skip, "image"), (_around_two_layers, "image"), (_of_three, "image"),
        (_round_the_gate_only, "wide"), (_projected_skip, None), (_projected_then_identity, None),
        (_concatenated, None), (_other_resolution, None),
    ],
)  # fmt: skip
def test_skips(end, skip):
    draft = Draft(4, (8, 8))
    wide = draft.conv("wide", draft.image, 4)
    (only,) = found(draft, end(draft, draft.scale("scale", wide, excited(draft, "se", wide, 4))))
    assert only.skip == skip


def test_a_skip_of_another_size_does_not_count():
    draft = Draft(4, (8, 8))
    layer = Convolution(4, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    small = draft.add("small", layer, draft.image)
    scaled = draft.scale("scale", small, excited(draft, "se", small, 4))
    large = draft.add("large", Resize((8, 8)), scaled)
    (only,) = found(draft, draft.add("add", Combine("add"), large, draft.image))
    assert only.skip is None


def _silu(draft, x):
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), x))


def _no_average(draft, x):
    hidden = draft.add("relu", Activation("relu"), draft.conv("a", x, 4))
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), draft.conv("b", hidden, 4)))


def _no_weights(draft, x):
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), draft.add("mean", Reduce("mean"), x)))


def _not_bounded(draft, x):
    mean = draft.add("mean", Reduce("mean"), x)
    return draft.scale("end", x, draft.add("gate", Activation("silu"), draft.conv("a", mean, 4)))


def _clip_without_end(draft, x):
    mean = draft.add("mean", Reduce("mean"), x)
    clip = Activation("clip", (0.0, float("inf")))
    return draft.scale("end", x, draft.add("gate", clip, draft.conv("a", mean, 4)))


def _bounded_too_early(draft, x):
    mean = draft.add("sigmoid", Activation("sigmoid"), draft.add("mean", Reduce("mean"), x))
    return draft.scale("end", x, draft.conv("gate", mean, 4))


def _own_statistics(draft, x):
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), written out."""
    centred = draft.add("centred", Combine("subtract"), x, draft.add("mean", Reduce("mean"), x))
    power = draft.add("power", Reduce("mean"), draft.add("square", Combine("multiply"), centred, centred))
    shifted = draft.add("shifted", Combine("add"), power, draft.add("epsilon", Constant(1)))
    root = draft.add("inverse", Activation("reciprocal"), draft.add("root", Activation("sqrt"), shifted))
    return draft.scale("end", centred, root)


def _response_norm(draft, x):
    """Global response normalisation of ConvNeXt V2."""
    norm = draft.add("norm", Reduce("l2"), x)
    mean = draft.add("mean", Rearrange((1, 1, 4), (0, 1, 2), (4,), 1), norm)
    mean = draft.add("over channels", Reduce("mean"), mean)
    ratio = draft.add("ratio", Combine("divide"), norm, mean)
    return draft.scale("end", x, ratio)


def _softmax(draft, x):
    mean = draft.conv("a", draft.add("mean", Reduce("mean"), x), 4)
    return draft.scale("end", x, draft.add("gate", Softmax(), mean))


def _attention(draft, x):
    flat = draft.add("flat", Rearrange((64, 4), (0, 1), (64,), 4), x)
    scores = draft.add("scores", Product(transposed=True), flat, flat)
    mixed = draft.add("mixed", Product(), draft.add("soft", Softmax(), scores), flat)
    return draft.scale("end", flat, mixed)


def _neighbouring_channels(draft, x):
    """Efficient channel attention: a convolution along the channels."""
    mean = draft.add("mean", Reduce("mean"), x)
    line = draft.add("line", Rearrange((1, 1, 4), (0, 1, 2), (4,), 1), mean)
    line = draft.conv("along", line, 1, 3, axes=1)
    back = draft.add("back", Rearrange((4, 1), (0, 1), (1, 1), 4), line)
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), back))


def _largest_values(draft, x):
    return draft.scale("end", x, excited(draft, "se", x, 4, Reduce("maximum")))


def _another_map(draft, x):
    return draft.scale("end", draft.conv("other", x, 4), excited(draft, "se", x, 4))


def _one_gate_for_all_channels(draft, x):
    mean = draft.add("mean", Reduce("mean"), x)
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), draft.conv("a", mean, 1)))


def _gate_of_each_point(draft, x):
    return draft.scale("end", x, draft.add("gate", Activation("sigmoid"), draft.conv("a", x, 1)))


def _sum_instead_of_product(draft, x):
    return draft.add("end", Combine("add"), x, excited(draft, "se", x, 4))


def _overlapping_averages(draft, x):
    pool = Pool("average", (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    return draft.scale("end", x, excited(draft, "se", x, 4, pool))


def _smooth_spreading(draft, x):
    gate = excited(draft, "se", x, 4, Reduce("mean", (4, 4)))
    return draft.scale("end", x, draft.add("spread", Resize((8, 8), "linear"), gate))


def _spread_by_another_factor(draft, x):
    gate = excited(draft, "se", x, 4, Reduce("mean", (2, 8)))
    half = draft.add("half", Slice(0, 0, 2), gate)
    return draft.scale("end", x, draft.add("spread", Resize((8, 8)), half))


@pytest.mark.parametrize(
    "build",
    [
        _silu, _no_average, _no_weights, _not_bounded, _clip_without_end, _bounded_too_early, _own_statistics,
        _response_norm, _softmax, _attention, _neighbouring_channels, _largest_values, _another_map,
        _one_gate_for_all_channels, _gate_of_each_point, _sum_instead_of_product, _overlapping_averages,
        _smooth_spreading, _spread_by_another_factor,
    ],
)  # fmt: skip
def test_what_is_no_squeeze_excite_block(build):
    draft = Draft(4, (8, 8))
    assert found(draft, build(draft, draft.conv("x", draft.image, 4, 3))) == ()


def test_the_other_layers_of_an_excitation():
    draft = Draft(4, (8, 8))
    mean = draft.add("mean", Reduce("mean"), draft.image)
    hidden = draft.add("norm", Normalise("channels"), draft.add("a", Dense(6), mean))
    gate = draft.add("gate", Activation("tanh"), draft.add("b", Dense(4), draft.add("slope", PRelu(), hidden)))
    (only,) = found(draft, draft.scale("end", draft.image, gate))
    assert only.excite == ("a", "norm", "slope", "b", "gate")


def _tiled(spread, squeeze=None, spatial=(8, 6)):
    """A block whose average is over tiles of three rows."""
    draft = Draft(4, spatial)
    gate = excited(draft, "se", draft.image, 4, squeeze or Reduce("mean", (3, 6)))
    return draft, spread(draft, gate)


def _by_repeat(draft, gate):
    return draft.add("end", Combine("multiply", ((), (3, 6))), draft.image, gate)


def _by_resize(draft, gate):
    wide = draft.add("wide", Resize((9, 6)), gate)
    return draft.scale("end", draft.image, draft.add("crop", Slice(0, 0, 8), wide))


def _by_resize_of_rows(draft, gate):
    wide = draft.add("wide", Resize((9, 1)), gate)
    return draft.scale("end", draft.image, draft.add("crop", Slice(0, 0, 8), wide), swapped=True)


POOLED = Pool("average", (3, 6), (3, 6), ((0, 0), (0, 0)), (1, 1), ceil_mode=True)


@pytest.mark.parametrize("spread", [_by_repeat, _by_resize, _by_resize_of_rows])
@pytest.mark.parametrize("squeeze", [Reduce("mean", (3, 6)), Reduce("mean", (3, 100)), POOLED])
def test_tiles_in_every_dialect(spread, squeeze):
    draft, end = _tiled(spread, squeeze)
    net = draft.finished(end)
    (only,) = find_attention(net)
    assert only.tile == (3, 6)
    assert attention_buffering(net).gate_elements == 3 * 6 * 4


def test_a_tile_as_large_as_the_map_is_no_tile():
    draft = Draft(4, (8, 6))
    gate = excited(draft, "se", draft.image, 4, Reduce("mean", (8, 9)))
    (only,) = found(draft, draft.scale("end", draft.image, gate))
    assert only.tile is None


def test_pools_that_leave_rows_out_are_no_tiles():
    cut = Pool("average", (3, 6), (3, 6), ((0, 0), (0, 0)), (1, 1))
    draft = Draft(4, (8, 6))
    gate = excited(draft, "se", draft.image, 4, cut)
    spread = draft.add("spread", Resize((8, 6)), gate)
    assert found(draft, draft.scale("end", draft.image, spread)) == ()


@pytest.mark.parametrize(
    ("spatial", "rows", "width"), [((11,), 11, 1), ((5, 7), 5, 7), ((5, 4, 3), 5, 12), ((2, 3, 2, 5), 2, 30)]
)
def test_rows_run_along_the_first_axis(spatial, rows, width):
    draft = Draft(4, spatial)
    mean = draft.add("mean", Reduce("mean"), draft.image)
    gate = draft.add("gate", Activation("sigmoid"), draft.add("a", Dense(4), mean))
    table = attention_buffering(draft.finished(draft.scale("end", draft.image, gate)))
    assert [(row.rows, row.width) for row in table.blocks] == [(rows, width)]
    assert table.total_elements == prod(spatial) * 4


#: By hand: every block's map, and its skip where the shape stays, of EfficientNet-B0 at 224 pixels
#: as (size, expanded channels, channels in, identity skips among so many blocks).
B0 = (
    (112, 32, 32, 0, 1), (56, 96, 16, 0, 1), (56, 144, 24, 1, 1), (28, 144, 24, 0, 1), (28, 240, 40, 1, 1),
    (14, 240, 40, 0, 1), (14, 480, 80, 2, 2), (14, 480, 80, 0, 1), (14, 672, 112, 2, 2), (7, 672, 112, 0, 1),
    (7, 1152, 192, 3, 3), (7, 1152, 192, 0, 1),
)  # fmt: skip


def test_efficientnet_b0_by_hand():
    table = attention_buffering(NETWORKS["efficientnet_b0"]())
    assert table.gate_elements == sum(size * size * wide * blocks for size, wide, _, _, blocks in B0)
    assert table.skip_elements == sum(size * size * narrow * skips for size, _, narrow, skips, _ in B0)


def test_networks_without_blocks_wait_for_nothing():
    table = attention_buffering(NETWORKS["resnet18"]())
    assert (table.blocks, table.total_elements) == ((), 0)


def test_deep_chains_are_searched_without_recursion():
    draft = Draft(4, (2, 2))
    x = draft.image
    for index in range(3000):
        x = draft.scale(f"silu{index}", x, draft.add(f"sigmoid{index}", Activation("sigmoid"), x))
    (only,) = found(draft, draft.scale("end", draft.image, excited(draft, "se", x, 4)))
    assert only.squeezed == x
