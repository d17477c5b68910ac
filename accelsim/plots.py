"""Figures of reports and tables, each a Matplotlib `Figure`: `save` writes it, notebooks show it.

Those of runs take a `Report`, or several beside each other as {"name": report, ...}, as `load_reports` gives them of
a folder; `pareto` and `axis` take the table of a sweep, `attention` an attention study, `sizes`
what `size_report` says, `trade` what `trade_report` says.

>>> from accelsim import load_accelerator, load_network, map_network, simulate
>>> net = load_network("resnet18", input_shape=(1, 3, 64, 64))
>>> report = simulate(map_network(net, load_accelerator("streaming-asic")))
>>> len(buffers({"one": report, "the same": report}).axes)
2
"""

from __future__ import annotations

from accelsim.report.plots.attention import attention
from accelsim.report.plots.bandwidth import bandwidth
from accelsim.report.plots.buffers import buffers, roles
from accelsim.report.plots.drawing import save
from accelsim.report.plots.energy import energy
from accelsim.report.plots.occupancy import occupancy
from accelsim.report.plots.roofline import roofline
from accelsim.report.plots.sizes import sizes
from accelsim.report.plots.timeline import timeline
from accelsim.report.plots.trade import trade
from accelsim.report.plots.traffic import traffic
from accelsim.sweeps.plots import axis, pareto

__all__ = [
    "attention",
    "axis",
    "bandwidth",
    "buffers",
    "energy",
    "occupancy",
    "pareto",
    "roles",
    "roofline",
    "save",
    "sizes",
    "timeline",
    "trade",
    "traffic",
]
