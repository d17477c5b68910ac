"""Figures of a sweep's table: designs against two figures and their front; a figure along one axis or two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from accelsim.errors import InputError
from accelsim.report.plots.drawing import CURVES, PALETTE, by_ratios, finish, panels_of, short, styled, thousands
from accelsim.sweeps.pareto import NETWORK, pareto_front
from accelsim.sweeps.table import POINT, SPEED
from accelsim.yaml_file import suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = (6.4, 4.2)
#: Designs drawn at most, evenly picked; the front is always drawn whole.
MOST_DRAWN = 20_000
#: Lines that can be told apart, and the ratio of ends from which an axis is drawn by ratios.
MOST_LINES = len(CURVES)
WIDE_RATIO = 16


def pareto(table: pl.DataFrame, objectives: Mapping[str, str], title: str = "") -> Figure:
    """Every design of a sweep's table against the first two of `objectives`, and the front of each network.

    A front goes in steps: up to the next of its designs, what the one before reaches is the best there is.

    `objectives` says of columns whether to "minimise" or "maximise" them. Raises `InputError` where there are fewer
    than two, where one is no column of numbers, or where no design has both.
    """
    _check_table(table)
    if len(objectives) < 2:
        raise InputError("a Pareto plot needs two objectives; name them in the study, or give --x and --y")
    (x, direction), (y, _) = wanted = list(objectives.items())[:2]
    front = pareto_front(table, dict(wanted), NETWORK)
    if front.is_empty():
        raise InputError(f"no design has both {x} and {y}")
    drawn = table.drop_nulls([x, y]).gather_every(max(1, table.height // MOST_DRAWN))
    until: Literal["post", "pre"] = "post" if direction == "minimise" else "pre"
    with styled():
        figure, (panel,) = panels_of(1, SIZE, sharex=False)
        designs = f"designs ({table.height:,})"
        panel.scatter(drawn[x], drawn[y], s=9, color=PALETTE["grey"], label=designs, rasterized=True)
        for (colour, dash), (label, rows) in zip(cycle(CURVES), _fronts(front), strict=False):
            line = rows.sort(x)
            panel.step(line[x], line[y], dash, where=until, marker="o", ms=4, lw=1, color=colour, label=short(label))
        _scaled(panel, drawn, x, y)
        finish(figure, [panel], [title or f"{y} against {x}"])
    return figure


def _fronts(front: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """What the front of each network is called, and its rows."""
    parts = front.partition_by(NETWORK, maintain_order=True) if NETWORK[0] in front.columns else [front]
    if len(parts) == 1:
        return [(f"front ({front.height:,})", front)]
    return [(f"{part[NETWORK[0]][0]} ({part.height:,})", part) for part in parts]


def axis(
    table: pl.DataFrame, x: str | None = None, y: str | None = None, by: str | None = None, title: str = ""
) -> Figure:
    """A figure of a sweep's table along an axis, a line for each value of another.

    Where further axes vary, each line is drawn through the means, with the span of all designs around it. Names left
    out are the first axis of numbers, the first figure, and the axis of fewest values that varies else.
    Raises `InputError` for a name that is no column, and for more values than lines can be told apart.
    """
    _check_table(table)
    varied = axes_of(table)
    x = _chosen(table, x, [name for name in varied if table[name].dtype.is_numeric()], "axis of numbers that varies")
    y = _chosen(table, y, figures_of(table), "figure")
    others = [name for name in varied if name != x]
    by = min(others, key=lambda name: table[name].n_unique(), default=None) if by is None else by
    lines = _lines(table.drop_nulls([x, y]), by)
    with styled():
        figure, (panel,) = panels_of(1, SIZE, sharex=False)
        for (colour, dash), (label, rows) in zip(CURVES, lines, strict=False):
            of_x = (
                rows.group_by(x)
                .agg(pl.col(y).mean().alias("mean"), pl.col(y).min().alias("low"), pl.col(y).max().alias("high"))
                .sort(x)
            )
            panel.plot(of_x[x], of_x["mean"], dash, marker="o", ms=3, color=colour, label=short(label))
            panel.fill_between(of_x[x], of_x["low"], of_x["high"], color=colour, alpha=0.15, linewidth=0)
        _scaled(panel, table.drop_nulls([x, y]), x, y)
        rest = [name for name in others if name != by]
        over = f"; means and spans over {', '.join(rest)}" if rest else ""
        finish(figure, [panel], [(title or f"{y} along {x}") + over])
    return figure


def _check_table(table: pl.DataFrame) -> None:
    if not isinstance(table, pl.DataFrame) or SPEED not in table.columns:
        what = "table" if isinstance(table, pl.DataFrame) else type(table).__name__
        raise InputError(f"this {what} is not one of a sweep; sweep and search give one")


def axes_of(table: pl.DataFrame) -> list[str]:
    """Axes of a table that have several values."""
    names = table.columns[: table.columns.index(SPEED)]
    return [name for name in names if name != POINT and table[name].n_unique() > 1]


def figures_of(table: pl.DataFrame) -> list[str]:
    """Figures of a table, but for its errors."""
    found = table.columns[table.columns.index(SPEED) + 1 :]
    numbers = [name for name in found if table[name].dtype.is_numeric()]
    return [name for name in numbers if table[name].null_count() < table.height]


def _chosen(table: pl.DataFrame, name: str | None, known: Sequence[str], what: str) -> str:
    if name is not None:
        if name not in table.columns or not table[name].dtype.is_numeric():
            raise InputError(f"{name} is no column of numbers{suggestion(name, list(known))}")
        return name
    if not known:
        raise InputError(f"the table has no {what}")
    return known[0]


def _lines(table: pl.DataFrame, by: str | None) -> list[tuple[str, pl.DataFrame]]:
    """What each line is called, and its rows."""
    if by is None:
        return [("all designs", table)]
    if by not in table.columns:
        raise InputError(f"{by} is no column{suggestion(by, axes_of(table))}")
    values = table[by].unique(maintain_order=True).to_list()
    if len(values) > MOST_LINES:
        raise InputError(
            f"{by} has {len(values):,} values, more than lines can be told apart ({MOST_LINES}); give --by"
        )
    return [(f"{by} = {_text(value)}", table.filter(pl.col(by).eq_missing(value))) for value in values]


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _scaled(panel: Axes, table: pl.DataFrame, x: str, y: str) -> None:
    """Names, thousands, and ratios where ends are far apart."""
    sides: tuple[tuple[str, Axis, Literal["x", "y"]], ...] = ((x, panel.xaxis, "x"), (y, panel.yaxis, "y"))
    for name, axis, side in sides:
        low, high = table[name].cast(pl.Float64).min(), table[name].cast(pl.Float64).max()
        assert isinstance(low, float)
        assert isinstance(high, float)
        if low > 0 and high / low >= WIDE_RATIO:
            by_ratios(panel, side)
        else:
            axis.set_major_formatter(thousands)
        axis.set_label_text(short(name))
    panel.grid(True)
