"""Timelines as Chrome's trace events, which chrome://tracing and Perfetto open; a microsecond there is a cycle here.

The format is that of "Trace Event Format" (Duca and Sinclair, Google, 2016): complete events ("X") for what a stage
does, a thread each; counters ("C") for elements in buffers and bytes at ports; metadata ("M") with names and order.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from accelsim.errors import InputError
from accelsim.report.bandwidth import binned
from accelsim.timing.timeline import STATES, Level, Spans, Timeline

#: More than these no viewer opens with ease.
MOST_EVENTS = 10**6
#: Text of an event, about.
BYTES_AN_EVENT = 130
SUFFIXES = (".json", ".json.gz")
#: Groups of tracks ("processes").
STAGES, BUFFERS, PORTS = 1, 2, 3
GROUPS = {
    STAGES: "stages (1 us = 1 cycle)",
    BUFFERS: "buffers, elements held (1 us = 1 cycle)",
    PORTS: "memory ports, bytes a cycle (1 us = 1 cycle)",
}
#: The track of the engine's turns; those of stages follow.
ENGINE = 0

Event = dict[str, Any]


class TraceSize(NamedTuple):
    """How much a trace file holds: events, and about how many bytes before compression."""

    events: int
    text_bytes: int


class _Window(NamedTuple):
    begin: int
    end: int


def trace_size(timeline: Timeline, window: tuple[int, int] | None = None) -> TraceSize:
    """What `write_trace` would write. Raises `InputError` for a window that is not in the timeline."""
    cut = _window(timeline, window)
    spans = sum(int(_inside(one.begin, one.end, cut).sum()) for one in timeline.tracks.values())
    held = sum(_cut_level(level, cut)[0].size for level in timeline.levels)
    rates = sum(int(_inside(one.cycles[:-1], one.cycles[1:], cut).sum()) + 1 for one in binned(timeline.passed))
    names = len(GROUPS) + 2 * (len(timeline.tracks) + bool(timeline.visited))
    events = spans + held + rates + names + len(timeline.visited)
    return TraceSize(events, events * BYTES_AN_EVENT)


def write_trace(timeline: Timeline, path: str | Path, window: tuple[int, int] | None = None) -> TraceSize:
    """Writes the trace events of `timeline`, or of a window of its cycles; the same timeline gives the same bytes.

    `path` ends in .json.gz, which is compressed, or .json. Raises `InputError` for other names, and where there are
    more than `MOST_EVENTS`.
    """
    target = Path(path)
    if not target.name.lower().endswith(SUFFIXES):
        raise InputError(f"{target}: a trace's file ends in {' or '.join(SUFFIXES)}")
    size = trace_size(timeline, window)
    if size.events > MOST_EVENTS:
        raise InputError(_too_large(timeline, size))
    cut = _window(timeline, window)
    text = json.dumps(_trace(timeline, cut), separators=(",", ":"), allow_nan=False).encode()
    target.write_bytes(gzip.compress(text, mtime=0) if target.name.lower().endswith(".gz") else text)
    return size


def _too_large(timeline: Timeline, size: TraceSize) -> str:
    return (
        f"the trace of {timeline.design.network.name} would have {size.events:,} events, about "
        f"{size.text_bytes / 10**6:,.0f} MB; the most is {MOST_EVENTS:,}: take a window of its {timeline.cycles:,} "
        "cycles, fewer frames, or rows as tokens"
    )


def _window(timeline: Timeline, window: tuple[int, int] | None) -> _Window:
    begin, end = window or (0, timeline.cycles)
    if not 0 <= begin < end <= timeline.cycles:
        raise InputError(
            f"window {begin:,}:{end:,} is not in cycles 0:{timeline.cycles:,} of {timeline.design.network.name}"
        )
    return _Window(begin, end)


def _inside(begin: Any, end: Any, cut: _Window) -> Any:
    return (begin < cut.end) & (end > cut.begin)


def _trace(timeline: Timeline, cut: _Window) -> dict[str, Any]:
    machine = timeline.design.accelerator
    said = {
        "time": "1 us is 1 cycle",
        "network": timeline.design.network.name,
        "accelerator": machine.name,
        "clock_hz": machine.clock_hz,
        "granularity": timeline.granularity,
        "cycles": timeline.cycles,
        "repeats": timeline.repeats,
        "frames": timeline.frames,
    }
    events = [*_slices(timeline, cut), *_counters(timeline, cut)]
    events.sort(key=lambda event: (event["ts"], event["pid"], event["tid"]))
    return {"displayTimeUnit": "ms", "otherData": said, "traceEvents": [*_names(timeline), *events]}


def _names(timeline: Timeline) -> Iterable[Event]:
    for group, name in GROUPS.items():
        yield _metadata("process_name", group, 0, name=name)
    tracks = ([(ENGINE, "engine")] if timeline.visited else []) + list(enumerate(timeline.tracks, ENGINE + 1))
    for number, name in tracks:
        yield _metadata("thread_name", STAGES, number, name=name)
        yield _metadata("thread_sort_index", STAGES, number, sort_index=number)


def _metadata(kind: str, group: int, track: int, **said: Any) -> Event:
    return {"name": kind, "ph": "M", "ts": 0, "pid": group, "tid": track, "args": said}


def _slices(timeline: Timeline, cut: _Window) -> Iterable[Event]:
    for name, begin, end in timeline.visited:
        if _inside(begin, end, cut):
            yield _slice(name, "turn", ENGINE, max(begin, cut.begin), min(end, cut.end), {})
    edges = [level.edge for level in timeline.levels]
    for number, spans in enumerate(timeline.tracks.values(), ENGINE + 1):
        yield from _of_stage(number, spans, edges, cut)


def _of_stage(number: int, spans: Spans, edges: list[str], cut: _Window) -> Iterable[Event]:
    chosen = _inside(spans.begin, spans.end, cut)
    begins, ends = np.maximum(spans.begin[chosen], cut.begin), np.minimum(spans.end[chosen], cut.end)
    columns = (begins, ends, *(column[chosen] for column in spans[2:]))
    for begin, end, state, edge, frame, token in zip(*(column.tolist() for column in columns), strict=True):
        said = {"frame": frame, "token": token} | ({"edge": edges[edge]} if edge >= 0 else {})
        yield _slice(STATES[state], "stage", number, begin, end, said)


def _slice(name: str, category: str, track: int, begin: int, end: int, said: Event) -> Event:
    return {
        "name": name, "cat": category, "ph": "X", "ts": begin, "dur": end - begin, "pid": STAGES, "tid": track,
        "args": said,
    }  # fmt: skip


def _counters(timeline: Timeline, cut: _Window) -> Iterable[Event]:
    for level in timeline.levels:
        for cycle, held in zip(*(column.tolist() for column in _cut_level(level, cut)), strict=True):
            yield _counter(level.edge, BUFFERS, cycle, {"elements": held})
    for rates in binned(timeline.passed):
        chosen = _inside(rates.cycles[:-1], rates.cycles[1:], cut)
        begins, passing = np.maximum(rates.cycles[:-1][chosen], cut.begin), rates.bytes_per_cycle[chosen]
        for cycle, rate in zip(begins.tolist(), passing.tolist(), strict=True):
            yield _counter(rates.memory, PORTS, cycle, {"bytes_per_cycle": rate})
        yield _counter(rates.memory, PORTS, cut.end, {"bytes_per_cycle": 0})


def _cut_level(level: Level, cut: _Window) -> tuple[Any, Any]:
    """Cycles and elements from the begin of the window on."""
    first = max(int(np.searchsorted(level.cycles, cut.begin, side="right")) - 1, 0)
    last = int(np.searchsorted(level.cycles, cut.end, side="left"))
    return np.maximum(level.cycles[first:last], cut.begin), level.elements[first:last]


def _counter(name: str, group: int, cycle: int, said: Event) -> Event:
    return {"name": name, "ph": "C", "ts": cycle, "pid": group, "tid": 0, "args": said}
