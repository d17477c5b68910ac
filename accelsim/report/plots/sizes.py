"""Memory against speed as a figure: what all buffers come to at every interval, by role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.report.plots import drawing
from accelsim.report.plots.buffers import ROLE_COLOURS
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.sizing import Sizing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Reals = NDArray[np.float64]

#: How far the smallest sizes are drawn beyond their interval: this share of all before, and at least this factor.
BEYOND, LEAST_BEYOND = 0.12, 1.02


def sizes(sizing: Sizing) -> Figure:
    """Bytes of all buffers against the interval that frames are to keep, stacked by role.

    Sizes that keep an interval keep all longer ones, so that between two points those of the shorter stand. A shared
    buffer counts once, by that role of its edges which is stacked first. Dashed is what full throughput takes at least.
    Raises `InputError` for anything but the `sizing` of a `size_report`, and where there is no buffer.
    """
    if not isinstance(sizing, Sizing):
        raise InputError(f"a {type(sizing).__name__} is no Sizing; size_report gives one, and read_sizes of a folder")
    if not sizing.buffers:
        raise InputError(f"{sizing.network} has one layer, and no buffer to draw")
    intervals = np.array([point.interval_cycles for point in sizing.curve], np.float64)
    beyond = max((intervals[-1] / intervals[0]) ** BEYOND, LEAST_BEYOND)
    ends = np.append(intervals, intervals[-1] * beyond)
    held = _held(sizing)
    most = max(point.bytes for point in sizing.curve)
    unit, name = (2**20, "MiB") if most > 2**20 else (2**10, "KiB")
    with drawing.styled():
        figure, panels = drawing.panels_of(1, (6.4, 4.0), sharex=False)
        panel = panels[0]
        bottom = np.zeros(intervals.size)
        for role, colour in ROLE_COLOURS.items():
            if role in held:
                top = bottom + held[role] / unit
                panel.stairs(top, ends, baseline=bottom, fill=True, color=colour, label=role)
                bottom = top
        panel.plot(intervals, bottom, "o", color="#444444", ms=4, label="sized at this interval")
        least = sizing.full.bound_elements * _bytes_an_element(sizing) / unit
        panel.axhline(least, color=PALETTE["blue"], linestyle="--", linewidth=1, label="full throughput takes at least")
        panel.set_xscale("log")
        panel.set_xlim(intervals[0] / LEAST_BEYOND, ends[-1])
        panel.set_xticks(intervals, [f"{interval:,.0f}" for interval in intervals])
        panel.set_xticks([], minor=True)
        panel.set_ylim(0, 1.08 * float(bottom.max()))
        panel.set_xlabel("interval (cycles from frame to frame)")
        panel.set_ylabel(f"all buffers ({name})")
        panel.yaxis.set_major_formatter(drawing.thousands)
        panel.grid(axis="y")
        subject = f"{sizing.network} on {sizing.accelerator}: {sizing.granularity} tokens, {sizing.fork} forks"
        drawing.finish(figure, panels, [subject])
    return figure


def _held(sizing: Sizing) -> dict[str, Reals]:
    """Bytes of all buffers of a role at every point of the curve."""
    roles: dict[str, str] = {}
    edges: dict[str, tuple[str, int]] = {}
    for row in sizing.buffers:
        owner = row.producer if sizing.fork == "shared" else row.edge
        roles[owner] = min(roles.get(owner, row.role), row.role, key=list(ROLE_COLOURS).index)
        edges[owner] = row.edge, row.token_elements
    held: dict[str, Reals] = {}
    for owner, (edge, elements) in edges.items():
        tokens = np.array([point.tokens[edge] * elements for point in sizing.curve], np.float64)
        held[roles[owner]] = held.get(roles[owner], 0.0) + tokens * _bytes_an_element(sizing)
    return held


def _bytes_an_element(sizing: Sizing) -> float:
    return sizing.full.bytes / max(sizing.full.elements, 1)
