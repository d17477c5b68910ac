"""Several tensors in one layer: element-wise with broadcasting, and concatenation.

Operands must lie alike. The largest one keeps its layout and the others follow; constants are laid
out as needed, since they cost nothing to turn round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from accelsim.errors import InputError
from accelsim.network.layers import Combine, Concat
from accelsim.network.readers.onnx.builder import Builder, Groups, Weight
from accelsim.network.readers.onnx.folding import reshaped
from accelsim.network.readers.onnx.operator import NotReadable
from accelsim.network.readers.onnx.view import Factors, View
from accelsim.network.tensor import Tensor

#: The part-th factor of an axis of the result.
Key = tuple[int, int]
Keys = tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Layout of the result in keys: `groups` are its spatial axes."""

    shape: tuple[int, ...]
    sizes: dict[Key, int]
    groups: tuple[Keys, ...]
    channels: Keys

    @property
    def order(self) -> Keys:
        return tuple(key for group in (*self.groups, self.channels) for key in group)

    def view(self, node: str) -> View:
        order = self.order
        axes = tuple(
            tuple(order.index(key) for key in sorted(order) if key[0] == axis) for axis in range(len(self.shape))
        )
        space = len(order) - len(self.channels)
        return View(node, tuple(self.sizes[key] for key in order), space, axes)


def combine(build: Builder, operation: str, operands: Sequence[View | Weight]) -> View:
    """Element by element over all operands, aligned at their last axes."""
    try:
        shape = np.broadcast_shapes(*(operand.shape for operand in operands))
    except ValueError:
        shapes = ", ".join(str(list(operand.shape)) for operand in operands)
        raise InputError(f"shapes {shapes} do not broadcast") from None
    padded = [_padded(operand, len(shape)) for operand in operands]
    aligned = _refined(build, padded, range(len(shape)))
    # Of equally large operands the one in fewest pieces lies straightest.
    pieces = [len(operand.factors) if isinstance(operand, View) else 0 for operand in operands]
    views = [
        operand
        for _, operand in sorted(zip(pieces, aligned, strict=True), key=lambda pair: pair[0])
        if isinstance(operand, View)
    ]
    plan = _broadcast_plan(build, sorted(views, key=lambda view: -prod(view.shape)), shape)
    names = [
        constant(build, operand, plan) if isinstance(operand, Weight) else _placed(build, operand, plan)
        for operand in aligned
    ]
    return plan.view(build.add(Combine(operation), names))


def _padded(operand: View | Weight, rank: int) -> View | Weight:
    missing = rank - len(operand.shape)
    if isinstance(operand, View):
        return operand.inserted(range(missing))
    return Weight(reshaped(operand.array, (1,) * missing + operand.shape), operand.stored) if missing else operand


def _refined(build: Builder, operands: Sequence[View | Weight], axes: Sequence[int]) -> list[View | Weight]:
    """Operands whose views are cut alike on `axes`; where cuts do not agree, all but the largest are rearranged."""
    result = list(operands)
    cuts = _common_cuts(result, axes)
    if cuts is None:
        result = [build.merged(o) if isinstance(o, View) else o for o in result]
        cuts = _common_cuts(result, axes)
    if cuts is None:
        largest = max(_views(result), key=lambda view: prod(view.shape))
        result = [_plain(build, o) if isinstance(o, View) and o is not largest else o for o in result]
        cuts = _common_cuts(result, axes)
        assert cuts is not None
    return [_cut_alike(operand, cuts) if isinstance(operand, View) else operand for operand in result]


def _cut_alike(view: View, cuts: Mapping[int, tuple[int, ...]]) -> View:
    for axis, sizes in cuts.items():
        if view.axes[axis] and len(view.axes[axis]) < len(sizes):
            fine = view.refined(axis, sizes)
            assert fine is not None
            view = fine
    return view


def _common_cuts(operands: Sequence[View | Weight], axes: Sequence[int]) -> Mapping[int, tuple[int, ...]] | None:
    cuts = {axis: _common_cut(operands, axis) for axis in axes}
    known = {axis: sizes for axis, sizes in cuts.items() if sizes is not None}
    return known if len(known) == len(cuts) else None


def _views(operands: Sequence[View | Weight]) -> list[View]:
    views = [operand for operand in operands if isinstance(operand, View)]
    if not views:
        raise NotReadable("on constants only")
    return views


