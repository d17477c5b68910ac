"""Squeeze-excite over tiles, in a network of real numbers or of integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, overload

from accelsim.network.graph import Network, Node
from accelsim.network.rewrites import tile_attention as real

if TYPE_CHECKING:
    from accelsim.arithmetic.formats import Format
    from accelsim.arithmetic.network import IntegerNetwork


AnyNetwork = TypeVar("AnyNetwork", Network, "IntegerNetwork")


@overload
def tile_attention(net: Network, rows: int, count: int | None = None, columns: int | None = None) -> Network: ...


@overload
def tile_attention(
    net: IntegerNetwork, rows: int, count: int | None = None, columns: int | None = None
) -> IntegerNetwork: ...


def tile_attention(
    net: Network | IntegerNetwork, rows: int, count: int | None = None, columns: int | None = None
) -> Network | IntegerNetwork:
    """`net` with the squeeze-excite blocks averaging tiles of `rows` rows of their own map instead of all of it.

    Tiles are as wide as the map, or `columns` points of its last axis where it has more than one; the far ones may be
    partial and average what they have. Only the first `count` blocks in topological order change if it is given; a
    map not larger than a tile keeps one gate for all of it. The excitation keeps its weights and works on every tile;
    the multiply repeats a tile's gate over the tile's points, and so does every other multiply of a map of that size
    by the same gate, unless it ends a block beyond `count`. What else reads the old average or gate keeps it. A
    network that is tiled already gets the new tiles in place of the old ones. An integer network keeps its integers
    and its formats: nothing is calibrated again, so that averages of tiles saturate where those of maps ended.
    Raises `InputError` unless `rows` and `columns` are positive and `count` is not negative.

    >>> from accelsim import load_network
    >>> from accelsim.network.attention import attention_buffering
    >>> net = load_network("efficientdet_d2")
    >>> attention_buffering(net).total_elements, attention_buffering(tile_attention(net, rows=7)).total_elements
    (50734080, 4765824)
    """
    if isinstance(net, Network):
        return real.tile_attention(net, rows, count, columns)
    return _in_integers(net, real.tiled(net.network, rows, count, columns))


def _in_integers(inet: IntegerNetwork, made: real.Tiled) -> IntegerNetwork:
    from accelsim.arithmetic.network import integer_network

    origins = {node.name: made.origins.get(node.name, node.name) for node in made.network.nodes}
    formats = {name: inet.formats[own] for name, own in origins.items() if own in inet.formats}
    arrays = (array for node in made.network.nodes for array in _array_formats(inet, node, origins[node.name]).items())
    dividing = frozenset(name for name, own in origins.items() if own in inet.dividing)
    return integer_network(
        made.network, formats, dict(arrays), inet.ports, inet.requantiser, inet.accumulator, dividing
    )


def _array_formats(inet: IntegerNetwork, node: Node, origin: str) -> Mapping[str, Format]:
    """Formats of a node's arrays, those of the node it is a copy of."""
    keys = inet.arrays(inet.network.by_name[origin])
    known = {key: inet.weight_formats.get(f"{origin}.{key}") for key in keys}
    return {f"{node.name}.{key}": kind for key, kind in known.items() if kind is not None}
