"""A report as text: the few figures that matter first, then buffers and stages."""

from __future__ import annotations

from collections.abc import Iterable

from accelsim.report.facts import (
    ATTENTION,
    LATENCY,
    THROUGHPUT,
    WAITING,
    WORK,
    Fact,
    Section,
    critical_text,
    frames_waiting,
    value_text,
)
from accelsim.report.report import Body, BufferRow, RoleBuffering, StageRow
from accelsim.report.tables import Table, facts_table, lines_table, plain, quantity

#: Rows of the tables that are cut short.
MOST_BUFFERS = 10
MOST_STAGES = 8
MOST_STEPS = 8

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


def report_text(body: Body) -> str:
    """The report in 100 columns of plain text."""
    return plain(report_tables(body))


def report_tables(body: Body) -> list[Table]:
    """All that text shows of a report, in order."""
    tables = [lines_table(title_line(body), [])]
    attention = (ATTENTION,) if body.attention_buffering.blocks else ()
    tables += [_facts(section, body) for section in (THROUGHPUT, LATENCY, *attention)]
    tables.append(_roles(body))
    tables += [_facts(section, body) for section in (WAITING, WORK)]
    tables += [_buffers(body), _stages(body)]
    if body.critical is not None and body.critical.kind == "buffers":
        tables.append(_critical(body))
    if body.warnings:
        tables.append(lines_table("Warnings", body.warnings))
    tables.append(lines_table("Not modelled", [", ".join(body.not_modelled)]))
    return tables


def title_line(body: Body) -> str:
    """Network, its inputs, machine and how it was simulated."""
    shapes = ", ".join(body.inputs.values())
    return (
        f"{body.network} ({shapes}) on {body.accelerator}: {body.granularity} tokens, {body.source} source, "
        f"{body.fork} forks, {body.activation_bits}-bit activations"
    )


def _facts(section: Section, body: Body) -> Table:
    return facts_table(section.title, (_fact(fact, body) for fact in section.facts))


def _fact(fact: Fact, body: Body) -> tuple[str, str, str]:
    value, remark = fact.value(body), fact.remark(body)
    if isinstance(value, str):
        return fact.name, "", value
    return fact.name, value_text(value, fact.unit), remark if value is None else f"{fact.unit} {remark}".strip()


def _roles(body: Body) -> Table:
    used = {role: row for role, row in body.buffering.items() if row.edges}
    rows = tuple((role, quantity(row.edges), *_measures(row)) for role, row in used.items())
    meanings = (f"{role}: {ROLE_MEANINGS[role]}" for role in used)
    return Table(
        "Buffering by role, simulated, elements summed over the edges of a role",
        ("role|", "edges", *ROLE_MEASURES.values()),
        rows,
        (*MEASURE_MEANINGS, f"{'; '.join(meanings)}."),
    )


def _measures(row: RoleBuffering) -> Iterable[str]:
    return (value_text(getattr(row, measure)) for measure in ROLE_MEASURES)


def _buffers(body: Body) -> Table:
    largest = sorted(body.buffers, key=lambda row: (-row.peak_elements, row.edge))[:MOST_BUFFERS]
    bounded = any(row.capacity_elements is not None for row in body.buffers)
    names = ("edge|", "role|", "bound", "one frame", "steady", "frames")
    rows = tuple(_buffer(row, bounded) for row in largest)
    return Table(
        f"Largest buffers, elements ({len(rows)} of {len(body.buffers)} edges)",
        (*names, "capacity", "held") if bounded else names,
        rows,
        ("frames: how many frames' worth of the tensor waits there.",),
    )


def _buffer(row: BufferRow, bounded: bool) -> tuple[str, ...]:
    figures = (row.bound_elements, row.one_frame_peak_elements, row.peak_elements, frames_waiting(row))
    texts = (row.edge, row.role, *(value_text(figure) for figure in figures))
    return (*texts, value_text(row.capacity_elements), value_text(row.held_elements)) if bounded else texts


def idle_multiplier_cycles(row: StageRow) -> float:
    """Multiplier-cycles a frame that a stage lets go by while it waits; 0 where there is no steady state."""
    waiting = (row.waiting_input_cycles, row.waiting_space_cycles, row.waiting_port_cycles, row.waiting_source_cycles)
    return row.multipliers * sum(cycles or 0 for cycles in waiting)


def _stages(body: Body) -> Table:
    idle = sorted(body.stages, key=lambda row: (-idle_multiplier_cycles(row), row.stage))[:MOST_STAGES]
    return Table(
        "Stages whose waiting idles most multipliers, cycles a frame",
        ("stage|", "multipliers", "busy", "for input", "for space", "mostly|"),
        tuple(_stage(row) for row in idle),
    )


def _stage(row: StageRow) -> tuple[str, ...]:
    figures = (row.multipliers, row.busy_cycles, row.waiting_input_cycles, row.waiting_space_cycles)
    return (row.stage, *(value_text(figure) for figure in figures), _blamed(row))


def _blamed(row: StageRow) -> str:
    """The other end of the edge that a stage waits on most."""
    if row.waits_most_on is None:
        return "-"
    producer, _, consumer = row.waits_most_on.partition(" -> ")
    return f"to {consumer}" if producer == row.stage else f"from {producer}"


def _critical(body: Body) -> Table:
    assert body.critical is not None
    steps = body.critical.steps
    rest = [f"and {len(steps) - MOST_STEPS} more"] if len(steps) > MOST_STEPS else []
    return lines_table(f"The pace is set by {critical_text(body)}", [*steps[:MOST_STEPS], *rest])