def _common_cut(operands: Sequence[View | Weight], axis: int) -> tuple[int, ...] | None:
    """Coarsest cut of an axis that all views can follow, outermost first."""
    inner: set[int] = set()
    for view in _views(operands):
        sizes = [view.factors[factor] for factor in view.axes[axis]]
        inner |= {prod(sizes[start:]) for start in range(len(sizes))}
    cut: list[int] = []
    below = 1
    for span in sorted(inner):
        if span % below:
            return None
        cut.insert(0, span // below)
        below = span
    return tuple(cut)


def _plain(build: Builder, view: View) -> View:
    """The tensor on a node with one axis for each of the file's, the last its channels."""
    last = len(view.axes) - 1
    return build.by_axes(view, [axis for axis in range(last) if view.axes[axis]], [last])


def _keys(view: View) -> list[Key]:
    """Key of every factor, in canonical order."""
    keys: list[Key] = [(0, 0)] * len(view.factors)
    for axis, factors in enumerate(view.axes):
        for part, factor in enumerate(factors):
            keys[factor] = (axis, part)
    return keys


def _broadcast_plan(build: Builder, views: Sequence[View], shape: tuple[int, ...]) -> Plan:
    """Layout of an element-wise result: that of the first view, with what the others add to it."""
    sizes: dict[Key, int] = {}
    spatial: dict[Key, bool] = {}
    for view in views:
        for factor, key in enumerate(_keys(view)):
            sizes.setdefault(key, view.factors[factor])
            spatial.setdefault(key, factor < view.space)
    for axis, size in enumerate(shape):
        if size > 1 and (axis, 0) not in sizes:
            sizes[axis, 0], spatial[axis, 0] = size, True
    reference = _keys(views[0])
    if len(reference) == len(sizes):
        groups = tuple(tuple(reference[f] for f in group) for group in build.groups(views[0]))
        channels = tuple(reference[views[0].space :])
    else:
        groups = tuple((key,) for key in sorted(sizes) if spatial[key])
        channels = tuple(key for key in sorted(sizes) if not spatial[key])
    return _separated(Plan(shape, sizes, groups, channels), [set(_keys(view)) for view in views])


def _separated(plan: Plan, operands: Sequence[set[Key]]) -> Plan:
    """A plan in which every operand has each spatial axis, and the channels, wholly or not at all."""
    channels = set(plan.channels)
    shared = channels.intersection(*(own for own in operands if own & channels))
    moved = tuple((key,) for key in plan.channels if key not in shared)
    whole = all(own >= set(group) or not own & set(group) for own in operands for group in plan.groups)
    groups = plan.groups if whole else tuple((key,) for group in plan.groups for key in group)
    return Plan(plan.shape, plan.sizes, groups + moved, tuple(key for key in plan.channels if key in shared))


def _placed(build: Builder, view: View, plan: Plan) -> str:
    groups, channels = _factors(view, plan)
    return build.fitting(view, groups, channels).node


def _factors(view: View, plan: Plan) -> tuple[Groups, Factors]:
    """The plan in factors of an operand; what it has not is left out."""
    where = {key: factor for factor, key in enumerate(_keys(view))}

    def own(keys: Keys) -> Factors:
        return tuple(where[key] for key in keys if key in where)

    return tuple(own(group) for group in plan.groups), own(plan.channels)


def constant(build: Builder, weight: Weight, plan: Plan, exact: bool = False) -> str:
    """A `Constant` laid out by the plan; leading axes of size 1 are left out unless `exact`."""
    array = weight.array
    cut = [_cut_of(plan, axis, size) for axis, size in enumerate(array.shape)]
    fine = reshaped(array, tuple(size for sizes in cut for size in sizes))
    position = {key: index for index, key in enumerate(sorted(plan.sizes))}
    fine = fine.transpose([position[key] for key in plan.order])
    sizes: list[int] = []
    full: list[int] = []
    start = 0
    for group in (*plan.groups, plan.channels):
        own = fine.shape[start : start + len(group)]
        start += len(group)
        wanted = tuple(plan.sizes[key] for key in group) if prod(own) > 1 else own
        full += wanted
        sizes.append(prod(wanted))
    spatial = sizes[:-1]
    while spatial and spatial[0] == 1 and not exact:
        spatial.pop(0)
    laid = reshaped(np.broadcast_to(fine, full), (*spatial, sizes[-1]))
    return build.constant(laid, Tensor(sizes[-1], tuple(spatial)), trained(weight))


def _cut_of(plan: Plan, axis: int, size: int) -> tuple[int, ...]:
    keys = [key for key in sorted(plan.sizes) if key[0] == axis]
    return tuple(plan.sizes[key] for key in keys) if size > 1 else (1,) * len(keys)


def trained(weight: Weight) -> bool:
    """Whether a constant counts as learnt: several real numbers that stand in the file as they are."""
    return weight.stored and weight.array.size > 1 and weight.array.dtype.kind == "f"


def concatenate(build: Builder, operands: Sequence[View | Weight], axis: int) -> View:
    """Operands joined along an axis of the file's tensors."""
    outside = {(*o.shape[:axis], *o.shape[axis + 1 :]) for o in operands}
    if len(outside) > 1:
        raise InputError(f"shapes {', '.join(str(list(o.shape)) for o in operands)} differ outside axis {axis}")
    largest = max(_views(operands), key=lambda view: prod(view.shape))
    isolated, position = isolate(build, largest, axis)
    aligned = _refined(
        build,
        [isolated if operand is largest else operand for operand in operands],
        [other for other in range(len(largest.shape)) if other != axis],
    )
    reference = aligned[next(index for index, operand in enumerate(operands) if operand is largest)]
    assert isinstance(reference, View)
    plan = _joint_plan(build, reference, axis, position, sum(operand.shape[axis] for operand in operands))
    names = [_joined(build, operand, plan, axis) for operand in aligned]
    return plan.view(build.add(Concat(position), names))


def _joint_plan(build: Builder, reference: View, axis: int, position: int, total: int) -> Plan:
    """Layout of a concatenation: that of the reference, with the joined axis as one key."""
    keys = _keys(reference)
    joined = (axis, 0)
    sizes = {key: reference.factors[factor] for factor, key in enumerate(keys) if key[0] != axis} | {joined: total}
    groups = [tuple(keys[f] for f in group if keys[f][0] != axis) for group in build.groups(reference)]
    channels = tuple(key for key in keys[reference.space :] if key[0] != axis)
    if position >= 0:
        groups[position] = (joined,)
    else:
        channels = (joined, *channels)
    return Plan(reference.shape, sizes, tuple(groups), channels)


def _joined(build: Builder, operand: View | Weight, plan: Plan, axis: int) -> str:
    if isinstance(operand, Weight):
        own = Plan(plan.shape, plan.sizes | {(axis, 0): operand.shape[axis]}, plan.groups, plan.channels)
        return constant(build, operand, own, exact=True)
    where: dict[Key, Factors] = {key: (factor,) for factor, key in enumerate(_keys(operand)) if key[0] != axis}
    where[axis, 0] = operand.axes[axis]

    def own_factors(keys: Keys) -> Factors:
        return tuple(factor for key in keys for factor in where[key])

    groups = tuple(own_factors(group) for group in plan.groups)
    return build.arranged(operand, groups, own_factors(plan.channels)).node


def isolate(build: Builder, view: View, axis: int) -> tuple[View, int]:
    """A view in which an axis of the file is a spatial axis (its number), or the outer part of the channels (-1)."""
    own = view.axes[axis]
    groups = build.groups(view)
    if own and own in groups:
        return view, groups.index(own)
    if own == view.channels[: len(own)]:
        return view, -1
    channels = tuple(factor for factor in view.channels if factor not in own)
    if any(factor >= view.space for factor in own):
        rest = tuple(tuple(f for f in group if f not in own) for group in groups)
        return build.arranged(view, rest, own + channels), -1
    apart = _by_file(view) or _apart(groups, own)
    return build.arranged(view, apart, channels), apart.index(own)


def _by_file(view: View) -> Groups | None:
    """A spatial axis for each of the file's axes that is in space, None where one is also in the channels."""
    inside = [axis for axis in view.axes if any(factor < view.space for factor in axis)]
    if any(factor >= view.space for axis in inside for factor in axis):
        return None
    return tuple(sorted(inside))


def isolate_space(build: Builder, view: View, axis: int) -> tuple[View, int]:
    """The same, but always as a spatial axis, the innermost where it was none."""
    own = view.axes[axis]
    groups = build.groups(view)
    if own and own in groups:
        return view, groups.index(own)
    channels = tuple(factor for factor in view.channels if factor not in own)
    if own and all(factor < view.space for factor in own):
        apart = _apart(groups, own)
    else:
        apart = (*(tuple(f for f in group if f not in own) for group in groups), own)
    return build.arranged(view, apart, channels), apart.index(own)


def _apart(groups: Groups, own: Factors) -> Groups:
    """Spatial axes with the factors `own` as one of them, where the first of them stood."""
    result: list[Factors] = []
    for group in groups:
        before = tuple(f for f in group if f not in own and f < own[0])
        after = tuple(f for f in group if f not in own and f > own[0])
        pieces = (before, own, after) if own[0] in group else (before, after)
        kept = [piece for piece in pieces if piece]
        result += kept if kept or group else [()]
    return tuple(result)


def resized_axis(view: View, node: str, axis: int, size: int, position: int = -1, at: int = 0) -> View:
    """`view` on `node`, with one axis of another size, as a single factor.

    An axis that had no factor gets one: the outermost of the channels where `position` is -1, else a
    spatial one at factor `at`.
    """
    own = view.axes[axis]
    spatial = own[0] < view.space if own else position >= 0
    start = own[0] if own else (at if spatial else view.space)
    new = (size,) if size > 1 else ()
    factors = (*view.factors[:start], *new, *view.factors[start + len(own) :])
    shift = len(new) - len(own)
    axes = [tuple(f + shift if f >= start else f for f in other) for other in view.axes]
    axes[axis] = (start,) if new else ()
    return View(node, factors, view.space + (shift if spatial else 0), tuple(axes))
