"""What passes the ports of memories, a frame, by layer and tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from accelsim.mapping.design import Design, Stage
from accelsim.mapping.movers import map_bytes, weight_bytes
from accelsim.mapping.segments.visits import Visits
from accelsim.mapping.transfer import TrafficKind, Transfer


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a frame of one tensor between the stage `layer` and `memory`; fractions where frames share a load."""

    layer: str
    tensor: str
    memory: str
    kind: TrafficKind
    read_bytes: Fraction
    written_bytes: Fraction


def pipeline_traffic(running: Design) -> list[Traffic]:
    """Of a whole-network pipeline with its movers (`streamed`).

    Inputs and outputs that pass over links of their own count with the last memory, where they would lie. Weights
    that stay on chip are loaded once, before the first frame, and count nothing.
    """
    off_chip = running.accelerator.off_chip_memory
    if off_chip is None:
        return []
    moved = [(stage.transfer, Fraction(1)) for stage in running.stages if stage.transfer]
    if running.accelerator.interface == "stream":
        moved += [(_link(running, stage, off_chip, write=False), Fraction(1)) for stage in _inputs(running)]
        outputs = [running.stage_by_name[name] for name in running.output_stages]
        moved += [(_link(running, stage, off_chip, write=True), Fraction(1)) for stage in outputs]
    return _summed(moved)


def _inputs(running: Design) -> Iterable[Stage]:
    return (stage for stage in running.stages if stage.is_source and stage.transfer is None)


def _link(running: Design, stage: Stage, memory: str, write: bool) -> Transfer:
    moved = map_bytes(stage.tensor, running.accelerator.activation_bits)
    return Transfer("output" if write else "input", stage.name, stage.name, memory, write, moved)


def visit_traffic(design: Design, visits: Visits) -> list[Traffic]:
    """Of a design with segments: the transfers of every tile, and the weights as often as they are loaded."""
    off_chip = design.accelerator.off_chip_memory
    assert off_chip is not None
    moved: list[tuple[Transfer, Fraction]] = []
    for visit in visits.turns:
        for step in visit.steps:
            transfers = [stage.transfer for stage in step.design.stages if stage.transfer]
            moved += [(one, Fraction(step.times)) for one in transfers if one.kind != "weight"]
        loads = Fraction(visit.weight_loads, visit.frames)
        for stage in visit.stages:
            size = weight_bytes(design, stage)
            if size and loads:
                name = f"weights of {stage.name}"
                moved.append((Transfer("weight", stage.name, name, off_chip, False, size), loads))
    return _summed(moved)


def _summed(moved: Sequence[tuple[Transfer, Fraction]]) -> list[Traffic]:
    """A row a layer, tensor, memory and kind, in the order in which they first move."""
    read: dict[tuple[str, str, str, TrafficKind], Fraction] = defaultdict(Fraction)
    written: dict[tuple[str, str, str, TrafficKind], Fraction] = defaultdict(Fraction)
    for one, times in moved:
        key = one.layer, one.tensor, one.memory, one.kind
        read[key] += 0 if one.write else one.moved_bytes * times
        written[key] += one.moved_bytes * times if one.write else 0
    return [Traffic(*key, read[key], written[key]) for key in read]
