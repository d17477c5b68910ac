"""What a frame's energy goes into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelsim.errors import InputError
from accelsim.report.cost import EnergyRow
from accelsim.report.facts import off_chip_name
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.layer_bars import Layers, in_all, largest, layer_bars
from accelsim.report.plots.runs import Runs, shown
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of what a layer's energy goes into, in the order in which its bar is stacked.
PART_COLOURS = {
    "products": PALETTE["blue"],
    "other arithmetic": "#444444",
    "weights": PALETTE["grey"],
    "buffers": PALETTE["sky"],
    "partial sums": PALETTE["pink"],
    "ports on chip": PALETTE["green"],
    "off chip": PALETTE["red"],
    "leakage": PALETTE["orange"],
}
#: Accesses that are one part of a bar; what passes ports depends on the memory.
PARTS = {
    "mac": "products",
    "add": "other arithmetic",
    "multiply": "other arithmetic",
    "weight_read": "weights",
    "weight_write": "weights",
    "buffer_read": "buffers",
    "buffer_write": "buffers",
    "sum_read": "partial sums",
    "sum_write": "partial sums",
    "leakage": "leakage",
}


def energy(runs: Runs) -> Figure:
    """Energy a frame by layer, stacked by what it is for; a panel a run, all to one scale.

    Raises `InputError` where a run has no energy.
    """
    found = shown(runs)
    without = [run.label for run in found if run.body.energy is None]
    if without:
        raise InputError(f"{', '.join(without)}: energy is not modelled; name a technology in the machine's file")
    spent = [_spent(run.body) for run in found]
    unit, name = (10**6, "uJ") if largest(spent) > 10**6 else (10**3, "nJ")
    titles = [f"{in_all(layers, unit)} {name}" for layers in spent]
    nodes = dict.fromkeys(run.body.energy.node for run in found if run.body.energy)
    return layer_bars(found, spent, PART_COLOURS, unit, titles, f"energy a frame, {', '.join(nodes)} ({name})")


def _spent(body: Body) -> Layers:
    """Picojoules by layer and part."""
    layers: Layers = {}
    for row in body.energy.rows if body.energy else ():
        parts = layers.setdefault(row.layer, {})
        part = _part(row, off_chip_name(body))
        parts[part] = parts.get(part, 0) + row.energy_pj
    return layers


def _part(row: EnergyRow, off_chip: str) -> str:
    return PARTS.get(row.part) or ("off chip" if row.memory == off_chip else "ports on chip")
