"""Where tensors that cross a cut lie, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.mapping.design import Design
from accelsim.mapping.movers import map_bytes


@dataclass(frozen=True, slots=True)
class Life:
    """A tensor that crosses a cut: its bytes, those of all frames of a visit, and the segments it must outlast.

    `first` is the segment that makes it, -1 for a network input; `last` the last that reads it, the number
    of segments where it leaves the network.
    """

    tensor: str
    held_bytes: int
    first: int
    last: int

    def is_live(self, segment: int) -> bool:
        return self.first <= segment <= self.last


def crossing_lives(design: Design) -> dict[str, Life]:
    """Every tensor that crosses a cut, by the stage that makes it, in the order of making."""
    segments = design.mapping.segments
    turn = {name: k for k, segment in enumerate(segments) for name in segment.layers}
    last: dict[str, int] = {}
    for edge in design.edges:
        if turn.get(edge.producer, -1) != turn[edge.consumer]:
            last[edge.producer] = max(last.get(edge.producer, -1), turn[edge.consumer])
    last |= dict.fromkeys(design.output_stages, len(segments))
    bits, frames = design.accelerator.activation_bits, design.mapping.frames_per_visit
    return {
        stage.name: Life(stage.name, frames * map_bytes(stage.tensor, bits), turn.get(stage.name, -1), last[stage.name])
        for stage in design.stages
        if stage.name in last
    }


def allotted(design: Design, lives: Mapping[str, Life], demands: Sequence[int]) -> dict[str, str]:
    """The memory of every tensor: the mapping's choice, or the first with room for as long as it lives.

    `demands` are the bytes of the first memory that each segment takes while it runs. What comes into the network
    or leaves it lies off chip. Memory is handed out in whole rows, so it does not matter where they lie; what the
    mapping has placed comes first.
    """
    memories = design.accelerator.memories
    *on_chip, off_chip = memories
    free = {name: [memories[name].size] * len(demands) for name in on_chip}
    free[on_chip[0]] = [memories[on_chip[0]].size - demand for demand in demands]
    homes = {name: memory for name, memory in design.mapping.homes.items() if name in lives}
    for name, memory in homes.items():
        _take(free, memory, lives[name])
    for life in (life for name, life in lives.items() if name not in homes):
        passes_through = life.first < 0 or life.last == len(demands)
        fitting = [] if passes_through else [name for name in on_chip if _has_room(free[name], life)]
        homes[life.tensor] = fitting[0] if fitting else off_chip
        _take(free, homes[life.tensor], life)
    return homes


def _take(free: Mapping[str, list[int]], memory: str, life: Life) -> None:
    """Takes room for a tensor, in place; there is no end of it off chip."""
    if memory in free:
        for segment in range(max(life.first, 0), min(life.last + 1, len(free[memory]))):
            free[memory][segment] -= life.held_bytes


def _has_room(free: Sequence[int], life: Life) -> bool:
    return all(room >= life.held_bytes for room in free[max(life.first, 0) : life.last + 1])


def held_bytes(lives: Mapping[str, Life], homes: Mapping[str, str], memory: str, segment: int) -> int:
    """Bytes of crossing tensors that lie in `memory` while a segment runs."""
    return sum(life.held_bytes for life in lives.values() if homes[life.tensor] == memory and life.is_live(segment))
