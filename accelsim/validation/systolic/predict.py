"""Predicting every figure of `<network>_<dataflow>_<rows>x<columns>.csv` from `topology_<network>.csv` alone.

A layer is bound to the array of the table's name as it would be for a simulation; what is said of it there is what is
compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from accelsim.errors import InputError, collected
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array_use import ArrayUse, array_use
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping
from accelsim.validation.comparison import Comparison, Row
from accelsim.validation.systolic.quantities import CYCLES, decimals_of, figures
from accelsim.validation.systolic.sheet import Line, read_sheet
from accelsim.validation.systolic.topology import Listing, Topology, TopologyLayer, read_topology

FORM = "a folder with topology_<network>.csv and <network>_<os|ws|is>_<rows>x<columns>.csv"
TABLE = re.compile(r"(?P<network>.+)_(?P<flow>os|ws|is)_(?P<rows>\d{1,9})x(?P<columns>\d{1,9})", re.I)
FLOWS = {"os": "output-stationary", "ws": "weight-stationary", "is": "input-stationary"}
MOST_SIDE = 10**5


@dataclass(frozen=True)
class _Table:
    path: Path
    network: str
    engine: SystolicEngine


def compare_systolic(folder: Path, accelerator: Accelerator) -> Comparison:
    """Every layer of every table in a folder beside what the accelerator's array, of the table's size, would do.

    Raises `InputError` with everything that is wrong in the files, or where the accelerator has no array.
    """
    if not isinstance(accelerator.engine, SystolicEngine):
        raise InputError(f"{accelerator.name} has no systolic array; give its engine the kind systolic")
    tables, skipped = _tables(folder, accelerator.engine)
    problems: list[str] = []
    rows: list[Row] = []
    details: list[Row] = []
    topologies = _topologies(folder, tables, problems)
    for table in tables:
        if table.network in topologies:
            _compare(table, topologies[table.network], accelerator, rows, details, problems)
    if problems:
        raise collected(problems)
    return Comparison(tuple(rows), tuple(details), tuple(skipped))


def _tables(folder: Path, engine: SystolicEngine) -> tuple[list[_Table], list[str]]:
    """Tables in the order of their names, and the names of other sheets."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: {reason}; --data takes {FORM}") from None
    tables, skipped, problems = [], [], []
    for path in paths:
        named = TABLE.fullmatch(path.stem)
        if named is None:
            skipped += [path.name] if not path.stem.startswith("topology_") else []
            continue
        rows, columns = int(named["rows"]), int(named["columns"])
        if not (1 <= rows <= MOST_SIDE and 1 <= columns <= MOST_SIDE):
            problems.append(f"{path}: an array of {rows:,}x{columns:,}; each side is from 1 to {MOST_SIDE:,}")
        sides = {"rows": rows, "columns": columns, "dataflow": FLOWS[named["flow"].lower()]}
        tables.append(_Table(path, named["network"], engine.model_copy(update=sides)))
    if problems:
        raise collected(problems)
    if not tables:
        others = f" ({', '.join(skipped)[:200]} is none)" if skipped else ""
        raise InputError(f"{folder}: no table to compare{others}; --data takes {FORM}")
    return tables, skipped


def _topologies(folder: Path, tables: Iterable[_Table], problems: list[str]) -> dict[str, Topology]:
    found: dict[str, Topology] = {}
    for network in dict.fromkeys(table.network for table in tables):
        try:
            found[network] = read_topology(folder / f"topology_{network}.csv")
        except InputError as error:
            problems.append(str(error))
    return found


def _compare(
    table: _Table,
    topology: Topology,
    accelerator: Accelerator,
    rows: list[Row],
    details: list[Row],
    problems: list[str],
) -> None:
    """Adds the figures of a table to `rows` and `details`, or what is wrong with it to `problems`."""
    machine = accelerator.model_copy(update={"engine": table.engine})
    try:
        lines = list(read_sheet(table.path, (("layer", "name"), (CYCLES,))))
    except InputError as error:
        problems.append(str(error))
        return
    if not lines:
        problems.append(f"{table.path}: it has no layers; give one a line")
    keys: dict[str, str] = {}
    decimals = decimals_of(lines)
    for line, layer in _found(lines, topology, table.network, problems):
        key = f"{table.path.stem}/{line.text('layer', 'name')}"
        if (first := keys.setdefault(key, line.place)) != line.place:
            problems.append(f"{line.place}: layer {key} is given twice, first at {first}")
        try:
            use = predicted(layer, machine)
            for figure in figures(key, layer.name, line, use, decimals):
                (rows if figure.quantity == CYCLES else details).append(figure)
        except InputError as error:
            problems.append(str(error))


def predicted(layer: TopologyLayer, machine: Accelerator) -> ArrayUse:
    """What a layer takes on the array of `machine`, alone on it."""
    (use,) = array_use(bind(layer.network(), machine, Mapping(MappingProxyType({}))))
    return use


def _found(
    lines: Sequence[Line], topology: Topology, network: str, problems: list[str]
) -> Iterator[tuple[Line, TopologyLayer]]:
    """Each line with its layer, in the first listing that has them all; what is in none goes to `problems`."""
    attempts = [_listed(lines, listing, network) for listing in topology.listings]
    layers, wrong = next((one for one in attempts if not one[1]), attempts[0])
    problems += wrong
    return ((line, layer) for line, layer in zip(lines, layers, strict=True) if layer is not None)


def _listed(lines: Iterable[Line], listing: Listing, network: str) -> tuple[list[TopologyLayer | None], list[str]]:
    """The layer of each line, None where there is none, and why."""
    found: list[TopologyLayer | None] = []
    problems: list[str] = []
    for line in lines:
        try:
            found.append(_layer(line, listing, network))
        except InputError as error:
            found.append(None)
            problems.append(str(error))
    return found, problems


def _layer(line: Line, listing: Listing, network: str) -> TopologyLayer:
    """By its name; by its number, from 0, where there is no name or several layers have it."""
    number, name = line.text("layer"), line.text("name")
    at = int(number) if re.fullmatch(r"\d{1,9}", number) else None
    if not name and at is None:
        name = number
    if not name:
        if at is None or at >= len(listing.layers):
            count = f"topology_{network}.csv has {len(listing.layers):,} layers; count from 0"
            raise InputError(f"{line.place}: layer = '{number[:40]}': {count}")
        return listing.layers[at]
    numbers = listing.numbers.get(name, ())
    if not numbers:
        raise InputError(f"{line.place}: name = '{name[:60]}' is no layer of topology_{network}.csv")
    if len(numbers) > 1 and at not in numbers:
        places = ", ".join(str(k) for k in numbers[:5])
        raise InputError(
            f"{line.place}: layers {places} of topology_{network}.csv are called '{name[:60]}'; "
            "say which in the column layer, counting from 0"
        )
    return listing.layers[at if at is not None and at in numbers else numbers[0]]
