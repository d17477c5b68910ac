"""What layers take on a systolic array: the rows of a report, and their table in its text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from accelsim.report.facts import value_text
from accelsim.report.report import ArrayRow, Body
from accelsim.report.tables import Table, quantity

if TYPE_CHECKING:
    from accelsim.mapping.array_use import ArrayUse

MOST_LAYERS = 8

#: What the table sums up, with the heads of its columns.
ACCESSES = {
    "input_reads": "inputs in",
    "weight_reads": "weights in",
    "output_writes": "results out",
}


def array_rows(uses: Iterable[ArrayUse]) -> tuple[ArrayRow, ...]:
    return tuple(_row(use) for use in uses)


def _row(use: ArrayUse) -> ArrayRow:
    largest = use.largest
    return ArrayRow(
        layer=use.layer,
        dataflow=largest.engine.dataflow,
        overlap=largest.engine.folds == "overlap",
        turns=use.turns,
        products=use.products,
        product_rows=largest.rows,
        product_columns=largest.columns,
        product_steps=largest.stream,
        row_folds=largest.row_folds,
        column_folds=largest.column_folds,
        folds=use.folds,
        compute_cycles=use.compute_cycles,
        macs=use.macs,
        utilisation=use.utilisation,
        mapped_share=use.mapped_share,
        input_reads=use.input_reads,
        weight_reads=use.weight_reads,
        output_writes=use.output_writes,
        partial_sum_reads=use.partial_sum_reads,
    )


def array_table(body: Body) -> Table | None:
    """The layers that take the array longest, and all of them; None where there is no systolic array."""
    if not body.array:
        return None
    longest = sorted(body.array, key=lambda row: (-row.compute_cycles, row.layer))[:MOST_LAYERS]
    cycles = sum(row.compute_cycles for row in body.array)
    used = sum(row.utilisation * row.compute_cycles for row in body.array) / cycles
    totals = (sum(getattr(row, name) for row in body.array) for name in ("turns", "folds"))
    sums = (quantity(sum(getattr(row, name) for row in body.array)) for name in ACCESSES)
    every = ("all", *(quantity(total) for total in totals), quantity(cycles), value_text(used, "%"), *sums)
    flow = body.array[0].dataflow.replace("-", " ")
    return Table(
        f"On the {flow} array, a frame ({len(longest)} of {len(body.array)} layers)",
        ("layer|", "turns", "folds", "cycles", "used %", *ACCESSES.values()),
        (*(_cells(row) for row in longest), every),
        (
            "turns: a layer that shares the array with others of its segment takes one a row. cycles: of the folds, "
            "memory always in time; used: of all multipliers in these. Elements that enter and leave the array on the "
            "side of the first memory; results out include partial sums.",
        ),
    )


def _cells(row: ArrayRow) -> tuple[str, ...]:
    accesses = (quantity(getattr(row, name)) for name in ACCESSES)
    figures = (row.turns, row.folds, row.compute_cycles)
    return (row.layer, *(quantity(figure) for figure in figures), value_text(row.utilisation, "%"), *accesses)
