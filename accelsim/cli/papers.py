"""`accelsim validate papers`: published figures beside ours, with what was assumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.cli import console
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.tables import Table
    from accelsim.validation.papers.published import Published, PublishedFigures


def show_papers(folder: Path | None, as_json: bool, others: Mapping[str, object]) -> None:
    """Compare with the figures that come along, or the machines of `folder`; `others` are options that say nothing."""
    from accelsim.validation.papers.compare import compare_papers

    if given := [option for option, value in others.items() if value]:
        raise InputError(
            f"validate papers: {', '.join(given)}: every figure has a machine of its own; leave that out, or give "
            "machines with --data"
        )
    with console.working("comparing with published figures") as told:
        found = compare_papers(folder, told)
    if as_json:
        console.show_json(found.to_dict())
    else:
        console.show(papers_tables(found))


def papers_tables(found: PublishedFigures) -> Iterable[Table]:
    """Every figure; what was assumed for it, by number; and where the figures stand."""
    from accelsim.report.tables import Table, lines_table

    told = tuple(dict.fromkeys(row.assumption for row in found.rows))
    names = ("figure of|", "quantity|", "published", "ours", "error %", "status|", "bound by|", "MB", "as")
    yield Table("Published figures", names, tuple(_cells(row, told) for row in found.rows))
    yield lines_table("As", (f"{number}. {text}" for number, text in enumerate(told, 1)))
    sources = dict.fromkeys(f"{row.key.split('/')[0]}: {row.source}" for row in found.rows if row.source)
    if sources:
        yield lines_table("From", sources)


def _cells(row: Published, told: Sequence[str]) -> tuple[str, ...]:
    from accelsim.report.tables import quantity

    ours = "-" if row.predicted is None else quantity(row.predicted)
    error = "-" if row.error is None else f"{round(100 * row.error, 1) + 0.0:+.1f}"
    moved = "-" if row.moved_bytes is None else f"{row.moved_bytes / 10**6:.0f}"
    bound = "-" if row.bound_by is None else f"{row.bound_by} {100 * row.shares[row.bound_by]:.0f} %"
    number = str(told.index(row.assumption) + 1)
    return (row.key, row.quantity, quantity(row.measured), ours, error, row.status, bound, moved, number)
