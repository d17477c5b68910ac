"""From a study to what is to be done: every path known, every value checked, everything wrong told at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import isfinite, prod
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from accelsim.errors import AccelsimError, InputError, collected
from accelsim.hardware.accelerator import PRESETS, accelerator_document
from accelsim.sweeps.axes import Axis, Listed, Ranged, column
from accelsim.sweeps.expressions import Condition, condition
from accelsim.sweeps.metrics import BOUNDS, DEFAULT_METRICS, check_metric
from accelsim.sweeps.paths import MAPPINGS, NUMBERS, OPTIONS, canonical, read_value
from accelsim.sweeps.ready import study_file
from accelsim.sweeps.space import Space
from accelsim.sweeps.study import MOST_POINTS, Direction, Linear, Logarithmic, Speed, StudyFile
from accelsim.yaml_file import Document, dotted_name, read_document, suggestion, validated

AxisEntries = Mapping[str, list[Any] | Linear | Logarithmic]
Place = tuple[str | int, ...]

#: Paths whose values may be files.
NAMING = ("network", "accelerator", "mapping")


@dataclass(frozen=True)
class Plan:
    """A study that can be run: nothing in it is checked again, but what only a design can tell.

    `speeds` are gone through in order; where there are two, the first screens.
    """

    file: StudyFile
    space: Space
    fixed: Mapping[str, Any]
    where: tuple[Condition, ...]
    speeds: tuple[Speed, ...]
    keep: tuple[Condition, ...]
    front: Mapping[str, Direction]
    metrics: tuple[str, ...]
    objectives: Mapping[str, Direction]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the study and of the files it names."""
        whole = json.dumps([self.file.model_dump(mode="json"), self.files], sort_keys=True)
        return sha256(whole.encode()).hexdigest()

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file that the study names, by path."""
        listed = {axis.path: axis.values for axes in self.space.dimensions for axis in axes if isinstance(axis, Listed)}
        named = [value for path in NAMING for value in listed.get(path, (self.fixed.get(path),))]
        files = {text: Path(text) for text in named if text not in (None, *PRESETS, *MAPPINGS)}
        return {text: sha256(file.read_bytes()).hexdigest() for text, file in sorted(files.items()) if file.is_file()}


def read_plan(study: str | Path | Mapping[str, Any]) -> Plan:
    """The plan of a registered study by name, of a study file, or of the same as a dictionary.

    Raises `InputError` with every problem, a line each: file, line, dotted path, value and what was meant.
    """
    if isinstance(study, Mapping):
        document = Document("study", _plain(study), {})
    elif isinstance(study, str | Path):
        document = read_document(study_file(study))
    else:
        raise InputError(f"a {type(study).__name__} is no study; give a file or a dictionary")
    return _Reading(document, validated(StudyFile, document)).plan()


def _plain(value: Any) -> Any:
    """Mappings, sequences, arrays and paths of a study given in Python as dictionaries, lists and text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple | range | Iterator) else value


