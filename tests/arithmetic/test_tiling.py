"""Integer networks over tiles: the same integers, or those of the real network over tiles as near as widths allow."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.arithmetic.calibrate import RealProgram
from accelsim.errors import InputError
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Combine, Convolution, Input, Reduce
from tests.arithmetic.models import images, quantised, squeeze_excite
from tests.arithmetic.test_quantise import frames, small
from tests.network.naive_layers import random_weights

ONE = ((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
SCHEMES = ("float", "fixed_point")


def block():
    """A squeeze-excite block whose gate is at work."""
    nodes = [
        Node("x", Input(4, (12, 8))),
        Node("map", Convolution(8, *ONE, 1, True), ("x",)),
        Node("mean", Reduce("mean"), ("map",)),
        Node("squeeze", Convolution(4, *ONE, 1, True), ("mean",)),
        Node("relu", Activation("relu"), ("squeeze",)),
        Node("excite", Convolution(8, *ONE, 1, True), ("relu",)),
        Node("gate", Activation("sigmoid"), ("excite",)),
        Node("y", Combine("multiply"), ("map", "gate")),
    ]
    return network("block", nodes, ["y"], (), random_weights(network("block", nodes, ["y"])))


def maps(count=3, seed=0):
    """Maps whose averages rise from top to bottom."""
    ramp = np.linspace(-3, 3, 12, dtype=np.float32)[:, None]
    return np.random.default_rng(seed).normal(size=(count, 4, 12, 8)).astype(np.float32) + ramp


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_map_that_is_the_same_everywhere_has_the_same_gate_over_tiles(scheme):
    net, x = block(), np.repeat(np.repeat(maps()[..., :1, :1], 12, axis=2), 8, axis=3)
    inet = acs.quantise(net, x, None, scheme)
    whole = acs.execute(inet, x)["y"]
    for rows, columns in ((12, 8), (4, None), (5, 3), (1, None)):
        assert np.array_equal(acs.execute(acs.tile_attention(inet, rows, columns=columns), x)["y"], whole)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("rows", "columns"), [(6, None), (5, 3)])
def test_a_tile_is_a_map_of_its_own(scheme, rows, columns):
    """What the block makes of a tile is what it makes of a network's whole map that is this tile."""
    inet, x = acs.quantise(block(), maps(), None, scheme), maps(1, seed=7)
    made = acs.execute(acs.tile_attention(inet, rows, columns=columns), x)["y"]
    width = columns or 8
    for top in range(0, 12, rows):
        for left in range(0, 8, width):
            part = np.s_[:, :, top : top + rows, left : left + width]
            assert np.array_equal(acs.execute(cut_to(inet, x[part]), x[part])["y"], made[part])


def cut_to(inet, x):
    """The same integers on a smaller map."""
    from accelsim.arithmetic.network import integer_network

    nodes = [Node(n.name, Input(4, x.shape[2:]) if n.name == "x" else n.layer, n.inputs) for n in inet.network.nodes]
    net = network("cut", nodes, ["y"], (), inet.network.parameters)
    return integer_network(net, inet.formats, inet.weight_formats, inet.ports, inet.requantiser)


def test_near_the_real_network_over_tiles():
    """If maps as different as the tiles were among those it was calibrated on."""
    net, x = block(), maps()
    tiles = [np.tile(x[:, :, top : top + 4], (1, 1, 3, 1)) for top in (0, 4, 8)]
    untiled = acs.quantise(net, np.concatenate([x, *tiles]))
    inet = acs.tile_attention(untiled, rows=4)
    real = RealProgram(acs.tile_attention(net, rows=4))
    made = acs.execute(inet, x)["y"]
    for image, own in zip(x, made, strict=True):
        *_, (_, expected) = real.steps({"x": np.moveaxis(image, 0, -1)})
        assert np.abs(np.moveaxis(expected, -1, 0) - own).max() < 2 * inet.formats["y"].scale[0]
    assert np.abs(made - acs.execute(untiled, x)["y"]).max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_quantised_file(form, tmp_path):
    inet = acs.load_integer_network(quantised(squeeze_excite(), tmp_path / "net.onnx", form, True))
    ramp = np.linspace(-4, 4, 32, dtype=np.float32)[:, None]
    tiled, x = acs.tile_attention(inet, rows=4), images(2, seed=9) + ramp
    assert tiled.network.nodes == acs.tile_attention(acs.load_network(tmp_path / "net.onnx"), rows=4).nodes
    assert set(tiled.formats) == {node.name for node in tiled.network.nodes}
    whole, made = acs.execute(inet, x), acs.execute(tiled, x)
    assert not all(np.array_equal(whole[name], made[name]) for name in whole)
    design = acs.size_buffers(acs.map_network(tiled.network, acs.load_accelerator("streaming-asic")))
    streamed = acs.execute(tiled, x, streaming=design)
    assert all(np.array_equal(made[name], streamed[name]) for name in made)


def test_tiles_in_place_of_tiles():
    inet = acs.quantise(small(), frames())
    again = acs.tile_attention(acs.tile_attention(inet, rows=2), rows=4)
    assert np.array_equal(acs.execute(again, frames(1))["y"], acs.execute(inet, frames(1))["y"])


def test_networks_without_blocks_and_tiles_that_are_none():
    inet = acs.quantise(block(), maps())
    with pytest.raises(InputError, match="rows = 0 must be an integer of at least 1"):
        acs.tile_attention(inet, rows=0)
    assert acs.tile_attention(inet, rows=12).network.nodes == inet.network.nodes
