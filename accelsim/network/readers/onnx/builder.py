"""The network under construction: layers are added here, shapes follow, and layouts are met.

A layer wants its input in a layout: which elements make up a pixel's channels, which are space.
`Builder.arranged` gives a view whose node has that layout: the node itself where it does already,
else one `Rearrange`, shared by all that want the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

import numpy as np

from accelsim.errors import InputError
from accelsim.network.graph import LARGEST_TENSOR, Node
from accelsim.network.layers import Constant, Input, Layer, Rearrange
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.view import Factors, View, laid_out
from accelsim.network.tensor import Tensor

Groups = tuple[Factors, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """A constant of the file; `stored` where its values stand in the file rather than being computed."""

    array: Array
    stored: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)


@dataclass(frozen=True, slots=True)
class Unknown:
    """What an operator that could not be read would have made; `reason` where nothing has told yet."""

    reason: str = ""


Value = View | Weight | Unknown


@dataclass(frozen=True, slots=True)
class InputLayout:
    """Axes of a declared input that are space, in raster order, and channels; `free` until a layer wants another."""

    shape: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: tuple[int, ...]
    free: bool


@dataclass
class Builder:
    """Layers by name in the order they were added, their shapes and arrays.

    `place` is the name of the operator being read: the last layer made for it takes that name, the
    others derive theirs from it.
    """

    place: str = ""
    nodes: dict[str, Node] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    parameters: dict[str, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    inputs: dict[str, InputLayout] = field(default_factory=dict)
    settled: dict[View, View] = field(default_factory=dict)
    #: What was spread over larger axes, by what came of it: broadcasting can often do without.
    spread: dict[View, View] = field(default_factory=dict)
    _moves: dict[tuple[str, Rearrange], str] = field(default_factory=dict)
    _arranged: dict[tuple[View, Groups, Factors], View] = field(default_factory=dict)
    _derived: dict[tuple[int, str], tuple[Array, Array]] = field(default_factory=dict)

    def add(
        self, layer: Layer, inputs: Sequence[str], arrays: Mapping[str, Array] | None = None, suffix: str = ""
    ) -> str:
        """Add a layer named after the operator (plus `.suffix`) and return its name."""
        tensor = layer.output(tuple(self.tensors[name] for name in inputs))
        if tensor.elements > LARGEST_TENSOR:
            raise InputError(f"{tensor.label} has {tensor.elements:,} elements; the most is 2^40")
        name = self._unused(f"{self.place}.{suffix}" if suffix else self.place)
        self.nodes[name] = Node(name, layer, tuple(inputs))
        self.tensors[name] = tensor
        for source in self.inputs.keys() & set(inputs):
            self.inputs[source] = replace(self.inputs[source], free=False)
        for key, array in (arrays or {}).items():
            _check_finite(key, array)
            self.parameters[f"{name}.{key}"] = array
        return name

    def input(self, name: str, layout: InputLayout) -> View:
        """Add an input of the file, named as it is there."""
        spatial = tuple(layout.shape[axis] for axis in layout.spatial)
        layer = Input(prod(layout.shape[axis] for axis in layout.channels), spatial)
        self.inputs[name] = layout
        self.nodes[name] = Node(name, layer)
        self.tensors[name] = layer.output(())
        if self.tensors[name].elements > LARGEST_TENSOR:
            raise InputError(f"{self.tensors[name].elements:,} elements; the most is 2^40")
        return laid_out(name, layout.shape, layout.spatial, layout.channels)

    @contextmanager
    def inner(self, suffix: str) -> Iterator[None]:
        """While it lasts, layers are named after a part of the operator."""
        place = self.place
        self.place = f"{place}.{suffix}" if suffix else place
        yield
        self.place = place

    def constant(self, array: Array, tensor: Tensor, trained: bool) -> str:
        """Add a `Constant` whose elements are `array` in canonical order."""
        layer = Constant(tensor.channels, tensor.spatial, trained)
        name = self.add(layer, (), None, "constant")
        self.parameters[f"{name}.value"] = array
        return name

    def _unused(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.nodes or (candidate != self.place and candidate in self.taken):
            count += 1
            candidate = f"{name}.{count}"
        return candidate

    def derived(self, array: Array, form: str, made: Array) -> Array:
        """`made`, or the equal array made earlier from the same `array` in the same `form`: sharing is kept."""
        return self._derived.setdefault((id(array), form), (array, made))[1]

    def groups(self, view: View) -> Groups:
        """Factors of each spatial axis of the node behind a view."""
        groups: list[Factors] = []
        factor = 0
        for size in self.tensors[view.node].spatial:
            first, span = factor, 1
            while span < size:
                span *= view.factors[factor]
                factor += 1
            groups.append(tuple(range(first, factor)))
        return tuple(groups)

    def arranged(self, view: View, groups: Groups, channels: Factors) -> View:
        """The same tensor on a node with a spatial axis for each of `groups` and with these channels.

        Every factor appears once; an empty group is an axis of size 1.
        """
        order = tuple(factor for group in (*groups, channels) for factor in group)
        spatial = tuple(view.product(group) for group in groups)
        tensor = Tensor(view.product(channels), spatial)
        if order == tuple(range(len(order))) and tensor == self.tensors[view.node]:
            return view
        key = (view, groups, channels)
        if key not in self._arranged:
            self._arranged[key] = self._rearranged(view, groups, channels, order, tensor)
            if any(view.mixed(axis) for axis in range(len(view.axes))):
                # Such a view has to be rearranged sooner or later: all that read it later share the first result.
                self.settled.setdefault(view, self._arranged[key])
        return self._arranged[key]

    def _rearranged(self, view: View, groups: Groups, channels: Factors, order: Factors, tensor: Tensor) -> View:
        relaid = self._relaid(view, order, len(order) - len(channels))
        if relaid is not None:
            # Nothing has read this input yet, so it may arrive in the order that is wanted.
            self.inputs[view.node] = relaid
            self.nodes[view.node] = Node(view.node, Input(tensor.channels, tensor.spatial))
            self.tensors[view.node] = tensor
            return _on(view.node, view, groups, channels)
        move = (view.node, Rearrange(view.factors or (1,), order or (0,), tensor.spatial, tensor.channels))
        if move not in self._moves:
            self._moves[move] = self.add(move[1], (view.node,), None, "rearrange")
        return _on(self._moves[move], view, groups, channels)

    def _relaid(self, view: View, order: Factors, space: int) -> InputLayout | None:
        """Layout of an input that gives its factors this order, the first `space` spatial; None where none does."""
        layout = self.inputs.get(view.node)
        if layout is None or not layout.free:
            return None
        owners = [axis for axis in (*layout.spatial, *layout.channels) for _ in _factors_of_axis(view, layout, axis)]
        spatial = tuple(dict.fromkeys(owners[factor] for factor in order[:space]))
        channels = tuple(dict.fromkeys(owners[factor] for factor in order[space:]))
        natural = [f for axis in (*spatial, *channels) for f, owner in enumerate(owners) if owner == axis]
        if natural != list(order) or set(spatial) & set(channels):
            return None
        return InputLayout(layout.shape, spatial, channels, False)

    def by_axes(self, view: View, spatial: Sequence[int], channels: Sequence[int]) -> View:
        """Arranged with an axis of space for each of the file's axes `spatial`, and `channels` in the pixel."""
        return self.arranged(view, tuple(view.axes[axis] for axis in spatial), view.factors_of(channels))

    def pixelwise(self, view: View, channels: Sequence[int]) -> View:
        """Arranged so that exactly the file's axes `channels` are a pixel, wherever the rest is."""
        wanted = view.factors_of(channels)
        if view.channels == wanted:
            return view
        if set(view.channels) == set(wanted):
            return self.arranged(view, self.groups(view), wanted)
        spatial = [axis for axis in range(len(view.axes)) if axis not in set(channels) and view.axes[axis]]
        return self.by_axes(view, spatial, channels)

    def merged(self, view: View) -> View:
        """The same view in as few factors as its node's axes and the file's allow."""
        return _on(view.node, view, self.groups(view), view.channels)

    def fitting(self, view: View, groups: Groups, channels: Factors, least: int = 0) -> View:
        """Arranged for a layer that aligns axes at the last: more or fewer leading axes of size 1 do not matter.

        The node has at least `least` spatial axes, of as many groups.
        """
        order = tuple(factor for group in (*groups, channels) for factor in group)
        wanted = _significant(tuple(view.product(group) for group in groups))
        tensor = self.tensors[view.node]
        same_order = order == tuple(range(len(order))) and tensor.channels == view.product(channels)
        if same_order and _significant(tensor.spatial) == wanted and len(tensor.spatial) >= least:
            return view
        return self.arranged(view, groups[len(groups) - max(len(wanted), least) :], channels)


