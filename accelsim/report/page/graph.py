"""The pipeline as a picture: stages from the source down, with the buffers between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from math import log2
from xml.etree.ElementTree import Element

from accelsim.report.facts import frames_waiting
from accelsim.report.page.elements import tag
from accelsim.report.page.layout import STAGE_WIDTH, Layout, layered
from accelsim.report.page.sizes import size_text
from accelsim.report.plots.buffers import ROLE_COLOURS
from accelsim.report.report import Body, BufferRow, StageRow
from accelsim.report.tables import quantity
from accelsim.report.text import ROLE_MEANINGS

#: Buffers whose size is written beside them, the largest ones.
MOST_LABELS = 30
#: Stages at most that are drawn.
MOST_STAGES = 5000
RANK_HEIGHT, STAGE_HEIGHT, MARGIN = 58.0, 26.0, 12.0
BOX_WIDTH = STAGE_WIDTH - 16
LONGEST_NAME = 28
THINNEST, THICKEST = 1.0, 9.0
DECIMALS = 1


def graph(body: Body, label: str) -> Element:
    """The graph of a run as SVG, in a box that it can be moved in. Raises `InputError` where edges form a circle."""
    stages = {row.stage: row for row in body.stages}
    ends = (end for row in body.buffers for end in (row.producer, row.consumer))
    names = list(dict.fromkeys([*stages, *ends]))
    if len(names) > MOST_STAGES:
        return tag("p", f"{len(names):,} stages; only networks of up to {MOST_STAGES:,} are drawn.", class_="note")
    layout = layered(names, [(row.producer, row.consumer) for row in body.buffers])
    drawing = _drawing(body, layout, stages, label)
    return tag("div", drawing, class_="canvas", tabindex="0")


def _drawing(body: Body, layout: Layout, stages: dict[str, StageRow], label: str) -> Element:
    wide = layout.width + STAGE_WIDTH + 2 * MARGIN
    high = layout.ranks * RANK_HEIGHT + 2 * MARGIN
    largest = sorted(body.buffers, key=lambda row: (-row.peak_bytes, row.edge))
    shown = {row.edge for row in largest[:MOST_LABELS] if row.peak_bytes}
    top = max((row.peak_bytes for row in body.buffers), default=1)
    paths = [_points(layout, row, bends) for row, bends in zip(body.buffers, layout.bends, strict=True)]
    drawn = sorted(zip(body.buffers, paths, strict=True), key=lambda pair: pair[0].peak_bytes)
    boxes = (_stage(name, place, stages.get(name), body) for name, place in layout.places.items())
    labels = (label for row, path in drawn if row.edge in shown for label in _labels(row, path))
    return tag(
        "svg",
        tag("g", *(_edge(row, path, top) for row, path in drawn), class_="edges"),
        tag("g", *boxes, class_="stages"),
        tag("g", *labels, class_="sizes"),
        class_="graph", viewBox=f"0 0 {_short(wide)} {_short(high)}", width=_short(wide), height=_short(high),
        role="img", aria_label=f"{label}: stages and the buffers between them",
    )  # fmt: skip


def _points(layout: Layout, row: BufferRow, bends: Sequence[tuple[float, int]]) -> list[tuple[float, float]]:
    """Where an edge goes: from below its producer, by every rank that it passes, to above its consumer."""
    (from_x, from_rank), (to_x, to_rank) = layout.places[row.producer], layout.places[row.consumer]
    start = _across(from_x), _down(from_rank) + STAGE_HEIGHT / 2
    end = _across(to_x), _down(to_rank) - STAGE_HEIGHT / 2
    passed = [(_across(x), _down(rank)) for x, rank in bends]
    return [start, *passed, end]


def _across(place: float) -> float:
    return place + STAGE_WIDTH / 2 + MARGIN


def _down(rank: int) -> float:
    return (rank + 0.5) * RANK_HEIGHT + MARGIN


def _edge(row: BufferRow, path: Sequence[tuple[float, float]], top: int) -> Element:
    """A line as thick as the logarithm of what the buffer holds, in the colour of its role."""
    share = log2(1 + row.peak_bytes) / log2(1 + max(top, 1))
    thickness = THINNEST + (THICKEST - THINNEST) * share**4
    return tag(
        "path", tag("title", _told(row)), d=_curve(path), stroke=ROLE_COLOURS[row.role],
        stroke_width=_short(thickness), data_role=row.role, data_edge=row.edge,
    )  # fmt: skip


def _curve(path: Sequence[tuple[float, float]]) -> str:
    """A smooth way down through points; straight where these are below each other."""
    parts = [f"M{_short(path[0][0])} {_short(path[0][1])}"]
    for (x, y), (to_x, to_y) in itertools.pairwise(path):
        middle = _short((y + to_y) / 2)
        straight = _short(x) == _short(to_x)
        down = f"V{_short(to_y)}"
        if straight and parts[-1].startswith("V"):
            parts[-1] = down
        else:
            parts.append(
                down if straight else f"C{_short(x)} {middle} {_short(to_x)} {middle} {_short(to_x)} {_short(to_y)}"
            )
    return "".join(parts)


def _short(value: float) -> str:
    return f"{value:.{DECIMALS}f}".removesuffix(".0")


def _told(row: BufferRow) -> str:
    """What a buffer is, in the words of the report."""
    return (
        f"{row.edge}: {row.role}, {ROLE_MEANINGS[row.role]}; {size_text(row.peak_bytes)} at its peak, "
        f"{quantity(frames_waiting(row))} frames of {row.tensor}"
    )


def _labels(row: BufferRow, path: Sequence[tuple[float, float]]) -> Iterable[Element]:
    """The size of a buffer, beside its way: in the middle of a short one, at both ends of a long one."""
    (x, y), (to_x, to_y) = path[0], path[-1]
    ends = (path[1], path[-2]) if len(path) > 2 else (((x + to_x) / 2, (y + to_y) / 2),)
    for place_x, place_y in dict.fromkeys(ends):
        told = size_text(row.peak_bytes)
        yield tag("text", told, x=_short(place_x + 8), y=_short(place_y + 4), data_role=row.role)


def _stage(name: str, place: tuple[float, int], row: StageRow | None, body: Body) -> Element:
    x, y = _across(place[0]), _down(place[1])
    is_slowest = name == body.throughput.bottleneck
    return tag(
        "g",
        tag("title", "; ".join(_facts(name, row, is_slowest))),
        tag("rect", x=_short(x - BOX_WIDTH / 2), y=_short(y - STAGE_HEIGHT / 2), width=_short(BOX_WIDTH),
            height=_short(STAGE_HEIGHT), rx="4"),
        tag("text", _shortened(name), x=_short(x), y=_short(y + 4)),
        class_="stage slowest" if is_slowest else "stage", data_stage=name, tabindex="0",
    )  # fmt: skip


def _facts(name: str, row: StageRow | None, is_slowest: bool) -> Iterable[str]:
    yield f"{name}, the busiest stage" if is_slowest else name
    if row is not None:
        yield f"{row.kind}, {row.output}"
        yield f"busy {quantity(row.busy_cycles)} cycles a frame"
        if row.multipliers:
            yield f"{row.multipliers:,} multipliers, {row.macs:,} MACs"


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
