"""Chooses, for every kind of layer, its integer form, or its real one between formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from accelsim.arithmetic import floating
from accelsim.arithmetic.encodings import Stored
from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.moving import moved
from accelsim.arithmetic.operations.place import Operation, Place, output_of, rescaled
from accelsim.arithmetic.operations.pointwise import activation, combination
from accelsim.arithmetic.operations.pooling import pool, reduction
from accelsim.arithmetic.operations.resizing import interpolated_in_fixed_point
from accelsim.arithmetic.operations.softmax import softmax
from accelsim.arithmetic.operations.weighted import matrix_product, weighted
from accelsim.errors import NotModelled
from accelsim.network import layers as kinds
from accelsim.network.layers import Layer


def prepared(place: Place) -> Operation:
    """The operation of a layer that is no input."""
    chosen = FORMS[type(place.layer)](place) if type(place.layer) in FORMS else None
    return _real_form(place) if chosen is None else chosen


def _constant(place: Place) -> Operation | None:
    kind, output = place.array_formats.get("value"), place.output
    if kind is None or output is None:
        return None
    value = rescaled(place, place.arrays["value"], kind)

    def same(layer: Layer, operands: Sequence[Array]) -> Array:
        tensor = layer.output(())
        return value.reshape(*tensor.spatial, tensor.channels)

    return same


def _moving(place: Place) -> Operation | None:
    """Numbers as they are stored; by way of real numbers where scales belong to places that others come to."""
    if any(source is None for source in place.operands) or not place.operands:
        return None
    source = place.operands[0]
    assert source is not None
    if len(set(place.operands)) > 1:
        return _joining_rescaled(place)
    if source.channels > 1:
        return None
    if isinstance(place.layer, kinds.Pad) and place.result is not None:
        return _padding(place, source, place.result)
    filling = place.stored(np.array([getattr(place.layer, "value", 0.0)], np.float32), source)[0]

    def move(layer: Layer, operands: Sequence[Array]) -> Array:
        made = moved(layer, operands, output_of(layer, operands), filling)
        assert made is not None
        return rescaled(place, made, source)

    return move


def _padding(place: Place, source: Stored, result: Stored) -> Operation:
    """What is padded with is rounded once, to the output's numbers, and no number of the operand's."""
    assert isinstance(place.layer, kinds.Pad)
    filling = place.stored(np.array([place.layer.value], np.float32), result)[0]

    def pad(layer: Layer, operands: Sequence[Array]) -> Array:
        made = moved(layer, [rescaled(place, operands[0], source)], output_of(layer, operands), filling)
        assert made is not None
        return made

    return pad


def _joining_rescaled(place: Place) -> Operation | None:
    """Operands of several formats, each brought to the output's before they are joined."""
    if place.result is None:
        return None

    def join(layer: Layer, operands: Sequence[Array]) -> Array:
        same = [rescaled(place, x, f) for x, f in zip(operands, place.operands, strict=True)]
        made = moved(layer, same, output_of(layer, operands), 0)
        assert made is not None
        return made

    return join


def _resize(place: Place) -> Operation | None:
    assert isinstance(place.layer, kinds.Resize)
    if place.layer.mode == "nearest":
        return _moving(place)
    source = place.sources[0]
    if place.layer.mode != "linear" or not place.fixed or not place.in_integers or len(place.layer.spatial) != 2:
        return None
    return lambda layer, operands: rescaled(place, interpolated_in_fixed_point(layer, operands[0]), source)


def _real_form(place: Place) -> Operation:
    """Operands as real numbers, the layer in single precision, the result in the output's format."""
    arrays = place.real_arrays()
    if "bias" in arrays and place.arrays["bias"].dtype.kind in "iu" and "bias" not in place.array_formats:
        source, kind = place.sources[0], place.array_formats.get("weight")
        if source is not None and kind is not None:
            arrays["bias"] = arrays["bias"] * (source.scales * kind.scales)

    def run(layer: Layer, operands: Sequence[Array]) -> Array:
        reals = place.reals(operands)
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                made = floating.compute(layer, reals, arrays, output_of(layer, operands))
        except NotModelled as error:
            raise NotModelled(f"{place.name}: {error}") from None
        return place.written(made)

    return run


FORMS: dict[type[Layer], Callable[[Place], Operation | None]] = {
    kinds.Constant: _constant, kinds.Convolution: weighted, kinds.TransposedConvolution: weighted,
    kinds.Dense: weighted, kinds.Product: matrix_product, kinds.Pool: pool, kinds.Reduce: reduction,
    kinds.Combine: combination, kinds.Concat: _moving, kinds.Slice: _moving, kinds.Pad: _moving,
    kinds.Rearrange: _moving, kinds.Resize: _resize, kinds.Activation: activation, kinds.Softmax: softmax,
}  # fmt: skip
