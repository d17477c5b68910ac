"""One node of the file, with typed access to its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from onnx import AttributeProto, GraphProto, TensorProto

from accelsim.errors import InputError


class NotReadable(InputError):
    """What about an operator is not supported; the reader names the node and goes on."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A node by the name its layer gets; `opset` is the version of its domain that the file imports."""

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeProto]
    opset: int

    @property
    def label(self) -> str:
        """Operator with its domain, as errors name it."""
        return f"{self.domain}.{self.kind}" if self.domain else self.kind

    def has(self, name: str) -> bool:
        return name in self.attributes

    def integer(self, name: str, default: int) -> int:
        attribute = self._typed(name, AttributeProto.INT)
        return default if attribute is None else int(attribute.i)

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        attribute = self._typed(name, AttributeProto.INTS)
        return default if attribute is None else tuple(attribute.ints)

    def real(self, name: str, default: float) -> float:
        attribute = self._typed(name, AttributeProto.FLOAT)
        return default if attribute is None else _finite(name, attribute.f)

    def reals(self, name: str) -> tuple[float, ...]:
        attribute = self._typed(name, AttributeProto.FLOATS)
        return () if attribute is None else tuple(_finite(name, value) for value in attribute.floats)

    def text(self, name: str, default: str) -> str:
        attribute = self._typed(name, AttributeProto.STRING)
        return default if attribute is None else attribute.s.decode("utf-8", "replace")

    def tensor(self, name: str) -> TensorProto | None:
        attribute = self._typed(name, AttributeProto.TENSOR)
        return None if attribute is None else attribute.t

    def graph(self, name: str) -> GraphProto:
        attribute = self._typed(name, AttributeProto.GRAPH)
        if attribute is None:
            raise InputError(f"attribute {name} is missing")
        return attribute.g

    def _typed(self, name: str, kind: int) -> AttributeProto | None:
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        if attribute.type != kind:
            wanted, given = (AttributeProto.AttributeType.Name(kind), attribute.type)
            raise InputError(f"attribute {name} must be of type {wanted}, not {given}")
        return attribute


def _finite(name: str, value: float) -> float:
    if not isfinite(value):
        raise InputError(f"attribute {name} = {value}: must be finite")
    return value
