"""Reports beside each other: what changes, as a tree of ratios and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from accelsim.report.cost_tables import ENERGY
from accelsim.report.facts import (
    ATTENTION,
    LATENCY,
    OFF_CHIP,
    THROUGHPUT,
    TURNS,
    WAITING,
    WORK,
    Section,
    Value,
    value_text,
)
from accelsim.report.memory_tables import MEASURES
from accelsim.report.report import Body
from accelsim.report.resource_tables import RESOURCES
from accelsim.report.tables import Table, lines_table, plain, quantity
from accelsim.report.text import MOST_BUFFERS, role_measures, title_line
from accelsim.report.virtual_tables import VIRTUAL_MAPS

#: Fields by which the rows of a report's tables are matched: the first of these that they have.
ROW_NAMES = (
    ("edge",), ("stage",), ("block",), ("name",), ("pool",), ("layer", "tensor", "memory", "kind"),
    ("layer", "part", "memory"), ("layer",),
)  # fmt: skip


class Run(NamedTuple):
    """A report in a comparison, under the head of its column."""

    label: str
    body: Body


class Comparison(BaseModel):
    """What `compare --json` prints; `baseline`, `tiled` and `change` come with tiled attention only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[Body, ...]
    baseline: Body | None = Field(None, description="the first run: the network as it is")
    tiled: Body | None = Field(None, description="the second run: the network at the first tile rows asked for")
    change: dict[str, Any] | None = Field(
        None, description="the baseline's tree with tiled / baseline in place of numbers, null where there is no ratio"
    )


def change(baseline: Any, other: Any) -> Any:
    """The tree of two reports (`Report.to_dict`) with other / baseline in place of every number.

    The tree is that of the baseline. A ratio is null where the baseline is 0 or one of the two is no
    number; text, truth values and lists of text have none. Rows of a table (buffers, stages, blocks,
    segments) are matched by their name, which stays; rows that only one of the two has are left out.
    """
    if isinstance(baseline, dict):
        there = other if isinstance(other, dict) else {}
        return {key: change(value, there.get(key)) for key, value in baseline.items()}
    if isinstance(baseline, list):
        return _changed_rows(baseline, other if isinstance(other, list) else [])
    return other / baseline if _is_number(baseline) and _is_number(other) and baseline else None


def _changed_rows(baseline: list[Any], other: list[Any]) -> list[Any] | None:
    if not all(isinstance(row, dict) for row in (*baseline, *other)):
        return None
    matching = dict(_named(other))
    shared = [(row, matching[name]) for name, row in _named(baseline) if name in matching]
    return [change(row, match) | _row_name(row) for row, match in shared]


def _row_name(row: dict[str, Any]) -> dict[str, Any]:
    """The fields that tell a row from its neighbours."""
    names = next((names for names in ROW_NAMES if row.keys() >= {*names}), ())
    return {name: row[name] for name in names}


