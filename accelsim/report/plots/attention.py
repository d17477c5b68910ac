"""What every way out of the waits at squeeze-excite gates costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import InputError
from accelsim.report.attention_study import AttentionRow, AttentionStudy
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Panels: of each bar's parts the colour and the size.
PANELS: dict[str, dict[str, tuple[str, Callable[[AttentionRow], float]]]] = {
    "on chip (MB)": {
        "buffers": (PALETTE["blue"], lambda row: (row.buffer_bytes or 0) / 10**6),
        "weights": (PALETTE["grey"], lambda row: (row.weight_bytes or 0) / 10**6),
    },
    "off chip, a frame (MB)": {
        "spilled": (PALETTE["red"], lambda row: (row.off_chip or {}).get("spill", 0) / 10**6),
        "other traffic": (
            PALETTE["sky"],
            lambda row: ((row.off_chip_bytes or 0) - (row.off_chip or {}).get("spill", 0)) / 10**6,
        ),
    },
    "multipliers": {"multipliers": (PALETTE["green"], lambda row: row.multipliers or 0)},
    "latency (million cycles)": {"latency": (PALETTE["orange"], lambda row: (row.latency_cycles or 0) / 10**6)},
    "energy, a frame (mJ)": {"energy": (PALETTE["pink"], lambda row: (row.energy_pj or 0) / 10**9)},
}


def attention(study: AttentionStudy) -> Figure:
    """A bar a way out: bytes on chip and off it, multipliers, how long a frame takes, and energy where there is one.

    An asterisk marks those whose results are others. Raises `InputError` for anything but an `attention_study`.
    """
    if not isinstance(study, AttentionStudy):
        raise InputError(f"a {type(study).__name__} is no AttentionStudy; attention_study gives one")
    rows = [row for row in study.rows if row.on_chip_bytes is not None]
    drawn = {axis: parts for axis, parts in PANELS.items() if any(v(row) for _, v in parts.values() for row in rows)}
    if not drawn:
        raise InputError(f"{study.network}: no way out was simulated; there is nothing to draw")
    with drawing.styled():
        figure, panels = drawing.panels_of(len(drawn), (4.0, 1.4 + 0.28 * len(rows)), sharex=False)
        for panel, (axis, parts) in zip(panels, drawn.items(), strict=True):
            left = np.zeros(len(rows))
            for label, (colour, value) in parts.items():
                sizes = np.array([value(row) for row in rows])
                if sizes.any():
                    panel.barh(range(len(rows)), sizes, left=left, color=colour, label=label, height=0.75)
                left += sizes
            panel.set_xlabel(axis)
            panel.xaxis.set_major_formatter(drawing.thousands)
            panel.grid(axis="x")
        panels[0].set_yticks(range(len(rows)), [_way_label(row) for row in rows])
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
        drawing.finish(figure, panels, [f"{study.network} on {study.accelerator}"])
    return figure


def _way_label(row: AttentionRow) -> str:
    return drawing.short(f"{row.variant} *" if row.changes_values else row.variant)
