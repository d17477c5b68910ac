"""The single figures that text shows of a report, as one table: name, unit, value and remark."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import ceil
from typing import NamedTuple, get_args

from accelsim.mapping.transfer import TrafficKind
from accelsim.report.report import Body, BufferRow, Segment, StageRow, TrafficRow
from accelsim.report.tables import quantity

Value = float | str | None

MB = 10**6

#: A bound so many times below says nothing.
LEAST_KNOWN = 1000

TRAFFIC_KINDS: tuple[str, ...] = get_args(TrafficKind)
ACTIVATION_KINDS = tuple(kind for kind in TRAFFIC_KINDS if kind != "weight")


def _no_remark(body: Body) -> str:
    return ""


def _always(body: Body) -> bool:
    return True


class Fact(NamedTuple):
    """A figure; `unit` "%" stands for a share, which is shown times 100. It is left out where it says nothing."""

    name: str
    unit: str
    value: Callable[[Body], Value]
    remark: Callable[[Body], str] = _no_remark
    applies: Callable[[Body], bool] = _always

    def text(self, body: Body) -> str:
        """The value alone, as it is shown."""
        return value_text(self.value(body), self.unit)


class Section(NamedTuple):
    title: str
    facts: tuple[Fact, ...]

    def of(self, bodies: Sequence[Body]) -> list[Fact]:
        """The facts that say something of any of the reports."""
        return [fact for fact in self.facts if any(fact.applies(body) for body in bodies)]


def takes_turns(body: Body) -> bool:
    """Whether segments take turns on the engine, rather than one pipeline being there for ever."""
    return any(segment.cycles is not None for segment in body.segments)


def _is_pipeline(body: Body) -> bool:
    return not takes_turns(body)


def _has_attention(body: Body) -> bool:
    return bool(body.attention_buffering.blocks)


def _shares_ports(body: Body) -> bool:
    return any(stage.port is not None for stage in body.stages)


def _remark(pipeline: str, turns: str) -> Callable[[Body], str]:
    """A remark that is another where segments take turns."""
    return lambda body: turns if takes_turns(body) else pipeline


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


def own_waiting_cycles(stage: StageRow) -> float | None:
    """Cycles a frame that a stage waits for input while it is on the engine."""
    return None if stage.waiting_input_cycles is None else stage.waiting_input_cycles - stage.waiting_turn_cycles


def _waiting_own(body: Body) -> Value:
    cycles = [own_waiting_cycles(stage) for stage in body.stages]
    return None if None in cycles else float(sum(c for c in cycles if c is not None))


def _in_pipeline(value: Callable[[Body], Value]) -> Callable[[Body], Value]:
    """A figure that is None where segments take turns."""
    return lambda body: None if takes_turns(body) else value(body)


def _in_turns(value: Callable[[Body], Value]) -> Callable[[Body], Value]:
    """A figure that is None where nothing takes turns."""
    return lambda body: value(body) if takes_turns(body) else None


def segment_title(segment: Segment) -> str:
    """A segment by its layers."""
    return segment.name.removeprefix("segment ")


def slowest_in(segment: Segment) -> str:
    """What has most to do in a segment, without saying of which."""
    return segment.slowest.removesuffix(f" for {segment_title(segment)}")


def longest_turns(body: Body) -> list[Segment]:
    """The segments that take turns, those that take longest first."""
    return sorted((s for s in body.segments if s.cycles is not None), key=lambda s: (-(s.cycles or 0), s.name))


def turn_share(segment: Segment, body: Body) -> float:
    """Share of all turns' cycles."""
    total = sum(other.cycles or 0 for other in body.segments)
    return (segment.cycles or 0) / total if total else 0.0


def _longest_turn(body: Body) -> Value:
    longest = longest_turns(body)[0]
    share = value_text(turn_share(longest, body), "%")
    return f"{segment_title(longest)}: {share} % of the cycles, slowest in it {slowest_in(longest)}"


def _over_turns(field: str) -> Callable[[Body], Value]:
    return _in_turns(lambda body: sum(getattr(segment, field) or 0 for segment in body.segments))


def _choice_text(body: Body) -> Value:
    """How good the cuts are; a gap is rounded up, so that what is said is true."""
    choice = body.choice
    if choice is None:
        return None
    told = f"fewest {choice.objective} ({quantity(choice.value)})"
    if choice.exact or choice.value <= choice.bound:
        return f"{told}: optimal, none is better under the same tiles"
    if choice.value > LEAST_KNOWN * choice.bound:
        return f"{told}: how far from the best is not known"
    return f"{told}: within {ceil(1000 * (choice.value / choice.bound - 1)) / 10:,.1f} % of any choice"


def _has_memories(body: Body) -> bool:
    return body.memories is not None


def off_chip_rows(body: Body) -> list[TrafficRow]:
    """What passes the last memory."""
    off_chip = {name for name, row in (body.memories or {}).items() if row.off_chip}
    return [row for row in body.traffic or () if row.memory in off_chip]


