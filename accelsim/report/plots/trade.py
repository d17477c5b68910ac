"""Multipliers against memory at one frame rate as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accelsim.errors import InputError
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.trade import Trade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How far the last mapping is drawn beyond its multipliers.
BEYOND = 1.1


def trade(trade: Trade) -> Figure:
    """Bytes of all buffers against the multipliers spent, every mapping standing until the next that holds less.

    Dashed is what the buffers of the same mappings hold at most if they are unbounded. Raises `InputError` for
    anything but what `trade_report` gives.
    """
    if not isinstance(trade, Trade):
        raise InputError(f"a {type(trade).__name__} is no Trade; trade_report gives one, and read_trade of a folder")
    multipliers = np.array([point.multipliers for point in trade.points], np.float64)
    sized = np.array([point.bytes for point in trade.points], np.float64)
    stored = np.array([point.stored_elements for point in trade.points], np.float64)
    unbounded = stored * (sized / np.array([max(point.elements, 1) for point in trade.points]))
    unit, name = (2**20, "MiB") if unbounded.max() > 2**20 else (2**10, "KiB")
    ends = np.append(multipliers, multipliers[-1] * BEYOND)
    with drawing.styled():
        figure, panels = drawing.panels_of(1, (6.4, 4.0), sharex=False)
        panel = panels[0]
        panel.stairs(unbounded / unit, ends, baseline=None, color=PALETTE["grey"], ls="--", label="unbounded buffers")
        panel.stairs(sized / unit, ends, baseline=None, color=PALETTE["blue"], lw=1.5, label="sized together")
        panel.plot(multipliers, sized / unit, "o", color=PALETTE["blue"], ms=4)
        panel.set_xscale("log")
        panel.set_xlim(multipliers[0] / BEYOND, ends[-1])
        panel.xaxis.set_major_formatter(drawing.thousands)
        panel.xaxis.set_minor_formatter(drawing.thousands)
        panel.set_ylim(0, 1.08 * float(unbounded.max()) / unit)
        panel.yaxis.set_major_formatter(drawing.thousands)
        panel.set_xlabel(f"multipliers (of {trade.budget:,})")
        panel.set_ylabel(f"all buffers ({name})")
        panel.grid(axis="y")
        subject = f"{trade.network} on {trade.accelerator} at {trade.frames_per_second:,.4g} frames a second"
        drawing.finish(figure, panels, [subject])
    return figure
