"""YAML that knows where its values stand: safe reading, dotted paths, errors with file and line."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, MappingStartEvent, NodeEvent, ScalarEvent, SequenceStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from accelsim.errors import InputError, collected

#: Enough for a mapping of a thousand layers; far below what would take seconds to read.
LARGEST_FILE_BYTES = 2**24
DEEPEST_NESTING = 64

#: Rules that pydantic tells in its own words rather than a file's.
RULES = dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type"), "Input should be a mapping of names to values"
)
#: Faults whose text is ours, and says what would help.
OWN_WORDS = ("value_error", "figure")

Model = TypeVar("Model", bound=BaseModel)


class Document:
    """Plain data of a YAML file, with the line of every dotted path."""

    def __init__(self, place: str, data: dict[str, Any], lines: dict[tuple[str | int, ...], int]) -> None:
        self.place = place
        self.data = data
        self.lines = lines
        self.settings: set[tuple[str | int, ...]] = set()

    def where(self, path: tuple[str | int, ...]) -> str:
        """`file:line`, the line of the nearest parent where the path is absent; `settings` for what was set."""
        if any(path[:depth] in self.settings for depth in range(1, len(path) + 1)):
            return "settings"
        for depth in range(len(path), -1, -1):
            if path[:depth] in self.lines:
                return f"{self.place}:{self.lines[path[:depth]]}"
        return self.place

    def set(self, dotted: str, value: Any) -> None:
        """Put `value` at a dotted path such as `engine.lanes`, made where it is absent."""
        *parents, leaf = dotted.split(".")
        level = self.data
        for depth, name in enumerate(parents, 1):
            if name not in level:
                self.settings.add(tuple(parents[:depth]))
            level = level.setdefault(name, {})
            if not isinstance(level, dict):
                raise InputError(f"{dotted}: '{name}' has no fields below it")
        level[leaf] = value
        self.settings.add((*parents, leaf))


def dotted_name(path: tuple[str | int, ...]) -> str:
    """Text of a path.

    >>> dotted_name(("segments", 0, "unroll"))
    'segments[0].unroll'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """The mapping in a YAML file.

    Raises `InputError` (file, line, rule) for what is no YAML mapping, and refuses tags, aliases,
    duplicate keys, nesting beyond 64 levels and files over 16 MiB: a description needs none of them.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: {size:,} bytes; the most is {LARGEST_FILE_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r} is no path: {error}") from None
    return parse_document(text, str(path))


def parse_document(text: str, place: str) -> Document:
    """`read_document` for text already in memory."""
    try:
        _refuse_risky(text, place)
        root = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise InputError(f"{place}{_line_of(error)}: {_first_line(error)}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not readable as YAML ({_first_line(error)})") from None
    if not isinstance(root, MappingNode):
        raise InputError(f"{place}: expected a mapping of names to values at the top")
    lines: dict[tuple[str | int, ...], int] = {}
    data = _plain(root, (), lines, place)
    return Document(place, data, lines)


def _refuse_risky(text: str, place: str) -> None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise InputError(f"{place}:{line}: aliases (*{event.anchor}) are not allowed; write the value out")
        if isinstance(event, NodeEvent) and _tag(event):
            raise InputError(f"{place}:{line}: tags ({_tag(event)}) are not allowed; write plain values")
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            depth += 1
        elif type(event).__name__ in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1
        if depth > DEEPEST_NESTING:
            raise InputError(f"{place}:{line}: nested deeper than {DEEPEST_NESTING} levels")


def _tag(event: NodeEvent) -> str | None:
    if isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent)) and event.tag is not None:
        return str(event.tag)
    return None


def _plain(node: Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int], place: str) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, SequenceNode):
        return [_plain(child, (*path, index), lines, place) for index, child in enumerate(node.value)]
    if isinstance(node, ScalarNode):
        return _scalar(node, place)
    values: dict[str, Any] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            raise InputError(f"{place}:{line}: a name must be plain text, not a list or mapping")
        name = _text(key, place)
        if name in values:
            raise InputError(_one_line(f"{place}:{line}: {dotted_name((*path, name))} is given twice"))
        values[name] = _plain(child, (*path, name), lines, place)
        lines[*path, name] = line
    return values


def _scalar(node: ScalarNode, place: str) -> Any:
    kind = node.tag if isinstance(node.tag, str) else str(node.ctag)
    convert = {"int": _integer, "float": _number, "bool": _truth, "null": lambda text: None}.get(
        kind.rpartition(":")[2], str
    )
    text = _text(node, place)
    try:
        return convert(text)
    except ValueError:
        raise InputError(f"{place}:{node.start_mark.line + 1}: '{node.value[:40]}' is no number") from None


def _text(node: ScalarNode, place: str) -> str:
    """What a scalar says; half a surrogate pair, which YAML can escape, could not even be printed."""
    text = str(node.value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{place}:{node.start_mark.line + 1}: half a surrogate pair is no text")
    return text


def _integer(text: str) -> int:
    return int(text.replace("_", ""), 0)


def _number(text: str) -> float:
    special = {".inf": "inf", "-.inf": "-inf", "+.inf": "inf", ".nan": "nan"}
    return float(special.get(text.lower(), text.replace("_", "")))


def _truth(text: str) -> bool:
    return text.lower() in ("true", "yes", "on")


def validated(model: type[Model], document: Document) -> Model:
    """`document` as a pydantic model; every problem in it is one line of a single `InputError`."""
    # pydantic takes true for 1 unless it is strict, and then it takes no text with a unit
    truths = [fault for fault in _faults(model, document, strict=True) if isinstance(fault["input"], bool)]
    faults = {fault["loc"]: fault for fault in [*truths, *_faults(model, document, strict=False)]}
    if faults:
        raise collected([_one_line(_problem(model, document, fault)) for fault in faults.values()])
    return model.model_validate(document.data)


def _faults(model: type[BaseModel], document: Document, strict: bool) -> list[Any]:
    try:
        model.model_validate(document.data, strict=strict)
    except ValidationError as error:
        return list(error.errors())
    return []


def _problem(model: type[BaseModel], document: Document, detail: Any) -> str:
    location = detail["loc"]
    if location[-1:] == ("[key]",) and location[-2:-1] == (detail["input"],):
        location = location[:-1]  # the fault is in the name itself
    path, fields, meaning = _located(model, location)
    text = RULES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    if detail["type"] == "extra_forbidden":
        return f"{document.where(path)}: unknown name {dotted_name(path)}{suggestion(str(path[-1]), fields)}"
    if detail["type"] == "missing":
        return f"{document.where(path)}: {dotted_name(path)} is missing{_cure(path, meaning)}"
    if detail["type"] == "union_tag_invalid":
        path = (*path, "kind")
        text = f"Input should be one of {detail['ctx']['expected_tags']}"
        return f"{document.where(path)}: {dotted_name(path)} = {_short(detail['ctx']['tag'])}: {text}"
    if detail["type"] not in OWN_WORDS:
        text += _cure(path, meaning)
    return f"{document.where(path)}: {dotted_name(path)} = {_short(detail['input'])}: {text}"


def _cure(path: tuple[str | int, ...], meaning: str) -> str:
    """What a field should say, by its description."""
    return f"; {path[-1]}: {meaning}" if meaning else ""


def suggestion(name: str, fields: list[str]) -> str:
    """What to say after a `name` that is none of `fields`: the one that is meant, or all there are."""
    close = get_close_matches(name, fields, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(fields)})" if fields else ""


class _Located(NamedTuple):
    """Where a fault is in the file, which fields are known there, and what the description of its own says."""

    path: tuple[str | int, ...]
    fields: list[str]
    meaning: str


def _located(model: type[BaseModel], location: tuple[str | int, ...]) -> _Located:
    """Of a fault's location, which also names members of unions."""
    level: Any = model
    path: list[str | int] = []
    fields: dict[str, Any] = {}
    for name in location:
        member = _member(level, name)
        if member is not None:
            level = member
            continue
        fields = getattr(level, "model_fields", {})
        path.append(name)
        level = _below(level, name)
    own = fields.get(str(path[-1])) if path else None
    return _Located(tuple(path), list(fields), own.description or "" if own else "")


