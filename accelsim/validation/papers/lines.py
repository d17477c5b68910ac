"""Files of published figures: a record a line, each line checked against a model."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from accelsim.errors import InputError, collected
from accelsim.validation.measured import read_text

#: reproduced: by the figure's own, public definition. assumed: the definition has gaps, and what fills them is named.
#: not reproducible: what it would take is not public; what is predicted, if anything, is what a named rule gives.
Status = Literal["reproduced", "assumed", "not reproducible"]
STATUSES: tuple[str, ...] = get_args(Status)


class Line(BaseModel):
    """What every line has."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str = Field(min_length=1)
    status: Status = "assumed"
    source: str = ""
    assumption: str = ""
    _place: str = PrivateAttr("")

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return self._place

    def at(self, place: str) -> Self:
        """The same line, found at `place`."""
        found = self.model_copy()
        found._place = place
        return found

    @property
    def name(self) -> str:
        """What no two lines of a file have in common."""
        return self.key


Record = TypeVar("Record", bound=Line)


def required(model: type[Line]) -> str:
    """The columns that a file of such lines must have, as text."""
    return ", ".join(name for name, field in model.model_fields.items() if field.is_required())


def read_lines(path: Path, model: type[Record]) -> tuple[Record, ...]:
    """All records of a file, in its order.

    Raises `InputError` with file, line, value and rule for every line that is none, and for those given twice.
    """
    lines = _text(path, model).splitlines()
    header = _header(path, lines, model)
    problems: list[str] = []
    found: dict[str, Record] = {}
    for place, cells in _cells(path, lines, header, problems):
        record = _record(place, cells, model, problems)
        if record is not None and record.name in found:
            problems.append(f"{place}: {record.name} is given twice, first at {found[record.name].place}")
        elif record is not None:
            found[record.name] = record
    if problems:
        raise collected(problems)
    return tuple(found.values())


def _form(path: Path, model: type[Line]) -> str:
    return f"--data takes a folder with {path.name}, whose first line names {required(model)}"


def _text(path: Path, model: type[Line]) -> str:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_form(path, model)}")
    return read_text(path)


def _header(path: Path, lines: list[str], model: type[Line]) -> list[str]:
    try:
        header = next(csv.reader(lines[:1], strict=True), [])
    except csv.Error as error:
        raise InputError(f"{path}:1: {error}; {_form(path, model)}") from None
    missing = [name for name in required(model).split(", ") if name not in header]
    others = [name for name in header if name not in model.model_fields or header.count(name) > 1]
    problems = [f"{path}:1: no column {', '.join(missing)}; {_form(path, model)}"] if missing else []
    if others:
        told, known = ", ".join(name[:40] for name in dict.fromkeys(others)), ", ".join(model.model_fields)
        problems.append(f"{path}:1: column {told}: use each of {known} once")
    if problems:
        raise collected(problems)
    return header


def _cells(
    path: Path, lines: list[str], header: list[str], problems: list[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """The filled cells of every line, by column."""
    reader = csv.reader(lines[1:], strict=True)
    try:
        for values in reader:
            place = f"{path}:{reader.line_num + 1}"
            if values and len(values) != len(header):
                problems.append(f"{place}: {len(values)} values for {len(header)} columns")
            elif values:
                yield place, {name: value for name, value in zip(header, values, strict=True) if value.strip()}
    except csv.Error as error:
        problems.append(f"{path}:{reader.line_num + 1}: {error}")


def _record(place: str, cells: Mapping[str, str], model: type[Record], problems: list[str]) -> Record | None:
    try:
        return model.model_validate(cells).at(place)
    except ValidationError as error:
        problems += [f"{place}: {_rule(fault)}" for fault in error.errors()]
        return None


def _rule(fault: Any) -> str:
    (column,) = fault["loc"]
    if fault["type"] == "missing":
        return f"{column} is empty; every line has one"
    return f"{column} = '{str(fault['input'])[:40]}': {fault['msg']}"
