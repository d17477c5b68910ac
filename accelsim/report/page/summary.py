"""What a page begins with: the few figures that matter, what waits on what, and the largest buffers and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from accelsim.report.compare import Run, change
from accelsim.report.facts import (
    critical_text,
    frames_waiting,
    longest_turns,
    off_chip_rows,
    segment_title,
    takes_turns,
)
from accelsim.report.page.elements import Child, tag
from accelsim.report.page.sizes import size_text
from accelsim.report.plots.buffers import ROLE_COLOURS
from accelsim.report.report import Body, BufferRow, StageRow
from accelsim.report.tables import quantity
from accelsim.report.text import ROLE_MEANINGS, idle_multiplier_cycles

MOST_BUFFERS = 12
MOST_WAITING = 10

#: What a stage does with the cycles of a frame, with the colour of its part of the bar.
SPENDING = {
    "busy_cycles": ("busy", "#0072B2"),
    "waiting_input_cycles": ("waits for input", "#E69F00"),
    "waiting_space_cycles": ("waits for space", "#D55E00"),
    "waiting_port_cycles": ("waits for a port", "#CC79A7"),
    "waiting_source_cycles": ("waits for the source", "#dddddd"),
}


class Headline(NamedTuple):
    """A figure that matters: its value as a number where runs can be compared by it, and as it is read."""

    name: str
    value: Callable[[Body], float | None]
    text: Callable[[float], str]
    meaning: str


def _of(unit: str, scale: float = 1) -> Callable[[float], str]:
    return lambda value: f"{quantity(round(value / scale, 3))} {unit}".strip()


def _buffered(body: Body) -> float:
    return sum(row.peak_bytes for row in body.buffers)


def _off_chip(body: Body) -> float | None:
    if body.traffic is None:
        return None
    return sum(row.read_bytes + row.written_bytes for row in off_chip_rows(body))


HEADLINES = (
    Headline("throughput", lambda b: b.throughput.frames_per_second, _of("frames/s"), "clock / interval"),
    Headline("interval", lambda b: b.throughput.interval_cycles, _of("cycles"), "between frames"),
    Headline("latency", lambda b: b.throughput.latency_cycles, _of("cycles"), "first input to last output"),
    Headline("frames in flight", lambda b: b.throughput.frames_in_flight, _of(""), "latency / interval"),
    Headline("buffers", _buffered, lambda v: size_text(int(v)), "sum of the peaks of all edges"),
    Headline("off the chip", _off_chip, _of("MB", 10**6), "read and written a frame"),
    Headline("multipliers in use", lambda b: 100 * b.throughput.mac_utilisation, _of("%"), "of those allotted"),
    Headline("energy", lambda b: b.energy.total_pj if b.energy else None, _of("mJ", 10**9), "a frame"),
)  # fmt: skip


def headlines(runs: Sequence[Run]) -> Element:
    """A card a figure, in it a line a run; what follows the first run has its ratio to that."""
    cards = [_card(headline, runs) for headline in HEADLINES if any(headline.value(run.body) for run in runs)]
    return tag("div", *cards, class_="cards")


def _card(headline: Headline, runs: Sequence[Run]) -> Element:
    values = [headline.value(run.body) for run in runs]
    texts = ["not modelled or not known" if value is None else headline.text(value) for value in values]
    if len(runs) == 1:
        lines: list[Child] = [tag("p", texts[0], class_="figure")]
    else:
        lines = [
            tag("tr", tag("th", run.label), tag("td", text, class_="figure"), tag("td", _ratio(values[0], value)))
            for run, text, value in zip(runs, texts, values, strict=True)
        ]
        lines = [tag("table", *lines)]
    return tag("div", tag("h3", headline.name), *lines, tag("p", headline.meaning, class_="note"), class_="card")


def _ratio(first: float | None, value: float | None) -> str:
    ratio = None if first is value else change(first, value)
    return "" if ratio is None else f"x {quantity(round(ratio, 3))}"


def pace(run: Run) -> Element:
    """What sets the pace of a run, in a sentence, and the steps that prove it."""
    body = run.body
    if takes_turns(body):
        turn = longest_turns(body)[0]
        told = f"segments take turns; the longest is {segment_title(turn)}, {quantity(turn.cycles or 0)} cycles a visit"
        return tag("p", tag("b", "Pace: "), told)
    steps = body.critical.steps if body.critical else ()
    busiest = f"{critical_text(body)} (busiest stage: {body.throughput.bottleneck})"
    return tag("div", tag("p", tag("b", "The pace is set by "), busiest), tag("ul", *(tag("li", s) for s in steps[:8])))


def waiting(run: Run) -> Element:
    """A bar a stage, of those whose waiting idles most multipliers: what it does with the cycles of a frame."""
    rows = sorted(run.body.stages, key=lambda row: (-idle_multiplier_cycles(row), row.stage))[:MOST_WAITING]
    shown = [row for row in rows if idle_multiplier_cycles(row) > 0]
    if not shown:
        return tag("p", "No multiplier is known to wait: all are busy all the time, or there is no steady state.")
    keys = (tag("span", tag("i", style=f"background:{colour}"), name) for name, colour in SPENDING.values())
    heads = (tag("th", name) for name in ("stage", "multipliers", "cycles of a frame", "waits mostly"))
    lines = (tag("tr", *_spent(row)) for row in shown)
    return tag(
        "div", tag("p", *keys, class_="keys"),
        tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_="bars"),
    )  # fmt: skip


def _spent(row: StageRow) -> Iterable[Element]:
    spent = {field: getattr(row, field) or 0 for field in SPENDING}
    total = sum(spent.values()) or 1
    parts = (
        tag("i", style=f"width:{100 * cycles / total:.2f}%;background:{SPENDING[field][1]}",
            title=f"{SPENDING[field][0]}: {quantity(cycles)} cycles a frame")
        for field, cycles in spent.items() if cycles
    )  # fmt: skip
    blamed = row.waits_most_on
    yield tag("td", row.stage)
    yield tag("td", f"{row.multipliers:,}", class_="number")
    yield tag("td", tag("div", *parts, class_="bar"))
    yield tag("td", f"on {blamed}" if blamed else "on the source" if spent["waiting_source_cycles"] else "-")


def largest_buffers(run: Run) -> Element:
    """A bar an edge, of those that hold most, with the reason."""
    rows = sorted(run.body.buffers, key=lambda row: (-row.peak_bytes, row.edge))[:MOST_BUFFERS]
    top = max((row.peak_bytes for row in rows), default=0) or 1
    heads = (tag("th", name) for name in ("edge", "at its peak", "", "why"))
    lines = (tag("tr", *_held(row, top)) for row in rows if row.peak_bytes)
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), class_="bars")


def _held(row: BufferRow, top: int) -> Iterable[Element]:
    style = f"width:{100 * row.peak_bytes / top:.2f}%;background:{ROLE_COLOURS[row.role]}"
    waits = f"{quantity(frames_waiting(row))} frames of {row.tensor}"
    yield tag("td", row.edge)
    yield tag("td", size_text(row.peak_bytes), class_="number")
    yield tag("td", tag("div", tag("i", style=style), class_="bar"))
    yield tag("td", tag("b", row.role), f": {ROLE_MEANINGS[row.role]}; {waits}")
