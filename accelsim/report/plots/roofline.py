"""Layers below the roofs of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from accelsim.errors import InputError
from accelsim.report.cost import RooflineRow
from accelsim.report.facts import off_chip_name
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.runs import Runs, shown
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of what bounds a layer, memories from the engine outwards after compute.
BOUND_COLOURS = ("blue", "red", "orange", "green", "pink")
GIGA = 10**9


def roofline(runs: Runs) -> Figure:
    """Products a second that layers attain over products a byte off the chip, below the roofs of the machine.

    A panel a run. Layers that move nothing off the chip are in its title. Raises `InputError` where a run's machine
    describes no memories, or where no layer moves anything off the chip.
    """
    found = shown(runs)
    without = [run.label for run in found if not run.body.roofline]
    if without:
        raise InputError(f"{', '.join(without)}: the machine describes no memories; there is no roof to draw")
    if not any(_placed(run.body) for run in found):
        labels = ", ".join(run.label for run in found)
        raise InputError(f"{labels}: no layer with products moves anything off the chip")
    with drawing.styled():
        figure, panels = drawing.panels_of(len(found), (5.2, 3.8), sharex=True)
        for panel, (label, report) in zip(panels, found, strict=True):
            body = report.body
            placed, on_chip = _placed(body), len(body.roofline or ()) - len(_placed(body))
            panel.set_title(
                f"{drawing.short(label)}: {len(placed)} layers" + (f", {on_chip} more stay on chip" * (on_chip > 0))
            )
            drawing.by_ratios(panel, "x", "y")
            _roofs(panel, body, placed)
            _layers(panel, body, placed)
            panel.set_xlabel(f"MACs a byte, {drawing.short(off_chip_name(body))}")
            panel.grid(axis="both")
        panels[0].set_ylabel("GMAC/s")
        drawing.finish(figure, panels, [run.subject for run in found])
    return figure


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
