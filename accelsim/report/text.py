"""A report as text: the few figures that matter first, then buffers and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from accelsim.report.arrays import array_table
from accelsim.report.certificate_tables import certificate_tables
from accelsim.report.cost_tables import ENERGY
from accelsim.report.facts import (
    ATTENTION,
    LATENCY,
    OFF_CHIP,
    THROUGHPUT,
    TURNS,
    WAITING,
    WORK,
    Fact,
    Section,
    critical_text,
    frames_waiting,
    longest_turns,
    own_waiting_cycles,
    segment_title,
    slowest_in,
    takes_turns,
    turn_share,
    value_text,
)
from accelsim.report.memory_tables import memories_table, traffic_table
from accelsim.report.report import Body, BufferRow, RoleBuffering, Segment, StageRow
from accelsim.report.resource_tables import RESOURCES
from accelsim.report.statistics import idlest_table
from accelsim.report.tables import Table, facts_table, lines_table, plain, quantity
from accelsim.report.virtual_tables import VIRTUAL_MAPS, virtual_table

#: Rows of the tables that are cut short.
MOST_BUFFERS = 10
MOST_STAGES = 8
MOST_STEPS = 8
MOST_TURNS = 8

ROLE_MEANINGS = {
    "window": "kept for a sliding window",
    "gate": "waits for a factor made from its own averages",
    "skip": "the shorter way to a join",
    "pyramid": "a skip round layers of lower resolution",
    "stationary": "held operand of a product",
    "rate": "all else: producer and consumer differ in pace",
}

#: Measures of a role, with the heads of their columns.
ROLE_MEASURES = {
    "bound_elements": "bound",
    "one_frame_peak_elements": "one frame",
    "peak_elements": "steady",
    "simultaneous_peak_elements": "at once",
    "stored_elements": "stored",
    "peak_bytes": "steady, bytes",
}

MEASURE_MEANINGS = (
    "The design with a paced source and unbounded buffers, whatever its own. bound: the least each edge needs alone; "
    "one frame, steady: the most present on each edge; at once: the peak of the sum; stored: a tensor with several "
    "readers counted once, in the role of its fullest reader.",
)
TURNS_MEANINGS = (
    "Inside a segment: the fullest tile. What crosses from one segment to another lies whole in a memory, for all "
    "frames of a visit. bound: the least each edge needs alone; at once: in the fullest turn; stored: a tensor with "
    "several readers counted once.",
)
#: Measures that are the same where every buffer belongs to one visit.
OF_PIPELINES = ("one_frame_peak_elements",)


def report_text(body: Body) -> str:
    """The report in 100 columns of plain text."""
    return plain(report_tables(body))


def report_tables(body: Body) -> list[Table]:
    """All that text shows of a report, in order."""
    sections = (THROUGHPUT, TURNS, LATENCY, OFF_CHIP, ENERGY, RESOURCES, VIRTUAL_MAPS, ATTENTION)
    tables = [lines_table(title_line(body), []), *_sections(sections, body)]
    parts = (_turns(body), array_table(body), memories_table(body), traffic_table(body), virtual_table(body))
    tables += [table for table in parts if table]
    tables += [_roles(body), *_sections((WAITING, WORK), body), _buffers(body), _stages(body)]
    tables += [table for table in (_ports(body), idlest_table(body.statistics or (), MOST_STAGES)) if table]
    if body.critical is not None and body.critical.kind == "buffers":
        tables.append(_critical(body))
    if body.certificate is not None:
        tables += certificate_tables(body.certificate)
    if body.warnings:
        tables.append(lines_table("Warnings", body.warnings))
    if body.not_modelled:
        tables.append(lines_table("Not modelled", [", ".join(body.not_modelled)]))
    return tables


def title_line(body: Body) -> str:
    """Network, its inputs, machine and how it was simulated."""
    shapes = ", ".join(body.inputs.values())
    how = f"{body.source} source"
    if takes_turns(body):
        frames = body.segments[0].frames or 0
        how = f"{_counted(len(body.segments), 'segment')} in turn, {_counted(frames, 'frame')} a visit"
    return (
        f"{body.network} ({shapes}) on {body.accelerator}: {body.granularity} tokens, {how}, "
        f"{body.fork} forks, {body.activation_bits}-bit activations"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def role_measures(bodies: Sequence[Body]) -> dict[str, str]:
    """What is told of a role, with the heads of the columns."""
    if not any(takes_turns(body) for body in bodies):
        return ROLE_MEASURES
    told = {measure: head.replace("steady", "peak") for measure, head in ROLE_MEASURES.items()}
    if all(takes_turns(body) for body in bodies):
        return {measure: head for measure, head in told.items() if measure not in OF_PIPELINES}
    return told


def _sections(sections: Iterable[Section], body: Body) -> Iterable[Table]:
    for section in sections:
        facts = section.of([body])
        if facts:
            yield facts_table(section.title, (_fact(fact, body) for fact in facts))


def _fact(fact: Fact, body: Body) -> tuple[str, str, str]:
    value, remark = fact.value(body), fact.remark(body)
    if isinstance(value, str):
        return fact.name, "", value
    return fact.name, value_text(value, fact.unit), remark if value is None else f"{fact.unit} {remark}".strip()


def _roles(body: Body) -> Table:
    measures = role_measures([body])
    used = {role: row for role, row in body.buffering.items() if row.edges}
    rows = tuple((role, quantity(row.edges), *_measures(row, measures)) for role, row in used.items())
    meanings = (f"{role}: {ROLE_MEANINGS[role]}" for role in used)
    return Table(
        "Buffering by role, simulated, elements summed over the edges of a role",
        ("role|", "edges", *measures.values()),
        rows,
        (*(TURNS_MEANINGS if takes_turns(body) else MEASURE_MEANINGS), f"{'; '.join(meanings)}."),
    )


def _measures(row: RoleBuffering, measures: Iterable[str]) -> Iterable[str]:
    return (value_text(getattr(row, measure)) for measure in measures)


def _buffers(body: Body) -> Table:
    """A column of figures is there where it tells one buffer from another."""
    largest = sorted(body.buffers, key=lambda row: (-row.peak_elements, row.edge))[:MOST_BUFFERS]
    turns = takes_turns(body)
    bounded = not turns and any(row.capacity_elements is not None for row in largest)
    columns: list[tuple[str, bool, Callable[[BufferRow], str]]] = [
        ("edge|", True, lambda row: row.edge),
        ("role|", True, lambda row: row.role),
        ("lies in|", any(row.home for row in body.buffers), lambda row: row.home or "engine"),
        ("bound", True, lambda row: value_text(row.bound_elements)),
        ("one frame", not turns, lambda row: quantity(row.one_frame_peak_elements)),
        ("peak" if turns else "steady", True, lambda row: quantity(row.peak_elements)),
        ("frames", True, lambda row: quantity(frames_waiting(row))),
        ("capacity", bounded, lambda row: value_text(row.capacity_elements)),
        ("held", bounded, lambda row: value_text(row.held_elements)),
    ]
    shown = [(name, text) for name, is_shown, text in columns if is_shown]
    return Table(
        f"Largest buffers, elements ({len(largest)} of {len(body.buffers)} edges)",
        tuple(name for name, _ in shown),
        tuple(tuple(text(row) for _, text in shown) for row in largest),
        ("frames: how many frames' worth of the tensor waits there.",),
    )


def idle_multiplier_cycles(row: StageRow) -> float:
    """Multiplier-cycles a frame that a stage lets go by while it waits on the engine; 0 without a steady state."""
    waiting = (own_waiting_cycles(row), row.waiting_space_cycles, row.waiting_port_cycles, row.waiting_source_cycles)
    return row.multipliers * sum(cycles or 0 for cycles in waiting)


def _stages(body: Body) -> Table:
    idle = sorted(body.stages, key=lambda row: (-idle_multiplier_cycles(row), row.stage))[:MOST_STAGES]
    ports, blamed = any(row.port for row in body.stages), any(row.waits_most_on for row in body.stages)
    return Table(
        "Stages whose waiting idles most multipliers, cycles a frame",
        (
            "stage|", "multipliers", "busy", "for input", "for space",
            *(("for a port",) if ports else ()), *(("mostly|",) if blamed else ()),
        ),
        tuple(_stage(row, ports, blamed) for row in idle),
    )  # fmt: skip


def _stage(row: StageRow, ports: bool, blamed: bool) -> tuple[str, ...]:
    figures = [row.multipliers, row.busy_cycles, own_waiting_cycles(row), row.waiting_space_cycles]
    figures += [row.waiting_port_cycles] if ports else []
    return (row.stage, *(value_text(figure) for figure in figures), *((_blamed(row),) if blamed else ()))


def _ports(body: Body) -> Table | None:
    """Ports that stages wait for, those with most waiting first."""
    users: dict[str, list[StageRow]] = {}
    for row in body.stages:
        if row.port is not None and row.waiting_port_cycles:
            users.setdefault(row.port, []).append(row)
    if not users:
        return None
    waited = {port: sum(row.waiting_port_cycles or 0 for row in rows) for port, rows in users.items()}
    most = {port: max(rows, key=lambda row: row.waiting_port_cycles or 0).stage for port, rows in users.items()}
    ports = sorted(users, key=lambda port: (-waited[port], port))
    return Table(
        "Waiting for ports, cycles a frame summed over stages",
        ("port|", "stages", "waiting", "most|"),
        tuple((port, quantity(len(users[port])), quantity(waited[port]), most[port]) for port in ports),
    )


def _turns(body: Body) -> Table | None:
    longest = longest_turns(body)
    if not longest:
        return None
    rows = tuple(_turn(segment, body) for segment in longest[:MOST_TURNS])
    return Table(
        f"Longest turns, cycles a visit ({len(rows)} of {len(longest)} segments)",
        ("segment|", "cycles", "%", "tiles", "KiB weights", "waits", "slowest|"),
        rows,
        ("waits: cycles with nothing running, until weights have come.",),
    )


def _turn(segment: Segment, body: Body) -> tuple[str, ...]:
    return (
        segment_title(segment),
        quantity(segment.cycles or 0),
        value_text(turn_share(segment, body), "%"),
        quantity(segment.tiles),
        _weights(segment),
        quantity(segment.load_cycles or 0),
        slowest_in(segment),
    )


def _weights(segment: Segment) -> str:
    """What is in the first memory of a segment's weights at once."""
    return "-" if segment.demand is None else quantity(segment.demand.weights_bytes / 2**10)


def _blamed(row: StageRow) -> str:
    """The other end of the edge that a stage waits on most."""
    if row.waits_most_on is None:
        return "-"
    producer, _, consumer = row.waits_most_on.partition(" -> ")
    return f"to {consumer}" if producer == row.stage else f"from {producer.removesuffix(f' for {row.stage}')}"


def _critical(body: Body) -> Table:
    assert body.critical is not None
    steps = body.critical.steps
    rest = [f"and {len(steps) - MOST_STEPS} more"] if len(steps) > MOST_STEPS else []
    return lines_table(f"The pace is set by {critical_text(body)}", [*steps[:MOST_STEPS], *rest])
