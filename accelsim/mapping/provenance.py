"""Whether what a mapping file says of the choice of its segments still holds."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapping import Mapping
from accelsim.network.graph import Network


def with_choice_checked(mapping: Mapping, net: Network, accelerator: Accelerator) -> Mapping:
    """`mapping` with its choice marked as made for this network and machine, and for nothing else.

    A choice that has been read and was made for others, or for segments that have been edited since, is left out: how
    good these are is not known.
    """
    if mapping.choice is None:
        return mapping
    mark = _mark(mapping, net, accelerator)
    if mapping.choice.made_for not in ("", mark):
        return replace(mapping, choice=None)
    return replace(mapping, choice=replace(mapping.choice, made_for=mark))


def _mark(mapping: Mapping, net: Network, accelerator: Accelerator) -> str:
    """A hash of all that a choice depends on."""
    tables = (mapping.unroll, mapping.measured, mapping.homes, mapping.capacities)
    parts = (
        net.nodes,
        sorted(accelerator.model_dump(mode="json", exclude={"name"}).items()),
        mapping.segments,
        mapping.frames_per_visit,
        sorted(mapping.materialised),
        *(sorted(table.items(), key=lambda item: item[0]) for table in tables),
    )
    return sha256(repr(parts).encode()).hexdigest()[:16]
