"""How full edges are over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import InputError
from accelsim.report.history import Held, History
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import CURVES
from accelsim.report.plots.runs import Runs, Shown, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_EDGES = 4


def occupancy(runs: Runs, edges: Sequence[str] | None = None) -> Figure:
    """Elements held over time, a step line an edge and a panel a run; an edge looks alike in all panels.

    Without `edges` they are the `MOST_EDGES` that hold most in the first run. Raises `InputError` for a name that no
    run has and for more names than lines can be told apart, and what `Report.history` raises.
    """
    found = shown(runs)
    histories = [run.report.history for run in found]
    chosen = largest_edges(histories[0]) if edges is None else [*dict.fromkeys(edges)]
    _check(chosen, histories)
    looks = dict(zip(chosen, CURVES, strict=False))
    with drawing.styled():
        figure, panels = drawing.panels_of(len(found), (5.2, 3.0 + 0.2 * len(chosen)), sharex=False)
        for panel, run, history in zip(panels, found, histories, strict=True):
            _panel(panel, run, history, looks)
        panels[0].set_ylabel("held (elements)")
        drawing.finish(figure, panels, [run.subject for run in found])
    return figure


def largest_edges(history: History) -> list[str]:
    """Names of the edges that hold most elements at once."""
    peaks = {one.edge: int(one.elements.max(initial=0)) for one in history.held}
    return sorted(peaks, key=lambda edge: -peaks[edge])[:MOST_EDGES]


def _check(chosen: Sequence[str], histories: Sequence[History]) -> None:
    known = dict.fromkeys(one.edge for history in histories for one in history.held)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        example = next(iter(known), "a -> b")
        raise InputError(f"no run has an edge '{unknown[0]}'; they are named like '{example}'")
    if not 0 < len(chosen) <= len(CURVES):
        raise InputError(f"{len(chosen)} edges; a figure takes 1 to {len(CURVES)}, as many as can be told apart")


def _panel(panel: Axes, run: Shown, history: History, looks: Mapping[str, tuple[str, str]]) -> None:
    end = int(history.activity.cycles[-1])
    by_edge = {held.edge: held for held in history.held}
    for edge, look in looks.items():
        if edge in by_edge:
            _curve(panel, by_edge[edge], end, *look)
    panel.set_title(f"{drawing.short(run.label)}: {drawing.span_title(run.body, end)}")
    panel.set_xlabel(drawing.time_axis(run.body.clock_hz))
    panel.set_xlim(0, end)
    panel.set_ylim(bottom=0)
    panel.xaxis.set_major_formatter(drawing.thousands)
    panel.yaxis.set_major_formatter(drawing.thousands)
    panel.locator_params(axis="x", nbins=5)
    panel.grid(axis="y")


def _curve(panel: Axes, held: Held, end: int, colour: str, dash: str) -> None:
    until = np.append(held.cycles, end), np.append(held.elements, held.elements[-1])
    name = drawing.short(held.edge, 90)
    panel.step(*until, where="post", color=colour, linestyle=dash, linewidth=1.2, label=name)
