"""Normalisation and softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from accelsim.errors import InputError
from accelsim.network.layers import BatchNorm, LocalNorm, Normalise, Softmax
from accelsim.network.readers.onnx.builder import Builder, Value, Weight
from accelsim.network.readers.onnx.elementwise import applied
from accelsim.network.readers.onnx.folding import axis_of, reshaped
from accelsim.network.readers.onnx.joining import combine
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.values import Values, activation, optional_weight, weight_of
from accelsim.network.readers.onnx.view import View


def batch_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    if op.integer("training_mode", 0) or not op.integer("spatial", 1):
        raise NotReadable("statistics of the batch, or an element each")
    source = activation(inputs, 0)
    names = ("scale", "shift", "mean", "variance")
    arrays = {name: weight_of(inputs, k + 1, name).array for k, name in enumerate(names)}
    axis = min(1, len(source.axes) - 1)
    for name, array in arrays.items():
        if array.shape != (source.size(axis),):
            raise InputError(f"{name} has shape {list(array.shape)}, the input {source.size(axis)} channels")
    source = build.pixelwise(source, [axis])
    layer = BatchNorm(op.real("epsilon", 1e-5))
    return [replace(source, node=build.add(layer, (source.node,), arrays))]


def local_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    if len(source.axes) < 2:
        raise InputError(f"needs an axis of channels, not shape {list(source.shape)}")
    source = build.pixelwise(source, [1])
    size = op.integer("size", 0)
    if size < 1:
        raise InputError(f"size = {size} must be positive")
    layer = LocalNorm(size, op.real("alpha", 1e-4), op.real("beta", 0.75), op.real("bias", 1.0))
    return [applied(build, layer, source)]


def instance_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """Over all but the first two axes, which may hold more than space: a group norm written out."""
    source = activation(inputs, 0)
    scale, shift = weight_of(inputs, 1, "scale").array, weight_of(inputs, 2, "shift").array
    _one_frame(source)
    if len(source.axes) < 3 or scale.shape != (source.size(1),) or shift.shape != scale.shape:
        raise InputError(f"scale {list(scale.shape)} and shift {list(shift.shape)} on shape {list(source.shape)}")
    return [_over_maps(build, source, source.size(1), scale, shift, op.real("epsilon", 1e-5))]


def _one_frame(source: View) -> None:
    if source.axes and source.size(0) > 1:
        raise NotReadable(f"a batch of {source.size(0)} frames; give input_shape=1,... to read it for one")


def group_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    scale, shift = weight_of(inputs, 1, "scale").array, weight_of(inputs, 2, "shift").array
    groups = op.integer("num_groups", 0)
    _one_frame(source)
    if len(source.axes) < 2 or groups < 1 or source.size(1) % groups:
        raise InputError(f"num_groups = {groups} does not divide the channels of shape {list(source.shape)}")
    if scale.shape not in ((groups,), (source.size(1),)) or shift.shape != scale.shape:
        raise InputError(f"scale {list(scale.shape)} and shift {list(shift.shape)} on {source.size(1)} channels")
    flat = source.refined(1, (groups, source.size(1) // groups))
    plain = build.pixelwise(source if flat is None else flat, [1])
    return [_over_maps(build, plain, groups, scale, shift, op.real("epsilon", 1e-5))]


def _over_maps(build: Builder, view: View, groups: int, scale: Array, shift: Array, epsilon: float) -> View:
    """Normalise each of `groups` outermost runs of channels over all else."""
    view = _grouped_outermost(build, view, groups)
    channels = build.tensors[view.node].channels
    times = channels // groups if scale.size == groups else 1
    plain = times > 1 and bool((scale == 1).all() and (shift == 0).all())
    layer = Normalise("space" if groups == channels else "all", 1 if groups == channels else groups, not plain, True,
                      epsilon)  # fmt: skip
    arrays = {} if plain else {"scale": np.repeat(scale, times), "shift": np.repeat(shift, times)}
    return replace(view, node=build.add(layer, (view.node,), arrays))


def _grouped_outermost(build: Builder, view: View, groups: int) -> View:
    """A view whose first channel factors are axis 1, or the outer part of it that makes `groups`."""
    own = view.axes[1]
    if own == view.channels[: len(own)]:
        return view
    rest = tuple(factor for factor in view.channels if factor not in own)
    spatial = tuple(tuple(f for f in group if f not in own) for group in build.groups(view))
    return build.arranged(view, spatial, own + rest)


def layer_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    bias = optional_weight(inputs, 2, "bias")
    return [_from_axis(op, build, activation(inputs, 0), weight_of(inputs, 1, "scale"), bias, True)]


def rms_norm(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    return [_from_axis(op, build, activation(inputs, 0), weight_of(inputs, 1, "scale"), None, False)]


def _from_axis(op: Operator, build: Builder, source: View, scale: Weight, shift: Weight | None, centred: bool) -> View:
    """Normalise over all axes from `axis` on, then scale and shift element by element of those."""
    epsilon = op.real("epsilon", 1e-5)
    axis = axis_of(op.integer("axis", -1), len(source.axes))
    over = tuple(range(axis, len(source.axes)))
    total = prod(source.shape[axis:])
    if len(over) > 1 and set(source.factors_of(over)) == set(range(len(source.factors))) and source.space:
        layer = Normalise("all", 1, False, centred, epsilon)
        result = applied(build, layer, source, "normalised")
        result = _affine(build, result, "multiply", scale, "scaled" if shift else "")
        return result if shift is None else _affine(build, result, "add", shift, "")
    source = build.pixelwise(source, over)
    if scale.array.size not in (1, total) or (shift is not None and shift.array.size not in (1, total)):
        raise InputError(f"scale {list(scale.shape)} does not fit shape {list(source.shape)}")
    arrays = {"scale": _per_channel(scale.array, total)}
    if centred:
        zero = np.broadcast_to(np.zeros(1, np.float32), (total,))
        arrays["shift"] = zero if shift is None else _per_channel(shift.array, total)
    return replace(source, node=build.add(Normalise("channels", 1, True, centred, epsilon), (source.node,), arrays))


def _affine(build: Builder, source: View, operation: str, weight: Weight, suffix: str) -> View:
    with build.inner(suffix):
        return combine(build, operation, [source, weight])


def _per_channel(array: Array, total: int) -> Array:
    if array.size == 1:
        return np.broadcast_to(reshaped(array, (1,)), (total,))
    return array if array.ndim == 1 else reshaped(array, (total,))


def softmax(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    """Over one axis; before opset 13 over all axes from `axis` on."""
    source = activation(inputs, 0)
    rank = len(source.axes)
    axis = axis_of(op.integer("axis", -1 if op.opset >= 13 else 1), rank)
    over = (axis,) if op.opset >= 13 else tuple(range(axis, rank))
    return [softmax_over(build, source, over, op.kind == "LogSoftmax")]


def softmax_over(build: Builder, source: View, over: Sequence[int], log: bool) -> View:
    own = source.factors_of(over)
    inner = source.channels[len(source.channels) - len(own) :]
    if own and own == tuple(range(source.space)):
        return applied(build, Softmax(1, "space", log), source)
    if own != inner:
        source = build.pixelwise(source, over)
        own = source.channels
    groups = build.tensors[source.node].channels // source.product(own)
    return applied(build, Softmax(groups, "channels", log), source)
