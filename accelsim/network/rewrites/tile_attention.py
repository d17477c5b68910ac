"""Squeeze-excite over tiles: every tile of the map gets a gate from its own average (arXiv 2107.02145)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import collected
from accelsim.network.attention import AttentionBlock, find_attention
from accelsim.network.graph import Network, Node, rebuilt
from accelsim.network.layers import Combine, Convolution, Rearrange, Reduce


class _Plan(NamedTuple):
    block: AttentionBlock
    tile: tuple[int, ...]


def tile_attention(net: Network, rows: int, count: int | None = None, columns: int | None = None) -> Network:
    """`net` with the squeeze-excite blocks averaging tiles of `rows` rows of their own map instead of all of it.

    Tiles are as wide as the map, or `columns` points of its last axis where it has more than one; the far
    ones may be partial and average what they have. Only the first `count` blocks in topological order
    change if it is given; a map not larger than a tile keeps one gate for all of it. The excitation keeps
    its weights and works on every tile; the multiply repeats a tile's gate over the tile's points, and so
    does every other multiply of a map of that size by the same gate, unless it ends a block beyond `count`.
    What else reads the old average or gate keeps it. A network that is tiled already gets the new tiles in
    place of the old ones.
    Raises `InputError` unless `rows` and `columns` are positive and `count` is not negative.
    """
    return tiled(net, rows, count, columns).network


class Tiled(NamedTuple):
    """What `tile_attention` makes; `origins` gives, for each layer that is a copy, the layer it is a copy of."""

    network: Network
    origins: Mapping[str, str]


def tiled(net: Network, rows: int, count: int | None = None, columns: int | None = None) -> Tiled:
    """`tile_attention`, and where its layers come from."""
    _check_sizes(rows, count, columns)
    plans, blocks = [], find_attention(net)
    for block in blocks[:count]:
        spatial = net.tensors[block.map].spatial
        tile = _tile(spatial, rows, columns)
        if tile != (block.tile or spatial):
            plans.append(_Plan(block, tile))
    if not plans:
        return Tiled(net, {})
    tiling = _Tiling(net, plans, _multiplies(net, plans, frozenset(block.multiply for block in blocks)))
    return Tiled(tiling.rewritten(), tiling.origins)


def _check_sizes(rows: int, count: int | None, columns: int | None) -> None:
    problems = []
    for name, value, least in (("rows", rows, 1), ("count", count, 0), ("columns", columns, 1)):
        if value is None and name != "rows":
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            problems.append(f"tile_attention: {name} = {value!r} must be an integer of at least {least}")
    if problems:
        raise collected(problems)


def _tile(spatial: tuple[int, ...], rows: int, columns: int | None) -> tuple[int, ...]:
    tile = list(spatial)
    if tile:
        tile[0] = min(rows, tile[0])
    if columns is not None and len(tile) > 1:
        tile[-1] = min(columns, tile[-1])
    return tuple(tile)


def _multiplies(net: Network, plans: Sequence[_Plan], ends: frozenset[str]) -> dict[str, tuple[int, _Plan]]:
    """Every multiply to change, with its operand that is the gate. `ends` are those that end any block."""
    found: dict[str, tuple[int, _Plan]] = {}
    for plan in plans:
        inputs = net.by_name[plan.block.multiply].inputs
        gate = inputs[1 - inputs.index(plan.block.map)]
        for name in net.consumers[gate]:
            mine = name == plan.block.multiply
            if mine or (name not in ends and _scales_a_map(net, net.by_name[name], gate, plan)):
                found[name] = (net.by_name[name].inputs.index(gate), plan)
    return found


def _scales_a_map(net: Network, node: Node, gate: str, plan: _Plan) -> bool:
    if not isinstance(node.layer, Combine) or node.layer.operation != "multiply" or len(node.inputs) != 2:
        return False
    other = node.inputs[1 - node.inputs.index(gate)]
    return other != gate and net.tensors[other].spatial == net.tensors[plan.block.map].spatial


def _region(block: AttentionBlock) -> tuple[str, ...]:
    """The excitation without the nodes that spread its gate, in topological order."""
    return block.excite[: block.excite.index(block.gate) + 1]


def _with_axes(layer: Convolution, axes: int) -> Convolution:
    """The same 1x1 convolution on maps of `axes` axes."""
    one = (1,) * axes
    return replace(layer, kernel=one, stride=one, padding=((0, 0),) * axes, dilation=one)


class _Tiling:
    """Copies of averages and excitations that work on tiles, and the multiplies that read them.

    A copy takes the name of its original where nothing else needs the original.
    """

    def __init__(self, net: Network, plans: Sequence[_Plan], multiplies: Mapping[str, tuple[int, _Plan]]) -> None:
        self._net = net
        self._plans = plans
        self._multiplies = multiplies
        self._alive = self._needed_originals()
        self._copies: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self._nodes: dict[str, Node] = {node.name: node for node in net.nodes}
        self._parameters: dict[str, NDArray[np.generic]] = dict(net.parameters)

    def rewritten(self) -> Network:
        for plan in self._plans:
            self._copy_squeeze(plan)
            for name in _region(plan.block):
                self._copy(self._net.by_name[name], len(plan.tile))
        for name, (gate, plan) in self._multiplies.items():
            self._nodes[name] = self._multiply(self._net.by_name[name], gate, plan)
        return rebuilt(self._net, tuple(self._nodes.values()), self._parameters)

    def _needed_originals(self) -> set[str]:
        """Nodes that are read even if the multiplies read their gates elsewhere."""
        needed: set[str] = set()
        stack = [*self._net.output_nodes, *(plan.block.squeezed for plan in self._plans)]
        while stack:
            name = stack.pop()
            if name in needed:
                continue
            needed.add(name)
            gate = self._multiplies[name][0] if name in self._multiplies else None
            stack += [source for operand, source in enumerate(self._net.by_name[name].inputs) if operand != gate]
        return needed

    def _name_of_copy(self, original: str) -> str:
        name = original
        while name in self._alive or (name != original and name in self._nodes):
            name += ".tiled"
        self._copies[original] = name
        self.origins[name] = original
        return name

    def _copy_squeeze(self, plan: _Plan) -> None:
        original = plan.block.squeeze
        if original in self._copies:
            return
        whole = plan.tile == self._net.tensors[plan.block.map].spatial
        layer = Reduce("mean", None if whole else plan.tile)
        name = self._name_of_copy(original)
        self._nodes[name] = Node(name, layer, (plan.block.squeezed,))

    def _copy(self, node: Node, axes: int) -> None:
        """The copy of an excitation's node; what only wrote one point down in other axes has none."""
        if node.name in self._copies:
            return
        sources = tuple(self._copies.get(name, name) for name in node.inputs)
        if isinstance(node.layer, Rearrange):
            self._copies[node.name] = sources[0]
            return
        name = self._name_of_copy(node.name)
        shares = node.shares or (node.name if name != node.name and self._net.parameters_of(node) else None)
        if isinstance(node.layer, Convolution) and len(node.layer.kernel) != axes:
            self._nodes[name] = Node(name, _with_axes(node.layer, axes), sources)
            self._copy_arrays(node, name, axes)
        else:
            self._nodes[name] = replace(node, name=name, inputs=sources, shares=shares)

    def _copy_arrays(self, node: Node, name: str, axes: int) -> None:
        weight, bias = (self._net.parameters.get(f"{node.name}.{key}") for key in ("weight", "bias"))
        if weight is not None:
            self._parameters[f"{name}.weight"] = weight.reshape(*weight.shape[:2], *(1,) * axes)
        if bias is not None:
            self._parameters[f"{name}.bias"] = bias

    def _multiply(self, node: Node, gate: int, plan: _Plan) -> Node:
        whole = plan.tile == self._net.tensors[plan.block.map].spatial
        repeat = () if whole else tuple(plan.tile if operand == gate else () for operand in range(2))
        copy = self._copies[plan.block.gate]
        inputs = tuple(copy if operand == gate else source for operand, source in enumerate(node.inputs))
        return replace(node, layer=Combine("multiply", repeat), inputs=inputs)
