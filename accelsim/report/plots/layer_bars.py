"""A bar a layer, stacked by what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from accelsim.report.plots import drawing
from accelsim.report.plots.runs import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LAYERS = 20

#: Sizes by layer, and by what its bar is made of.
Layers = dict[str, dict[str, float]]


def layer_bars(
    runs: Sequence[Shown],
    sizes: Sequence[Layers],
    colours: Mapping[str, str],
    unit: int,
    titles: Sequence[str],
    axis: str,
) -> Figure:
    """A bar a layer, its parts in the order of `colours`."""
    totals: dict[str, float] = {}
    for layers in sizes:
        for layer, parts in layers.items():
            totals[layer] = max(totals.get(layer, 0), sum(parts.values()))
    longest = sorted(totals, key=lambda layer: (-totals[layer], layer))[:MOST_LAYERS]
    others = len(totals) - len(longest)
    bars = [drawing.short(layer) for layer in longest] + [f"{others} other layers"] * (others > 0)
    with drawing.styled():
        figure, panels = drawing.panels_of(len(runs), (5.2, 1.2 + 0.2 * len(bars)), sharex=True)
        for panel, run, title, layers in zip(panels, runs, titles, sizes, strict=True):
            _stacks(panel, longest, layers, unit, colours)
            panel.set_title(f"{drawing.short(run.label)}: {title}")
            panel.set_xlabel(axis)
            panel.xaxis.set_major_formatter(drawing.thousands)
            panel.grid(axis="x")
        panels[0].set_yticks(range(len(bars)), bars)
        panels[0].set_ylim(len(bars) - 0.4, -0.6)
        drawing.finish(figure, panels, [run.subject for run in runs])
    return figure


def largest(sizes: Sequence[Layers]) -> float:
    return max((sum(parts.values()) for layers in sizes for parts in layers.values()), default=0)


def in_all(layers: Layers, unit: int) -> str:
    return f"{sum(sum(parts.values()) for parts in layers.values()) / unit:,.1f}"


def _stacks(panel: Axes, shown: Sequence[str], layers: Layers, unit: int, colours: Mapping[str, str]) -> None:
    """A bar for each layer shown, and one for all that are not, if any are left."""
    bars = [layers.get(layer, {}) for layer in shown]
    rest = [parts for layer, parts in layers.items() if layer not in shown]
    if rest:
        bars.append({part: sum(parts.get(part, 0) for parts in rest) for part in colours})
    left = np.zeros(len(bars))
    for part, colour in colours.items():
        sizes = np.array([parts.get(part, 0) / unit for parts in bars])
        if sizes.any():
            panel.barh(range(len(bars)), sizes, left=left, color=colour, label=part, height=0.75)
        left += sizes
