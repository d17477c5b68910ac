"""Figures: where buffers are and why, how full they are over time, and what passes memories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accelsim.errors import InputError
from accelsim.report.attention_study import AttentionRow, AttentionStudy
from accelsim.report.bandwidth import Rates, coarser
from accelsim.report.facts import off_chip_name, off_chip_rows, takes_turns
from accelsim.report.plots import drawing
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.layer_bars import Layers, in_all, largest, plot_layers
from accelsim.report.report import Body
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import levels, peak_tokens
from accelsim.timing.simulate import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROLE_COLOURS = {
    "window": PALETTE["sky"],
    "gate": PALETTE["red"],
    "skip": PALETTE["orange"],
    "pyramid": PALETTE["green"],
    "stationary": PALETTE["pink"],
    "rate": PALETTE["grey"],
}
KIND_COLOURS = {
    "input": PALETTE["sky"],
    "output": PALETTE["orange"],
    "weight": PALETTE["grey"],
    "partial": PALETTE["pink"],
    "spill": PALETTE["red"],
}
#: Colour and dash of one curve after another: told apart in black and white as well.
CURVES = tuple(
    (PALETTE[colour], dash) for dash in ("-", "--", ":") for colour in ("blue", "red", "green", "orange", "pink", "sky")
)
#: Panels of `plot_roles`: title and the figure shown.
ROLE_FIGURES = {"one frame in the machine": "one_frame_peak_elements", "steady state": "peak_elements"}
STACKING = ("gate", "skip", "pyramid", "window", "stationary", "rate")
#: Panels of `plot_attention`: of each bar's parts the colour and the size.
STUDY_PANELS: dict[str, dict[str, tuple[str, Callable[[AttentionRow], float]]]] = {
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
MOST_EDGES = 4
MOST_SPANS = 400


class Occupancy(NamedTuple):
    """How full some edges are over one period: for each, times in cycles and elements held from each time on."""

    subject: str
    period_cycles: int
    clock_hz: int
    curves: tuple[tuple[str, np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]], ...]


def plot_buffers(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Bytes held at their peak in front of each layer, stacked by role; a panel a run, all to one scale.

    The `MOST_LAYERS` layers that hold most in any run have a bar each, the rest one together.
    """
    held = [_held(body) for _, body in runs]
    unit, name = (2**20, "MiB") if largest(held) > 2**20 else (2**10, "KiB")
    titles = [
        f"{in_all(layers, unit)} {name}, {len(body.buffers)} edges"
        for (_, body), layers in zip(runs, held, strict=True)
    ]
    plot_layers(runs, held, ROLE_COLOURS, unit, titles, f"{_peak(runs)} ({name})", path)


def _peak(runs: Sequence[tuple[str, Body]]) -> str:
    """What a peak is of: buffers of segments that take turns have no steady state."""
    return "peak" if any(takes_turns(body) for _, body in runs) else "peak in the steady state"


