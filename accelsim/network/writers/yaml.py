"""A network as a YAML file, one to one with its nodes, and its weights as arrays beside it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from accelsim.errors import InputError
from accelsim.network.graph import Network, Node, Port, channels_first
from accelsim.network.layers import Input, Layer
from accelsim.network.statistics import LayerStatistics


def write_yaml_network(net: Network, path: str | Path) -> None:
    """Writes `net` so that `read_yaml_network` gives it back: same nodes, ports and arrays.

    What has its default is left out: fields of layers, and the shape of a port that is that of its layer,
    channels first. Arrays go to a NumPy archive named like the file; `tied` names those that are one and
    the same array. Raises `InputError` where a file cannot be written.
    """
    try:
        _write(net, Path(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _write(net: Network, path: Path) -> None:
    arrays, tied = _distinct_arrays(net)
    document: dict[str, Any] = {"name": net.name}
    if arrays:
        archive = path.with_suffix(".npz")
        _write_arrays(archive, arrays)
        document["parameters"] = archive.name
    if tied:
        document["tied"] = tied
    sources = [node.name for node in net.nodes if isinstance(node.layer, Input)]
    inputs = [_port(net, port) for port in net.inputs]
    if inputs != sources:
        document["inputs"] = inputs
    document["outputs"] = [_port(net, port) for port in net.outputs]
    document["layers"] = [_layer(node) for node in net.nodes]
    if net.statistics:
        document["statistics"] = {name: _set_fields(figures) for name, figures in net.statistics.items()}
    with path.open("w", encoding="utf-8") as file:
        _yaml().dump(document, file)


class _OneLine(list[Any]):
    """A list to be written in brackets."""


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.representer.add_representer(_OneLine, _in_brackets)
    yaml.allow_unicode = True
    yaml.width = 110
    return yaml


def _in_brackets(representer: Any, values: _OneLine) -> Any:
    return representer.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


def _port(net: Network, port: Port) -> str | dict[str, Any]:
    return port.node if port == channels_first(port.node, port.node, net.tensors[port.node]) else _plain(port)


def _layer(node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": node.name, "kind": node.kind}
    if node.inputs:
        entry["inputs"] = _plain(node.inputs)
    if node.shares is not None:
        entry["shares"] = node.shares
    return entry | _set_fields(node.layer)


def _set_fields(record: Layer | LayerStatistics) -> dict[str, Any]:
    """Fields that have another value than their default."""
    return {
        field.name: _plain(value) for field in fields(record) if (value := getattr(record, field.name)) != field.default
    }


def _plain(value: Any) -> Any:
    """Fresh lists and mappings, so that nothing in the file refers to anything else."""
    if isinstance(value, tuple):
        return _OneLine(_plain(item) for item in value)
    if isinstance(value, Port):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _distinct_arrays(net: Network) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Each array once, and for the other names it has, the first; those of sharers follow from `shares`."""
    first: dict[int, str] = {}
    arrays: dict[str, NDArray[np.generic]] = {}
    tied: dict[str, str] = {}
    for key, array in net.parameters.items():
        if net.by_name[key.rpartition(".")[0]].shares is not None:
            continue
        owner = first.setdefault(id(array), key)
        if owner == key:
            arrays[key] = array
        else:
            tied[key] = owner
    return arrays, tied


def _write_arrays(archive: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Types that NumPy cannot name in a file, such as bfloat16, are written in single precision, which holds them."""
    storable = {key: array.astype(np.float32) if array.dtype.kind == "V" else array for key, array in arrays.items()}
    np.savez(archive, **storable)  # type: ignore[arg-type] # no array is called allow_pickle: all names have a dot
