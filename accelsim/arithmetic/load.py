"""Integer networks from files, whatever their dialect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.arithmetic.network import IntegerNetwork
    from accelsim.network.load import InputShape

FILE_KINDS = (".onnx", ".tflite")


def load_integer_network(path: str | Path, input_shape: InputShape | None = None) -> IntegerNetwork:
    """The integer network of an .onnx (QOperator, QDQ or QONNX) or .tflite file.

    `input_shape` fixes open dimensions of ONNX files. What a file leaves in real numbers is computed in single
    precision and named by `real_nodes`. Raises `UnsupportedError` with every operator that cannot be read, and
    `InputError` for every other fault of the file.
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
