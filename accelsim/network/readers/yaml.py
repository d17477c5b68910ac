"""A network from its YAML form: the fields of the layer dataclasses, with a line number in every error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from math import isnan, prod
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, collected
from accelsim.network.graph import Network, Node, Port, channels_first, network
from accelsim.network.layers import KINDS, BatchNorm, Input
from accelsim.network.statistics import LayerStatistics
from accelsim.network.tensor import Tensor
from accelsim.yaml_file import Document, dotted_name, read_document

Path_ = tuple[str | int, ...]
Array = NDArray[np.generic]
Record = TypeVar("Record")

TOP = ("name", "parameters", "tied", "inputs", "outputs", "layers", "statistics")
OF_NODE = ("name", "kind", "inputs", "shares")
LIST_RULE = "expected a list of at least one"
#: No size or count in a network comes near it; beyond it, arithmetic and messages grow without end.
LARGEST_INTEGER = 2**62


def read_yaml_network(path: str | Path) -> Network:
    """The network a YAML file describes.

    `name`, `layers` (each with `name`, `kind`, `inputs` and the fields of that kind) and `outputs` (names of
    layers, or ports with their shapes) are required; `inputs` gives ports, `parameters` a NumPy archive in
    the same folder or below, `tied` further names for arrays in it, `statistics` figures of execution by layer.
    Raises `InputError` with every problem of the file, a line each: file, line, value and rule.
    """
    path = Path(path)
    return _Reader(read_document(path), path.parent).network()


class _Reader:
    """Collects problems while it reads, so that all of them are told at once."""

    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._problems: list[str] = []
        self._lines: dict[str, Path_] = {}

    def network(self) -> Network:
        data = self._document.data
        self._refuse_unknown((), data, TOP)
        name = self._field((), data, "name", str)
        layers = [self._node(at, entry) for at, entry in self._entries("layers", required=True)]
        outputs = [self._port(at, entry) for at, entry in self._entries("outputs", required=True)]
        inputs = [self._port(at, entry) for at, entry in self._entries("inputs")]
        tied = self._field((), data, "tied", dict, {})
        archive = self._field((), data, "parameters", str, None)
        self._stop_at_problems()
        net = self._built(name, layers, outputs, inputs)
        self._check_ports(net)
        self._stop_at_problems()
        arrays = self._arrays(net, archive, tied) if archive is not None or tied else {}
        statistics = self._statistics(net)
        self._stop_at_problems()
        return network(name, net.nodes, net.outputs, net.inputs, arrays).with_statistics(statistics)

    def _built(self, name: str, layers: list[Any], outputs: list[Any], inputs: list[Any]) -> Network:
        sources = {node.name: node.layer for node in layers if isinstance(node.layer, Input)}
        ports = [self._source_port(index, port, sources) for index, port in enumerate(inputs)]
        self._stop_at_problems()
        try:
            net = network(name, layers, outputs, [port for port in ports if port is not None])
        except InputError as error:
            raise collected(
                [self._placed(line.removeprefix(f"{name}: ")) for line in str(error).splitlines()]
            ) from None
        left_out = [node.name for node in layers if node.name not in net.by_name]
        self._problems += [
            f"{self._document.where(self._lines[layer])}: {layer} leads to no output; name it in outputs, or remove it"
            for layer in left_out
        ]
        return net

    def _source_port(self, index: int, port: str | Port, sources: Mapping[str, Input]) -> Port | None:
        """A port given by a layer's name has that layer's shape."""
        if isinstance(port, Port):
            return port
        if port not in sources:
            self._problem(("inputs", index), port, "is no layer of kind input")
            return None
        return channels_first(port, port, Tensor(sources[port].channels, sources[port].spatial))

    def _placed(self, problem: str) -> str:
        """A problem of the graph with the line of the layer it starts with."""
        return f"{self._document.where(self._lines.get(problem.split(' ')[0], ()))}: {problem}"

    def _entries(self, key: str, required: bool = False) -> list[tuple[Path_, Any]]:
        entries = self._document.data.get(key)
        if entries is None and not required:
            return []
        if not isinstance(entries, list) or (required and not entries):
            self._problem((key,), entries, LIST_RULE if entries is not None else "is missing")
            return []
        return [((key, index), entry) for index, entry in enumerate(entries)]

    def _node(self, at: Path_, entry: Any) -> Node | None:
        if not isinstance(entry, dict):
            self._problem(at, entry, "expected a mapping with name, kind and inputs")
            return None
        name = self._field(at, entry, "name", str)
        kind = self._field(at, entry, "kind", str)
        inputs = self._field(at, entry, "inputs", tuple[str, ...], ())
        shares = self._field(at, entry, "shares", str | None, None)
        if isinstance(name, str):
            self._lines.setdefault(name, at)
        if not isinstance(kind, str):
            return None
        if kind not in KINDS:
            self._problem((*at, "kind"), kind, f"unknown kind{_suggestion(kind, KINDS)}")
            return None
        layer = self._record(at, entry, KINDS[kind], OF_NODE)
        complete = layer is not None and None not in (name, inputs)
        return Node(name, layer, inputs, shares) if layer is not None and complete else None

    def _port(self, at: Path_, entry: Any) -> str | Port | None:
        return entry if isinstance(entry, str) else self._record(at, entry, Port, ())

    def _record(self, at: Path_, entry: Any, record: type[Record], others: tuple[str, ...]) -> Record | None:
        """A dataclass from a mapping with its fields (and `others`, which are not looked at)."""
        if not isinstance(entry, dict):
            self._problem(at, entry, f"expected a mapping with {_listed(record)}")
            return None
        before = len(self._problems)
        hints = get_type_hints(record)
        known = [field for field in fields(record) if field.init]  # type: ignore[arg-type]
        self._refuse_unknown(at, entry, (*others, *(field.name for field in known)))
        values = {field.name: self._field(at, entry, field.name, hints[field.name], field.default) for field in known}
        return record(**values) if len(self._problems) == before else None

    def _refuse_unknown(self, at: Path_, entry: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in entry:
            if key not in known:
                self._problem((*at, key), entry[key], f"unknown name{_suggestion(key, known)}")

    def _field(self, at: Path_, entry: dict[str, Any], key: str, hint: Any, default: Any = MISSING) -> Any:
        """One value of a mapping; None after a problem was noted."""
        if key in entry:
            try:
                return _converted(entry[key], hint)
            except ValueError as error:
                self._problem((*at, key), entry[key], str(error))
        elif default is MISSING:
            self._problem((*at, key), None, "is missing")
        else:
            return default
        return None

    def _problem(self, at: Path_, value: Any, rule: str) -> None:
        given = "" if value is None else f" = {_short(value)}"
        separator = " " if value is None else ": "
        self._problems.append(f"{self._document.where(at)}: {dotted_name(at)}{given}{separator}{rule}")

    def _stop_at_problems(self) -> None:
        if self._problems:
            raise collected(self._problems)

    def _check_ports(self, net: Network) -> None:
        for side, ports in (("inputs", net.inputs), ("outputs", net.outputs)):
            for index, port in enumerate(ports):
                rule = _port_misfit(port, net, side == "inputs")
                if rule is not None:
                    self._problem((side, index), None, f"({port.name}) {rule}")

    def _arrays(self, net: Network, archive: str | None, tied: dict[str, Any]) -> dict[str, Array]:
        """The arrays of the archive, each of the shape its layer says, and the further names of some."""
        expected = _expected_arrays(net)
        arrays = {} if archive is None else self._read_archive(archive, expected)
        for key, owner in tied.items():
            at: Path_ = ("tied", key)
            if key not in expected:
                self._problem(at, owner, f"no layer has an array '{key}'{_suggestion(key, expected)}")
            elif owner not in arrays:
                self._problem(at, owner, "is no array of the archive")
            elif expected[key] != arrays[owner].shape:
                self._problem(at, owner, f"has shape {arrays[owner].shape}, not {expected[key]}")
            else:
                arrays[key] = arrays[owner]
        return arrays

    def _statistics(self, net: Network) -> dict[str, LayerStatistics]:
        entries, found = self._field((), self._document.data, "statistics", dict, {}) or {}, {}
        for layer, entry in entries.items():
            at: Path_ = ("statistics", layer)
            if layer not in net.by_name:
                self._problem(at, None, f"is no layer{_suggestion(str(layer), net.by_name)}")
                continue
            try:
                figures = self._record(at, entry, LayerStatistics, ())
            except InputError as error:
                self._problem(at, None, str(error))
                continue
            if figures is not None:
                found[layer] = figures
        return found

    def _read_archive(self, archive: str, expected: dict[str, tuple[int, ...]]) -> dict[str, Array]:
        folder, at = self._folder.resolve(), ("parameters",)
        file = (folder / archive).resolve()
        if not file.is_relative_to(folder):
            self._problem(at, archive, "leads out of the folder of the network's file")
            return {}
        try:
            with ZipFile(file) as members:
                return self._members(at, archive, members, expected)
        except OSError as error:
            self._problem(at, archive, f"cannot be read: {error.strerror or error}")
        except (BadZipFile, NotImplementedError) as error:
            self._problem(at, archive, f"is no NumPy archive ({error})")
        return {}

    def _members(
        self, at: Path_, archive: str, members: ZipFile, expected: dict[str, tuple[int, ...]]
    ) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for member in members.infolist():
            key = member.filename.removesuffix(".npy")
            try:
                if key not in expected:
                    raise ValueError(f"belongs to no layer{_suggestion(key, expected)}")
                if member.compress_type != ZIP_STORED:
                    raise ValueError("is compressed; write archives with numpy.savez")
                with members.open(member) as stream:
                    arrays[key] = _array(stream, expected[key])
            except (ValueError, EOFError, RuntimeError) as error:
                self._problem(at, archive, f"array '{key}' {str(error).splitlines()[0]}")
        return arrays


def _array(stream: Any, expected: tuple[int, ...]) -> Array:
    """One array, its shape and type checked before any of it is read."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(stream)
    if shape != expected:
        raise ValueError(f"has shape {shape}, not {expected}")
    if kind.kind not in "biuf":
        raise ValueError(f"has values of type {kind}, not numbers")
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _expected_arrays(net: Network) -> dict[str, tuple[int, ...]]:
    """Shapes of all arrays the layers may have, running statistics included."""
    expected: dict[str, tuple[int, ...]] = {}
    for node in net.nodes:
        weights = dict(node.layer.weights(net.sources(node)))
        if isinstance(node.layer, BatchNorm):
            weights |= {"mean": weights["scale"], "variance": weights["scale"]}
        expected |= {f"{node.name}.{key}": shape for key, shape in weights.items()}
    return expected


