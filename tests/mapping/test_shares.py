"""Which pixels meet the same stationary operand, against going through every pixel and tap."""

from collections import Counter, defaultdict
from itertools import product
from random import Random

import pytest

from accelsim.mapping.shares import Share, shares
from accelsim.mapping.work import loop_nest
from accelsim.network.graph import Node, network
from accelsim.network.layers import Convolution, Dense, Input, Product, TransposedConvolution
from accelsim.network.tensor import Tensor


def shares_of(nodes, fired=None, alone=True):
    net = network("small", nodes, [nodes[-1].name])
    node = net.by_name[nodes[-1].name]
    return shares(net, node, fired or net.tensors[node.name], loop_nest(net, node), alone), net, node


def transposed(rng: Random) -> tuple[Input, TransposedConvolution]:
    rank = rng.choice((0, 1, 2, 2, 3))
    sizes, kernel, stride, dilation = (tuple(rng.randint(1, 4) for _ in range(rank)) for _ in range(4))
    room = [(n - 1) * s + d * (k - 1) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    padding = tuple((rng.randint(0, r // 2), rng.randint(0, r // 2)) for r in room)
    extra = tuple(rng.randint(0, 1) for _ in range(rank))
    return Input(2, sizes), TransposedConvolution(3, kernel, stride, padding, dilation, extra)


def tap_sets(layer: TransposedConvolution, made: Tensor) -> dict[tuple, frozenset]:
    """Of every output point, the taps that some input point, be it beyond the edge, reaches it by."""
    found = {}
    for point in product(*map(range, made.spatial)):
        axes = zip(point, layer.padding, layer.kernel, layer.dilation, layer.stride, strict=True)
        taps = [[t for t in range(k) if (y + before - t * d) % s == 0] for y, (before, _), k, d, s in axes]
        found[point] = frozenset(product(*taps))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_a_transposed_convolution_is_a_product_for_every_set_of_taps(seed):
    source, layer = transposed(Random(seed))
    found, net, node = shares_of([Node("x", source), Node("a", layer, ("x",))])
    pixels = Counter(taps for taps in tap_sets(layer, net.tensors["a"]).values() if taps)
    expected = Counter((count, len(taps)) for taps, count in pixels.items())
    if not expected:
        expected[net.tensors["a"].pixels, loop_nest(net, node).window] = 1
    assert {(share.pixels, share.window): share.times for share in found} == expected
    assert all(share.bursts == 1 for share in found)


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_a_transposed_convolution_have_their_own(seed):
    source, layer = transposed(Random(seed))
    found, net, _ = shares_of([Node("x", source), Node("a", layer, ("x",))], alone=False)
    made = net.tensors["a"]
    rows = defaultdict(Counter)
    for point, taps in tap_sets(layer, made).items():
        rows[point if len(point) < 2 else point[:-1]][taps] += 1
    expected = Counter((count, len(taps)) for row in rows.values() for taps, count in row.items() if taps)
    if expected:
        assert {(share.pixels, share.window): share.bursts for share in found} == expected


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("source", "layer", "window"),
    [
        (Input(4, (6, 5)), Convolution(8, (3, 2), (1, 1), ((1, 1), (0, 1)), (2, 1), 4), 6),
        (Input(4, (9,)), Convolution(8, (3,), (2,), ((1, 1),), (1,)), 3),
        (Input(4, (3, 4, 5)), Convolution(8, (3, 1, 1), (1, 1, 1), ((1, 1), (0, 0), (0, 0)), (1, 1, 1)), 3),
        (Input(4, (6, 5)), Dense(7), 1),
        (Input(4), Dense(7), 1),
    ],
)
def test_all_pixels_of_a_layer_meet_the_same_weights(source, layer, window, alone):
    found, net, _ = shares_of([Node("x", source), Node("a", layer, ("x",))], alone=alone)
    made = net.tensors["a"]
    whole, by_rows = Share(made.pixels, window), Share(made.row_pixels, window, 1, made.rows)
    assert found == ((whole if alone else by_rows),)


@pytest.mark.parametrize(
    ("first", "second", "transposes", "expected"),
    [
        (Input(6, (7,)), Input(6, (5,)), True, Share(7, 1)),
        (Input(6, (4, 7)), Input(6, (4, 5)), True, Share(7, 1, 4)),
        (Input(6, (2, 3, 7)), Input(8, (2, 3, 3)), False, Share(7, 1, 6)),
        (Input(6, (4, 7)), Input(6, (1, 5)), True, Share(28, 1)),
        (Input(6, (4, 7)), Input(6, (5,)), True, Share(28, 1)),
        (Input(6, (1, 7)), Input(6, (4, 5)), True, Share(7, 1, 4)),
        (Input(6, (7,)), Input(6, (4, 5)), True, Share(7, 1, 4)),
        (Input(6, (2, 3, 7)), Input(6, (1, 3, 5)), True, Share(14, 1, 3)),
        (Input(6, (2, 3, 7)), Input(6, (3, 5)), True, Share(14, 1, 3)),
    ],
)
def test_second_operands_of_their_own_make_products_of_their_own(first, second, transposes, expected):
    nodes = [Node("x", first), Node("y", second), Node("a", Product(2, transposes), ("x", "y"))]
    assert shares_of(nodes)[0] == (expected,)