def _named(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Rows by name; where several have one name, by their position among these too."""
    seen: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        name = tuple(_row_name(row).values())
        seen[name] += 1
        yield (name, seen[name]), row


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def comparison_text(runs: Sequence[Run]) -> str:
    """The comparison in 100 columns of plain text."""
    return plain(comparison_tables(runs))


def comparison_tables(runs: Sequence[Run]) -> list[Table]:
    """The figures of every run in a column of its own, with their ratio where there are two."""
    titles = dict.fromkeys(title_line(run.body) for run in runs)
    tables = [lines_table("Runs", [f"{run.label}: {title_line(run.body)}" for run in runs])]
    if len(titles) == 1:
        tables = [lines_table(next(iter(titles)), [])]
    tables += _sections((THROUGHPUT, TURNS, LATENCY, OFF_CHIP, ENERGY, RESOURCES), runs)
    tables += [table for table in (_memories(runs),) if table]
    tables += _sections((VIRTUAL_MAPS, ATTENTION), runs)
    tables.append(
        _columns("Buffering by role, simulated, elements summed over the edges of a role", runs, _roles(runs))
    )
    tables += _sections((WAITING, WORK), runs)
    tables.append(_buffers(runs))
    warnings = [f"{run.label}: {text}" for run in runs for text in run.body.warnings]
    warnings += _other_technologies(runs)
    return [*tables, lines_table("Warnings", warnings)] if warnings else tables


def _other_technologies(runs: Sequence[Run]) -> list[str]:
    """A warning where energies that stand side by side are of several processes."""
    found = {run.label: run.body.energy.technology for run in runs if run.body.energy is not None}
    if len(set(found.values())) < 2:
        return []
    told = ", ".join(f"{label} of {technology}" for label, technology in found.items())
    return [f"energy and area differ by technology too: {told}"]


def _sections(sections: Iterable[Section], runs: Sequence[Run]) -> Iterator[Table]:
    """The figures that say something of any of the runs."""
    for section in sections:
        facts = section.of([run.body for run in runs])
        if facts:
            rows = [(fact.name, fact.unit, [fact.value(run.body) for run in runs]) for fact in facts]
            yield _columns(section.title, runs, rows)


def _memories(runs: Sequence[Run]) -> Table | None:
    """Every measure of every memory that any run has."""
    names = dict.fromkeys(name for run in runs for name in run.body.memories or ())
    rows: list[tuple[str, str, list[Value]]] = []
    for name in names:
        found = [((run.body.memories or {}).get(name), run.body) for run in runs]
        for measure in MEASURES:
            values: list[Value] = [None if row is None else measure.value(row, body) for row, body in found]
            rows.append((f"{name} {measure.name}", measure.unit, values))
    return _columns("Memories; bytes are a frame's", runs, rows) if rows else None


def _columns(title: str, runs: Sequence[Run], rows: Iterable[tuple[str, str, list[Value]]]) -> Table:
    """Rows of (name, unit, value a run) as a table; what is text goes below it."""
    labels = tuple(run.label for run in runs)
    heads = ("|", "|", *labels, "ratio") if len(runs) == 2 else ("|", "|", *labels)
    told = [(any(isinstance(value, str) for value in row[2]), row) for row in rows]
    notes = (f"{name}: {_told(labels, values)}" for is_text, (name, _, values) in told if is_text)
    return Table(title, heads, tuple(_row(*row) for is_text, row in told if not is_text), tuple(notes))


def _told(labels: Sequence[str], values: Sequence[Value]) -> str:
    """Text of every run that has any, once where all have the same."""
    if len(set(values)) == 1:
        return value_text(values[0])
    told = zip(labels, values, strict=True)
    return "; ".join(f"{value_text(value)} ({label})" for label, value in told if value is not None)


def _row(name: str, unit: str, values: list[Value]) -> tuple[str, ...]:
    texts = (name, unit, *(value_text(value, unit) for value in values))
    return (*texts, _ratio(*values)) if len(values) == 2 else texts


def _ratio(before: Value, after: Value) -> str:
    ratio = change(before, after)
    return "" if ratio is None else quantity(ratio)


def _roles(runs: Sequence[Run]) -> Iterable[tuple[str, str, list[Value]]]:
    """Every measure of every role that any run has an edge of."""
    roles = dict.fromkeys(role for run in runs for role, row in run.body.buffering.items() if row.edges)
    for role in roles:
        for measure, name in role_measures([run.body for run in runs]).items():
            yield role, name, [getattr(run.body.buffering[role], measure) for run in runs]


def _buffers(runs: Sequence[Run]) -> Table:
    """The edges with the largest peaks in any run."""
    peaks: dict[str, list[Value]] = {}
    roles: dict[str, str] = {}
    for position, run in enumerate(runs):
        for row in run.body.buffers:
            peaks.setdefault(row.edge, [None] * len(runs))[position] = row.peak_elements
            roles[row.edge] = row.role
    largest = sorted(peaks, key=lambda edge: (-max(int(p or 0) for p in peaks[edge]), edge))[:MOST_BUFFERS]
    rows = ((edge, roles[edge], peaks[edge]) for edge in largest)
    return _columns(f"Largest buffers, peak in elements ({len(largest)} of {len(peaks)} edges)", runs, rows)
