"""Squeeze-excite blocks, found by structure, and what waits for them by the tiled squeeze-excite paper's accounting.

A block is a map multiplied by a gate that was computed from the map's own averages: mean over all of
space (or over tiles), layers that look at one point only, at least one of them with weights, and a
bounded function behind the last weights. Nothing else counts: the SiLU's multiply averages nothing,
normalisations have no weights between average and product, softmax attention has no bounded gate, and
layers that mix neighbouring channels of the averages (ECA) are no excitation. Hu et al. 2018 for the
block, Vosco, Shenkler and Grobman 2021 (arXiv 2107.02145) for tiles and accounting.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod
from typing import NamedTuple

from accelsim.network.graph import Network, Node, once_a_network
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    Combine,
    Convolution,
    Dense,
    Layer,
    Normalise,
    Pool,
    PRelu,
    Rearrange,
    Reduce,
    Resize,
    Slice,
)
from accelsim.network.tensor import Tensor

#: Functions whose values stay between two bounds, as a gate's do.
BOUNDED = frozenset({"clip", "hard_sigmoid", "relu6", "sigmoid", "softsign", "tanh"})


@dataclass(frozen=True, slots=True)
class AttentionBlock:
    """One squeeze-excite block, by the names of its nodes.

    `map` is the operand that waits at `multiply`; `squeezed` the tensor that `squeeze` averages, the map
    or a point-wise function of the same tensor; `gate` the last node before the gate is spread over the
    map; `excite` all nodes between squeeze and multiply. `skip` is the tensor that waits at an add
    further on. `tile` is None where the average is over all of space.
    """

    multiply: str
    map: str
    squeezed: str
    squeeze: str
    excite: tuple[str, ...]
    gate: str
    skip: str | None
    tile: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class BlockBuffering:
    """Elements that wait for one block: `rows` x `width` points of the map, and of the skip if there is one."""

    block: AttentionBlock
    rows: int
    width: int
    channels: int
    skip_channels: int

    @property
    def gate_elements(self) -> int:
        return self.rows * self.width * self.channels

    @property
    def skip_elements(self) -> int:
        return self.rows * self.width * self.skip_channels


@dataclass(frozen=True, slots=True)
class AttentionBuffering:
    """What waits for all blocks of a network, a single copy each, without any line buffers."""

    blocks: tuple[BlockBuffering, ...]

    @property
    def gate_elements(self) -> int:
        return sum(block.gate_elements for block in self.blocks)

    @property
    def skip_elements(self) -> int:
        return sum(block.skip_elements for block in self.blocks)

    @property
    def total_elements(self) -> int:
        return self.gate_elements + self.skip_elements


@once_a_network
def find_attention(net: Network) -> tuple[AttentionBlock, ...]:
    """All squeeze-excite blocks of `net`, whole or tiled, in topological order of their multiplies."""
    finder = _Finder(net)
    return tuple(block for node in net.nodes if (block := finder.block_at(node)) is not None)


def attention_buffering(net: Network) -> AttentionBuffering:
    """Elements that wait for the gates of `net`, by the accounting of arXiv 2107.02145.

    A block holds T rows of its map and, where an identity skip runs round it, T rows of the skip: T is the
    map's first axis, or the tile's if that is shorter. In map + map * gate the map counts as both. Tiles of some
    columns count whole rows too: elements come row by row, so that a row of tiles is complete with its last row.
    """
    return AttentionBuffering(tuple(_buffering(net, block) for block in find_attention(net)))


def _buffering(net: Network, block: AttentionBlock) -> BlockBuffering:
    tensor = net.tensors[block.map]
    rows = tensor.spatial[0] if tensor.spatial else 1
    if block.tile is not None:
        rows = min(rows, block.tile[0])
    skip_channels = 0 if block.skip is None else net.tensors[block.skip].channels
    return BlockBuffering(block, rows, prod(tensor.spatial[1:]), tensor.channels, skip_channels)


def averaged_tile(layer: Layer, source: Tensor) -> tuple[int, ...] | None:
    """Sizes of the tiles that `layer` averages without overlap or gap; None where it does anything else."""
    if isinstance(layer, Reduce):
        return layer.sizes(source) if layer.operation == "mean" else None
    if not isinstance(layer, Pool) or layer.operation != "average" or any(sum(p) for p in layer.padding):
        return None
    exact = layer.ceil_mode and not layer.count_include_pad
    axes = list(zip(source.spatial, layer.kernel, layer.stride, layer.dilation, strict=True))
    fits = all(d == 1 and (k == n or (k == s and (n % k == 0 or exact))) for n, k, s, d in axes)
    return tuple(min(k, n) for n, k, _, _ in axes) if fits else None


def keeps_pixels(layer: Layer, source: Tensor) -> bool:
    """Whether `layer` only writes the points of space down in other axes, or the axes away."""
    if not isinstance(layer, Rearrange) or layer.channels != source.channels:
        return False
    moved = [axis for axis in layer.order if layer.split[axis] > 1]
    return moved == sorted(moved)


class _Spread(NamedTuple):
    """A gate before it is spread: `core`, the nodes that spread it, and how often they repeat it an axis.

    `times` is None where the axes change on the way.
    """

    core: str
    passed: tuple[str, ...]
    times: tuple[int, ...] | None


class _Origin(NamedTuple):
    """The one average a node is computed from, tile by tile, and whether weights were used on the way."""

    squeeze: str
    weighted: bool


class _Finder:
    """Looks at one multiply after another; what all of them need is computed once."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._position = {node.name: index for index, node in enumerate(net.nodes)}
        self._fixed = net.constant_nodes
        self._parent, self._depth = pointwise_forest(net, self._fixed)
        self._origins = _origins(net, self._fixed)

    def block_at(self, node: Node) -> AttentionBlock | None:
        """The block that ends at `node`, whichever operand is the gate."""
        layer = node.layer
        if not isinstance(layer, Combine) or layer.operation != "multiply" or len(node.inputs) != 2:
            return None
        if node.inputs[0] == node.inputs[1] or not self._fixed.isdisjoint(node.inputs):
            return None
        found = (self._block(node, layer, gate) for gate in (1, 0))
        return next((block for block in found if block is not None), None)

    def _block(self, node: Node, layer: Combine, gate: int) -> AttentionBlock | None:
        tensors, waiting = self._net.tensors, node.inputs[1 - gate]
        spread = self._spread(node.inputs[gate])
        same_map = tensors[waiting].channels == tensors[node.name].channels == tensors[spread.core].channels
        if not same_map or _without_ones(tensors[waiting]) != _without_ones(tensors[node.name]):
            return None
        origin = self._origins.get(spread.core)
        if origin is None or not origin.weighted or not self._gated(spread.core):
            return None
        squeeze = origin.squeeze
        squeezed = self._squeezed(squeeze, waiting)
        if squeezed is None:
            return None
        tile = self._tile(squeeze, squeezed)
        served = layer.repeats(gate, tensors[node.inputs[gate]], tensors[node.name])
        if tile is not None and not self._matches(tile, spread, squeeze, served):
            return None
        region = self._region(spread.core, squeeze)
        names = tuple(sorted((*region, *spread.passed), key=self._position.__getitem__))
        skip = self._skip(node.name, waiting)
        return AttentionBlock(node.name, waiting, squeezed, squeeze, names, spread.core, skip, tile)

    def _spread(self, name: str) -> _Spread:
        """Follows nearest repeats, crops, and axes put in or taken away upwards."""
        passed: list[str] = []
        times: tuple[int, ...] | None = (1,) * len(self._net.tensors[name].spatial)
        while True:
            node = self._net.by_name[name]
            factors = _repetition(self._net, node)
            if factors is None and not _changes_axes(self._net, node):
                return _Spread(name, tuple(passed), times)
            same_axes = times is not None and factors is not None
            times = tuple(t * f for t, f in zip(times or (), factors or (), strict=True)) if same_axes else None
            passed.append(name)
            name = node.inputs[0]

    def _region(self, core: str, squeeze: str) -> tuple[str, ...]:
        """The nodes between `squeeze` and `core`, which is among them."""
        region: set[str] = set()
        stack = [core]
        while stack:
            name = stack.pop()
            if name != squeeze and name not in region and name not in self._fixed:
                region.add(name)
                stack += self._net.by_name[name].inputs
        return tuple(region)

    def _gated(self, core: str) -> bool:
        """Whether a bounded function stands between the last weights and `core`, as one layer or written out."""
        exponential, inverse = False, False
        node = self._net.by_name[core]
        while not _has_weights(node.layer):
            layer = node.layer
            if _is_bounded(layer):
                return True
            exponential |= isinstance(layer, Activation) and layer.function == "exp"
            inverse |= isinstance(layer, Activation) and layer.function == "reciprocal"
            inverse |= isinstance(layer, Combine) and layer.operation == "divide" and node.inputs[0] in self._fixed
            if exponential and inverse:
                return True
            variable = [name for name in node.inputs if name not in self._fixed]
            if len(variable) != 1:
                return False
            node = self._net.by_name[variable[0]]
        return False

    def _squeezed(self, squeeze: str, waiting: str) -> str | None:
        """The tensor averaged: the input of `squeeze`, or of a chain of whole means and reshapes that ends there."""
        node = self._net.by_name[squeeze]
        if self._alike(node.inputs[0], waiting):
            return node.inputs[0]
        if self._net.tensors[squeeze].pixels > 1:
            return None
        while len(node.inputs) == 1 and _averages_whole_axes(node.layer, self._net.sources(node)[0]):
            if self._alike(node.inputs[0], waiting):
                return node.inputs[0]
            node = self._net.by_name[node.inputs[0]]
        return None

    def _alike(self, first: str, second: str) -> bool:
        """Whether both have the same points and are point-wise functions of one tensor, or one of the other."""
        same_points = self._net.tensors[first].spatial == self._net.tensors[second].spatial
        return same_points and _common(first, second, self._parent, self._depth) is not None

    def _tile(self, squeeze: str, squeezed: str) -> tuple[int, ...] | None:
        if self._net.tensors[squeeze].pixels == 1:
            return None
        return averaged_tile(self._net.by_name[squeeze].layer, self._net.tensors[squeezed])

    def _matches(self, tile: tuple[int, ...], spread: _Spread, squeeze: str, served: tuple[int, ...]) -> bool:
        """Whether every tile's gate goes back to the points it was computed from."""
        tiles = self._net.tensors[squeeze].spatial
        if spread.times is None or self._net.tensors[spread.core].spatial != tiles:
            return False
        axes = zip(tiles, tile, spread.times, served, strict=True)
        return all(count == 1 or size == times * outputs for count, size, times, outputs in axes)

    def _skip(self, multiply: str, waiting: str) -> str | None:
        """The tensor from before `multiply` that waits at the first add where its result meets another."""
        derived = {multiply}
        for node in self._net.nodes[self._position[multiply] + 1 :]:
            if derived.isdisjoint(node.inputs):
                continue
            others = [name for name in node.inputs if name not in derived and name not in self._fixed]
            if others and isinstance(node.layer, Combine) and node.layer.operation == "add":
                spatial = self._net.tensors[waiting].spatial
                before = self._ancestors(multiply)
                kept = (name for name in others if name in before and self._net.tensors[name].spatial == spatial)
                return next(kept, None)
            derived.add(node.name)
        return None

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        stack = list(self._net.by_name[name].inputs)
        while stack:
            above = stack.pop()
            if above not in found:
                found.add(above)
                stack += self._net.by_name[above].inputs
        return found