def _port_misfit(port: Port, net: Network, source: bool) -> str | None:
    """Why a declared shape cannot be that of its node; None where it can."""
    if port.node not in net.by_name:
        return f"names '{port.node}', which is no layer"
    if source and not isinstance(net.by_name[port.node].layer, Input):
        return f"names {port.node}, which is no input"
    axes = (*port.spatial_axes, *port.channel_axes)
    if len(set(axes)) != len(axes) or not all(0 <= axis < len(port.shape) for axis in axes):
        return f"has axes {axes}, not different axes of a shape with {len(port.shape)}"
    tensor: Tensor = net.tensors[port.node]
    pixels, channels = (prod(port.shape[a] for a in group) for group in (port.spatial_axes, port.channel_axes))
    if (pixels, channels, prod(port.shape)) != (tensor.pixels, tensor.channels, tensor.elements):
        return f"has shape {port.shape}, which does not hold a {tensor.label} map on these axes"
    return None


def _converted(value: Any, hint: Any) -> Any:
    """`value` as the type `hint` of a dataclass field; raises `ValueError` with the rule."""
    if get_origin(hint) is UnionType:
        options = get_args(hint)
        return None if value is None and type(None) in options else _converted(value, options[0])
    if get_origin(hint) is tuple:
        return _converted_list(value, hint)
    accepted = (int, float) if hint is float else (hint,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"expected {_described(hint)}")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueError("is beyond 2^62")
    if isinstance(value, float) and isnan(value):
        raise ValueError("is not a number")
    return float(value) if hint is float else value


