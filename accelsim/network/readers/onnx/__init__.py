"""The ONNX reader; the only place that imports onnx."""

from accelsim.network.readers.onnx.reader import read_onnx

__all__ = ["read_onnx"]