def _origins(net: Network, fixed: frozenset[str]) -> dict[str, _Origin]:
    """The origin of every node that has one."""
    origins: dict[str, _Origin] = {}
    for node in net.nodes:
        if node.name in fixed or not node.inputs:
            continue
        if len(node.inputs) == 1 and averaged_tile(node.layer, net.sources(node)[0]) is not None:
            origins[node.name] = _Origin(node.name, False)
        elif _looks_at_one_point(net, node, fixed):
            found = {origins.get(name) for name in node.inputs if name not in fixed}
            above = [origin for origin in found if origin is not None]
            if len(above) == len(found) and len({origin.squeeze for origin in above}) == 1:
                weighted = _has_weights(node.layer) or any(origin.weighted for origin in above)
                origins[node.name] = _Origin(above[0].squeeze, weighted)
    return origins


def _looks_at_one_point(net: Network, node: Node, fixed: frozenset[str]) -> bool:
    """Whether a node computes the same at every point from that point alone, as an excitation does."""
    layer, pixels = node.layer, net.tensors[node.name].pixels
    if any(net.tensors[name].pixels != pixels for name in node.inputs if name not in fixed):
        return False
    if isinstance(layer, Convolution):
        return prod(layer.kernel) == prod(layer.stride) == 1 and not any(sum(p) for p in layer.padding)
    if isinstance(layer, Combine):
        return not any(layer.repeat)
    if isinstance(layer, Normalise):
        return layer.over == "channels"
    return isinstance(layer, Dense | Activation | BatchNorm | PRelu) or keeps_pixels(layer, net.sources(node)[0])


