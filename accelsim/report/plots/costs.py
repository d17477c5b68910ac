"""Figures of energy and of the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import InputError
from accelsim.report.cost import EnergyRow, RooflineRow
from accelsim.report.facts import off_chip_name
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.layer_bars import Layers, in_all, largest, plot_layers
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
#: Colours of what bounds a layer, memories from the engine outwards after compute.
BOUND_COLOURS = ("blue", "red", "orange", "green", "pink")
GIGA = 10**9


def plot_energy(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Energy a frame by layer, stacked by what it is for; a panel a run, all to one scale.

    Raises `InputError` where a run has no energy.
    """
    without = [label for label, body in runs if body.energy is None]
    if without:
        raise InputError(f"{', '.join(without)}: energy is not modelled; name a technology in the machine's file")
    spent = [_spent(body) for _, body in runs]
    unit, name = (10**6, "uJ") if largest(spent) > 10**6 else (10**3, "nJ")
    titles = [f"{in_all(layers, unit)} {name}" for layers in spent]
    nodes = dict.fromkeys(body.energy.node for _, body in runs if body.energy)
    plot_layers(runs, spent, PART_COLOURS, unit, titles, f"energy a frame, {', '.join(nodes)} ({name})", path)


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


def plot_roofline(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Products a second that layers attain over products a byte off the chip, below the roofs of the machine.

    A panel a run. Layers that move nothing off the chip are in its title. Raises `InputError` where a run's machine
    describes no memories, or where no layer moves anything off the chip.
    """
    without = [label for label, body in runs if not body.roofline]
    if without:
        raise InputError(f"{', '.join(without)}: the machine describes no memories; there is no roof to draw")
    if not any(_placed(body) for _, body in runs):
        raise InputError(f"{', '.join(label for label, _ in runs)}: no layer with products moves anything off the chip")
    with drawing.styled():
        figure, panels = drawing.panels_of(len(runs), (5.2, 3.8), sharex=True)
        for panel, (label, body) in zip(panels, runs, strict=True):
            placed, on_chip = _placed(body), len(body.roofline or ()) - len(_placed(body))
            panel.set_title(
                f"{drawing.short(label)}: {len(placed)} layers" + (f", {on_chip} more stay on chip" * (on_chip > 0))
            )
            panel.set_xscale("log")
            panel.set_yscale("log")
            _roofs(panel, body, placed)
            _layers(panel, body, placed)
            panel.set_xlabel(f"MACs a byte, {off_chip_name(body)}")
            panel.grid(axis="both")
        panels[0].set_ylabel("GMAC/s")
        drawing.finish(figure, panels, [f"{body.network} on {body.accelerator}" for _, body in runs])
        drawing.save(figure, path)


def _placed(body: Body) -> list[RooflineRow]:
    """Layers that have a place along the axis of products a byte."""
    return [row for row in body.roofline or () if row.macs_per_byte]


def _roofs(panel: Axes, body: Body, placed: Sequence[RooflineRow]) -> None:
    """The machine's own roofs: all it can read off the chip, and the most multipliers that a layer has."""
    peak = max((row.peak_macs_per_second for row in body.roofline or ()), default=0) / GIGA
    bytes_per_second = (body.memories or {})[off_chip_name(body)].available_bytes_per_second / GIGA
    places = [row.macs_per_byte or 1 for row in placed] or [1]
    ridge = peak / bytes_per_second
    low, high = min(*places, ridge) / 2, max(*places, ridge) * 2
    panel.plot([low, ridge, high], [low * bytes_per_second, peak, peak], color="#444444", linewidth=1, label="roof")
    panel.set_xlim(low, high)


def _layers(panel: Axes, body: Body, placed: Sequence[RooflineRow]) -> None:
    """A mark a layer, in the colour of what bounds it."""
    bounds = ["compute", *(body.memories or {})]
    for bound, colour in zip(bounds, BOUND_COLOURS, strict=False):
        rows = [row for row in placed if row.bound == bound]
        if rows:
            panel.scatter(
                [row.macs_per_byte or 0 for row in rows],
                [row.attained_macs_per_second / GIGA for row in rows],
                s=18,
                color=PALETTE[colour],
                label=f"bound by {bound}",
                zorder=3,
            )
