"""What stages do over time: a strip a stage, filled by what it does with its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.report.facts import takes_turns
from accelsim.report.history import BUSY, STATES, Activity
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.runs import Runs, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: From the bottom of a strip up, with their names; what is left is nobody's turn.
STATE_LOOKS = {
    BUSY: (PALETTE["blue"], "busy"),
    "waiting_input": (PALETTE["sky"], "waits for input"),
    "waiting_space": (PALETTE["red"], "waits for space"),
    "waiting_port": (PALETTE["orange"], "waits for a port"),
    "waiting_source": ("#dddddd", "waits for the source"),
}
MOST_STAGES = 24
#: Of a strip's height, what is filled.
FILLED = 0.86

Floats = NDArray[np.float64]


def timeline(runs: Runs) -> Figure:
    """What stages do over time, in the order of the network; a panel a run, each with a scale of its own.

    The height of a colour is the share of the time. The `MOST_STAGES` stages that are busy longest in any run have a
    strip each, the rest their mean together. Raises what `Report.history` raises.
    """
    found = shown(runs)
    activities = [run.report.history.activity for run in found]
    longest, others = _stages(activities)
    strips = [drawing.short(name) for name in longest] + [f"mean of {len(others)} others"] * bool(others)
    with drawing.styled():
        figure, panels = drawing.panels_of(len(found), (6.4, 1.6 + 0.24 * len(strips)), sharex=False)
        for panel, run, activity in zip(panels, found, activities, strict=True):
            end = int(activity.cycles[-1])
            _strips(panel, activity, longest, others)
            panel.set_title(f"{drawing.short(run.label)}: {drawing.span_title(run.body, end)}")
            panel.set_xlabel(drawing.time_axis(run.body.clock_hz))
            panel.set_xlim(0, end)
            panel.xaxis.set_major_formatter(drawing.thousands)
            panel.locator_params(axis="x", nbins=5)
        panels[0].set_yticks(range(len(strips)), strips)
        panels[0].set_ylim(len(strips) - 0.5, -0.5)
        blank = "; blank: not its turn" if any(takes_turns(run.body) for run in found) else ""
        panels[0].set_ylabel(f"stages (height: share of the time{blank})")
        drawing.finish(figure, panels, [run.subject for run in found])
    return figure


def _stages(activities: Sequence[Activity]) -> tuple[list[str], list[str]]:
    """Names of those that are shown and of the others, both in the order of the network."""
    busy: dict[str, float] = {}
    for activity in activities:
        for name, spent in activity.stages.items():
            share = float(spent[STATES.index(BUSY)].sum() / activity.cycles[-1])
            busy[name] = max(busy.get(name, 0), share)
    longest = set(sorted(busy, key=lambda name: -busy[name])[:MOST_STAGES])
    return [name for name in busy if name in longest], [name for name in busy if name not in longest]


def _strips(panel: Axes, activity: Activity, longest: Sequence[str], others: Sequence[str]) -> None:
    groups = [[name] for name in longest] + [list(others)] * bool(others)
    for place, group in enumerate(groups):
        tracks = [activity.stages[name] for name in group if name in activity.stages]
        if tracks:
            _strip(panel, place, np.mean(tracks, axis=0) / np.diff(activity.cycles), activity.cycles)


def _strip(panel: Axes, place: int, shares: Floats, cycles: NDArray[np.int64]) -> None:
    """Shares, [states, spans], are drawn upwards, while the axis runs down."""
    bottom = np.full(cycles.size - 1, place + FILLED / 2)
    for state, (colour, label) in STATE_LOOKS.items():
        share = shares[STATES.index(state)]
        if share.any():
            top = bottom - FILLED * share
            moves = np.append(True, (np.diff(bottom) != 0) | (np.diff(top) != 0))
            steps = cycles[np.append(moves, True)]
            panel.stairs(bottom[moves], steps, baseline=top[moves], fill=True, color=colour, label=label)
            bottom = top