class _Reading:
    """A study and the problems found in it so far."""

    def __init__(self, document: Document, file: StudyFile) -> None:
        self.document, self.file = document, file
        self.problems: list[str] = []
        self.seen: dict[str, str] = {}
        self.machines: list[Document] = []
        self.shapes: list[Any] = []
        self.numeric: list[str] = []

    def plan(self) -> Plan:
        self.machines, self.shapes = self._machines(), [*self._shapes()]
        dimensions = tuple(self._dimensions())
        self.numeric = [axis.path for axes in dimensions for axis in axes if _is_numeric(axis)]
        fixed = self._fixed()
        self._raise()
        sampled = self.file.sample is not None
        space = Space(dimensions, self.file.sample, self.file.seed)
        if not sampled:
            self._check_count(dimensions)
            self._raise()
        known = {**fixed, **{axis.path: _example(axis) for axes in dimensions for axis in axes}}
        where = self._conditions(("where",), self.file.where, known)
        speeds, keep, front = self._screen(known)
        metrics = tuple(self.file.metrics or DEFAULT_METRICS)
        self._check_results(metrics, speeds, space.paths)
        self._raise()
        return Plan(self.file, space, fixed, where, speeds, keep, front, metrics, self.file.objectives)

    def _raise(self) -> None:
        if self.problems:
            raise collected(list(dict.fromkeys(self.problems)))

    def _problem(self, place: Place, text: str) -> None:
        self.problems += [f"{self.document.where(place)}: {line}" for line in text.splitlines()]

    def _machines(self) -> list[Document]:
        """The descriptions of all machines of the study; those that cannot be read are told with their axis."""
        given = [name for values in self._given("accelerator") for name in _names(values)]
        names, found = given or self.file.accelerator, []
        for name in names:
            try:
                found.append(accelerator_document(name))
            except AccelsimError:
                continue
        return found

    def _shapes(self) -> Iterator[Any]:
        """Shapes of the network's input in the study; those that are none are told with their axis."""
        fixed = [[value] for name, value in self.file.fixed.items() if canonical(name) == "input_shape"]
        varied = [values for values in self._given("input_shape") if isinstance(values, list)]
        for value in [value for values in fixed or varied or [[None]] for value in values]:
            with suppress(InputError):
                yield OPTIONS["input_shape"].read(value)

    def _given(self, path: str) -> list[Any]:
        """What stands at a path, wherever in the study."""
        tables = [self.file.fixed, self.file.axes, *self.file.zip]
        return [value for table in tables for name, value in table.items() if canonical(name) == path]

    def _dimensions(self) -> Iterator[tuple[Axis, ...]]:
        elsewhere = {path for table in (self.file.fixed, self.file.axes, *self.file.zip) for path in table}
        if "network" not in elsewhere and not self.file.network:
            self._problem(("network",), "network is missing: name one, or a list of them")
        for path in ("network", "accelerator"):
            names = getattr(self.file, path)
            if names and (path in self.document.data or path not in elsewhere):
                yield from self._axes({path: names}, ())
        for path, entry in self.file.axes.items():
            yield from self._axes({path: entry}, ("axes",))
        for number, axes in enumerate(self.file.zip):
            yield from self._axes(axes, ("zip", number))

    def _axes(self, entries: AxisEntries, parents: Place) -> Iterator[tuple[Axis, ...]]:
        """The axes of one dimension, if they are sound."""
        axes = [axis for path, entry in entries.items() if (axis := self._axis(path, entry, (*parents, path)))]
        if not entries:
            self._problem(parents, f"{dotted_name(parents)} is empty: name axes that go together")
        if len(axes) < len(entries) or not axes:
            return
        sizes = {axis.path: axis.size for axis in axes} if len(axes) > 1 else {}
        if len(set(sizes.values())) > 1:
            lengths = ", ".join(f"{path} has {size}" for path, size in sizes.items())
            self._problem(parents, f"{dotted_name(parents)}: axes that go together are of one length; {lengths}")
            return
        yield tuple(axes)

    def _axis(self, name: str, entry: list[Any] | Linear | Logarithmic, place: Place) -> Axis | None:
        path = canonical(name)
        if not self._is_new(path, place):
            return None
        if entry == []:
            self._problem(place, f"{dotted_name(place)} is empty; list its values, or leave it out")
            return None
        if isinstance(entry, list):
            values = [self._value(path, value, (*place, k)) for k, value in enumerate(entry)]
            return None if any(value is _WRONG for value in values) else self._distinct(path, values, place)
        return self._range(path, entry, place)

    def _is_new(self, path: str, place: Place) -> bool:
        if path in self.seen:
            self._problem(place, f"{dotted_name(place)}: {path} is given twice; it is {self.seen[path]} already")
            return False
        self.seen[path] = dotted_name(place)
        return True

    def _value(self, path: str, value: Any, place: Place) -> Any:
        try:
            return read_value(path, value, self.machines, self.shapes)
        except AccelsimError as error:
            at = dotted_name(place[:-1] if place and isinstance(place[-1], int) else place)
            self._problem(place, "\n".join(f"{at}: {line}" for line in str(error).splitlines()))
            return _WRONG

    def _distinct(self, path: str, values: list[Any], place: Place) -> Axis | None:
        """A listed axis; alone, a value that comes twice would be the same points twice."""
        twice = [value for k, value in enumerate(values) if value in values[:k]]
        if twice and place[0] != "zip":
            self._problem(place, f"{dotted_name(place)}: {twice[0]} is listed twice")
            return None
        return Listed(path, tuple(values))

    def _range(self, path: str, entry: Linear | Logarithmic, place: Place) -> Axis | None:
        log = isinstance(entry, Logarithmic)
        ends = entry.log if isinstance(entry, Logarithmic) else entry.linear
        kind = (*place, "log" if log else "linear")
        first, last = (self._value(path, end, (*kind, k)) for k, end in enumerate(ends))
        if _WRONG in (first, last):
            return None
        rule = self._range_rule(path, first, last, log, entry.count)
        if rule:
            self._problem(kind, f"{dotted_name(kind)}: {rule}")
            return None
        whole = isinstance(first, int) and isinstance(last, int) and NUMBERS.get(path) is not float
        count = None if self.file.sample is not None and place[0] != "zip" else entry.count
        return Ranged(path, float(first), float(last), log, whole, count)

    def _range_rule(self, path: str, first: Any, last: Any, log: bool, count: int | None) -> str:
        """What is wrong with the ends of a range, or its count."""
        if not all(type(end) in (int, float) and isfinite(end) for end in (first, last)):
            return f"{path} has no numbers between {first} and {last}; list its values"
        if log and not (first > 0 and last > 0):
            return f"a ratio of {first} and {last} is none; both ends must be above 0"
        if count is None and self.file.sample is None:
            return "count is missing: how many values"
        return ""

    def _fixed(self) -> dict[str, Any]:
        fixed = {}
        for name, value in self.file.fixed.items():
            place, path = ("fixed", name), canonical(name)
            if self._is_new(path, place):
                fixed[path] = self._value(path, value, place)
        return fixed

    def _check_count(self, dimensions: Sequence[tuple[Axis, ...]]) -> None:
        points = prod(max(_declared(axis) for axis in axes) for axes in dimensions)
        if points > MOST_POINTS:
            self._problem(
                ("axes",),
                f"{points:,} points; the most is {MOST_POINTS:,}: fewer values an axis, or sample with points",
            )

    def _conditions(self, parents: Place, texts: Iterable[str], known: Mapping[str, Any]) -> tuple[Condition, ...]:
        """Conditions on names that are `known` by an example of their values."""
        found = []
        for number, text in enumerate(texts):
            place = (*parents, number)
            try:
                found.append(condition(text, known))
                found[-1].holds(known, 1)
            except InputError as error:
                self._problem(place, f"{dotted_name(place)}: {error}")
        return tuple(found)

    def _screen(
        self, known: Mapping[str, Any]
    ) -> tuple[tuple[Speed, ...], tuple[Condition, ...], Mapping[str, Direction]]:
        screen = self.file.screen
        if screen is None:
            return (self.file.speed,), (), {}
        if self.file.speed == "bounds":
            self._problem(("screen",), "screen chooses what is simulated; with speed bounds nothing is")
        if not screen.keep and not screen.front:
            self._problem(("screen",), "screen is empty: give keep, or front")
        keep = self._conditions(("screen", "keep"), screen.keep, {**known, **dict.fromkeys(BOUNDS, 1.0)})
        for name in screen.front:
            if name not in (numbers := [*BOUNDS, *self.numeric]):
                place = ("screen", "front", name)
                hint = suggestion(name, numbers)
                self._problem(place, f"{dotted_name(place)}: {name} is no bound, and no axis of numbers{hint}")
        return ("bounds", self.file.speed), keep, screen.front

    def _check_results(self, metrics: Sequence[str], speeds: Sequence[Speed], axes: Sequence[str]) -> None:
        for number, name in enumerate(metrics):
            place: Place = ("metrics", number)
            problem = check_metric(name, [list(machine.data.get("memories") or {}) for machine in self.machines])
            if name in axes:
                problem = f"{name} is an axis of the study, and in the table already"
            if problem:
                self._problem(place, f"{dotted_name(place)}: {problem}")
        if len(set(metrics)) < len(metrics):
            self._problem(("metrics",), "metrics: a name is listed twice")
        simulated = speeds[-1] != "bounds"
        results = [*(metrics if simulated else ()), *(BOUNDS if "bounds" in speeds else ())]
        for name in self.file.objectives:
            if name not in results and name not in self.numeric:
                place = ("objectives", name)
                hint = suggestion(name, results)
                self._problem(place, f"{dotted_name(place)}: the study has no such result{hint}")


def _example(axis: Axis) -> Any:
    """A value of an axis, one that is not missing where there is one."""
    if isinstance(axis, Ranged):
        return axis.first
    return next((value for value in axis.values if value is not None), None)


def _is_numeric(axis: Axis) -> bool:
    return isinstance(axis, Ranged) or column(axis.values).dtype != object


def _names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _declared(axis: Axis) -> int:
    """How many values an axis has at most, without making them."""
    return axis.count or 1 if isinstance(axis, Ranged) else axis.size


#: Stands for a value that could not be read.
_WRONG = type("Wrong", (), {})()
