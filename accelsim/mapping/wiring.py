"""What designs wired alike have in common: worked out for the first of them, kept for those that follow.

Needs, releases and least capacities depend on which stage reads what, and not on how fast any of them is. Whoever
goes through many designs of one network meets the same wiring again and again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar, cast

from accelsim.mapping.design import Design
from accelsim.network.graph import Network, once_a_network
from accelsim.network.reach import Granularity

R = TypeVar("R")

#: Wirings of one network that are kept, those of the last designs; by pixels tables are large.
KEPT_WIRINGS: Mapping[Granularity, int] = MappingProxyType({"row": 4, "pixel": 1})


def once_a_wiring(function: Callable[[Design, Granularity], R]) -> Callable[[Design, Granularity], R]:
    """`function` of a design and a granularity, worked out once for all designs that are wired alike.

    It must not depend on the time that anything takes, on capacities, nor on the machine but by its stages and edges.
    """

    @wraps(function)
    def kept(design: Design, granularity: Granularity) -> R:
        found = _found(design, granularity)
        if function not in found:
            found[function] = function(design, granularity)
        return cast(R, found[function])

    return kept


def _found(design: Design, granularity: Granularity) -> dict[Hashable, Any]:
    """What is known of a design's wiring, by function."""
    together = tuple(stage.together for stage in design.stages) if granularity == "pixel" else ()
    key = (design.wiring, together)
    wirings = _wirings(design.network, granularity)
    if key not in wirings:
        wirings[key] = {}
    wirings.move_to_end(key)
    while len(wirings) > KEPT_WIRINGS[granularity]:
        wirings.popitem(last=False)
    return wirings[key]


@once_a_network
def _wirings(net: Network, granularity: Granularity) -> OrderedDict[Hashable, dict[Hashable, Any]]:
    return OrderedDict()
