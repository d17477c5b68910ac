"""Data on its way between the engine and a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TrafficKind = Literal["input", "output", "weight", "partial", "spill"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a stage moves: `moved_bytes` a frame of `tensor`, charged to the stage `layer`."""

    kind: TrafficKind
    layer: str
    tensor: str
    memory: str
    write: bool
    moved_bytes: int

    @property
    def label(self) -> str:
        return f"{'store' if self.write else 'load'} {self.kind}"
