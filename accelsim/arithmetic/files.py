"""Arrays from .npy and .npz files, for inputs and labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.errors import InputError, collected


def read_array(path: Path) -> Array:
    """The array of an .npy file. Raises `InputError` where it is none, or holds objects."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as an array: {' '.join(str(error).split())}") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: holds several arrays where one is expected")
    return array


def read_inputs(inet: IntegerNetwork, texts: Sequence[str]) -> dict[str, Array]:
    """Arrays by input name from [NAME=]FILE texts; the name may be left out where there is one input."""
    names = [port.name for port in inet.network.inputs]
    arrays: dict[str, Array] = {}
    problems = []
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or name not in names:
            name, file = names[0], text
            if len(names) > 1:
                problems.append(f"--input {text}: the network's inputs are {', '.join(names)}; write NAME={text}")
                continue
        if name in arrays:
            problems.append(f"--input {text}: input {name} is given twice")
            continue
        arrays[name] = read_array(Path(file))
    if problems:
        raise collected(problems)
    return arrays


def read_labelled(path: Path) -> tuple[Array, Array]:
    """Frames x and labels y, from an .npz file or a folder with x.npy and y.npy."""
    if path.is_dir():
        return read_array(path / "x.npy"), read_array(path / "y.npy")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not hasattr(archive, "files") or not {"x", "y"} <= set(archive.files):
                raise InputError(f"{path}: needs the arrays x and y")
            return archive["x"], archive["y"]
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as arrays: {' '.join(str(error).split())}") from None
