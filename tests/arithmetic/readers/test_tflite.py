"""TensorFlow Lite files against the runtime's own reference kernels."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.errors import InputError
from tests.materials import material

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")

NETWORKS = ("image_classification.tflite", "keyword_spotting.tflite")


def reference(path, x):
    """Outputs of the runtime's reference kernels, frame by frame."""
    runtime = litert.Interpreter(
        str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF, num_threads=1
    )
    runtime.allocate_tensors()
    (source,), (output,) = runtime.get_input_details(), runtime.get_output_details()
    frames = []
    for frame in x:
        runtime.set_tensor(source["index"], frame[None])
        runtime.invoke()
        frames.append(runtime.get_tensor(output["index"]).copy())
    return np.concatenate(frames)


def inputs(inet, count):
    (port,) = inet.network.inputs
    rng = np.random.default_rng(0)
    if inet.ports[port.name] is None:
        return (rng.normal(size=(count, *port.shape[1:])) * 40).astype(np.float32)
    return rng.integers(-128, 128, (count, *port.shape[1:])).astype(np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_bit_for_bit(name):
    path = material(name)
    inet = acs.load_integer_network(path)
    x = inputs(inet, 40)
    (made,) = acs.execute(inet, x).values()
    expected = reference(path, x)
    assert made.dtype == expected.dtype
    assert np.array_equal(made, expected)


@pytest.mark.slow
def test_accuracy_on_cifar_10():
    """On 1,000 images, each of them bit for bit."""
    inet = acs.load_integer_network(material("image_classification.tflite"))
    with np.load(material("cifar10_test_1000.npz")) as data:
        pixels, labels = data["x"], data["y"]
    x = (pixels.astype(np.int16) - 128).astype(np.int8)
    (scores,) = acs.execute(inet, x).values()
    assert np.array_equal(scores, reference(material("image_classification.tflite"), x))
    # Where two classes score the same, the answer is either; the best case counts both as right.
    best = scores.max(axis=1) == scores[np.arange(len(labels)), labels]
    assert 0.79 < (scores.argmax(axis=1) == labels).mean() <= best.mean() < 0.82


def test_space_and_channels_are_read_from_the_shapes():
    net = acs.load_integer_network(material("image_classification.tflite")).network
    assert net.tensors[net.inputs[0].node].label == "3x32x32"
    assert sum(net.macs_of(node) for node in net.nodes) == 12_501_632
    assert [node.kind for node in net.nodes].count("convolution") == 9


@pytest.mark.parametrize(
    "content", [b"", b"no model", b"\x1c\0\0\0TFL3" + b"\xff" * 64, b"\x1c\0\0\0TFL3" + b"\0" * 64]
)
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"net\.tflite"):
        acs.load_integer_network(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_damage_is_told_or_harmless(tmp_path, name):
    """A byte changed anywhere gives a network or an `InputError`, never another fault."""
    content = bytearray(material(name).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "net.tflite"
    for position in rng.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            acs.load_integer_network(path)
        except InputError:
            continue
