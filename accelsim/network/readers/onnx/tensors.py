"""Weights stored in the file or beside it, as arrays that are views of their bytes."""

from __future__ import annotations

from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from accelsim.errors import InputError
from accelsim.network.graph import LARGEST_TENSOR

Array = NDArray[Any]
#: What NumPy can broadcast; real tensors have fewer than ten.
MOST_AXES = 32

#: Element types stored as plain little-endian words.
WORDS = {
    TensorProto.FLOAT: "<f4", TensorProto.DOUBLE: "<f8", TensorProto.FLOAT16: "<f2", TensorProto.BOOL: "?",
    TensorProto.INT8: "i1", TensorProto.INT16: "<i2", TensorProto.INT32: "<i4", TensorProto.INT64: "<i8",
    TensorProto.UINT8: "u1", TensorProto.UINT16: "<u2", TensorProto.UINT32: "<u4", TensorProto.UINT64: "<u8",
}  # fmt: skip
#: Types the onnx package unpacks, by bits an element.
PACKED = {
    TensorProto.BFLOAT16: 16, TensorProto.FLOAT8E4M3FN: 8, TensorProto.FLOAT8E4M3FNUZ: 8, TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8, TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.UINT2: 2,
    TensorProto.INT2: 2, TensorProto.FLOAT4E2M1: 4, TensorProto.FLOAT8E8M0: 8,
    27: 6, 28: 6,  # FLOAT6E2M3 and FLOAT6E3M2, which older packages do not know
}  # fmt: skip
#: Field that holds the elements of each type where they are not raw bytes; others are in int32_data.
FIELDS = {
    TensorProto.FLOAT: "float_data", TensorProto.DOUBLE: "double_data", TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data", TensorProto.UINT64: "uint64_data",
}  # fmt: skip


def array_of(tensor: TensorProto, folder: Path) -> Array:
    """The elements of a stored tensor; external data are mapped from a file inside `folder`, not read.

    Raises `InputError` (without the tensor's name) where dims, type and bytes disagree.
    """
    shape = _checked_shape(tensor)
    if tensor.data_type not in WORDS and tensor.data_type not in PACKED:
        raise InputError(f"data type {_type_name(tensor.data_type)} is not a number type that can be read")
    if tensor.data_location == TensorProto.EXTERNAL:
        return _external(tensor, shape, folder)
    if tensor.HasField("raw_data"):
        return _from_bytes(tensor, shape)
    return _from_fields(tensor, shape)


def _checked_shape(tensor: TensorProto) -> tuple[int, ...]:
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise InputError(f"dims {list(shape)} must not be negative")
    if len(shape) > MOST_AXES:
        raise InputError(f"{len(shape)} axes; the most is {MOST_AXES}")
    if max(shape, default=1) > LARGEST_TENSOR or prod(shape) > LARGEST_TENSOR:
        raise InputError(f"dims {list(shape)} make {prod(shape):,} elements; the most is 2^40")
    return shape


def _type_name(kind: int) -> str:
    known = kind in TensorProto.DataType.values()
    return f"{kind} ({TensorProto.DataType.Name(kind)})" if known else str(kind)


def _stored_bytes(tensor: TensorProto, shape: tuple[int, ...]) -> int:
    if tensor.data_type in WORDS:
        return prod(shape) * np.dtype(WORDS[tensor.data_type]).itemsize
    return -(-prod(shape) * PACKED[tensor.data_type] // 8)


def _from_bytes(tensor: TensorProto, shape: tuple[int, ...]) -> Array:
    data = tensor.raw_data
    expected = _stored_bytes(tensor, shape)
    if len(data) != expected:
        raise InputError(f"dims {list(shape)} need {expected:,} bytes, {len(data):,} are stored")
    if tensor.data_type in WORDS:
        return np.frombuffer(data, WORDS[tensor.data_type]).reshape(shape)
    return np.asarray(numpy_helper.to_array(tensor))


def _from_fields(tensor: TensorProto, shape: tuple[int, ...]) -> Array:
    field = getattr(tensor, FIELDS.get(tensor.data_type, "int32_data"))
    expected = -(-prod(shape) // max(1, 8 // PACKED.get(tensor.data_type, 8)))
    if len(field) != expected:
        raise InputError(f"dims {list(shape)} need {prod(shape):,} elements, {len(field):,} are stored")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, OverflowError, TypeError) as error:
        raise InputError(f"elements do not fit their type: {error}") from None


def _external(tensor: TensorProto, shape: tuple[int, ...], folder: Path) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if not all(isinstance(text, str) for text in chain(*entries.items())):
        raise InputError("its external data is described by text that is not UTF-8")
    path = _inside(folder, entries.get("location", ""))
    offset = _count(entries, "offset", 0)
    expected = _stored_bytes(tensor, shape)
    if _count(entries, "length", expected) != expected:
        raise InputError(f"dims {list(shape)} need {expected:,} bytes, external length is {entries['length']}")
    available = path.stat().st_size
    if offset + expected > available:
        raise InputError(f"external bytes {offset:,} to {offset + expected:,} lie outside {path.name} ({available:,})")
    if tensor.data_type not in WORDS:
        raise InputError(f"external data of type {_type_name(tensor.data_type)} cannot be read")
    if not expected:
        return np.empty(shape, WORDS[tensor.data_type])
    return np.memmap(path, WORDS[tensor.data_type], "r", offset, shape)


def _count(entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"external {key} '{text}' is not a number of bytes")
    return int(text)


def _inside(folder: Path, location: str) -> Path:
    if not location or "\0" in location:
        raise InputError(f"external data location {location!r} is not a file name")
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        present = path.is_file()
    except (OSError, RuntimeError) as error:
        raise InputError(f"external data '{location}' cannot be opened: {error}") from None
    if not path.is_relative_to(root):
        raise InputError(f"external data '{location}' lie outside the model's folder")
    if not present:
        raise InputError(f"external data '{location}' are not there")
    return path
