"""FPGA primitives counted for a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from accelsim.cost.fpga import MOST_THRESHOLD_BITS, Use, buffer_use, is_counted, stage_uses
from accelsim.hardware.fpga import Device, Primitive, placed
from accelsim.mapping.design import Design, Edge
from accelsim.report.resource_rows import ResourceRow, Resources, ResourceTotal
from accelsim.units import ceil_div

RULES = (
    "estimates before synthesis: flip-flops, routing, forks, width converters and control beyond a unit's constant "
    "are not counted",
    "DSP: two products of up to 8 bits, or four of up to 4, that share an operand; a DSP58 sums three of 8 bits",
    "memories: words as wide as a cycle takes, rounded up to the primitives' shapes; up to 128 words in LUTs, "
    "else, the largest first, in block RAM or UltraRAM, so that the fuller of both is least full",
    "LUT: FINN-R's estimate of matrix units (300 + 1.1 of their adders), a LUT a bit of an addition or comparison",
    "thresholds: every layer with multiplications makes its activations by one comparison a bit",
)
THRESHOLDS_LEFT_OUT = f"thresholds of more than {MOST_THRESHOLD_BITS} bits are not counted"
#: What helps where there are too few of a primitive.
CURES = {
    "dsp": "unroll outputs, which share an input, before inputs; lower engine.multipliers, the frame rate, or the bits",
    "lut": "lower engine.multipliers or the frame rate, or use fewer bits",
    "bram36": "size its buffers, tile its squeeze-excite blocks, or use fewer bits",
    "uram": "size its buffers, tile its squeeze-excite blocks, or use fewer bits",
}


def resources_part(running: Design, elements: Mapping[str, int]) -> Resources | None:
    """Resources of a pipeline whose buffers have room for `elements` by edge; None on a machine without blocks."""
    machine = running.accelerator
    if machine.blocks is None:
        return None
    uses = [use for stage in running.stages for use in stage_uses(running, stage)]
    uses += [buffer_use(running, edge, elements[edge.name]) for edge in _buffers(running, elements)]
    device = machine.device
    rows = tuple(_rows(uses, device))
    wide = machine.activation_bits > MOST_THRESHOLD_BITS
    return Resources(
        device=None if device is None else device.name,
        dsp=_total(sum(row.dsp for row in rows), device, "dsp"),
        lut=_total(sum(row.lut for row in rows), device, "lut"),
        bram36=_total(ceil_div(sum(row.bram18 for row in rows), 2), device, "bram36"),
        uram=_total(sum(row.uram for row in rows), device, "uram"),
        rows=rows,
        not_counted=tuple(stage.name for stage in running.stages if not is_counted(running, stage)),
        rules=(*RULES, THRESHOLDS_LEFT_OUT) if wide else RULES,
    )


def _rows(uses: Sequence[Use], device: Device | None) -> Iterable[ResourceRow]:
    """Every use with its memories in primitives."""
    homes = iter(placed([memory for use in uses for memory in use.memories], device))
    for use in uses:
        mine = [next(homes) for _ in use.memories]
        number = {kind: sum(home.number for home in mine if home.primitive == kind) for kind in get_args(Primitive)}
        yield ResourceRow(
            layer=use.layer,
            part=use.part,
            name=use.name,
            width_bits=max((memory.width_bits for memory in use.memories), default=0),
            words=sum(memory.words for memory in use.memories),
            dsp=use.dsp,
            lut=use.lut + number["lut"],
            bram18=number["bram18"],
            uram=number["uram"],
        )


def _buffers(running: Design, elements: Mapping[str, int]) -> Iterable[Edge]:
    """Edges with a buffer of their own on chip: under shared forks the fullest of a producer's."""
    own = [edge for edge in running.edges if edge.home is None and edge.reads != "all" and elements[edge.name]]
    if running.accelerator.fork == "copy":
        return own
    fullest: dict[str, Edge] = {}
    for edge in own:
        if edge.producer not in fullest or elements[edge.name] > elements[fullest[edge.producer].name]:
            fullest[edge.producer] = edge
    return fullest.values()


def _total(used: int, device: Device | None, primitive: str) -> ResourceTotal:
    available = None if device is None else int(getattr(device, primitive))
    return ResourceTotal(used=used, available=available, utilisation=used / available if available else None)


def resource_warnings(resources: Resources | None) -> Iterable[str]:
    """One for every primitive of which there are too few."""
    for name, cure in CURES.items():
        if resources is None:
            return
        total: ResourceTotal = getattr(resources, name)
        if total.available is not None and total.used > total.available:
            yield (
                f"{resources.device} has {total.available:,} {name.upper()}, the pipeline takes {total.used:,} "
                f"(short by {total.used - total.available:,}); {cure}"
            )