def _has_weights(layer: Layer) -> bool:
    return isinstance(layer, Dense | Convolution)


def _is_bounded(layer: Layer) -> bool:
    if isinstance(layer, Combine):
        return layer.operation == "minimum"
    if not isinstance(layer, Activation) or layer.function not in BOUNDED:
        return False
    return layer.function != "clip" or all(isfinite(bound) for bound in layer.parameters)


def _without_ones(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.spatial if size > 1)


def _changes_axes(net: Network, node: Node) -> bool:
    return len(node.inputs) == 1 and keeps_pixels(node.layer, net.sources(node)[0])


def _repetition(net: Network, node: Node) -> tuple[int, ...] | None:
    """How often `node` repeats each point along each axis; None where it does anything but repeat or crop."""
    layer = node.layer
    if isinstance(layer, Slice) and layer.axis >= 0 and (layer.start, layer.step) == (0, 1):
        return (1,) * len(net.tensors[node.name].spatial)
    if not isinstance(layer, Resize):
        return None
    source = net.sources(node)[0]
    axes = tuple(zip(layer.spatial, source.spatial, strict=True))
    nearest = layer.mode == "nearest" and layer.coordinates != "align_corners"
    if source.pixels > 1 and (not nearest or any(after % before for after, before in axes)):
        return None
    return tuple(after // before for after, before in axes)


def _averages_whole_axes(layer: Layer, source: Tensor) -> bool:
    """Whether means of such layers one behind the other are the mean of all."""
    if keeps_pixels(layer, source):
        return True
    tile = averaged_tile(layer, source)
    return tile is not None and all(size in (1, n) for size, n in zip(tile, source.spatial, strict=True))


def pointwise_forest(net: Network, fixed: frozenset[str]) -> tuple[dict[str, str], dict[str, int]]:
    """For every node that is a function of one other tensor point by point, that tensor; and every node's depth."""
    parent: dict[str, str] = {}
    depth: dict[str, int] = {}
    for node in net.nodes:
        origin = _pointwise_origin(net, node, fixed, parent, depth)
        if origin is not None:
            parent[node.name] = origin
        depth[node.name] = 0 if origin is None else depth[origin] + 1
    return parent, depth


def _pointwise_origin(
    net: Network, node: Node, fixed: frozenset[str], parent: dict[str, str], depth: dict[str, int]
) -> str | None:
    if isinstance(node.layer, Activation | BatchNorm | PRelu):
        return node.inputs[0]
    if not isinstance(node.layer, Combine):
        return None
    origins = {name for name in node.inputs if name not in fixed}
    if not origins or any(net.tensors[name] != net.tensors[node.name] for name in origins):
        return None
    origin: str | None = origins.pop()
    while origins and origin is not None:
        origin = _common(origin, origins.pop(), parent, depth)
    return origin


def _common(first: str, second: str, parent: dict[str, str], depth: dict[str, int]) -> str | None:
    """The nearest tensor that both are point-wise functions of (or one of them is)."""
    while first != second:
        deeper, other = (first, second) if depth[first] >= depth[second] else (second, first)
        if deeper not in parent:
            return None
        first, second = parent[deeper], other
    return first
