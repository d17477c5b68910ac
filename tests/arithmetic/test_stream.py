"""Row by row through buffers of the mapped size: the same bits, or a deadlock that names the buffer."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.arithmetic.formats import Format, IntegerType
from accelsim.errors import InputError, NotModelled
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Convolution, Dense, Input
from tests.arithmetic.layers import one_layer
from tests.arithmetic.models import FAMILIES, images, quantised
from tests.arithmetic.test_quantise import frames, small
from tests.materials import material
from tests.network.naive_layers import random_weights
from tests.random_networks import random_network

MACHINES = {
    fork: acs.load_accelerator("streaming-asic").model_copy(update={"fork": fork}) for fork in ("shared", "copy")
}


#: Random networks may take logarithms of nothing, and have reductions whose order of norm is not known.
BEYOND = ("not finite", "no value at", "not executed")


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def checked(inet, x, machine, sampled=None):
    """Whole tensors, unbounded and least buffers give the same; a row less in any buffer stops and says in which.

    Of large networks, so many buffers of more than a row are `sampled`.
    """
    design = acs.map_network(inet.network, machine)
    whole = acs.execute(inet, x)
    assert same(acs.execute(inet, x, streaming=design), whole)
    least = acs.size_buffers(design, "row")
    assert same(acs.execute(inet, x, streaming=least), whole)
    capacities = {edge.name: edge.capacity for edge in least.edges}
    larger = [edge for edge in least.edges if edge.capacity > 1]
    for edge in larger if sampled is None else Random(0).sample(larger, min(sampled, len(larger))):
        sharing = [e.name for e in least.edges if machine.fork == "shared" and e.producer == edge.producer]
        smaller = capacities | dict.fromkeys(sharing or [edge.name], edge.capacity - 1)
        with pytest.raises(acs.DeadlockError) as caught:
            acs.execute(inet, x, streaming=acs.with_capacities(least, smaller, "row"))
        assert edge.name in str(caught.value)


@pytest.mark.parametrize("fork", MACHINES)
@pytest.mark.parametrize("rows", [12, 5, 1])
def test_squeeze_excite_and_its_tiles(fork, rows):
    """The same block over all of its map, over partial tiles and over single rows."""
    net = acs.tile_attention(small(), rows=rows)
    checked(acs.quantise(net, frames()), frames(1), MACHINES[fork])


@pytest.mark.parametrize("fork", MACHINES)
@pytest.mark.parametrize("requantiser", ["float", "fixed_point"])
def test_a_squeeze_excite_block_over_tiles(fork, requantiser):
    checked(acs.quantise(small(), frames(), None, requantiser), frames(1), MACHINES[fork])


@pytest.mark.slow
@pytest.mark.parametrize("fork", MACHINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family, fork, tmp_path):
    inet = acs.load_integer_network(quantised(FAMILIES[family](), tmp_path / "net.onnx", "QDQ"))
    checked(inet, images(1, seed=9), MACHINES[fork])


@pytest.mark.slow
@pytest.mark.parametrize("fork", MACHINES)
@pytest.mark.parametrize("name", ["image_classification.tflite", "keyword_spotting.tflite"])
def test_trained_networks(name, fork):
    inet = acs.load_integer_network(material(name))
    (port,) = inet.network.inputs
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, port.shape).astype(np.int8)
    checked(inet, x if inet.ports[port.name] else x.astype(np.float32), MACHINES[fork])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "rows"),
    [
        ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), None),
        ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192), 2),
        ("ch_PP-OCRv4_det_infer.onnx", (1, 3, 96, 64), None),
        ("ch_PP-OCRv4_det_infer.onnx", (1, 3, 96, 64), 3),
        ("ch_PP-OCRv4_det_infer.onnx", (1, 3, 160, 160), 7),
    ],
)
def test_trained_squeeze_excite_networks(name, shape, rows):
    """Quantised here, with and without tiles, through the least buffers that together do not deadlock."""
    net = acs.load_network(material(name), input_shape=shape)
    tiled = net if rows is None else acs.tile_attention(net, rows=rows)
    x = images(1, seed=4, shape=shape)
    checked(acs.quantise(tiled, x), x, MACHINES["shared"], sampled=6)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(MACHINES)))
def test_random_networks(seed, fork):
    bare = random_network(Random(seed))
    arrays = {
        key: np.abs(a) * 0.5 if "variance" in key else a * np.float32(0.5) for key, a in random_weights(bare).items()
    }
    net = network(bare.name, bare.nodes, bare.outputs, bare.inputs, arrays)
    rng = np.random.default_rng(seed)
    x = {port.name: rng.uniform(0, 1, port.shape).astype(np.float32) for port in net.inputs}
    try:
        inet = acs.quantise(net, x)
        acs.execute(inet, x)
    except (InputError, NotModelled) as error:
        if not any(words in str(error) for words in BEYOND):
            raise
        return
    checked(inet, x, MACHINES[fork])


def test_several_frames():
    inet, x = acs.quantise(small(), frames()), frames(3)
    design = acs.size_buffers(acs.map_network(inet.network, MACHINES["shared"]))
    assert same(acs.execute(inet, x, streaming=design), acs.execute(inet, x))


def test_a_design_of_another_network():
    inet = acs.quantise(small(), frames())
    other = acs.map_network(small(), MACHINES["shared"])
    with pytest.raises(InputError, match="the design is of another network than small"):
        acs.execute(inet, frames(1), streaming=other)


def test_what_is_no_design():
    with pytest.raises(InputError, match="streaming = 3 is no design; map_network makes one"):
        acs.execute(acs.quantise(small(), frames()), frames(1), streaming=3)


def test_buffers_counted_in_pixels():
    inet = acs.quantise(small(), frames())
    design = acs.size_buffers(acs.map_network(inet.network, MACHINES["shared"]), "pixel")
    with pytest.raises(InputError, match="counted in pixels"):
        acs.execute(inet, frames(1), streaming=design)


def test_a_design_in_segments():
    inet = acs.quantise(small(), frames())
    design = acs.map_network(inet.network, acs.load_accelerator("systolic-npu"), mapping="layer-by-layer")
    with pytest.raises(NotModelled, match="streaming runs designs of one pipeline"):
        acs.execute(inet, frames(1), streaming=design)


def test_virtual_maps_are_the_stored_ones_bit_for_bit():
    """Channels pooled on the way out of a convolution, by a stage of its own behind it, and of whole tensors."""
    nodes = [
        Node("x", Input(3, (9, 8))),
        Node("conv", Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, True), ("x",)),
        Node("relu", Activation("relu"), ("conv",)),
        Node("y", Convolution(4, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), ("relu",)),
    ]
    bare = acs.virtual_maps(network("pooled", nodes, ["y"]), factor=2, layers=["conv"])
    pooled = network("pooled", bare.nodes, bare.outputs, bare.inputs, random_weights(bare))
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32)
    inet = acs.quantise(pooled, x)
    for virtual in (True, False):
        machine = acs.load_accelerator("streaming-asic", {"channel_pooling": virtual})
        stages = acs.map_network(inet.network, machine).stages
        assert any(stage.name == "conv.channel_pool" for stage in stages) is not virtual
        for fork in MACHINES:
            checked(inet, x[:1], machine.model_copy(update={"fork": fork}))


def test_rows_of_integers_times_real_weights():
    """The order of real sums depends on how many rows a product has."""
    rng = np.random.default_rng(5)
    kind = Format(IntegerType(16), (1e-4,))
    inet = one_layer(Dense(24), [(kind, 9, 40)], kind, {"weight": rng.normal(size=(24, 40)).astype(np.float32)})
    x = rng.integers(-20000, 20000, (9, 40)).astype(np.int16)
    design = acs.map_network(inet.network, MACHINES["shared"])
    (port,) = inet.network.inputs
    x = np.ascontiguousarray(x.T).reshape(port.shape)
    assert same(acs.execute(inet, x, streaming=design), acs.execute(inet, x))
