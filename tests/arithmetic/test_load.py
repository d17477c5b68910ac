"""Quantised files as graphs to map and simulate."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.errors import InputError, UnsupportedError
from accelsim.network.load import load_network as load_plain
from tests.arithmetic.models import images, quantised, squeeze_excite
from tests.materials import material


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_quantised_onnx_file_is_the_graph_of_its_integers(form, tmp_path):
    path = quantised(squeeze_excite(), tmp_path / "net.onnx", form)
    net, inet = acs.load_network(path), acs.load_integer_network(path)
    assert net.nodes == inet.network.nodes
    assert net.macs == acs.load_network(tmp_path / "net.float.onnx").macs
    assert not net.parameters
    design = acs.size_buffers(acs.map_network(net, acs.load_accelerator("streaming-asic")))
    x = images(1)
    whole, streamed = acs.execute(inet, x), acs.execute(inet, x, streaming=design)
    assert all(np.array_equal(whole[name], streamed[name]) for name in whole)


def test_its_squeeze_excite_blocks_are_tiled(tmp_path):
    net = acs.load_network(quantised(squeeze_excite(), tmp_path / "net.onnx", "QDQ"))
    machine = acs.load_accelerator("streaming-asic")
    whole, tiled = (acs.simulate(acs.map_network(n, machine)) for n in (net, acs.tile_attention(net, rows=4)))
    assert whole.attention_buffering.gate_elements == 2 * 32 * 16 * 16
    assert tiled.attention_buffering.gate_elements == 2 * 32 * 16 * 4


@pytest.mark.parametrize(
    ("name", "macs"), [("image_classification.tflite", 12_501_632), ("keyword_spotting.tflite", 2_656_768)]
)
def test_tensorflow_lite(name, macs):
    net = acs.load_network(material(name))
    assert net.macs == macs
    assert acs.simulate(acs.map_network(net, acs.load_accelerator("streaming-asic"))).throughput.steady


@pytest.mark.slow
def test_tensorflow_lite_in_real_numbers():
    """Half-precision weights, depthwise convolutions, padded channels: the runtime's numbers, and a real network."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    path = material("face_detection_short_range.tflite")
    net, inet = acs.load_network(path), acs.load_integer_network(path)
    assert net.macs == 30_760_960
    assert len(inet.real_nodes) == len(inet.network.nodes)
    x = np.random.default_rng(0).uniform(-1, 1, net.inputs[0].shape).astype(np.float32)
    runtime = litert.Interpreter(str(path))
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], x)
    runtime.invoke()
    for made, output in zip(acs.execute(inet, x).values(), runtime.get_output_details(), strict=True):
        assert np.allclose(made, runtime.get_tensor(output["index"]), atol=1e-3)
    assert acs.execute(acs.quantise(net, x), x).keys() == {port.name for port in net.outputs}


def test_weights_stored_without_their_zeros_are_refused():
    with pytest.raises(InputError, match="is stored without its zeros, which is not read"):
        acs.load_network(material("face_detection_full_range_sparse.tflite"))


def test_qonnx():
    net = acs.load_network(material("quant_model.onnx"))
    assert net.macs == acs.load_integer_network(material("quant_model.onnx")).network.macs > 10**9


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        acs.load_network(tmp_path / "net.tflite")
    (tmp_path / "net.tflite").write_bytes(b"none")
    with pytest.raises(InputError, match="not a TensorFlow Lite file"):
        acs.load_network(tmp_path / "net.tflite")
    with pytest.raises(InputError, match="input_shape is for ONNX files"):
        acs.load_network(tmp_path / "net.tflite", input_shape=(1, 3, 8, 8))
    with pytest.raises(InputError, match="is not whole numbers"):
        acs.load_network(tmp_path / "net.tflite", input_shape="8")
    with pytest.raises(InputError, match=r"read by accelsim\.load_network"):
        load_plain(tmp_path / "net.tflite")


def test_every_operator_that_is_not_supported_is_named(tmp_path):
    model = squeeze_excite()
    for node in model.graph.node:
        if node.op_type == "HardSwish":
            node.op_type = "Unheard"
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedError) as caught:
        acs.load_network(path)
    assert len(caught.value.problems) == 3
