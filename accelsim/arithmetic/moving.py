"""Layers that move elements without changing them, on arrays of shape (*spatial, channels) of any type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.network import layers as kinds
from accelsim.network.tensor import Tensor
from accelsim.network.window import interpolated


def moved(layer: kinds.Layer, operands: Sequence[Array], output: Tensor, filling: Any) -> Array | None:
    """The output of a layer that only moves elements, `filling` new ones; None for other layers."""
    source = operands[0] if operands else np.empty(0)
    match layer:
        case kinds.Concat():
            return np.concatenate(operands, axis=layer.axis)
        case kinds.Slice():
            return source.take(layer.start + np.arange(layer.size) * layer.step, axis=layer.axis)
        case kinds.Pad():
            return _padded(layer, source, filling)
        case kinds.Rearrange():
            parts = source.reshape(layer.split).transpose(layer.order)
            return np.ascontiguousarray(parts).reshape(*layer.spatial, layer.channels)
        case kinds.Resize(mode="nearest"):
            return _nearest(layer, source)
    return None


def _padded(layer: kinds.Pad, source: Array, filling: Any) -> Array:
    padding = (*layer.padding, layer.channel_padding)
    grown = [(max(before, 0), max(after, 0)) for before, after in padding]
    cut = tuple(
        slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(source.shape, padding, strict=True)
    )
    if layer.mode == "constant":
        return np.pad(source[cut], grown, constant_values=filling)
    return np.pad(source[cut], grown, mode=layer.mode)  # type: ignore[call-overload, no-any-return]


def _nearest(layer: kinds.Resize, source: Array) -> Array:
    for axis, size in enumerate(layer.spatial):
        source = source.take(interpolated(source.shape[axis], size, 1, layer.coordinates).first, axis=axis)
    return source


def combined_operands(layer: kinds.Combine, operands: Sequence[Array], output: Tensor) -> list[Array]:
    """Operands with as many axes as the output, those with `repeat` spread over their tiles; the rest broadcasts."""
    spread = []
    for operand, source in enumerate(operands):
        value = source.reshape((1,) * (len(output.spatial) + 1 - source.ndim) + source.shape)
        if layer.repeat and layer.repeat[operand]:
            for axis, times in enumerate(layer.repeat[operand]):
                value = value.take(np.arange(output.spatial[axis]) // times, axis=axis)
        spread.append(value)
    return spread


def tiles_of(layer: kinds.Reduce, source: Array, output: Tensor) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Positions of a reduction's outputs, each with the part of the map it reduces."""
    sizes = layer.sizes(Tensor(source.shape[-1], source.shape[:-1]))
    for position in np.ndindex(*output.spatial):
        yield position, source[tuple(slice(o * t, (o + 1) * t) for o, t in zip(position, sizes, strict=True))]
