"""Certificates and advice as text."""

from __future__ import annotations

from collections.abc import Iterable

from accelsim.report import certified as parts
from accelsim.report.tables import Table, lines_table, quantity

#: Most lines of a cycle that are told.
MOST_LINES = 12


def certificate_tables(found: parts.Certificate) -> Iterable[Table]:
    """The cycle, its proof, and what a step more buys."""
    if not found.certified or found.interval_cycles is None:
        yield lines_table("Not certified", [found.reason or ""])
        return
    lines = [*found.steps[:MOST_LINES]]
    if len(found.steps) > MOST_LINES:
        lines.append(f"and {len(found.steps) - MOST_LINES} more")
    lines.append(_proof(found))
    yield lines_table(f"Certificate: {quantity(found.interval_cycles)} cycles a frame", lines)
    if found.gains:
        yield _gains_table("What one step more would buy, each alone", found.gains, found.granularity)


def _proof(found: parts.Certificate) -> str:
    alone = "not known" if found.alone_cycles is None else quantity(found.alone_cycles)
    if found.granularity == "word":
        return f"With every queue unbounded: {alone} cycles."
    return (
        f"It takes {quantity(found.weight_cycles or 0)} cycles for {quantity(found.frames or 0)} "
        f"frame{'' if found.frames == 1 else 's'}; simulated with everything else unbounded: {alone} cycles."
    )


def _gains_table(title: str, gains: Iterable[parts.Gain], granularity: str) -> Table:
    rows = tuple(_row(gain, granularity) for gain in gains)
    return Table(title, ("step|", "before", "after", "interval", "gain %", "fits|"), rows)


def _row(gain: parts.Gain, granularity: str) -> tuple[str, ...]:
    what = "multipliers of" if gain.step.kind == "multipliers" else f"{granularity}s on"
    reached = "deadlock" if gain.interval_cycles is None else quantity(gain.interval_cycles)
    percent = "-" if gain.gain_percent is None else f"{gain.gain_percent:.2f}"
    counts = (quantity(gain.step.before), quantity(gain.step.after))
    return (f"{what} {gain.step.name}", *counts, reached, percent, "yes" if gain.fits else "no")


def advised_tables(found: parts.Advised) -> list[Table]:
    """All that `advise` prints."""
    advice = found.advice
    title = f"{found.network} on {found.accelerator}: {found.granularity} tokens"
    notes = (
        f"Together: {quantity(advice.reached_cycles)} cycles a frame, simulated; at most "
        f"{quantity(advice.sought_cycles)} were sought. They add {quantity(advice.added_multipliers)} multipliers and "
        f"{quantity(advice.added_elements)} elements of buffers.",
        *(() if advice.fits else ("The machine has not that many multipliers: raise engine.multipliers.",)),
        "No step can be left out. Stages that take equally long have to be raised together: one alone gives nothing.",
    )
    together = _gains_table(f"What buys {advice.percent:g} %", advice.alone, found.granularity)
    return [
        lines_table(title, []),
        *certificate_tables(found.certificate),
        Table(f"{together.title}; interval and gain of each alone", together.columns, together.rows, notes),
    ]
