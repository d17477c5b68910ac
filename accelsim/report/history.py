"""What stages do and buffers hold over time, in few enough spans to draw and to keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

    from accelsim.mapping.design import Design
    from accelsim.timing.timeline import Level, Spans

Ints = NDArray[np.int64]

#: Spans at most into which the time of a stage is cut, and changes at most that are kept of an edge.
MOST_SPANS, MOST_CHANGES = 240, 2000
#: What a stage does, in the order of `timing.timeline.STATES`.
STATES = ("waiting_input", "waiting_space", "waiting_port", "waiting_source", "busy")
BUSY = "busy"


class Held(NamedTuple):
    """Elements that an edge holds, int64[n], from each of `cycles` on, int64[n].

    Of an edge with more changes than `MOST_CHANGES` it is the most that is held in each of as many spans.
    """

    edge: str
    cycles: Ints
    elements: Ints


class Activity(NamedTuple):
    """Cycles that each stage spends in each of `STATES` between neighbouring `cycles`, int64[n + 1].

    `stages` has an int64[states, n] by name, in the order of the network; what is left of a span is not its turn.
    """

    cycles: Ints
    stages: dict[str, Ints]


class History(NamedTuple):
    """One period of a steady pipeline, one round of segments, or all of a run that is not steady."""

    held: tuple[Held, ...]
    activity: Activity


def history(
    design: Design, granularity: str | None, source: str | None, frames: int | None, most_firings: int | None = None
) -> History:
    """Simulates `design` for what it does over time; arguments and errors are those of `timing.timeline.timeline`."""
    from accelsim.timing.timeline import timeline

    found = timeline(design, granularity, source, frames, most_firings)
    cycles = np.unique(np.linspace(0, found.cycles, MOST_SPANS + 1).astype(np.int64))
    stages = {name: _spent(spans, cycles) for name, spans in found.tracks.items()}
    return History(tuple(_held(level, found.cycles) for level in found.levels), Activity(cycles, stages))


def _spent(spans: Spans, cycles: Ints) -> Ints:
    """Cycles between neighbouring `cycles` that are spent in each state."""
    return np.stack([_spent_in(spans, state, cycles) for state in range(len(STATES))])


def _spent_in(spans: Spans, state: int, cycles: Ints) -> Ints:
    chosen = spans.state == state
    begin, end = spans.begin[chosen], spans.end[chosen]
    if not begin.size:
        return np.zeros(cycles.size - 1, np.int64)
    before = np.append(0, np.cumsum(end - begin))
    begun = np.searchsorted(begin, cycles, side="right")
    last_end = np.append(0, end)[begun]
    return np.diff(before[begun] - np.maximum(last_end - cycles, 0))


def _held(level: Level, period: int) -> Held:
    if level.cycles.size <= MOST_CHANGES:
        return Held(level.edge, level.cycles, level.elements)
    spans = np.unique(np.linspace(0, period, MOST_CHANGES + 1).astype(np.int64))
    first = np.searchsorted(level.cycles, spans[:-1], side="right") - 1
    beyond = np.searchsorted(level.cycles, spans[1:], side="left")
    bounds = np.stack([first, beyond], axis=1).ravel()
    most = np.maximum.reduceat(np.append(level.elements, 0), bounds)[::2]
    return Held(level.edge, spans[:-1], most)


def occupancy_table(held: Sequence[Held]) -> pl.DataFrame:
    """A row an edge and change: `edge`, `cycle`, `elements`."""
    import polars as pl

    schema = {"edge": pl.String, "cycle": pl.Int64, "elements": pl.Int64}
    return pl.DataFrame(
        {
            "edge": [one.edge for one in held for _ in range(one.cycles.size)],
            "cycle": _joined(one.cycles for one in held),
            "elements": _joined(one.elements for one in held),
        },
        schema=schema,
    )


def activity_table(activity: Activity) -> pl.DataFrame:
    """A row a stage and span: `stage`, `begin_cycle`, `end_cycle`, and cycles in each of `STATES`."""
    import polars as pl

    cycles, stages = activity
    spans = cycles.size - 1
    columns: dict[str, Any] = {
        "stage": [name for name in stages for _ in range(spans)],
        "begin_cycle": np.tile(cycles[:-1], len(stages)),
        "end_cycle": np.tile(cycles[1:], len(stages)),
    }
    columns |= {
        f"{state}_cycles": _joined(spent[number] for spent in stages.values()) for number, state in enumerate(STATES)
    }
    return pl.DataFrame(columns, schema={name: pl.String if name == "stage" else pl.Int64 for name in columns})


def history_of(occupancy: pl.DataFrame, activity: pl.DataFrame) -> History:
    """What `occupancy_table` and `activity_table` made their rows of."""
    held = (
        Held(part["edge"][0], _whole(part["cycle"]), _whole(part["elements"]))
        for part in occupancy.partition_by("edge", maintain_order=True)
    )
    parts = activity.partition_by("stage", maintain_order=True)
    first = parts[0]
    cycles = np.append(_whole(first["begin_cycle"]), np.int64(first["end_cycle"][-1]))
    stages = {part["stage"][0]: np.stack([_whole(part[f"{state}_cycles"]) for state in STATES]) for part in parts}
    if any(spent.shape[1] != cycles.size - 1 for spent in stages.values()):
        raise ValueError("stages have different spans")
    return History(tuple(held), Activity(cycles, stages))


def _whole(column: pl.Series) -> Ints:
    return column.to_numpy().astype(np.int64)


def _joined(parts: Iterable[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])
