"""Networks by name or from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from numbers import Integral
from pathlib import Path

from accelsim.errors import InputError
from accelsim.network.graph import Network

InputShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
Builder = Callable[..., Network]

FILE_KINDS = (".onnx", ".tflite", ".yaml", ".yml")


@cache
def registered_networks() -> Mapping[str, Builder]:
    """Builders by name, from every installed package's entry points in the group `accelsim.workloads`."""
    builders: dict[str, Builder] = {}
    for point in sorted(entry_points(group="accelsim.workloads"), key=lambda point: point.value):
        builders |= point.load()
    return builders


def load_network(network: str | Path, input_shape: InputShape | None = None) -> Network:
    """A registered network by name, or an .onnx file of real numbers, or a .yaml file.

    Other files are `accelsim.arithmetic.load`'s to read. `input_shape` fixes dynamic dimensions or changes the
    resolution: one shape, or one an input's name. Raises `InputError` with file, place, value and rule;
    `UnsupportedError` names every unsupported operator.
    """
    if not isinstance(network, str | Path):
        raise InputError(f"network = {network!r} is no name and no path")
    check_shape(input_shape)
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


def check_shape(input_shape: InputShape | None) -> None:
    """Sizes are whole numbers: for one input, or by an input's name."""
    shapes = input_shape.values() if isinstance(input_shape, Mapping) else [] if input_shape is None else [input_shape]
    for shape in shapes:
        sequence = isinstance(shape, Sequence) and not isinstance(shape, str)
        if not sequence or not all(isinstance(size, Integral) for size in shape):
            raise InputError(f"input_shape = {input_shape!r} is not whole numbers such as (1, 3, 224, 224)")


def _read(path: Path, input_shape: InputShape | None) -> Network:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".onnx":
        from accelsim.network.readers.onnx import read_onnx

        return read_onnx(path, input_shape)
    if path.suffix.lower() == ".tflite":
        raise InputError(f"{path}: TensorFlow Lite files are read by accelsim.load_network")
    if input_shape is not None:
        raise InputError(f"{path}: a YAML network has its shapes written out; input_shape is for ONNX files and names")
    from accelsim.network.readers.yaml import read_yaml_network

    return read_yaml_network(path)
