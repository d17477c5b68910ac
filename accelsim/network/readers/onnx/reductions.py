"""Sums, means and extremes over axes: over space a `Reduce`, over channels a `ChannelPool`."""

from __future__ import annotations

from accelsim.network.layers import Activation, ChannelPool, Reduce
from accelsim.network.readers.onnx.builder import Builder, Value
from accelsim.network.readers.onnx.elementwise import applied
from accelsim.network.readers.onnx.folding import axes_of
from accelsim.network.readers.onnx.operator import Operator
from accelsim.network.readers.onnx.values import Values, activation, constants, optional_weight
from accelsim.network.readers.onnx.view import Factors, View

#: Operation of each operator, the function applied before it, and the one applied after.
REDUCTIONS: dict[str, tuple[str, Activation | None, Activation | None]] = {
    "ReduceMean": ("mean", None, None), "ReduceMax": ("maximum", None, None), "ReduceMin": ("minimum", None, None),
    "ReduceSum": ("sum", None, None), "ReduceProd": ("product", None, None), "ReduceL1": ("l1", None, None),
    "ReduceL2": ("l2", None, None), "ReduceSumSquare": ("sum", Activation("power", (2.0,)), None),
    "ReduceLogSum": ("sum", None, Activation("log")), "ReduceLogSumExp": ("sum", Activation("exp"), Activation("log")),
}  # fmt: skip


def reduction(op: Operator, inputs: Values, build: Builder) -> list[Value]:
    source = activation(inputs, 0)
    rank = len(source.axes)
    optional_weight(inputs, 1, "axes")
    axes = axes_of(op, constants(inputs), rank)
    if not axes:
        if op.integer("noop_with_empty_axes", 0):
            return [source]
        axes = tuple(range(rank))
    operation, before, after = REDUCTIONS[op.kind]
    if before is not None:
        source = applied(build, before, source, before.function)
    result = reduced(build, source, axes, operation, "" if after is None else operation)
    if after is not None:
        result = applied(build, after, result)
    return [result if op.integer("keepdims", 1) else result.without(axes)]


def reduced(build: Builder, source: View, axes: tuple[int, ...], operation: str, suffix: str = "") -> View:
    """Axes reduced to size 1, those in space first."""
    if any(source.mixed(axis) for axis in axes):
        source = build.pixelwise(source, axes)
    own = set(source.factors_of(axes))
    spatial = [factor for factor in own if factor < source.space]
    if spatial:
        last = len(spatial) == len(own)
        source = _over_space(build, source, axes, operation, suffix if last else "space")
    if any(source.axes[axis] for axis in axes):
        return _over_channels(build, source, axes, operation, suffix)
    return source


def _over_space(build: Builder, source: View, axes: tuple[int, ...], operation: str, suffix: str) -> View:
    own = {factor for factor in source.factors_of(axes) if factor < source.space}
    groups = build.groups(source)
    if not all(own >= set(group) or not own & set(group) for group in groups):
        apart = tuple((factor,) for group in groups for factor in group)
        source = build.arranged(source, apart, source.channels)
        own = {factor for factor in source.factors_of(axes) if factor < source.space}
        groups = build.groups(source)
    whole = all(set(group) <= own for group in groups)
    tile = tuple(source.product(group) if group and set(group) <= own else 1 for group in groups)
    node = build.add(Reduce(operation, None if whole else tile), (source.node,), None, suffix)
    return _left(source, node, own)


def _over_channels(build: Builder, source: View, axes: tuple[int, ...], operation: str, suffix: str) -> View:
    own = tuple(factor for factor in source.factors_of(axes) if factor >= source.space)
    if set(own) != set(source.channels[len(source.channels) - len(own) :]):
        rest = tuple(factor for factor in source.channels if factor not in own)
        source = build.arranged(source, build.groups(source), rest + own)
        own = tuple(factor for factor in source.factors_of(axes) if factor >= source.space)
    node = build.add(ChannelPool(operation, source.product(own)), (source.node,), None, suffix)
    return _left(source, node, set(own))


def _left(source: View, node: str, gone: set[int]) -> View:
    """View of a reduction's output: the factors that are not `gone`."""
    kept = [factor for factor in range(len(source.factors)) if factor not in gone]
    number = {factor: index for index, factor in enumerate(kept)}
    axes: list[Factors] = [tuple(number[f] for f in axis if f in number) for axis in source.axes]
    space = sum(factor < source.space for factor in kept)
    return View(node, tuple(source.factors[f] for f in kept), space, tuple(axes))
