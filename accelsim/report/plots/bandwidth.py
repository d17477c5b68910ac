"""What passes memories over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import InputError
from accelsim.report.bandwidth import Rates, coarser
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.runs import Runs, shown
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_SPANS = 400


def bandwidth(runs: Runs) -> Figure:
    """Bytes a cycle at the port of each memory over time; a row a memory, a column a run, a scale a memory.

    Raises `InputError` where nothing passes any port.
    """
    found = shown(runs)
    memories = list(dict.fromkeys(one.memory for run in found for one in run.report.rates))
    if not memories:
        raise InputError(f"{', '.join(run.label for run in found)}: nothing passes the port of a memory")
    with drawing.styled():
        figure, rows = drawing.matrix_of(len(memories), len(found), (5.2, 2.2))
        for panels, memory in zip(rows, memories, strict=True):
            drawn = [[coarser(one, MOST_SPANS) for one in run.report.rates if one.memory == memory] for run in found]
            top = max(float(one.bytes_per_cycle.max()) for rates in drawn for one in rates)
            for panel, run, rates in zip(panels, found, drawn, strict=True):
                panel.set_title(f"{drawing.short(run.label)}: {_port(run.body, memory)}")
                _rates(panel, run.body, rates, top)
            panels[0].set_ylabel("bytes a cycle")
        for panel, run in zip(rows[-1], found, strict=True):
            panel.set_xlabel(drawing.time_axis(run.body.clock_hz))
        drawing.finish(figure, [panel for row in rows for panel in row], [run.subject for run in found], len(found))
    return figure


def _available(body: Body, memory: str) -> float | None:
    """Bytes a cycle that the port of a memory reads at most."""
    row = (body.memories or {}).get(memory)
    return None if row is None else row.available_bytes_per_second / body.clock_hz


def _port(body: Body, memory: str) -> str:
    most, name = _available(body, memory), drawing.short(memory)
    return name if most is None else f"{name}, at most {most:,g} bytes a cycle"


def _rates(panel: Axes, body: Body, found: Sequence[Rates], top: float) -> None:
    """One memory's rate, its mean, and what the port can do where that is near; `top` is of all panels in a row."""
    panel.xaxis.set_major_formatter(drawing.thousands)
    panel.yaxis.set_major_formatter(drawing.thousands)
    panel.grid(axis="y")
    panel.set_ylim(0, 1.1 * top if top else 1)
    for one in found:
        spans = np.diff(one.cycles)
        mean = float((one.bytes_per_cycle * spans).sum() / spans.sum())
        panel.stairs(one.bytes_per_cycle, one.cycles, fill=True, color=PALETTE["sky"], label="read and written")
        panel.axhline(mean, color=PALETTE["blue"], linewidth=1, label="mean")
        most = _available(body, one.memory)
        if most is not None and most <= 1.1 * top:
            panel.axhline(most, color="#444444", linewidth=1, linestyle="--", label="what the port reads at most")
        panel.set_xlim(int(one.cycles[0]), int(one.cycles[-1]))
