"""What can be varied: every dotted path, what it means, and what its values must be.

Fields of a machine file have the names they have in `--set`; the rest are the options of `accelsim simulate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from sys import float_info
from typing import Any, NamedTuple

from accelsim.arithmetic.load import load_network
from accelsim.errors import AccelsimError, InputError
from accelsim.hardware.accelerator import Accelerator, accelerator_from, load_accelerator
from accelsim.mapping.mapping import read_mapping
from accelsim.mapping.search.objective import OBJECTIVES
from accelsim.network.rewrites.virtual_maps import OPERATIONS
from accelsim.yaml_file import Document, suggestion

#: Sections that may stand in front of a path, and stand for nothing.
SECTIONS = ("accelerator.", "mapping.", "rewrites.")
CHOOSING_SEGMENTS = ("layer-by-layer", "fused")
#: The largest whole number of an option: far beyond what any network has of it.
MOST_WHOLE = 10**9
MAPPINGS = ("pipeline", *CHOOSING_SEGMENTS)


class Option(NamedTuple):
    """A path that is no field of a machine: `read` gives a value as used, or raises `InputError`."""

    meaning: str
    read: Callable[[Any], Any]


def _whole(least: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if value is not None and (type(value) is not int or not least <= value <= MOST_WHOLE):
            raise InputError(f"Input should be a whole number from {least} to {MOST_WHOLE:,}, or null")
        return value

    return read


def _one_of(names: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise InputError(f"Input should be one of {', '.join(names)}")
        return str(value)

    return read


def _rate(value: Any) -> float | None:
    if value is not None and (type(value) not in (int, float) or not 0 < value <= float_info.max):
        raise InputError("Input should be a number above 0, or null")
    return None if value is None else float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError("Input should be true or false")
    return value


def _network(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError("Input should be a network's name or file")
    return value


def _check_network(network: str, shapes: Sequence[Any]) -> None:
    """Raises `InputError` where a network cannot be read with any of `shapes`."""
    problems: list[AccelsimError] = []
    for shape in shapes:
        try:
            load_network(network, shape)
            return
        except AccelsimError as error:
            problems.append(error)
    if problems:
        raise InputError(str(problems[0]))


def _machine(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError("Input should be a preset's name or a file")
    load_accelerator(value)
    return value


def _mapping(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"Input should be one of {', '.join(MAPPINGS)}, or a mapping file")
    if value not in MAPPINGS:
        if not Path(value).is_file():
            raise InputError(f"Input should be one of {', '.join(MAPPINGS)}, or a mapping file that is there")
        read_mapping(value)
    return value


def _shape(value: Any) -> tuple[int, ...] | None:
    sizes = value if isinstance(value, list | tuple) else ()
    if value is not None and (not sizes or not all(type(size) is int and size > 0 for size in sizes)):
        raise InputError("Input should be sizes such as [1, 3, 224, 224], or null")
    return None if value is None else tuple(sizes)


OPTIONS: dict[str, Option] = {
    "network": Option("a registered network, or an .onnx or .yaml file", _network),
    "accelerator": Option("a preset's name or a machine file", _machine),
    "input_shape": Option("the shape of the network's input", _shape),
    "fold": Option("whether batch norms are folded into convolutions", _truth),
    "virtual_maps.factor": Option("channels that become one before a map is stored; null: maps as they are", _whole(1)),
    "virtual_maps.operation": Option("how they become one", _one_of(OPERATIONS)),
    "tile_attention.rows": Option("rows of a squeeze-excite tile; null: no tiles", _whole(1)),
    "tile_attention.count": Option("how many blocks are tiled; null: all", _whole(0)),
    "tile_attention.columns": Option("columns of a tile; null: whole rows", _whole(1)),
    "mapping": Option("how segments are chosen, or a mapping file", _mapping),
    "target_fps": Option("frames a second to reach with the fewest multipliers; null: as many as there are", _rate),
    "objective": Option("what segments are chosen for", _one_of(OBJECTIVES)),
    "frames_per_visit": Option("frames that a segment processes before the next", _whole(1)),
    "materialised": Option("whether maps are stored before their channels are pooled", _truth),
}
#: Options whose values between two others are numbers of this kind.
NUMBERS: dict[str, type] = {
    "target_fps": float,
    "virtual_maps.factor": int,
    "tile_attention.rows": int,
    "tile_attention.count": int,
    "tile_attention.columns": int,
    "frames_per_visit": int,
}
KNOWN = f" (known: fields of a machine such as engine.multipliers, {', '.join(OPTIONS)})"


def canonical(path: str) -> str:
    """`path` without the section it may begin with."""
    for section in SECTIONS:
        if path.startswith(section):
            return path.removeprefix(section)
    return path


def is_single(path: str, value: Any) -> bool:
    """Whether `value` is one that a path can have: not a list or mapping, but for shapes."""
    return path == "input_shape" or not isinstance(value, list | dict)


def read_value(path: str, value: Any, machines: Sequence[Document], shapes: Sequence[Any] = (None,)) -> Any:
    """`value` of `path` as it is used, and read by every machine; a network with one of `shapes` at least.

    Raises `InputError` with the path and the rule.
    """
    if not is_single(path, value):
        raise InputError(f"{path} = {value}: expected single values")
    if path in OPTIONS:
        try:
            used = OPTIONS[path].read(value)
            if path == "network":
                _check_network(used, shapes)
            return used
        except InputError as error:
            raise InputError(f"{path} = {_shown(value)}: {error}") from None
    _check_name(path)
    built = [_machine_value(path, value, machine) for machine in machines]
    return built[0] if built else value


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _check_name(path: str) -> None:
    """Raises `InputError` where a path is rather a misspelt option than a field of a machine."""
    top = path.partition(".")[0]
    if top in Accelerator.model_fields:
        return
    hint = suggestion(path, [*OPTIONS, *Accelerator.model_fields])
    raise InputError(f"unknown path {path}{hint if 'mean' in hint else KNOWN}")


def _machine_value(path: str, value: Any, machine: Document) -> Any:
    """The value of a field in a machine that has it set to `value`.

    What is wrong elsewhere in it may be put right by the values of other paths, and is left to the points.
    """
    try:
        built: Any = accelerator_from(machine, {path: value})
    except InputError as error:
        mine = [line for line in str(error).splitlines() if not line.startswith(machine.place)]
        if mine:
            raise InputError("\n".join(line.removeprefix("settings: ") for line in mine)) from None
        return value
    for name in path.split("."):
        built = built[name] if isinstance(built, dict) else getattr(built, name)
    return built
