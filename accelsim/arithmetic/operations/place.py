"""What an operation is prepared from: a layer in its place, its formats and its arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.arithmetic.encodings import Stored
from accelsim.arithmetic.formats import Accumulator, Array, Format, Reals
from accelsim.arithmetic.network import IntegerNetwork, Requantiser
from accelsim.errors import InputError
from accelsim.network.graph import Node
from accelsim.network.layers import Layer, TransposedConvolution
from accelsim.network.tensor import Tensor

#: From a layer of the prepared kind (its padding may be another, for a part of the map) and its operands to its output.
Operation = Callable[[Layer, Sequence[Array]], Array]


@dataclass(frozen=True)
class Place:
    """`operands` and `result` say how operands and output are stored, None for real numbers; `arrays` as stored."""

    name: str
    layer: Layer
    operands: tuple[Stored | None, ...]
    result: Stored | None
    arrays: Mapping[str, Array]
    array_formats: Mapping[str, Format]
    requantiser: Requantiser
    accumulator: Accumulator
    threads: int = 1
    divides: bool = False

    @cached_property
    def sources(self) -> tuple[Format | None, ...]:
        """Formats of operands to compute with in integers; None for those that are, or stand for, real numbers."""
        return tuple(kind if isinstance(kind, Format) else None for kind in self.operands)

    @cached_property
    def output(self) -> Format | None:
        """The format of an output that integers may be given in."""
        return self.result if isinstance(self.result, Format) else None

    @property
    def fixed(self) -> bool:
        return self.requantiser == "fixed_point"

    @property
    def rounding(self) -> str:
        """How real numbers become integers: as the runtime this network's arithmetic comes from does it."""
        return "away" if self.fixed else "even"

    @property
    def in_integers(self) -> bool:
        """Whether every operand and the output are integers with one scale each."""
        return all(f is not None and f.channels == 1 for f in (*self.sources, self.output))

    def written(self, reals: Array) -> Array:
        """Real numbers as the output is stored."""
        if self.result is None:
            return reals.astype(np.float32, copy=False)
        return self.stored(reals, self.result)

    def stored(self, reals: Array, wanted: Stored) -> Array:
        try:
            return wanted.nearest(reals, self.rounding)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None

    def reals(self, operands: Sequence[Array]) -> list[Reals]:
        return [as_real(x, f) for x, f in zip(operands, self.operands, strict=True)]

    def real_arrays(self) -> dict[str, Reals]:
        """The layer's arrays as real numbers; an integer bias is in units of the sums."""
        return {key: self._real_array(key, array) for key, array in self.arrays.items()}

    def _real_array(self, key: str, array: Array) -> Reals:
        kind = self.array_formats.get(key)
        if kind is None:
            return array.astype(np.float32)
        zeros, scales = (by_output(self.layer, values, key, array.shape) for values in (kind.zeros, kind.scales))
        return (array - zeros).astype(np.float32) * scales


def by_output(layer: Layer, values: Array, key: str, shape: tuple[int, ...]) -> Array:
    """`values`, one or one an output channel, in a shape that goes with the array `key` of a layer, of `shape`."""
    if values.size == 1:
        return values.reshape(())
    if key == "value":
        return values
    if isinstance(layer, TransposedConvolution):
        each = values.reshape(layer.groups, -1).repeat(shape[0] // layer.groups, axis=0)
        return each.reshape(*each.shape, *(1,) * (len(shape) - 2))
    return values.reshape(-1, *(1,) * (len(shape) - 1))


def as_real(values: Array, kind: Stored | None) -> Reals:
    return values.astype(np.float32, copy=False) if kind is None else kind.real(values)


def place_of(inet: IntegerNetwork, node: Node, threads: int = 1) -> Place:
    keys = {key: f"{node.name}.{key}" for key in inet.arrays(node)}
    return Place(
        name=f"{inet.name}: {node.name}",
        layer=node.layer,
        operands=tuple(inet.formats.get(source) for source in node.inputs),
        result=inet.formats.get(node.name),
        arrays=inet.arrays(node),
        array_formats={key: inet.weight_formats[full] for key, full in keys.items() if full in inet.weight_formats},
        requantiser=inet.requantiser,
        accumulator=inet.accumulator,
        threads=threads,
        divides=node.name in inet.dividing,
    )


def output_of(layer: Layer, operands: Sequence[Array]) -> Tensor:
    """Shape of a layer's output for operands of shape (*spatial, channels)."""
    return layer.output(tuple(Tensor(x.shape[-1], x.shape[:-1]) for x in operands))


def rescaled(place: Place, values: Array, source: Stored | None) -> Array:
    """`values` of a format in the output's; as they are where both are the same."""
    if source == place.result:
        return values
    return place.written(as_real(values, source))
