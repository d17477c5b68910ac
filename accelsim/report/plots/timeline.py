"""The timeline as a figure: a strip a stage, filled by what it does with its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.timing.kernels.pipeline import INPUT, PORT, SOURCE, SPACE
from accelsim.timing.timeline import BUSY, STATES, Spans, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: From the bottom of a strip up; what is left is nobody's turn.
STATE_COLOURS = {
    BUSY: PALETTE["blue"],
    INPUT: PALETTE["sky"],
    SPACE: PALETTE["red"],
    PORT: PALETTE["orange"],
    SOURCE: "#dddddd",
}
MOST_STAGES = 24
MOST_SPANS = 240
#: Of a strip's height, what is filled.
FILLED = 0.86

Floats = NDArray[np.float64]


def plot_timeline(runs: Sequence[tuple[str, Timeline]], path: str | Path) -> None:
    """What stages do over time, in the order of the network; a panel a run, each with a scale of its own.

    The height of a colour is the share of the time. The `MOST_STAGES` stages that are busy longest in any run have a
    strip each, the rest their mean together.
    """
    shown, others = _stages([run for _, run in runs])
    strips = [drawing.short(name) for name in shown] + [f"mean of {len(others)} others"] * bool(others)
    with drawing.styled():
        figure, panels = drawing.panels_of(len(runs), (6.4, 1.6 + 0.24 * len(strips)), sharex=False)
        for panel, (label, run) in zip(panels, runs, strict=True):
            _strips(panel, run, shown, others)
            panel.set_title(f"{drawing.short(label)}: {_what(run)} of {run.cycles:,} cycles")
            panel.set_xlabel(f"time (cycles at {run.design.accelerator.clock_hz / 10**6:,g} MHz)")
            panel.set_xlim(0, run.cycles)
            panel.xaxis.set_major_formatter(drawing.thousands)
            panel.locator_params(axis="x", nbins=5)
        panels[0].set_yticks(range(len(strips)), strips)
        panels[0].set_ylim(len(strips) - 0.5, -0.5)
        blank = "; blank: not its turn" if any(run.visited for _, run in runs) else ""
        panels[0].set_ylabel(f"stages (height: share of the time{blank})")
        subjects = [f"{run.design.network.name} on {run.design.accelerator.name}" for _, run in runs]
        drawing.finish(figure, panels, subjects)
        drawing.save(figure, path)


def shares(spans: Spans, state: int, edges: NDArray[np.int64]) -> Floats:
    """The share of the time between neighbouring `edges`, in cycles, that is spent in a state."""
    chosen = spans.state == state
    begin, end = spans.begin[chosen], spans.end[chosen]
    spent = np.append(0, np.cumsum(end - begin))
    moments = np.stack([begin, end], axis=1).ravel()
    by = np.interp(edges, moments, np.repeat(spent, 2)[1:-1]) if moments.size else np.zeros(edges.size)
    found: Floats = np.diff(by) / np.diff(edges)
    return found


def _what(run: Timeline) -> str:
    if not run.repeats:
        return f"the first {run.frames} frames"
    return "a round" if run.design.mapping.segments else "a period"


def _stages(runs: Sequence[Timeline]) -> tuple[list[str], list[str]]:
    """Names of those that are shown and of the others, both in the order of the network."""
    busy: dict[str, float] = {}
    for run in runs:
        for name, spans in run.tracks.items():
            busy[name] = max(busy.get(name, 0), spans.cycles_in(BUSY) / run.cycles)
    longest = set(sorted(busy, key=lambda name: -busy[name])[:MOST_STAGES])
    return [name for name in busy if name in longest], [name for name in busy if name not in longest]


def _strips(panel: Axes, run: Timeline, shown: Sequence[str], others: Sequence[str]) -> None:
    edges = np.unique(np.linspace(0, run.cycles, MOST_SPANS + 1).astype(np.int64))
    groups = [[name] for name in shown] + [list(others)] * bool(others)
    for place, group in enumerate(groups):
        tracks = [run.tracks[name] for name in group if name in run.tracks]
        if tracks:
            _strip(panel, place, tracks, edges)


def _strip(panel: Axes, place: int, tracks: Sequence[Spans], edges: NDArray[np.int64]) -> None:
    """The mean of some stages; shares are drawn upwards, while the axis runs down."""
    bottom = np.full(edges.size - 1, place + FILLED / 2)
    for state, colour in STATE_COLOURS.items():
        share = np.mean([shares(spans, state, edges) for spans in tracks], axis=0)
        if share.any():
            top = bottom - FILLED * share
            moves = np.append(True, (np.diff(bottom) != 0) | (np.diff(top) != 0))
            steps = edges[np.append(moves, True)]
            panel.stairs(bottom[moves], steps, baseline=top[moves], fill=True, color=colour, label=STATES[state])
            bottom = top
