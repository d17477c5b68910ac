"""Figures: where buffers are and why, and how full they are over time. Matplotlib is loaded here alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accelsim.errors import InputError
from accelsim.mapping.roles import ROLES
from accelsim.report.report import Body
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import levels, peak_tokens
from accelsim.timing.simulate import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that also those tell apart who see fewer (Okabe and Ito, "Color Universal Design", 2008).
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "red": "#D55E00",
    "grey": "#999999",
}
ROLE_COLOURS = {
    "window": PALETTE["sky"],
    "gate": PALETTE["red"],
    "skip": PALETTE["orange"],
    "pyramid": PALETTE["green"],
    "stationary": PALETTE["pink"],
    "rate": PALETTE["grey"],
}
#: Colour and dash of one curve after another: told apart in black and white as well.
CURVES = tuple(
    (PALETTE[colour], dash) for dash in ("-", "--", ":") for colour in ("blue", "red", "green", "orange", "pink", "sky")
)
STYLE: Any = {
    "svg.hashsalt": "accelsim",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 150,
}
#: Metadata that would differ from run to run, by file format.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
MOST_LAYERS = 20
MOST_EDGES = 4
LONGEST_LABEL = 44


class Occupancy(NamedTuple):
    """How full some edges are over one period: for each, times in cycles and elements held from each time on."""

    period_cycles: int
    clock_hz: int
    curves: tuple[tuple[str, np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]], ...]


def plot_buffers(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Bytes held at their peak in front of each layer, stacked by role; a panel a run.

    The `MOST_LAYERS` layers that hold most in any run have a bar each, the rest one together.
    """
    held = [_held(body) for _, body in runs]
    totals: dict[str, int] = {}
    for layers in held:
        for layer, roles in layers.items():
            totals[layer] = max(totals.get(layer, 0), sum(roles.values()))
    shown = sorted(totals, key=lambda layer: (-totals[layer], layer))[:MOST_LAYERS]
    bars = [*shown, *(["all others"] if len(totals) > len(shown) else [])]
    figure, panels = _panels(len(runs), (5.2, 1.2 + 0.24 * len(bars)), sharey=True)
    for panel, (label, body), layers in zip(panels, runs, held, strict=True):
        _stacks(panel, bars, layers)
        panel.set_title(f"{label}: {_mebibytes(body)}")
        panel.set_xlabel("peak in the steady state (KiB)")
        panel.grid(axis="x")
    panels[0].set_yticks(range(len(bars)), [_short(bar) for bar in bars])
    panels[0].invert_yaxis()
    _legend(figure, panels)
    _save(figure, path)


def _held(body: Body) -> dict[str, dict[str, int]]:
    """Peak bytes by layer that reads them, and role."""
    layers: dict[str, dict[str, int]] = {}
    for row in body.buffers:
        roles = layers.setdefault(row.consumer, {})
        roles[row.role] = roles.get(row.role, 0) + row.peak_bytes
    return layers


def _mebibytes(body: Body) -> str:
    return f"{sum(row.peak_bytes for row in body.buffers) / 2**20:,.1f} MiB over {len(body.buffers)} edges"


def _stacks(panel: Axes, bars: Sequence[str], layers: dict[str, dict[str, int]]) -> None:
    rest = [roles for layer, roles in layers.items() if layer not in bars]
    left = np.zeros(len(bars))
    for role in ROLES:
        sizes = np.array([layers.get(bar, {}).get(role, 0) for bar in bars], float)
        if bars[-1] not in layers:
            sizes[-1] = sum(roles.get(role, 0) for roles in rest)
        if sizes.any():
            panel.barh(
                range(len(bars)), sizes / 1024, left=left / 1024, color=ROLE_COLOURS[role], label=role, height=0.75
            )
        left += sizes


def occupancy(trace: Trace, edges: Sequence[str] = ()) -> Occupancy:
    """How full `edges` are over one period of a steady trace; by default the `MOST_EDGES` that hold most.

    Raises `InputError` for a name that is no edge, and for a trace whose buffers fill for ever.
    """
    design = trace.design
    if trace.growing:
        raise InputError(f"{design.network.name}: a greedy source fills unbounded buffers for ever; there is no period")
    index = {edge.name: position for position, edge in enumerate(design.edges)}
    unknown = [name for name in edges if name not in index]
    if unknown:
        raise InputError(
            f"{design.network.name} has no edge '{unknown[0]}'; edges are named like '{next(iter(index))}'"
        )
    chosen = [index[name] for name in edges] or largest_edges(trace)
    curves = tuple((design.edges[k].name, *levels(trace, [k])) for k in chosen)
    return Occupancy(trace.period_cycles, design.accelerator.clock_hz, curves)


def largest_edges(trace: Trace) -> list[int]:
    """Positions of the edges that hold most elements at once."""
    edges = trace.design.edges
    peaks = [peak_tokens(trace, k) * token_elements(edge.tensor, trace.granularity) for k, edge in enumerate(edges)]
    return sorted(range(len(edges)), key=lambda k: (-peaks[k], k))[:MOST_EDGES]


def plot_occupancy(runs: Sequence[tuple[str, Occupancy]], path: str | Path) -> None:
    """Elements held over one period, a step line an edge and a panel a run; an edge looks alike in all panels."""
    names = dict.fromkeys(name for _, run in runs for name, _, _ in run.curves)
    looks = {name: CURVES[position % len(CURVES)] for position, name in enumerate(names)}
    figure, panels = _panels(len(runs), (5.2, 3.4), sharey=True)
    for panel, (label, run) in zip(panels, runs, strict=True):
        for name, times, held in run.curves:
            colour, dash = looks[name]
            steps = np.append(times, run.period_cycles), np.append(held, held[-1])
            panel.step(*steps, where="post", color=colour, linestyle=dash, linewidth=1.2, label=_short(name))
        panel.set_title(f"{label}: a period of {run.period_cycles:,} cycles")
        panel.set_xlabel(f"time in the period (cycles at {run.clock_hz / 10**6:,g} MHz)")
        panel.set_xlim(0, run.period_cycles)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_formatter(_thousands)
        panel.yaxis.set_major_formatter(_thousands)
        panel.grid(axis="y")
    panels[0].set_ylabel("held (elements)")
    _legend(figure, panels)
    _save(figure, path)


def _thousands(value: float, _position: float) -> str:
    return f"{value:,.0f}"


def _short(name: str) -> str:
    """A name that leaves room for the figure."""
    return name if len(name) <= LONGEST_LABEL else f"...{name[3 - LONGEST_LABEL :]}"


def _panels(count: int, size: tuple[float, float], sharey: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(size[0] * count + 1.6, size[1]), layout="constrained")
        panels = figure.subplots(1, count, sharey=sharey, squeeze=False)
    return figure, list(panels[0])


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend below all panels, every look once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    columns = min(len(found), 6) if max(map(len, found), default=0) < 12 else 1
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=max(columns, 1))


def _save(figure: Figure, path: str | Path) -> None:
    """Writes the figure so that the same figure gives the same bytes."""
    from matplotlib import rc_context

    target = Path(path)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise InputError(f"{target}: a figure's file ends in {', '.join(f'.{name}' for name in METADATA)}")
    with rc_context(STYLE):
        figure.savefig(target, format=kind, metadata=METADATA[kind])
