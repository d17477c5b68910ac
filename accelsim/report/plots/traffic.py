"""What layers move off the chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accelsim.errors import InputError
from accelsim.report.facts import off_chip_name, off_chip_rows
from accelsim.report.plots.drawing import PALETTE
from accelsim.report.plots.layer_bars import Layers, in_all, largest, layer_bars
from accelsim.report.plots.runs import Runs, shown
from accelsim.report.report import Body

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND_COLOURS = {
    "input": PALETTE["sky"],
    "output": PALETTE["orange"],
    "weight": PALETTE["grey"],
    "partial": PALETTE["pink"],
    "spill": PALETTE["red"],
}


def traffic(runs: Runs) -> Figure:
    """Bytes a frame that each layer moves off the chip, stacked by kind; a panel a run, all to one scale.

    The `MOST_LAYERS` layers that move most in any run have a bar each, the rest one together. Raises `InputError`
    where a run's machine describes no memories.
    """
    found = shown(runs)
    without = [run.label for run in found if run.body.traffic is None]
    if without:
        raise InputError(f"{', '.join(without)}: the machine describes no memories; there is no traffic to draw")
    moved = [_moved(run.body) for run in found]
    unit, name = (10**6, "MB") if largest(moved) > 10**6 else (10**3, "kB")
    titles = [f"{in_all(layers, unit)} {name}" for layers in moved]
    memories = dict.fromkeys(off_chip_name(run.body) for run in found)
    axis = f"read and written a frame, {', '.join(memories)} ({name})"
    return layer_bars(found, moved, KIND_COLOURS, unit, titles, axis)


def _moved(body: Body) -> Layers:
    """Bytes a frame off the chip by layer and kind."""
    layers: Layers = {}
    for row in off_chip_rows(body):
        kinds = layers.setdefault(row.layer, {})
        kinds[row.kind] = kinds.get(row.kind, 0) + row.read_bytes + row.written_bytes
    return layers
