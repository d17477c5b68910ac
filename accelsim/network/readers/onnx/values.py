"""Inputs of an operator as what it needs them to be."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.errors import InputError
from accelsim.network.readers.onnx.builder import Value, Weight
from accelsim.network.readers.onnx.operator import NotReadable
from accelsim.network.readers.onnx.tensors import Array
from accelsim.network.readers.onnx.view import View

Values = Sequence[Value | None]


def present(inputs: Values, position: int) -> Value:
    value = optional(inputs, position)
    if value is None:
        raise InputError(f"input {position} is missing")
    return value


def optional(inputs: Values, position: int) -> Value | None:
    return inputs[position] if position < len(inputs) else None


def activation(inputs: Values, position: int) -> View:
    """An input computed from the network's input."""
    value = present(inputs, position)
    if not isinstance(value, View):
        raise NotReadable(f"input {position} is constant")
    return value


def operand(inputs: Values, position: int) -> View | Weight:
    value = present(inputs, position)
    assert isinstance(value, View | Weight)
    return value


def weight_of(inputs: Values, position: int, name: str) -> Weight:
    """An input that must be constant; `name` says in errors what it is."""
    value = present(inputs, position)
    if not isinstance(value, Weight):
        raise NotReadable(f"{name} computed from the network's input")
    return value


def optional_weight(inputs: Values, position: int, name: str) -> Weight | None:
    return None if optional(inputs, position) is None else weight_of(inputs, position, name)


def constants(inputs: Values) -> list[Array | None]:
    """Arrays of the inputs that are constant; None for the others."""
    return [value.array if isinstance(value, Weight) else None for value in inputs]


def require_constant(inputs: Values, position: int, name: str) -> None:
    """Raise where a parameter such as a shape is computed from the network's input."""
    optional_weight(inputs, position, name)
