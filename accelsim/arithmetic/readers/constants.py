"""Constants that ONNX files store in integers, and what these stand for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from accelsim.arithmetic.encodings import NumberType
from accelsim.arithmetic.formats import UINT8, Array, Format, IntegerType
from accelsim.arithmetic.readers.scales import type_of
from accelsim.errors import InputError
from accelsim.network.readers.onnx.builder import Weight
from accelsim.network.readers.onnx.operator import NotReadable


@dataclass(frozen=True, slots=True)
class Quantised(Weight):
    """A constant in integers: `array` holds its real values, `integers` what is stored, `axis` that of the scales."""

    integers: Array = field(default_factory=lambda: np.empty(0))
    format: Format | None = None
    axis: int = 0


def format_of(scale: Array | None, zero: Array | None, kind: NumberType | None) -> Format:
    """A format of integers from arrays of the file; without a zero point it is 0, unsigned unless `kind` says more.

    Raises `InputError` for a zero point of another type than `kind`.
    """
    if scale is None:
        raise InputError("a scale is missing")
    own = None if zero is None else type_of(zero, "rounding to")
    if own is not None and kind not in (None, own):
        raise InputError(f"a zero point of type {own.label} for {kind.label}")
    kind = own or kind or UINT8
    if not isinstance(kind, IntegerType):
        raise NotReadable(f"on numbers of {kind.label}")
    scale = scale.reshape(-1)
    zeros = np.zeros(scale.size, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
    if 1 in (zeros.size, scale.size):
        zeros, scale = np.broadcast_arrays(zeros, scale)
    single = [float(np.float32(s)) for s in scale]
    if len(set(single)) == 1 and len({int(z) for z in zeros}) == 1:
        return Format(kind, (single[0],), (int(zeros[0]),))
    return Format(kind, tuple(single), tuple(int(z) for z in zeros))


def constant_of(weight: Weight, scale: Array | None, zero: Array | None, axis: int) -> Quantised:
    """Stored integers with what they stand for."""
    kind = format_of(scale, zero, type_of(weight.array, "constants of type"))
    integers = weight.array.astype(kind.type.dtype)
    axis = axis + integers.ndim if axis < 0 else axis
    count = 1 if scale is None else scale.size
    if count > 1 and (not 0 <= axis < integers.ndim or integers.shape[axis] != count):
        raise InputError(f"{count} scales on axis {axis} of shape {list(integers.shape)}")
    return Quantised(reals_of(integers, kind, axis), weight.stored, integers, kind, axis)


def reals_of(integers: Array, kind: Format, axis: int) -> Array:
    """What integers stand for, whose channels are on `axis`."""
    shifted = integers.astype(np.int64) - along(kind.zeros, kind, integers, axis)
    return (shifted.astype(np.float32) * along(kind.scales, kind, integers, axis)).reshape(integers.shape)


def along(values: Array, kind: Format, array: Array, axis: int) -> Array:
    """Scales or zero points, one or one a channel, in a shape that goes with `array`, whose channels are on `axis`."""
    if kind.channels > 1 and (not 0 <= axis < array.ndim or array.shape[axis] != kind.channels):
        raise InputError(f"{kind.channels} scales on axis {axis} of shape {list(array.shape)}")
    shape = [-1 if a == axis and kind.channels > 1 else 1 for a in range(array.ndim)]
    return values.reshape(shape)


def quotient(array: Array, kind: Format, axis: int) -> Array:
    """Real constants over their scale; what is beyond single precision is infinite, and clamped later."""
    if np.isnan(array).any():
        raise InputError("NaN has no integer")
    with np.errstate(over="ignore"):
        return np.asarray(array.astype(np.float32) / along(kind.scales, kind, array, axis), np.float32)
