"""Data on its way between the engine and a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TrafficKind = Literal["input", "output", "weight", "partial", "spill"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a stage moves a frame: `moved_bytes` of `tensor`, charged to the stage `layer`.

    `token_bytes` go with one request: a row of a map, or a part of the weights.
    """

    kind: TrafficKind
    layer: str
    tensor: str
    memory: str
    write: bool
    moved_bytes: int
    token_bytes: int
