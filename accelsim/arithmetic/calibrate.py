"""What range of values each tensor of a real network takes, from example frames.

Ranges are learnt in two passes: the ends first, then, for methods that cut off rare values, a histogram between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic import floating
from accelsim.arithmetic.formats import Array, IntegerType
from accelsim.errors import InputError
from accelsim.network.graph import Network, Node
from accelsim.network.layers import BatchNorm, Input

Method = Literal["minmax", "percentile", "mse"]
Values = Mapping[str, Array]

#: Bins of a histogram, and parts of the full range that the method "mse" tries.
BINS, CANDIDATES = 2048, 80


class Range(NamedTuple):
    """Ends of what is represented; 0 lies between them."""

    low: float
    high: float


def real_arrays(net: Network, node: Node) -> dict[str, Array]:
    """A node's arrays in single precision, running statistics included. Raises `InputError` where one is missing."""
    extra = ("mean", "variance") if isinstance(node.layer, BatchNorm) else ()
    keys = (*node.layer.weights(net.sources(node)), *extra)
    arrays = {key: net.parameters.get(f"{node.name}.{key}") for key in keys}
    missing = [key for key, array in arrays.items() if array is None]
    if missing:
        raise InputError(f"{net.name}: {node.name} ({node.kind}) has no values for {', '.join(missing)}")
    return {key: np.asarray(array, np.float32) for key, array in arrays.items() if array is not None}


@dataclass
class RealProgram:
    """A network in single precision, with its arrays at hand."""

    net: Network
    arrays: dict[str, dict[str, Array]] = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = {node.name: real_arrays(self.net, node) for node in self.net.nodes}

    def steps(self, feeds: Values) -> Iterator[tuple[Node, Array]]:
        """Every node with its output, in topological order; outputs are let go after their last reader."""
        values: dict[str, Array] = {}
        left = {node.name: len(self.net.consumers[node.name]) for node in self.net.nodes}
        for node in self.net.nodes:
            if isinstance(node.layer, Input):
                values[node.name] = feeds[node.name]
            else:
                operands = [values[name] for name in node.inputs]
                tensor = self.net.tensors[node.name]
                values[node.name] = floating.compute(node.layer, operands, self.arrays[node.name], tensor)
            self._check(node, values[node.name])
            yield node, values[node.name]
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    values.pop(name, None)

    def _check(self, node: Node, value: Array) -> None:
        if not np.isfinite(value).all():
            raise InputError(f"{self.net.name}: {node.name} ({node.kind}) takes values that are not finite")


def ranges(program: RealProgram, frames: Sequence[Values], method: Method, percentile: float) -> dict[str, Range]:
    """The range of every node's output over all frames; `percentile` of the values lie inside, for that method."""
    ends: dict[str, Range] = {}
    for feeds in frames:
        for node, value in program.steps(feeds):
            low, high = ends.get(node.name, Range(0.0, 0.0))
            ends[node.name] = Range(min(low, float(value.min())), max(high, float(value.max())))
    if method == "minmax":
        return ends
    counts = {name: np.zeros(BINS, np.int64) for name in ends}
    for feeds in frames:
        for node, value in program.steps(feeds):
            counts[node.name] += np.histogram(value, BINS, _wide(ends[node.name]))[0]
    if method == "percentile":
        return {name: _percentile(counts[name], own, percentile) for name, own in ends.items()}
    return {name: _least_squares(counts[name], own) for name, own in ends.items()}


def _wide(own: Range) -> tuple[float, float]:
    return own if own.high > own.low else (own.low, own.low + 1)


def _centres(own: Range) -> NDArray[np.float64]:
    edges = np.linspace(*_wide(own), BINS + 1)
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _percentile(counts: NDArray[np.int64], own: Range, percentile: float) -> Range:
    """The narrowest range of whole bins with half of what may be left out beyond either end."""
    share = np.cumsum(counts) / counts.sum()
    spare = (1 - percentile / 100) / 2
    edges = np.linspace(*_wide(own), BINS + 1)
    first, last = int(np.searchsorted(share, spare, "right")), int(np.searchsorted(share, 1 - spare, "left"))
    return Range(min(float(edges[first]), 0.0), max(float(edges[min(last, BINS - 1) + 1]), 0.0))


def _least_squares(counts: NDArray[np.int64], own: Range, levels: int = 255) -> Range:
    """The range, a part of the full one, whose integers are nearest to the values in the mean square."""
    centres, best, least = _centres(own), own, np.inf
    for part in np.linspace(1, 1 / CANDIDATES, CANDIDATES):
        low, high = own.low * part, own.high * part
        step = (high - low) / levels
        if step <= 0:
            continue
        error = centres - (np.rint((np.clip(centres, low, high) - low) / step) * step + low)
        total = float((counts * error * error).sum())
        if total < least:
            best, least = Range(low, high), total
    return best


def scale_and_zero(own: Range, kind: IntegerType, symmetric: bool) -> tuple[float, int]:
    """Scale and zero point with which a type covers a range; a range of nothing but 0 has scale 1."""
    if symmetric:
        reach = max(-own.low, own.high)
        return (_single(reach / min(-kind.low, kind.high)) if kind.signed else _single(own.high / kind.high)), 0
    scale = _single((own.high - own.low) / (kind.high - kind.low))
    zero = int(np.clip(np.rint(kind.low - own.low / scale), kind.low, kind.high))
    return scale, zero


def _single(scale: float) -> float:
    """A positive scale in single precision; 1 where the range has no width."""
    made = float(np.float32(scale))
    return made if made >= float(np.finfo(np.float32).tiny) else 1.0
