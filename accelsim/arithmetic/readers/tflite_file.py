"""A TensorFlow Lite file as plain values: tensors, constants and operators."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.arithmetic.formats import Array, Format, IntegerType
from accelsim.errors import InputError

#: Element types by their number in the schema: NumPy's, and the integers they are where they can be quantised.
DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1", 10: "<f8"}
QUANTISED = {2: IntegerType(32), 3: IntegerType(8, signed=False), 7: IntegerType(16), 9: IntegerType(8)}

#: What reading a damaged file raises, offsets that lead anywhere included.
DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError)
LARGEST_FILE_BYTES = 2**31 - 1


@dataclass(frozen=True)
class TensorEntry:
    """`scales` and `zeros` are empty where a tensor is not quantised; `data` is None where it is no constant."""

    name: str
    shape: tuple[int, ...]
    type: int
    scales: tuple[float, ...]
    zeros: tuple[int, ...]
    axis: int
    data: Array | None

    @property
    def format(self) -> Format | None:
        """Raises `InputError` for scales or zero points that are none."""
        if not self.scales or self.type not in QUANTISED:
            return None
        zeros = self.zeros if len(self.zeros) == len(self.scales) else (self.zeros or (0,)) * len(self.scales)
        try:
            return Format(QUANTISED[self.type], self.scales, zeros[: len(self.scales)])
        except InputError as error:
            raise InputError(f"tensor {self.name}: {error}") from None


@dataclass(frozen=True)
class OperatorEntry:
    """`inputs` holds -1 for what is left out; `options` gives a field of the operator's own options by its name."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Callable[[str, Any], Any]


@dataclass(frozen=True)
class File:
    path: Path
    tensors: tuple[TensorEntry, ...]
    operators: tuple[OperatorEntry, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_file(path: Path) -> File:
    """The first subgraph of a file. Raises `InputError` where the file is none or damaged."""
    try:
        import tflite
    except ImportError:
        raise InputError(
            f"{path}: reading TensorFlow Lite files needs the package tflite: pip install tflite"
        ) from None
    content = path.read_bytes()
    if len(content) > LARGEST_FILE_BYTES or len(content) < 8 or content[4:8] != b"TFL3":
        raise InputError(f"{path}: not a TensorFlow Lite file (no identifier TFL3)")
    try:
        return _parsed(path, content, tflite)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path}: damaged TensorFlow Lite file: {' '.join(str(error).split())[:200]}") from None


def _parsed(path: Path, content: bytes, schema: Any) -> File:
    model = schema.Model.GetRootAsModel(content, 0)
    if model.SubgraphsLength() != 1:
        raise InputError(f"{path}: {model.SubgraphsLength()} subgraphs; files with one are read")
    graph = model.Subgraphs(0)
    tensors = tuple(_tensor(model, graph.Tensors(k), schema, path) for k in range(graph.TensorsLength()))
    operators = tuple(_operator(model, graph.Operators(k), schema) for k in range(graph.OperatorsLength()))
    ports = [tuple(int(k) for k in np.atleast_1d(array)) for array in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())]
    for index in (*ports[0], *ports[1], *(k for op in operators for k in (*op.inputs, *op.outputs))):
        if not -1 <= index < len(tensors):
            raise InputError(f"{path}: tensor {index} of {len(tensors)} is read")
    return File(path, tensors, operators, ports[0], ports[1])


def _tensor(model: Any, entry: Any, schema: Any, path: Path) -> TensorEntry:
    shape = tuple(int(n) for n in np.atleast_1d(entry.ShapeAsNumpy())) if entry.ShapeLength() else ()
    name = (entry.Name() or b"").decode("utf-8", "replace")
    if any(size < 0 for size in shape):
        raise InputError(f"{path}: tensor {name} has shape {shape}")
    quantisation = entry.Quantization()
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    if quantisation is not None and quantisation.ScaleLength():
        scales = tuple(float(s) for s in quantisation.ScaleAsNumpy())
        zeros = tuple(int(z) for z in quantisation.ZeroPointAsNumpy()) if quantisation.ZeroPointLength() else ()
    axis = 0 if quantisation is None else int(quantisation.QuantizedDimension())
    data = _data(model, entry, shape, f"{path}: tensor {name}")
    return TensorEntry(name, shape, int(entry.Type()), scales, zeros, axis, data)


def _data(model: Any, entry: Any, shape: tuple[int, ...], place: str) -> Array | None:
    buffer = model.Buffers(entry.Buffer()) if entry.Buffer() else None
    if buffer is None or not buffer.DataLength():
        return None
    kind = DTYPES.get(int(entry.Type()))
    if kind is None:
        raise InputError(f"{place}: constants of type {int(entry.Type())} cannot be read")
    if entry.Sparsity() is not None:
        raise InputError(f"{place}: is stored without its zeros, which is not read; convert it with dense weights")
    raw = buffer.DataAsNumpy().tobytes()
    if len(raw) != prod(shape) * np.dtype(kind).itemsize:
        raise InputError(f"{place}: {len(raw):,} bytes for shape {shape} of {np.dtype(kind)}")
    return np.frombuffer(raw, kind).reshape(shape)


def _operator(model: Any, entry: Any, schema: Any) -> OperatorEntry:
    code = model.OperatorCodes(entry.OpcodeIndex())
    number = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    kind = names.get(number, f"operator {number}")
    if kind == "CUSTOM":
        kind = f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    table = entry.BuiltinOptions()

    def option(path: str, default: Any) -> Any:
        """A field such as Conv2DOptions.StrideW; `default` where the operator has no options."""
        holder, _, field = path.partition(".")
        if table is None:
            return default
        options = getattr(schema, holder)()
        options.Init(table.Bytes, table.Pos)
        return getattr(options, field)()

    inputs, outputs = (
        tuple(int(k) for k in np.atleast_1d(array)) if count else ()
        for array, count in (
            (entry.InputsAsNumpy(), entry.InputsLength()),
            (entry.OutputsAsNumpy(), entry.OutputsLength()),
        )
    )
    return OperatorEntry(kind, inputs, outputs, option)