def off_chip_name(body: Body) -> str:
    """The last memory."""
    return ", ".join(name for name, row in (body.memories or {}).items() if row.off_chip)


def _off_chip_mb(kinds: Collection[str] = TRAFFIC_KINDS) -> Callable[[Body], Value]:
    """Megabytes a frame of `kinds`, read or written; None where memory is not modelled."""

    def value(body: Body) -> Value:
        if body.traffic is None:
            return None
        return sum(row.read_bytes + row.written_bytes for row in off_chip_rows(body) if row.kind in kinds) / MB

    return value


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
            lambda b: f"at {quantity(b.clock_hz / MB)} MHz",
        ),
        Fact("what sets the pace", "", _in_pipeline(critical_text), applies=_is_pipeline),
        Fact("busiest stage", "", _in_pipeline(lambda b: b.throughput.bottleneck), applies=_is_pipeline),
        Fact("longest turn", "", _in_turns(_longest_turn), applies=takes_turns),
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
            _remark("a slower stage, or the source", "a slower stage of the segment, or moving its data"),
        ),
        Fact(
            "idle: stalls",
            "%",
            lambda b: b.throughput.utilisation_loss.stalls,
            _remark("buffers and dependencies on top of that", "filling and draining, a port, and waiting for weights"),
        ),
    ),
)
TURNS = Section(
    "Turns on the engine",
    (
        Fact("segments", "", lambda b: len(b.segments), lambda b: "one after the other", takes_turns),
        Fact("frames a visit", "", _in_turns(lambda b: b.segments[0].frames), lambda b: "before the next", takes_turns),
        Fact(
            "waiting for weights", "cycles", _over_turns("load_cycles"), lambda b: "with nothing running", takes_turns
        ),
        Fact("setting up", "cycles", _over_turns("setup_cycles"), lambda b: "all segments", takes_turns),
        Fact("choice of segments", "", _choice_text, applies=lambda b: b.choice is not None),
    ),
)
LATENCY = Section(
    "Latency",
    (
        Fact(
            "steady state",
            "cycles",
            _in_pipeline(lambda b: b.throughput.latency_cycles),
            lambda b: _milliseconds(b.throughput.latency_cycles, b),
            _is_pipeline,
        ),
        Fact(
            "a round of all turns",
            "cycles",
            _in_turns(lambda b: b.throughput.latency_cycles),
            lambda b: _milliseconds(b.throughput.latency_cycles, b),
            takes_turns,
        ),
        Fact("first output", "cycles", lambda b: b.throughput.first_output_cycles),
        Fact(
            "a frame alone",
            "cycles",
            lambda b: b.throughput.idle_latency_cycles,
            lambda b: _milliseconds(b.throughput.idle_latency_cycles, b),
        ),
        Fact("least possible", "cycles", lambda b: b.throughput.latency_bound_cycles, lambda b: "by a closed form"),
        Fact("frames in flight", "", lambda b: b.throughput.frames_in_flight, _remark("latency / interval", "a visit")),
    ),
)
OFF_CHIP = Section(
    "Traffic off the chip, a frame",
    (
        Fact("in all", "MB", _off_chip_mb(), lambda b: f"read and written, {off_chip_name(b)}", _has_memories),
        Fact("without weights", "MB", _off_chip_mb(ACTIVATION_KINDS), applies=_has_memories),
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
            _has_attention,
        ),
        Fact("skip", "elements", lambda b: b.attention_buffering.skip_elements, applies=_has_attention),
        Fact("total", "elements", lambda b: b.attention_buffering.total_elements, applies=_has_attention),
    ),
)
WAITING = Section(
    "Waiting",
    (
        Fact("longest at a gate", "frames", _in_pipeline(_longest_frames("gate")), _longest_edge("gate"), _is_pipeline),
        Fact("longest at a skip", "frames", _in_pipeline(_longest_frames("skip")), _longest_edge("skip"), _is_pipeline),
        Fact(
            "longest in a pyramid",
            "frames",
            _in_pipeline(_longest_frames("pyramid")),
            _longest_edge("pyramid"),
            _is_pipeline,
        ),
        Fact(
            "for input",
            "cycles",
            _waiting_own,
            _remark("a frame, summed over stages", "a frame, summed over stages that are on the engine"),
        ),
        Fact("for space", "cycles", _waiting("waiting_space_cycles")),
        Fact("for a port", "cycles", _waiting("waiting_port_cycles"), applies=_shares_ports),
        Fact("for the source", "cycles", _in_pipeline(_waiting("waiting_source_cycles")), applies=_is_pipeline),
    ),
)
WORK = Section(
    "Work a frame",
    (
        Fact("MACs", "", lambda b: b.work.macs),
        Fact("of these, excitation", "", lambda b: b.work.excitation_macs),
        Fact("parameters", "", lambda b: b.work.parameters),
        Fact(
            "multipliers allotted",
            "",
            lambda b: max(segment.multipliers for segment in b.segments),
            _remark("", "to the segment with most"),
        ),
    ),
)
