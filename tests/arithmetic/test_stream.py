"""Row by row through buffers of the mapped size: the same bits, or a deadlock that names the buffer."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.errors import InputError, NotModelled
from accelsim.network.graph import Node, network
from accelsim.network.layers import ChannelPool, Convolution, Input
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


def checked(inet, x, machine):
    """Whole tensors, unbounded and least buffers give the same; a row less in any buffer stops and says in which."""
    design = acs.map_network(inet.network, machine)
    whole = acs.execute(inet, x)
    assert same(acs.execute(inet, x, streaming=design), whole)
    least = acs.size_buffers(design, "row")
    assert same(acs.execute(inet, x, streaming=least), whole)
    capacities = {edge.name: edge.capacity for edge in least.edges}
    for edge in least.edges:
        if edge.capacity > 1:
            sharing = [e.name for e in least.edges if machine.fork == "shared" and e.producer == edge.producer]
            smaller = capacities | dict.fromkeys(sharing or [edge.name], edge.capacity - 1)
            with pytest.raises(acs.DeadlockError) as caught:
                acs.execute(inet, x, streaming=acs.with_capacities(least, smaller, "row"))
            assert edge.name in str(caught.value)


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
    ("name", "shape"),
    [("ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, 48, 192)), ("ch_PP-OCRv4_det_infer.onnx", (1, 3, 160, 160))],
)
def test_trained_squeeze_excite_networks(name, shape):
    """Quantised here, through the least buffers that together do not deadlock."""
    net = acs.load_network(material(name), input_shape=shape)
    x = images(2, seed=4, shape=shape)
    inet = acs.quantise(net, x)
    design = acs.size_buffers(acs.map_network(inet.network, MACHINES["shared"]))
    assert same(acs.execute(inet, x, streaming=design), acs.execute(inet, x))


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


@pytest.mark.slow
def test_channels_pooled_on_the_way_out():
    """A stage whose results pass a pooling of channels puts out rows of fewer channels."""
    nodes = [
        Node("x", Input(3, (9, 8))),
        Node("conv", Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), ("x",)),
        Node("pooled", ChannelPool("maximum", 2), ("conv",)),
        Node("y", Convolution(4, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), ("pooled",)),
    ]
    bare = network("pooled", nodes, ["y"])
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8)).astype(np.float32)
    inet = acs.quantise(network("pooled", nodes, ["y"], (), random_weights(bare)), x)
    machine = acs.load_accelerator("streaming-asic").model_copy(update={"channel_pooling": True})
    design = acs.size_buffers(acs.map_network(inet.network, machine), "row")
    assert any(stage.group.fused for stage in design.stages)
    assert same(acs.execute(inet, x, streaming=design), acs.execute(inet, x))
