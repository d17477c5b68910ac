"""Networks by name or from files, whatever their dialect, and integer networks from those that are quantised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.arithmetic.network import IntegerNetwork
    from accelsim.network.graph import Network
    from accelsim.network.load import InputShape

FILE_KINDS = (".onnx", ".tflite")


def load_network(network: str | Path, input_shape: InputShape | None = None) -> Network:
    """A registered network by name, or an .onnx, .tflite or .yaml file.

    `input_shape` fixes dynamic dimensions or changes the resolution: one shape, or one an input's name. Of a quantised
    file this is the graph, to be mapped and simulated, without weights: those are integers, which
    `load_integer_network` reads. Raises `InputError` with file, place, value and rule; `UnsupportedError` names every
    unsupported operator.

    >>> load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64)).parameter_count
    2542856
    """
    from accelsim.network.graph import without_weights
    from accelsim.network.load import check_shape
    from accelsim.network.load import load_network as load_plain

    suffix = Path(network).suffix.lower() if isinstance(network, str | Path) else ""
    if suffix not in FILE_KINDS or not Path(network).is_file():
        return load_plain(network, input_shape)
    check_shape(input_shape)
    if suffix == ".tflite":
        inet = load_integer_network(network, input_shape)
        return without_weights(inet.network) if inet.formats or inet.weight_formats else inet.network
    from accelsim.arithmetic.readers.onnx import read_graph

    return read_graph(Path(network), input_shape)


def load_integer_network(path: str | Path, input_shape: InputShape | None = None) -> IntegerNetwork:
    """The integer network of an .onnx (QOperator, QDQ or QONNX) or .tflite file.

    `input_shape` fixes open dimensions of ONNX files. What a file leaves in real numbers, and floating point of few
    bits, is computed in single precision and named by `real_nodes`. Raises `UnsupportedError` with every operator that
    cannot be read, and `InputError` for every other fault of the file.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"network = {path!r} is no path")
    path = Path(path)
    if path.suffix.lower() not in FILE_KINDS:
        raise InputError(f"{path}: integer networks are read from files ending in {', '.join(FILE_KINDS)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".onnx":
        from accelsim.arithmetic.readers.onnx import read_integer_onnx

        return read_integer_onnx(path, input_shape)
    if input_shape is not None:
        raise InputError(f"{path}: a TensorFlow Lite file has its shapes written out; input_shape is for ONNX files")
    from accelsim.arithmetic.readers.tflite import read_tflite

    return read_tflite(path)
