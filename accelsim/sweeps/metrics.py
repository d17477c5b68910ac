"""What a table can say of a design: figures of its report by dotted name, sums over it, and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from accelsim.mapping.roles import ROLES
from accelsim.report.report import Body
from accelsim.yaml_file import suggestion


class Sum(NamedTuple):
    """A figure that no single field of a report has, and the part of it that it is taken from."""

    part: str
    of: Callable[[Body], float | None]


SUMS: dict[str, Sum] = {
    "multipliers": Sum("segments", lambda body: max(segment.multipliers for segment in body.segments)),
    "stored_elements": Sum("buffering", lambda body: sum(role.stored_elements for role in body.buffering.values())),
    "off_chip_bytes": Sum("memories", lambda body: _off_chip_bytes(body)),
}
DEFAULT_METRICS = (
    "throughput.interval_cycles",
    "throughput.frames_per_second",
    "throughput.latency_cycles",
    "throughput.mac_utilisation",
    "multipliers",
    "stored_elements",
    "off_chip_bytes",
)


class Bound(NamedTuple):
    """A column of the closed forms: what it means, and whether it is of whole numbers."""

    meaning: str
    whole: bool = True


BOUNDS: dict[str, Bound] = {
    "bounds.interval_cycles": Bound("least cycles between frames"),
    "bounds.frames_per_second": Bound("clock over these: the most frames a second", whole=False),
    "bounds.multipliers": Bound("fewest multipliers that a pipeline of this interval has"),
    **{f"bounds.{role}_elements": Bound(f"least capacities of a pipeline's {role} edges, by rows") for role in ROLES},
    "bounds.off_chip_bytes": Bound(
        "least bytes a frame off chip: network inputs, outputs, and weights that do not stay", whole=False
    ),
    "bounds.energy_pj": Bound("least energy of a frame: its multiplications, and these bytes", whole=False),
}


def _off_chip_bytes(body: Body) -> float | None:
    rows = [row for row in (body.memories or {}).values() if row.off_chip]
    return rows[0].read_bytes + rows[0].written_bytes if rows else None


def metric_values(body: Body, metrics: Sequence[str]) -> list[Any]:
    """The figures called `metrics` in a report, None for what it does not have."""
    return [SUMS[name].of(body) if name in SUMS else _at(body, name.split(".")) for name in metrics]


def wanted_parts(metrics: Sequence[str]) -> frozenset[str]:
    """Parts of a report that the figures called `metrics` are in."""
    return frozenset(SUMS[name].part if name in SUMS else name.partition(".")[0] for name in metrics)


def _at(level: Any, names: Sequence[str]) -> Any:
    for name in names:
        level = level.get(name) if isinstance(level, Mapping) else getattr(level, name, None)
    return level


def check_metric(name: str, memories: Sequence[Sequence[str]]) -> str:
    """What is wrong with the name of a figure, nothing where it is a number, text or truth of every report.

    `memories` are those of each machine.
    """
    if name in SUMS:
        return ""
    if name in BOUNDS:
        return f"{name} is a closed form; those are in the table where speed is bounds, or with a screen"
    level: Any = Body
    parts = name.split(".")
    for depth, part in enumerate(parts):
        known = _below(level, memories)
        if part not in known:
            hint = suggestion(part, [*SUMS, *known] if depth == 0 else list(known))
            return f"unknown figure {name}{hint}"
        level = known[part]
    if _below(level, memories):
        return f"{name} has figures below it; name one: {', '.join(_below(level, memories))}"
    return "" if _is_plain(level) else f"{name} is no single figure"


def metric_type(name: str) -> type:
    """int, float, str or bool: what a figure is, where a report has it."""
    level: Any = Body
    for part in [] if name in SUMS else name.split("."):
        level = _below(level, [[part]])[part]
    kinds = {*(get_args(level) or (level,))} - {NoneType}
    return kinds.pop() if len(kinds) == 1 and name not in SUMS else float


def _below(level: Any, memories: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Parts of a report below one of its types, by name."""
    models = [kind for kind in (level, *get_args(level)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    if models and get_origin(level) not in (dict, tuple):
        return {name: field.annotation for name, field in models[0].model_fields.items()}
    tables = [kind for kind in (level, *get_args(level)) if get_origin(kind) is dict]
    row = get_args(tables[0])[1] if tables else str
    if row is str:  # the shape of each input: what they are called is the network's
        return {}
    names = ROLES if row is Body.model_fields["buffering"].annotation.__args__[1] else _common(memories)  # type: ignore[union-attr]
    return dict.fromkeys(names, row)


def _common(memories: Sequence[Sequence[str]]) -> list[str]:
    """Names of the memories of every machine."""
    return [name for name in (memories[0] if memories else ()) if all(name in levels for levels in memories)]


def _is_plain(level: Any) -> bool:
    return {*(get_args(level) or (level,))} <= {int, float, str, bool, NoneType}