def _member(level: Any, name: str | int) -> Any:
    """The alternative of a tagged union that a location goes into under its tag."""
    if get_origin(level) is Annotated:
        level = get_args(level)[0]
    for alternative in get_args(level) if not isinstance(level, type) else ():
        if any(isinstance(mark, Tag) and mark.tag == name for mark in getattr(alternative, "__metadata__", ())):
            return get_args(alternative)[0]
    return None


def _below(level: Any, name: str | int) -> Any:
    """What a field or an item of `level` is."""
    if isinstance(level, type) and issubclass(level, BaseModel):
        field = level.model_fields.get(str(name))
        return None if field is None else field.annotation
    items = get_args(level)
    return items[-1] if items and get_origin(level) in (dict, list, tuple) else None


def _short(value: object) -> str:
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{name}: ..." for name in value) + "}"
    else:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _one_line(text: str) -> str:
    """`text` with line breaks of names and values written out: every line of an error is a problem of its own."""
    return "".join(part.encode("unicode_escape").decode() if not part.isprintable() else part for part in text)


def _line_of(error: YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f":{mark.line + 1}" if mark is not None else ""


def _first_line(error: Exception) -> str:
    problem = getattr(error, "problem", None) or str(error) or type(error).__name__
    return str(problem).splitlines()[0]
