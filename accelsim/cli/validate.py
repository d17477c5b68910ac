"""`accelsim validate`: our figures beside measured ones, with the error of each."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.options import JsonOption, SetOption
from accelsim.cli.request import Request, known_granularity, machine
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.report.tables import Table
    from accelsim.validation.comparison import Comparison, Spread

#: Sets of measurements, and the machine each was made on.
SUITES = {"rtl": "fpga-stream"}

SuiteArgument = Annotated[str, typer.Argument(metavar="SUITE", help="which measurements: rtl (word by word)")]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="a folder of that form instead of the measurements that come along"),
]
MachineOption = Annotated[
    str | None, typer.Option("--accelerator", metavar="NAME|FILE", help="a machine whose blocks are compared instead")
]


GranularityOption = Annotated[
    str, typer.Option("--granularity", metavar="row|pixel|word", help="what the simulation follows")
]


def validate_command(
    suite: SuiteArgument = "rtl",
    data: DataOption = None,
    accelerator: MachineOption = None,
    granularity: GranularityOption = "word",
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predicted cycles with measured ones.

    rtl: streaming blocks, chains and residual blocks of an FPGA library, simulated as RTL. A folder of that form has
    specs.jsonl, a run a line, and measured.csv, a figure a line; only the former is looked at for predictions. By
    rows or pixels, intervals and first frames of chains of layers are predicted.
    """
    from accelsim.cli import console
    from accelsim.validation.rtl.predict import compare_rtl

    if suite not in SUITES:
        raise InputError(f"validate {suite}: measurements are of {', '.join(SUITES)}")
    folder = data or Path(str(resources.files("accelsim.validation") / "data" / suite))
    name = accelerator or SUITES[suite]
    accelerator_used = machine(Request("", accelerator=name, settings=settings or ()))
    with console.working(f"running the blocks of {folder}"):
        found = compare_rtl(folder, accelerator_used, known_granularity(granularity))
    if as_json:
        console.show_json(found.to_dict())
    else:
        console.show(comparison_tables(found))


def comparison_tables(found: Comparison) -> Iterable[Table]:
    """Every figure, then how large the errors are by quantity."""
    from accelsim.report.tables import Table, quantity
    from accelsim.validation.comparison import spread

    def value(number: float | None) -> str:
        return "-" if number is None else quantity(number)

    rows = tuple(
        (row.key, row.quantity, value(row.measured), value(row.predicted), percent(row.error)) for row in found.rows
    )
    yield Table("Figures", ("run|", "figure|", "measured", "predicted", "error %"), rows)
    names = ("figure|", "rows", "equal", "median %", "p95 %", "worst %", "worst difference", "without")
    spreads = tuple((name, *_spread(of)) for name, of in found.quantities.items())
    yield Table("Errors", names, (*spreads, ("all", *_spread(spread(found.rows)))))


def percent(share: float | None) -> str:
    """A share as percent with two decimals; "-" where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"


def _spread(of: Spread) -> tuple[str, ...]:
    from accelsim.report.tables import quantity

    errors = (percent(error) for error in (of.median, of.p95, of.worst))
    worst = "-" if of.worst_difference is None else quantity(of.worst_difference)
    return (quantity(of.rows), quantity(of.equal), *errors, worst, quantity(of.missing))
