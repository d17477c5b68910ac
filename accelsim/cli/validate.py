"""`accelsim validate`: our figures beside measured ones, with the error of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from accelsim.cli.options import JsonOption, SetOption
from accelsim.cli.request import Request, known_granularity, machine
from accelsim.errors import InputError, NotModelled

if TYPE_CHECKING:
    from accelsim.hardware.accelerator import Accelerator
    from accelsim.mapping.mapping import Granularity
    from accelsim.report.tables import Table
    from accelsim.validation.comparison import Comparison, Row, Spread


def _measurements(suite: str) -> Path:
    """The folder of the measurements that come along."""
    return Path(str(resources.files("accelsim.validation") / "data" / suite))


class Suite(NamedTuple):
    """A set of measurements: the machine it was made on, and what compares it with a machine, by a granularity."""

    accelerator: str
    compare: Callable[[Path, Accelerator, Granularity], Comparison]
    granularity: Granularity


def _rtl(folder: Path, accelerator: Accelerator, granularity: Granularity) -> Comparison:
    from accelsim.validation.rtl.predict import compare_rtl

    return compare_rtl(folder, accelerator, granularity)


def _systolic(folder: Path, accelerator: Accelerator, granularity: Granularity) -> Comparison:
    from accelsim.validation.systolic.predict import compare_systolic

    if granularity != "row":
        raise NotModelled(f"validate systolic: cycles of folds have no {granularity}s; leave --granularity out")
    return compare_systolic(folder, accelerator)


SUITES = {
    "rtl": Suite("fpga-stream", _rtl, "word"),
    "systolic": Suite(str(_measurements("systolic") / "accelerator.yaml"), _systolic, "row"),
}
#: Published figures, each of a machine of its own.
PAPERS = "papers"

SuiteArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUITE", help="which figures: rtl (word by word), systolic (layer by layer), papers (published)"
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="a folder of that form instead of the measurements that come along"),
]
MachineOption = Annotated[
    str | None,
    typer.Option("--accelerator", metavar="NAME|FILE", help="a machine whose blocks, or array, are compared instead"),
]


GranularityOption = Annotated[
    str | None,
    typer.Option("--granularity", metavar="row|pixel|word", help="what the simulation follows; word for rtl"),
]


def validate_command(
    suite: SuiteArgument = "rtl",
    data: DataOption = None,
    accelerator: MachineOption = None,
    granularity: GranularityOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare predicted figures with measured or published ones.

    rtl: streaming blocks, chains and residual blocks of an FPGA library, simulated as RTL. A folder of that form has
    specs.jsonl, a run a line, and measured.csv, a figure a line; only the former is looked at for predictions. What
    rows do not tell pixels do, and what they do not words; each figure says by which it is, and why not by rows.

    systolic: compute cycles of layers on systolic arrays, as SCALE-Sim counts them. A folder of that form has
    topology_<network>.csv and beside it <network>_<os|ws|is>_<rows>x<columns>.csv.

    papers: what papers and makers of machines publish, reproduced, under stated assumptions, or not reproducible. A
    folder of that form has machines.csv, a machine a line.
    """
    from accelsim.cli import console

    if suite == PAPERS:
        from accelsim.cli.papers import show_papers

        others = {"--accelerator": accelerator, "--granularity": granularity, "--set": settings}
        show_papers(data, as_json, others)
        return
    if suite not in SUITES:
        raise InputError(f"validate {suite}: measurements are of {', '.join((*SUITES, PAPERS))}")
    chosen = SUITES[suite]
    by = known_granularity(granularity) if granularity else chosen.granularity
    name = accelerator or chosen.accelerator
    accelerator_used = machine(Request("", accelerator=name, settings=settings or ()))
    folder = data or _measurements(suite)
    with console.working(f"comparing with {folder}"):
        found = chosen.compare(folder, accelerator_used, by)
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

    def by(granularity: str | None) -> tuple[str, ...]:
        return (granularity or "-",) if found.by_granularity else ()

    rows = tuple(
        (row.key, row.quantity, value(row.measured), value(row.predicted), percent(row.error), *by(row.by))
        for row in found.rows
    )
    yield Table("Figures", ("run|", "figure|", "measured", "predicted", "error %", *by("by|")), rows)
    names = ("figure|", *by("by|"), "rows", "equal", "median %", "p95 %", "worst %", "worst difference", "without")
    parts = found.by_granularity or {"": found}
    spreads = tuple(
        (name, *by(part), *_spread(of)) for part, own in parts.items() for name, of in own.quantities.items()
    )
    every = ("all", *by("all"), *_spread(spread((*found.rows, *found.details))))
    skipped = (f"Not compared: {', '.join(found.skipped)}.",) if found.skipped else ()
    yield Table("Errors", names, (*spreads, every), skipped)
    if found.by_finer:
        finer = tuple((why, quantity(len(rows)), _runs(rows)) for why, rows in found.by_finer.items())
        yield Table("Told by a finer granularity", ("why|", "figures", "of|"), finer)


#: Runs that are named; the others are counted.
NAMED = 4


def _runs(rows: Sequence[Row]) -> str:
    """The runs that figures are of, by name."""
    keys = tuple(dict.fromkeys(row.key for row in rows))
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more


def percent(share: float | None) -> str:
    """A share as percent with two decimals; "-" where there is none."""
    return "-" if share is None else f"{100 * share:.2f}"


def _spread(of: Spread) -> tuple[str, ...]:
    from accelsim.report.tables import quantity

    errors = (percent(error) for error in (of.median, of.p95, of.worst))
    worst = "-" if of.worst_difference is None else quantity(of.worst_difference)
    return (quantity(of.rows), quantity(of.equal), *errors, worst, quantity(of.missing))