def plot_traffic(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Bytes a frame that each layer moves off the chip, stacked by kind; a panel a run, all to one scale.

    The `MOST_LAYERS` layers that move most in any run have a bar each, the rest one together. Raises `InputError`
    where a run's machine describes no memories.
    """
    without = [label for label, body in runs if body.traffic is None]
    if without:
        raise InputError(f"{', '.join(without)}: the machine describes no memories; there is no traffic to draw")
    moved = [_moved(body) for _, body in runs]
    unit, name = (10**6, "MB") if largest(moved) > 10**6 else (10**3, "kB")
    titles = [f"{in_all(layers, unit)} {name}" for layers in moved]
    memories = dict.fromkeys(off_chip_name(body) for _, body in runs)
    axis = f"read and written a frame, {', '.join(memories)} ({name})"
    plot_layers(runs, moved, KIND_COLOURS, unit, titles, axis, path)


def _held(body: Body) -> Layers:
    """Peak bytes by layer that reads them, and role."""
    layers: Layers = {}
    for row in body.buffers:
        roles = layers.setdefault(row.consumer, {})
        roles[row.role] = roles.get(row.role, 0) + row.peak_bytes
    return layers


def _moved(body: Body) -> Layers:
    """Bytes a frame off the chip by layer and kind."""
    layers: Layers = {}
    for row in off_chip_rows(body):
        kinds = layers.setdefault(row.layer, {})
        kinds[row.kind] = kinds.get(row.kind, 0) + row.read_bytes + row.written_bytes
    return layers


def plot_bandwidth(runs: Sequence[tuple[str, Body, Sequence[Rates]]], path: str | Path) -> None:
    """Bytes a cycle at the port of each memory over time; a row a memory, a column a run, a scale a memory.

    Raises `InputError` where nothing passes any port.
    """
    memories = list(dict.fromkeys(one.memory for _, _, rates in runs for one in rates))
    if not memories:
        raise InputError(f"{', '.join(label for label, _, _ in runs)}: nothing passes the port of a memory")
    with drawing.styled():
        figure, rows = drawing.matrix_of(len(memories), len(runs), (5.2, 2.2))
        for panels, memory in zip(rows, memories, strict=True):
            drawn = [[coarser(one, MOST_SPANS) for one in rates if one.memory == memory] for _, _, rates in runs]
            top = max(float(one.bytes_per_cycle.max()) for found in drawn for one in found)
            for panel, (label, body, _), found in zip(panels, runs, drawn, strict=True):
                panel.set_title(f"{drawing.short(label)}: {_port(body, memory)}")
                _rates(panel, body, found, top)
            panels[0].set_ylabel("bytes a cycle")
        for panel, (_, body, _) in zip(rows[-1], runs, strict=True):
            panel.set_xlabel(f"time (cycles at {body.clock_hz / 10**6:,g} MHz)")
        panels = [panel for row in rows for panel in row]
        drawing.finish(figure, panels, [f"{body.network} on {body.accelerator}" for _, body, _ in runs], len(runs))
        drawing.save(figure, path)


def _available(body: Body, memory: str) -> float | None:
    """Bytes a cycle that the port of a memory reads at most."""
    row = (body.memories or {}).get(memory)
    return None if row is None else row.available_bytes_per_second / body.clock_hz


def _port(body: Body, memory: str) -> str:
    most = _available(body, memory)
    return memory if most is None else f"{memory}, at most {most:,g} bytes a cycle"


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


def plot_roles(runs: Sequence[tuple[str, Body]], path: str | Path) -> None:
    """Elements by role, a bar a run: with one frame in the machine and in the steady state.

    The mark on each bar is the squeeze-excite accounting of the same network, where it has such blocks:
    gates and skips stand lowest, to be compared with it.
    """
    with drawing.styled():
        figure, panels = drawing.panels_of(2, (1.6 + 0.55 * len(runs), 4.2), sharex=True)
        for panel, (title, field) in zip(panels, ROLE_FIGURES.items(), strict=True):
            _role_bars(panel, [body for _, body in runs], field)
            panel.set_title(_peak(runs) if field == "peak_elements" else title)
            panel.set_xticks(range(len(runs)), [drawing.short(label) for label, _ in runs], rotation=30, ha="right")
            panel.grid(axis="y")
        panels[0].set_ylabel("sum of edges' peaks (million elements)")
        drawing.finish(figure, panels, [f"{body.network} on {body.accelerator}" for _, body in runs])
        drawing.save(figure, path)


def _role_bars(panel: Axes, bodies: Sequence[Body], field: str) -> None:
    bottom = np.zeros(len(bodies))
    for role in STACKING:
        sizes = np.array([getattr(body.buffering[role], field) / 10**6 for body in bodies])
        if sizes.any():
            panel.bar(range(len(bodies)), sizes, bottom=bottom, color=ROLE_COLOURS[role], label=role, width=0.75)
        bottom += sizes
    accounted = [body.attention_buffering.total_elements / 10**6 for body in bodies]
    if any(accounted):
        panel.plot(range(len(bodies)), accounted, "k_", ms=16, mew=2, label="gates and skips by the accounting")


def occupancy(trace: Trace, edges: Sequence[str] | None = None) -> Occupancy:
    """How full `edges` are over one period of a steady trace; by default the `MOST_EDGES` that hold most.

    Raises `InputError` for a name that is no edge, and for a trace whose buffers fill for ever.
    """
    design = trace.design
    if trace.growing:
        raise InputError(f"{design.network.name}: a greedy source fills unbounded buffers for ever; there is no period")
    index = {edge.name: position for position, edge in enumerate(design.edges)}
    unknown = [name for name in edges or () if name not in index]
    if unknown:
        raise InputError(
            f"{design.network.name} has no edge '{unknown[0]}'; edges are named like '{next(iter(index))}'"
        )
    chosen = largest_edges(trace) if edges is None else [index[name] for name in edges]
    curves = tuple((design.edges[k].name, *levels(trace, [k])) for k in chosen)
    subject = f"{design.network.name} on {design.accelerator.name}"
    return Occupancy(subject, trace.period_cycles, design.accelerator.clock_hz, curves)


def largest_edges(trace: Trace) -> list[int]:
    """Positions of the edges that hold most elements at once."""
    edges = trace.design.edges
    tokens = peak_tokens(trace).tolist()
    peaks = [t * token_elements(edge.tensor, trace.granularity) for t, edge in zip(tokens, edges, strict=True)]
    return sorted(range(len(edges)), key=lambda k: (-peaks[k], k))[:MOST_EDGES]


def plot_occupancy(runs: Sequence[tuple[str, Occupancy]], path: str | Path) -> None:
    """Elements held over one period, a step line an edge and a panel a run; an edge looks alike in all panels."""
    names = dict.fromkeys(name for _, run in runs for name, _, _ in run.curves)
    looks = {name: CURVES[position % len(CURVES)] for position, name in enumerate(names)}
    with drawing.styled():
        figure, panels = drawing.panels_of(len(runs), (5.2, 3.0 + 0.2 * len(names)), sharex=False)
        for panel, (label, run) in zip(panels, runs, strict=True):
            _curves(panel, run, looks)
            panel.set_title(f"{drawing.short(label)}: a period of {run.period_cycles:,} cycles")
            panel.set_xlabel(f"time (cycles at {run.clock_hz / 10**6:,g} MHz)")
            panel.set_xlim(0, run.period_cycles)
            panel.set_ylim(bottom=0)
            panel.xaxis.set_major_formatter(drawing.thousands)
            panel.yaxis.set_major_formatter(drawing.thousands)
            panel.grid(axis="y")
        panels[0].set_ylabel("held (elements)")
        drawing.finish(figure, panels, [run.subject for _, run in runs])
        drawing.save(figure, path)


def _curves(panel: Axes, run: Occupancy, looks: Mapping[str, tuple[str, str]]) -> None:
    for name, times, held in run.curves:
        colour, dash = looks[name]
        until = np.append(times, run.period_cycles), np.append(held, held[-1])
        panel.step(*until, where="post", color=colour, linestyle=dash, linewidth=1.2, label=drawing.short(name, 90))


def plot_attention(study: AttentionStudy, path: str | Path) -> None:
    """A bar a way out: bytes on chip and off it, multipliers, how long a frame takes, and energy where there is one.

    An asterisk marks those whose results are others.
    """
    rows = [row for row in study.rows if row.on_chip_bytes is not None]
    drawn = {
        axis: parts for axis, parts in STUDY_PANELS.items() if any(v(row) for _, v in parts.values() for row in rows)
    }
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
        drawing.save(figure, path)


def _way_label(row: AttentionRow) -> str:
    return f"{row.variant} *" if row.changes_values else row.variant