def _significant(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes without the leading ones."""
    start = next((index for index, size in enumerate(sizes) if size > 1), len(sizes))
    return sizes[start:]


def _check_finite(key: str, array: Array) -> None:
    # A sum tells of any NaN or infinity without an array of its own; a mapped file is left unread.
    if array.dtype.kind != "f" or isinstance(array, np.memmap):
        return
    sample = array[(slice(0, 1),) * array.ndim] if not any(array.strides) else array
    with np.errstate(all="ignore"):
        total = np.sum(sample, dtype=np.float64)
    if not np.isfinite(total):
        raise InputError(f"{key} holds numbers that are not finite")


def _factors_of_axis(view: View, layout: InputLayout, axis: int) -> range:
    """As many numbers as the declared `axis` has factors in `view`, which cuts the input's axes in their order."""
    before = (*layout.spatial, *layout.channels)
    start = prod(layout.shape[own] for own in before[: before.index(axis)])
    bounds = [prod(view.factors[:count]) for count in range(len(view.factors) + 1)]
    return range(bounds.index(start), bounds.index(start * layout.shape[axis]))


def _on(name: str, view: View, groups: Groups, channels: Factors) -> View:
    """`view` read from node `name`, laid out by `groups` and `channels`; factors that meet again are merged."""
    follower = {a: b for axis in view.axes for a, b in pairwise(axis)}
    spatial = [run for group in groups for run in _runs(group, follower)]
    runs = [*spatial, *_runs(channels, follower)]
    index_of = {factor: index for index, run in enumerate(runs) for factor in run}
    axes = tuple(tuple(dict.fromkeys(index_of[factor] for factor in axis)) for axis in view.axes)
    return View(name, tuple(view.product(run) for run in runs), len(spatial), axes)


def _runs(group: Factors, follower: Mapping[int, int]) -> list[Factors]:
    """Factors of one axis of a node, those together that follow each other in an axis of the file too."""
    runs: list[list[int]] = []
    for position, factor in enumerate(group):
        if position and follower.get(group[position - 1]) == factor:
            runs[-1].append(factor)
        else:
            runs.append([factor])
    return [tuple(run) for run in runs]
