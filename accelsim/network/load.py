"""Networks by name or from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from accelsim.errors import InputError
from accelsim.network.graph import Network

InputShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
Builder = Callable[..., Network]

FILE_KINDS = (".onnx", ".yaml", ".yml")


@cache
def registered_networks() -> Mapping[str, Builder]:
    """Builders by name, from every installed package's entry points in the group `accelsim.workloads`."""
    builders: dict[str, Builder] = {}
    for point in sorted(entry_points(group="accelsim.workloads"), key=lambda point: point.value):
        builders |= point.load()
    return builders


def load_network(network: str | Path, input_shape: InputShape | None = None) -> Network:
    """A registered network by name, or an .onnx or .yaml file.

    `input_shape` fixes dynamic dimensions or changes the resolution: one shape, or one an input's name.
    Raises `InputError` with file, place, value and rule; `UnsupportedError` names every unsupported operator.
    """
    path = Path(network)
    if path.suffix.lower() in FILE_KINDS:
        return _read(path, input_shape)
    builders = registered_networks()
    if str(network) in builders:
        return _built(str(network), builders[str(network)], input_shape)
    close = get_close_matches(str(network), builders, n=3)
    hint = f"did you mean {', '.join(close)}?" if close else f"registered: {', '.join(builders)}"
    raise InputError(f"network '{network}' is neither registered nor a file ending in {', '.join(FILE_KINDS)}; {hint}")


def _built(name: str, builder: Builder, input_shape: InputShape | None) -> Network:
    """A registered network; a shape given by name must name its only input."""
    if not isinstance(input_shape, Mapping):
        return builder(input_shape=input_shape)
    inputs = [port.name for port in builder().inputs]
    if list(input_shape) != inputs:
        raise InputError(
            f"{name}: input_shape names {', '.join(input_shape)}; the network's input is {', '.join(inputs)}"
        )
    return builder(input_shape=input_shape[inputs[0]])


def _read(path: Path, input_shape: InputShape | None) -> Network:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".onnx":
        from accelsim.network.readers.onnx import read_onnx

        return read_onnx(path, input_shape)
    if input_shape is not None:
        raise InputError(f"{path}: a YAML network has its shapes written out; input_shape is for ONNX files and names")
    from accelsim.network.readers.yaml import read_yaml_network

    return read_yaml_network(path)
