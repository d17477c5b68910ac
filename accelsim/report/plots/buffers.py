"""Where buffers are and why: by layer, and by role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from accelsim.report.facts import takes_turns
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.layer_bars import Layers, in_all, largest, layer_bars
from accelsim.report.plots.runs import Runs, Shown, shown
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: In the order in which bars by role are stacked: gates and skips stand lowest, to be compared with the accounting.
ROLE_COLOURS = {
    "gate": PALETTE["red"],
    "skip": PALETTE["orange"],
    "pyramid": PALETTE["green"],
    "window": PALETTE["sky"],
    "stationary": PALETTE["pink"],
    "rate": PALETTE["grey"],
}
#: Panels of `roles`: title and the figure shown.
ROLE_FIGURES = {"one frame in the machine": "one_frame_peak_elements", "steady state": "peak_elements"}


def buffers(runs: Runs) -> Figure:
    """Bytes held at their peak in front of each layer, stacked by role; a panel a run, all to one scale.

    The `MOST_LAYERS` layers that hold most in any run have a bar each, the rest one together.
    """
    found = shown(runs)
    held = [_held(run.body) for run in found]
    unit, name = (2**20, "MiB") if largest(held) > 2**20 else (2**10, "KiB")
    titles = [
        f"{in_all(layers, unit)} {name}, {len(run.body.buffers)} edges" for run, layers in zip(found, held, strict=True)
    ]
    return layer_bars(found, held, ROLE_COLOURS, unit, titles, f"{_peak(found)} ({name})")


def roles(runs: Runs) -> Figure:
    """Elements by role, a bar a run: with one frame in the machine and in the steady state.

    The mark on each bar is the squeeze-excite accounting of the same network, where it has such blocks.
    """
    found = shown(runs)
    with drawing.styled():
        figure, panels = drawing.panels_of(2, (1.6 + 0.55 * len(found), 4.2), sharex=True)
        for panel, (title, field) in zip(panels, ROLE_FIGURES.items(), strict=True):
            _role_bars(panel, [run.body for run in found], field)
            panel.set_title(_peak(found) if field == "peak_elements" else title)
            panel.set_xticks(range(len(found)), [drawing.short(run.label) for run in found], rotation=30, ha="right")
            panel.grid(axis="y")
        panels[0].set_ylabel("sum of edges' peaks (million elements)")
        drawing.finish(figure, panels, [run.subject for run in found])
    return figure


def _peak(runs: Sequence[Shown]) -> str:
    """What a peak is of: buffers of segments that take turns have no steady state."""
    return "peak" if any(takes_turns(run.body) for run in runs) else "peak in the steady state"


def _held(body: Body) -> Layers:
    """Peak bytes by layer that reads them, and role."""
    layers: Layers = {}
    for row in body.buffers:
        held = layers.setdefault(row.consumer, {})
        held[row.role] = held.get(row.role, 0) + row.peak_bytes
    return layers


def _role_bars(panel: Axes, bodies: Sequence[Body], field: str) -> None:
    bottom = np.zeros(len(bodies))
    for role, colour in ROLE_COLOURS.items():
        sizes = np.array([getattr(body.buffering[role], field) / 10**6 for body in bodies])
        if sizes.any():
            panel.bar(range(len(bodies)), sizes, bottom=bottom, color=colour, label=role, width=0.75)
        bottom += sizes
    accounted = [body.attention_buffering.total_elements / 10**6 for body in bodies]
    if any(accounted):
        panel.plot(range(len(bodies)), accounted, "k_", ms=16, mew=2, label="gates and skips by the accounting")
