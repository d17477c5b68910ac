"""The figures that SCALE-Sim's tables have of a layer, and what each is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from types import MappingProxyType

from accelsim.errors import InputError
from accelsim.mapping.array_use import ArrayUse
from accelsim.validation.comparison import Row
from accelsim.validation.systolic.sheet import Line, plain

MOST_COUNT = 10**18
CYCLES = "compute_cycles"


def written_outputs(use: ArrayUse) -> int:
    """Results that leave the array; where they stay in it, SCALE-Sim adds the array's rows and columns a fold."""
    engine = use.largest.engine
    stays = engine.dataflow == "output-stationary"
    return use.output_writes + (use.folds * (engine.rows + engine.columns) if stays else 0)


def utilisation_by_folds(use: ArrayUse) -> float:
    """Products / (multipliers x cycles); for folds that are loaded SCALE-Sim counts C - 1 cycles more here."""
    engine, stream = use.largest.engine, use.largest.stream
    cycles = stream + engine.rows + engine.columns - 2
    if engine.dataflow != "output-stationary":
        cycles += engine.rows + engine.columns - 1
    return use.mapped_share * stream / cycles


#: By the column of the tables.
COUNTS: Mapping[str, Callable[[ArrayUse], int]] = MappingProxyType(
    {
        CYCLES: lambda use: use.compute_cycles,
        "macs": lambda use: use.macs,
        "Sr": lambda use: use.largest.rows,
        "Sc": lambda use: use.largest.columns,
        "T": lambda use: use.largest.stream,
        "row_fold": lambda use: use.largest.row_folds,
        "col_fold": lambda use: use.largest.column_folds,
        "ifmap_sram_reads": lambda use: use.input_reads,
        "filter_sram_reads": lambda use: use.weight_reads,
        "ofmap_sram_writes": written_outputs,
    }
)
#: Shares, in percent.
PERCENTAGES: Mapping[str, Callable[[ArrayUse], float]] = MappingProxyType(
    {
        "util_pct": lambda use: use.utilisation,
        "mapping_eff_pct": lambda use: use.mapped_share,
        "compute_util_pct": utilisation_by_folds,
    }
)


def figures(key: str, name: str, line: Line, use: ArrayUse, decimals: Mapping[str, int]) -> Iterator[Row]:
    """The figures that a line has, cycles first, each beside the predicted one; shares are rounded as the table's."""
    yield Row(key, CYCLES, line.whole(CYCLES, 1, MOST_COUNT), COUNTS[CYCLES](use), name)
    for column, count in COUNTS.items():
        if column != CYCLES and line.text(plain(column)):
            yield Row(key, column, line.whole(plain(column), 0, MOST_COUNT), count(use), name)
    for column, share in PERCENTAGES.items():
        if line.text(column):
            yield Row(key, column, _percentage(line, column), round(100 * share(use), decimals[column]), name)


def decimals_of(lines: Iterable[Line]) -> dict[str, int]:
    """Digits behind the point that each column of shares is rounded to: the most that any line has."""
    texts = {column: [line.text(column) for line in lines] for column in PERCENTAGES}
    return {column: max((len(text.partition(".")[2]) for text in found), default=0) for column, found in texts.items()}


def _percentage(line: Line, column: str) -> float:
    text = line.text(column)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and 0 <= value <= 100):
        raise InputError(f"{line.place}: {column} = '{text[:40]}' is no percentage from 0 to 100")
    return value
