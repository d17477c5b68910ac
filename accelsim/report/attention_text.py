"""The attention study as text: a row a way out, and what the figures rest on."""

from __future__ import annotations

from accelsim.report.attention_study import AttentionRow, AttentionStudy
from accelsim.report.facts import MB
from accelsim.report.tables import Table, lines_table, plain, quantity

HEADS = (
    "way|", "values|", "on chip MB", "buffers", "weights", "off chip MB", "spilled", "MMACs", "multipliers",
    "interval", "latency", "frames/s", "energy mJ",
)  # fmt: skip


def study_text(study: AttentionStudy) -> str:
    """The study in plain text."""
    return plain(study_tables(study), 160)


def study_tables(study: AttentionStudy) -> list[Table]:
    """The table, and below it what was asked, what is assumed and what is missing."""
    rate = "the machine's fastest pipeline" if study.target_fps is None else f"{quantity(study.target_fps)} frames/s"
    title = f"{study.network} on {study.accelerator}, {rate}: {study.blocks} squeeze-excite blocks, {study.gates} gates"
    notes = [f"{row.variant}: {row.note}" for row in study.rows if row.note is not None]
    tables = [
        Table(title, HEADS, tuple(_texts(row) for row in study.rows), tuple(notes)),
        lines_table("What the figures rest on (bytes and MACs of a frame; cycles)", study.assumptions),
    ]
    if study.not_modelled:
        tables.append(lines_table(f"Not modelled: {', '.join(study.not_modelled)}", []))
    return [*tables, lines_table("Warnings", study.warnings)] if study.warnings else tables


def _texts(row: AttentionRow) -> tuple[str, ...]:
    spilled = None if row.off_chip is None else row.off_chip.get("spill", 0)
    return (
        row.variant,
        "other" if row.changes_values else "same",
        *(_millions(size) for size in (row.on_chip_bytes, row.buffer_bytes, row.weight_bytes)),
        _millions(row.off_chip_bytes),
        _millions(spilled),
        _millions(row.macs),
        *(_count(value) for value in (row.multipliers, row.interval_cycles, row.latency_cycles)),
        "-" if row.frames_per_second is None else f"{row.frames_per_second:,.1f}",
        "-" if row.energy_pj is None else f"{row.energy_pj / 10**9:,.2f}",
    )


def _millions(value: float | None) -> str:
    return "-" if value is None else f"{value / MB:,.1f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