def _converted_list(value: Any, hint: Any) -> tuple[Any, ...]:
    items = get_args(hint)
    repeated = items[-1] is Ellipsis
    if not isinstance(value, list) or not (repeated or len(value) == len(items)):
        raise ValueError(f"expected {_described(hint)}")
    try:
        return tuple(_converted(item, items[0] if repeated else items[index]) for index, item in enumerate(value))
    except ValueError:
        raise ValueError(f"expected {_described(hint)}") from None


def _described(hint: Any, plural: bool = False) -> str:
    """A type in words.

    >>> _described(tuple[tuple[int, int], ...])
    'a list of pairs of integers'
    """
    if get_origin(hint) is tuple:
        items = get_args(hint)
        noun = "list" if items[-1] is Ellipsis else "pair"
        return f"{noun}s of {_described(items[0], True)}" if plural else f"a {noun} of {_described(items[0], True)}"
    one, many = {
        int: ("an integer", "integers"),
        float: ("a number", "numbers"),
        bool: ("true or false", "true or false"),
        str: ("text (in quotes if it looks like a number)", "texts (in quotes if they look like numbers)"),
        dict: ("a mapping", "mappings"),
    }[hint]
    return many if plural else one


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f" (did you mean {close[0]}?)"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 30 else ""


def _listed(record: type[Any]) -> str:
    return ", ".join(field.name for field in fields(record))


def _short(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
