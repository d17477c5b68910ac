"""Why a buffer is there: a static role for every edge between stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.stages import Group, is_pointwise
from accelsim.network.graph import Network
from accelsim.network.layers import (
    Combine,
    Concat,
    Convolution,
    Normalise,
    Pool,
    Product,
    Reduce,
    Resize,
    Softmax,
    TransposedConvolution,
)
from accelsim.network.reach import token_reach

Role = Literal["window", "gate", "skip", "pyramid", "stationary", "rate"]
ROLES: tuple[Role, ...] = ("window", "gate", "skip", "pyramid", "stationary", "rate")


Rows = NDArray[np.int64]


class Link(NamedTuple):
    """An edge between stages: operand `operand` of `consumer`."""

    producer: str
    consumer: str
    operand: int


def assign_roles(net: Network, groups: Sequence[Group]) -> dict[Link, Role]:
    """Role of every edge.

    window: kept for a sliding window. gate: operand of a multiply (or divide, or normalisation) whose other
    operand comes from it through a spatial reduction. skip: at a join, every operand but the one
    with the longest dependency lead (ties by input order). pyramid: a skip whose longer branch
    leaves and regains the resolution. stationary: the held operand of a product. rate: all else.
    """
    ancestry = _Ancestry(net, groups)
    roles: dict[Link, Role] = {}
    for group in groups:
        links = [Link(producer, group.name, operand) for operand, producer in group.operands]
        if isinstance(group.node.layer, Combine | Concat) and len(links) > 1:
            roles |= _join_roles(group, links, ancestry, roles)
        else:
            roles |= {link: _single_role(group, link) for link in links}
    return roles


def _single_role(group: Group, link: Link) -> Role:
    layer = group.node.layer
    if isinstance(layer, Product):
        return "stationary" if link.operand == 1 else "rate"
    if isinstance(layer, Convolution | Pool | TransposedConvolution):
        step = layer.stride if isinstance(layer, TransposedConvolution) else (1,) * len(layer.kernel)
        return "window" if any(k > s for k, s in zip(layer.kernel, step, strict=True)) else "rate"
    if isinstance(layer, Resize):
        return "rate" if layer.mode == "nearest" else "window"
    if isinstance(layer, Normalise | Softmax):
        return "rate" if layer.over == "channels" else "gate"
    return "rate"


def _join_roles(
    group: Group, links: Sequence[Link], ancestry: _Ancestry, known: Mapping[Link, Role]
) -> dict[Link, Role]:
    layer = group.node.layer
    if isinstance(layer, Combine) and layer.operation in ("multiply", "divide"):
        gates = {link for link in links if any(ancestry.gates(link.producer, other.producer) for other in links)}
        if gates:
            return {link: "gate" if link in gates else "rate" for link in links}
    leads = ancestry.leads(group, links)
    longest = links[leads.index(max(leads))]
    return {
        link: "rate"
        if link == longest
        else "pyramid"
        if ancestry.regains(link.producer, longest.producer, known)
        else "skip"
        for link in links
    }


class _Ancestry:
    """Who comes from whom, as bit sets over stages in topological order."""

    def __init__(self, net: Network, groups: Sequence[Group]) -> None:
        self._net = net
        self._groups = groups
        self._index = {group.name: position for position, group in enumerate(groups)}
        self._above: list[int] = []
        for position, group in enumerate(groups):
            bits = 1 << position
            for _, producer in group.operands:
                bits |= self._above[self._index[producer]]
            self._above.append(bits)

    def leads(self, join: Group, links: Sequence[Link]) -> list[int]:
        """How much each operand of a join needs of the last stage they all come from: its rows, summed over firings."""
        shared = -1
        for link in links:
            shared &= self._above[self._index[link.producer]]
        fork = shared.bit_length() - 1
        if fork < 0:
            return [0] * len(links)
        end = max(self._index[link.producer] for link in links)
        needed = {fork: np.arange(1, self._rows(fork) + 1)}
        for position in range(fork + 1, end + 1):
            if self._above[position] >> fork & 1:
                needed[position] = self._needed(self._groups[position], needed)
        return [int(self._through(join, link.operand, needed[self._index[link.producer]]).sum()) for link in links]

    def _needed(self, group: Group, needed: Mapping[int, Rows]) -> Rows:
        ways = [
            self._through(group, operand, needed[self._index[producer]])
            for operand, producer in group.operands
            if self._index[producer] in needed
        ]
        return np.maximum.accumulate(np.maximum.reduce(ways))

    def _through(self, group: Group, operand: int, needed: Rows) -> Rows:
        """Fork rows behind each output row of a stage, by one of its operands."""
        node = group.node
        last = token_reach(node.layer, operand, self._net.sources(node), self._net.tensors[node.name], "row").last
        return np.where(last >= 0, needed[last], 0)

    def _rows(self, position: int) -> int:
        return self._net.tensors[self._groups[position].name].rows

    def gates(self, waiting: str, other: str) -> bool:
        """Whether `other` comes from `waiting`, or from what it is point by point, through a spatial reduction."""
        end = self._index[other]
        return other != waiting and any(
            self._reduced(root, end) for root in self._pointwise_roots(self._index[waiting])
        )

    def _pointwise_roots(self, position: int) -> list[int]:
        roots = [position]
        while True:
            group = self._groups[roots[-1]]
            if len(group.operands) != 1:
                return roots
            operand, producer = group.operands[0]
            source = self._net.sources(group.node)[operand]
            if not is_pointwise(group.node, source, self._net.tensors[group.name]):
                return roots
            roots.append(self._index[producer])

    def _reduced(self, start: int, end: int) -> bool:
        """Whether a path from `start` to `end` passes a reduction over space."""
        if not self._above[end] >> start & 1:
            return False
        passed = {start: False}
        for position in range(start + 1, end + 1):
            if not self._above[end] >> position & 1:
                continue
            group = self._groups[position]
            arrivals = [passed[p] for _, name in group.operands if (p := self._index[name]) in passed]
            if arrivals:
                passed[position] = any(arrivals) or self._reduces_space(group)
        return passed[end]

    def _reduces_space(self, group: Group) -> bool:
        layer = group.node.layer
        if not isinstance(layer, Reduce):
            return False
        source = self._net.sources(group.node)[0]
        covers = any(t == n > 1 for t, n in zip(layer.sizes(source), source.spatial, strict=True))
        return layer.operation == "mean" or covers or layer.tile is None

    def regains(self, short: str, long: str, known: Mapping[Link, Role]) -> bool:
        """Whether the way to `long`, from the last stage shared with `short`, leaves its resolution and comes back."""
        end = self._index[long]
        fork = (self._above[self._index[short]] & self._above[end]).bit_length() - 1
        if fork < 0:
            return False
        resolution = self._net.tensors[short].spatial
        away, back = {fork: False}, {fork: False}
        at_home = {fork: self._spatial(fork) == resolution}
        for position in range(fork + 1, end + 1):
            if not (self._above[end] >> position & 1 and self._above[position] >> fork & 1):
                continue
            froms = [p for p in self._carriers(position, known) if p in at_home]
            here = self._spatial(position) == resolution
            was_home = any(at_home[p] for p in froms)
            was_away = any(away[p] for p in froms)
            at_home[position] = was_home or here
            away[position] = was_away or (was_home and not here)
            back[position] = any(back[p] for p in froms) or (was_away and here)
        return back.get(end, False)

    def _carriers(self, position: int, known: Mapping[Link, Role]) -> list[int]:
        """Stages whose map goes on through this one; gates and broadcast operands do not."""
        group = self._groups[position]
        links = [Link(producer, group.name, operand) for operand, producer in group.operands]
        gated = [link for link in links if known.get(link) == "gate" and len(links) > 1]
        if isinstance(group.node.layer, Combine) and len(links) > 1:
            links = gated or [k for k in links if self._spatial(self._index[k.producer]) == self._spatial(position)]
        return [self._index[link.producer] for link in links]

    def _spatial(self, position: int) -> tuple[int, ...]:
        return self._net.tensors[self._groups[position].name].spatial
