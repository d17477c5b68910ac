"""A part of the network that is on the engine at once, and how it is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Halo = Literal["reread", "recompute", "cache"]
Weights = Literal["resident", "frame", "tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """Sizes of a tile along each axis, None for the whole axis.

    `rows` and `columns` of the segment's last output (`rows` are positions of a 1-D one); `outputs` and `inputs`
    are channels, for a segment of one convolution or dense layer. The loops run rows, columns, outputs, inputs
    from the outside in.
    """

    rows: int | None = None
    columns: int | None = None
    outputs: int | None = None
    inputs: int | None = None

    @property
    def is_whole(self) -> bool:
        return all(getattr(self, axis.name) is None for axis in fields(self))


@dataclass(frozen=True)
class Segment:
    """Stages that run as one pipeline, by the names of their layers.

    `halo` is what happens to points that two neighbouring tiles need: `reread` (read again from memory; no layer but
    the first may look over the edge of its tile), `recompute` (read and computed again) or `cache` (kept in the
    first memory). `weights` None is the machine's choice.
    """

    layers: tuple[str, ...]
    tile: Tile = Tile()
    halo: Halo = "cache"
    weights: Weights | None = None
