"""The single figures that text shows of a report, as one table: name, unit, value and remark."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from accelsim.report.report import Body, BufferRow
from accelsim.report.tables import quantity

Value = float | str | None


def _no_remark(body: Body) -> str:
    return ""


class Fact(NamedTuple):
    """A figure; `unit` "%" stands for a share, which is shown times 100."""

    name: str
    unit: str
    value: Callable[[Body], Value]
    remark: Callable[[Body], str] = _no_remark

    def text(self, body: Body) -> str:
        """The value alone, as it is shown."""
        return value_text(self.value(body), self.unit)


class Section(NamedTuple):
    title: str
    facts: tuple[Fact, ...]


def value_text(value: Value, unit: str = "") -> str:
    """A value as it is shown: shares in percent, "-" where there is none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{100 * value:.1f}" if unit == "%" else quantity(value)


def critical_text(body: Body) -> str:
    """What sets the pace, in a few words."""
    critical = body.critical
    if critical is None:
        return "not known" if body.throughput.steady else "not known: no steady state"
    if critical.kind == "source":
        return "the source's pace"
    if critical.kind == "stage":
        return critical.stages[0]
    return f"a cycle through {len(critical.edges)} buffers"


def frames_waiting(row: BufferRow) -> float:
    """Most of a tensor that waits on an edge, in frames."""
    return row.peak_elements / row.frame_elements


def _longest(body: Body, role: str) -> BufferRow | None:
    rows = [row for row in body.buffers if row.role == role]
    return max(rows, key=frames_waiting, default=None)


def _longest_frames(role: str) -> Callable[[Body], Value]:
    def value(body: Body) -> Value:
        row = _longest(body, role)
        return None if row is None else frames_waiting(row)

    return value


def _longest_edge(role: str) -> Callable[[Body], str]:
    def remark(body: Body) -> str:
        row = _longest(body, role)
        return "no such edge" if row is None else f"on {row.edge}"

    return remark


def _waiting(field: str) -> Callable[[Body], Value]:
    def value(body: Body) -> Value:
        cycles = [getattr(stage, field) for stage in body.stages]
        return None if None in cycles else float(sum(cycles))

    return value


def _milliseconds(cycles: float | None, body: Body) -> str:
    return "" if cycles is None else f"= {quantity(1000 * cycles / body.clock_hz)} ms"


THROUGHPUT = Section(
    "Throughput",
    (
        Fact(
            "interval",
            "cycles",
            lambda b: b.throughput.interval_cycles,
            lambda b: f"between frames; least possible {quantity(b.throughput.interval_bound_cycles)}",
        ),
        Fact(
            "frames a second",
            "",
            lambda b: b.throughput.frames_per_second,
            lambda b: f"at {quantity(b.clock_hz / 10**6)} MHz",
        ),
        Fact("what sets the pace", "", critical_text),
        Fact("busiest stage", "", lambda b: b.throughput.bottleneck),
        Fact(
            "multipliers in use",
            "%",
            lambda b: b.throughput.mac_utilisation,
            lambda b: f"of those allotted; {value_text(b.throughput.mac_utilisation_of_total, '%')} % of the machine's",
        ),
        Fact("idle: rounding", "%", lambda b: b.throughput.utilisation_loss.rounding, lambda b: "of the unrolling"),
        Fact(
            "idle: rate mismatch",
            "%",
            lambda b: b.throughput.utilisation_loss.rate_mismatch,
            lambda b: "a slower stage, or the source",
        ),
        Fact(
            "idle: stalls",
            "%",
            lambda b: b.throughput.utilisation_loss.stalls,
            lambda b: "buffers and dependencies on top of that",
        ),
    ),
)
LATENCY = Section(
    "Latency",
    (
        Fact(
            "steady state",
            "cycles",
            lambda b: b.throughput.latency_cycles,
            lambda b: _milliseconds(b.throughput.latency_cycles, b),
        ),
        Fact("first output", "cycles", lambda b: b.throughput.first_output_cycles),
        Fact(
            "a frame alone",
            "cycles",
            lambda b: b.throughput.idle_latency_cycles,
            lambda b: _milliseconds(b.throughput.idle_latency_cycles, b),
        ),
        Fact("least possible", "cycles", lambda b: b.throughput.latency_bound_cycles, lambda b: "by a closed form"),
        Fact("frames in flight", "", lambda b: b.throughput.frames_in_flight, lambda b: "latency / interval"),
    ),
)
ATTENTION = Section(
    "Squeeze-excite buffering by the tiled squeeze-excite paper's accounting (static, not simulated)",
    (
        Fact(
            "gate",
            "elements",
            lambda b: b.attention_buffering.gate_elements,
            lambda b: f"in {len(b.attention_buffering.blocks)} blocks",
        ),
        Fact("skip", "elements", lambda b: b.attention_buffering.skip_elements),
        Fact("total", "elements", lambda b: b.attention_buffering.total_elements),
    ),
)
WAITING = Section(
    "Waiting",
    (
        Fact("longest at a gate", "frames", _longest_frames("gate"), _longest_edge("gate")),
        Fact("longest at a skip", "frames", _longest_frames("skip"), _longest_edge("skip")),
        Fact("longest in a pyramid", "frames", _longest_frames("pyramid"), _longest_edge("pyramid")),
        Fact("for input", "cycles", _waiting("waiting_input_cycles"), lambda b: "a frame, summed over stages"),
        Fact("for space", "cycles", _waiting("waiting_space_cycles")),
        Fact("for the source", "cycles", _waiting("waiting_source_cycles")),
    ),
)
WORK = Section(
    "Work a frame",
    (
        Fact("MACs", "", lambda b: b.work.macs),
        Fact("of these, excitation", "", lambda b: b.work.excitation_macs),
        Fact("parameters", "", lambda b: b.work.parameters),
        Fact("multipliers allotted", "", lambda b: sum(segment.multipliers for segment in b.segments)),
    ),
)
