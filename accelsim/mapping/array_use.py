"""What the layers of a design take on a systolic array, a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from accelsim.mapping.array import Folding
from accelsim.mapping.design import Design, Stage
from accelsim.mapping.segments.segment import Tile
from accelsim.mapping.segments.visits import Visits, visits


class Part(NamedTuple):
    """Products of a layer, or of a tile of it, that are folded `times` a frame."""

    folding: Folding
    times: int


@dataclass(frozen=True, slots=True)
class ArrayUse:
    """A layer on the array, a frame: its parts, those of a form together."""

    layer: str
    macs: int
    parts: tuple[Part, ...]

    @property
    def largest(self) -> Folding:
        """Of the parts, the one that takes longest."""
        return max((part.folding for part in self.parts), key=lambda folding: folding.compute_cycles)

    @property
    def compute_cycles(self) -> int:
        return sum(part.times * part.folding.compute_cycles for part in self.parts)

    @property
    def turns(self) -> int:
        """Times that the layer begins with an empty array and leaves it so."""
        return sum(part.times * part.folding.bursts for part in self.parts)

    @property
    def products(self) -> int:
        return sum(part.times * part.folding.products for part in self.parts)

    @property
    def folds(self) -> int:
        return sum(part.times * part.folding.folds for part in self.parts)

    @property
    def utilisation(self) -> float:
        """Useful MACs / (multipliers of the array x compute cycles)."""
        return self.macs / (self.largest.engine.multipliers * self.compute_cycles)

    @property
    def mapped_share(self) -> float:
        """Multipliers that have work, of all in the array, on average over the folds."""
        return sum(part.times * part.folding.folds * part.folding.mapped_share for part in self.parts) / self.folds

    @property
    def input_reads(self) -> int:
        return sum(part.times * part.folding.input_reads for part in self.parts)

    @property
    def weight_reads(self) -> int:
        return sum(part.times * part.folding.weight_reads for part in self.parts)

    @property
    def output_writes(self) -> int:
        return sum(part.times * part.folding.output_writes for part in self.parts)

    @property
    def partial_sum_reads(self) -> int:
        return sum(part.times * part.folding.partial_sum_reads for part in self.parts)


def array_use(design: Design, turns: Visits | None = None) -> tuple[ArrayUse, ...]:
    """What each layer that multiplies takes of the array, in the order of the design; nothing on any other engine.

    A closed form: nothing is simulated. `turns` are the visits of a design with segments, where they are known.
    Raises `InfeasibleError` where segments are cut into tiles and one does not fit its memory.
    """
    if turns is None and all(segment.tile == Tile() for segment in design.mapping.segments):
        return _summed((stage, 1) for stage in design.stages)
    steps = (step for visit in (turns or visits(design)).turns for step in visit.steps)
    return _summed((stage, step.times) for step in steps for stage in step.design.stages)


def needed_cycles(design: Design, stage: Stage) -> int:
    """Cycles a frame that a stage of `design`, or a tile of it, needs.

    Those of its folds where they set its pace; it is busy a little longer, since its rows all take as long.
    """
    measured = design.mapping.measured.get(stage.name)
    if not stage.foldings or (measured and measured.interval_cycles):
        return stage.work_cycles
    return sum(folding.compute_cycles for folding in stage.foldings)


def _summed(stages: Iterable[tuple[Stage, int]]) -> tuple[ArrayUse, ...]:
    parts: dict[str, list[Part]] = {}
    macs: dict[str, int] = {}
    for stage, times in stages:
        if stage.foldings:
            parts.setdefault(stage.name, []).extend(Part(folding, times) for folding in stage.foldings)
            macs[stage.name] = macs.get(stage.name, 0) + times * stage.macs
    return tuple(ArrayUse(name, macs[name], tuple(own)) for name, own in parts.items())
