"""Post-training quantisation: a real network, example frames, and integers that come near it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.calibrate import Method, Range, RealProgram, ranges, scale_and_zero
from accelsim.arithmetic.execute import checked_feeds, each_frame, program_of
from accelsim.arithmetic.formats import INT8, Accumulator, Array, Format, IntegerType
from accelsim.arithmetic.network import IntegerNetwork, Requantiser, integer_network
from accelsim.arithmetic.operations.place import as_real
from accelsim.arithmetic.readers.assembly import CLAMPS, keeps_format
from accelsim.errors import InputError
from accelsim.network.graph import Network, Node, network, rebuilt
from accelsim.network.layers import (
    Activation,
    Constant,
    Input,
    Softmax,
    TransposedConvolution,
    Weighted,
)
from accelsim.network.rewrites.fold import fold

Calibration = Array | Mapping[str, Array] | Iterable["Array | Mapping[str, Array]"]

#: Largest integer bias, with room for the sums it starts.
LARGEST_BIAS = 2**30


@dataclass(frozen=True)
class Recipe:
    """How tensors become integers.

    `percentile` of the values lie inside the range, for the method of that name. `narrow` weights leave out the
    integer farthest from 0, so that they are symmetric.
    """

    activations: IntegerType = INT8
    weights: IntegerType = IntegerType(8, narrow=True)  # noqa: RUF009 - frozen
    per_channel: bool = True
    symmetric: bool = False
    method: Method = "minmax"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if self.method not in ("minmax", "percentile", "mse"):
            raise InputError(f"method = '{self.method}' is not minmax, percentile or mse")
        if not 50 < self.percentile <= 100:
            raise InputError(f"percentile = {self.percentile} is not between 50 and 100")
        for name, kind in (("activations", self.activations), ("weights", self.weights)):
            if not isinstance(kind, IntegerType):
                raise InputError(f"{name} = {kind}; networks are quantised to integers, which an IntegerType says")
            if kind.bits > 16:
                raise InputError(f"{name} of {kind.bits} bits; tensors have 1 to 16")
        if not self.weights.signed:
            raise InputError("weights are symmetric around 0, so their type is signed")


def quantise(
    net: Network,
    calibration: Calibration,
    recipe: Recipe | None = None,
    requantiser: Requantiser = "float",
    accumulator: Accumulator | None = None,
) -> IntegerNetwork:
    """`net` in integers, with the ranges that its tensors take on the frames of `calibration`.

    `calibration` is an array with a frame along its first axis, arrays by input name, or any number of such. Batch
    norms are folded first. Inputs and outputs are handed over as real numbers. Weights are symmetric, one scale an
    output channel or one for all; a bias is 32 bits in units of the sums. Raises `InputError` for arrays that do not
    fit, values that are not finite, and weights that are missing.
    """
    if not isinstance(net, Network):
        raise InputError(f"{type(net).__name__} where a network in real numbers is expected; load_network reads one")
    own = Recipe() if recipe is None else recipe
    folded = _unshared(fold(net))
    program = RealProgram(folded)
    found = ranges(program, _frames(folded, calibration), own.method, own.percentile)
    formats = _formats(folded, found, own)
    arrays, kinds = _weights(folded, program, formats, own)
    made = network(folded.name, folded.nodes, folded.outputs, folded.inputs, arrays)
    ports: dict[str, Format | None] = dict.fromkeys(port.name for port in (*made.inputs, *made.outputs))
    return integer_network(made, formats, kinds, ports, requantiser, accumulator)


def _unshared(net: Network) -> Network:
    """`net` with every layer the owner of its weights: in other ranges the same numbers are other integers."""
    if all(node.shares is None for node in net.nodes):
        return net
    return rebuilt(net, [replace(node, shares=None) for node in net.nodes])


def _frames(net: Network, calibration: Calibration) -> list[dict[str, Array]]:
    """All frames as tensors by input node."""
    bare = IntegerNetwork(net, {}, {}, {port.name: None for port in net.inputs})
    if not isinstance(calibration, Iterable):
        raise InputError(f"{net.name}: calibration = {calibration!r} is no array, nor several")
    parts = [calibration] if isinstance(calibration, np.ndarray | Mapping) else list(calibration)
    frames = [frame for part in parts for frame in each_frame(bare, checked_feeds(bare, part))]
    if not frames:
        raise InputError(f"{net.name}: calibration without a single frame")
    return frames


def _formats(net: Network, found: Mapping[str, Range], recipe: Recipe) -> dict[str, Format]:
    """Formats by node: what is only clamped or moved has the format it ends in or comes from."""
    formats: dict[str, Format] = {}
    for node in net.nodes:
        sources = {formats[name] for name in node.inputs}
        if node.inputs and keeps_format(node.layer) and len(sources) == 1:
            formats[node.name] = sources.pop()
        else:
            formats[node.name] = _format(node, found[node.name], recipe)
    for node in reversed(net.nodes):
        if isinstance(node.layer, Activation) and node.layer.function in CLAMPS:
            source = net.by_name[node.inputs[0]]
            alone = net.consumers[source.name] == (node.name,) and source.name not in net.output_nodes
            if alone and not isinstance(source.layer, Input | Constant) and not keeps_format(source.layer):
                formats[source.name] = formats[node.name]
    return formats


def _format(node: Node, own: Range, recipe: Recipe) -> Format:
    kind = recipe.activations
    if isinstance(node.layer, Softmax) and not node.layer.log:
        return Format(kind, (2.0**-kind.bits,), (kind.low,))
    scale, zero = scale_and_zero(own, kind, recipe.symmetric and (kind.signed or own.low >= 0))
    return Format(kind, (scale,), (zero,))


def _weights(
    net: Network, program: RealProgram, formats: Mapping[str, Format], recipe: Recipe
) -> tuple[dict[str, Array], dict[str, Format]]:
    """Integer arrays and their formats, by key; what has no integer form stays real."""
    arrays = dict(net.parameters)
    kinds: dict[str, Format] = {}
    for node in net.nodes:
        own = program.arrays[node.name]
        if isinstance(node.layer, Constant):
            kinds[f"{node.name}.value"] = formats[node.name]
            arrays[f"{node.name}.value"] = formats[node.name].nearest(own["value"])
        elif isinstance(node.layer, Weighted):
            source = formats[node.inputs[0]]
            weight, kind, bias = _quantised(node, own, source, recipe)
            arrays[f"{node.name}.weight"], kinds[f"{node.name}.weight"] = weight, kind
            if bias is not None:
                arrays[f"{node.name}.bias"] = bias
    return arrays, kinds


def _quantised(
    node: Node, own: Mapping[str, Array], source: Format, recipe: Recipe
) -> tuple[Array, Format, Array | None]:
    layer = node.layer
    assert isinstance(layer, Weighted)
    by_channel = _by_channel(layer, own["weight"])
    reach = np.abs(by_channel).max(axis=1)
    bias = own.get("bias")
    scales = _scales(reach if recipe.per_channel else np.full(1, reach.max()), bias, source, recipe.weights)
    kind = Format(recipe.weights, tuple(float(s) for s in scales), (0,) * len(scales))
    quotient = np.rint(by_channel / np.broadcast_to(scales, reach.shape)[:, None])
    integers = np.clip(quotient, recipe.weights.low, recipe.weights.high).astype(recipe.weights.dtype)
    units = np.broadcast_to(source.scales * scales, reach.shape).astype(np.float64)
    whole = None if bias is None else np.rint(bias.astype(np.float64) / units).astype(np.int32)
    return _from_channels(layer, integers, own["weight"].shape), kind, whole


def _scales(reach: Array, bias: Array | None, source: Format, kind: IntegerType) -> NDArray[np.float32]:
    """A scale a channel: large enough for its weights, and for its bias to fit 31 bits; 1 where there is nothing."""
    most = min(-kind.low, kind.high) if kind.bits > 1 else 1
    scales = reach.astype(np.float64) / most
    if bias is not None:
        least = np.abs(bias.astype(np.float64)) / (source.scale[0] * LARGEST_BIAS)
        scales = np.maximum(scales, least if len(scales) > 1 else least.max())
    made = scales.astype(np.float32)
    return np.where(made >= np.finfo(np.float32).tiny, made, np.float32(1))


def _by_channel(layer: Weighted, weight: Array) -> Array:
    """Weights as (output channels, all else)."""
    if not isinstance(layer, TransposedConvolution):
        return weight.reshape(weight.shape[0], -1)
    grouped = weight.reshape(layer.groups, -1, weight.shape[1], weight[0, 0].size)
    return grouped.swapaxes(1, 2).reshape(layer.channels, -1)


def _from_channels(layer: Weighted, by_channel: Array, shape: tuple[int, ...]) -> Array:
    if not isinstance(layer, TransposedConvolution):
        return by_channel.reshape(shape)
    grouped = by_channel.reshape(layer.groups, shape[1], shape[0] // layer.groups, -1)
    return np.ascontiguousarray(grouped.swapaxes(1, 2)).reshape(shape)


class Fidelity(NamedTuple):
    """How near a tensor in integers is to the real one: signal to quantisation noise (dB), and cosine."""

    name: str
    sqnr_db: float
    cosine: float


def fidelity(net: Network, inet: IntegerNetwork, frames: Calibration) -> tuple[Fidelity, ...]:
    """One row a layer that both networks have, over all frames; errors add up from the input on.

    A tensor without any error has infinite SQNR. What alone is clamped next, and is clamped already by its format,
    has no row: its clamp has.
    """
    folded = fold(net)
    program, integer = RealProgram(folded), program_of(inet)
    names = [node.name for node in folded.nodes if node.name in inet.network.by_name and not _clamped(inet, node)]
    sums = {name: np.zeros(4) for name in names}
    for feeds in _frames(folded, frames):
        given = {name: _as_input(inet, name, value) for name, value in feeds.items()}
        made = integer.tensors(given, set(names))
        for node, value in program.steps(feeds):
            if node.name in sums:
                sums[node.name] += _moments(value, as_real(made[node.name], inet.formats.get(node.name)))
    return tuple(Fidelity(name, *_measures(total)) for name, total in sums.items())


def _clamped(inet: IntegerNetwork, node: Node) -> bool:
    readers = [inet.network.by_name[name] for name in inet.network.consumers[node.name]]
    if len(readers) != 1 or node.name in inet.network.output_nodes or inet.formats.get(node.name) is None:
        return False
    layer = readers[0].layer
    clamps = isinstance(layer, Activation) and layer.function in CLAMPS
    return clamps and inet.formats[node.name] == inet.formats.get(readers[0].name)


def _as_input(inet: IntegerNetwork, name: str, value: Array) -> Array:
    kind = inet.formats.get(name)
    return value if kind is None else kind.nearest(value)


def _moments(real: Array, other: Array) -> NDArray[np.float64]:
    a, b = real.astype(np.float64).reshape(-1), other.astype(np.float64).reshape(-1)
    return np.array([a @ a, b @ b, a @ b, (a - b) @ (a - b)])


def _measures(total: NDArray[np.float64]) -> tuple[float, float]:
    real, other, both, noise = (float(x) for x in total)
    sqnr = float("inf") if noise == 0 else 10 * float(np.log10(real / noise)) if real else float("-inf")
    cosine = 1.0 if real == other == 0 else both / float(np.sqrt(real * other)) if real and other else 0.0
    return sqnr, cosine


def with_accumulator(inet: IntegerNetwork, accumulator: Accumulator) -> IntegerNetwork:
    """The same network with sums kept in another width."""
    return replace(inet, accumulator=accumulator)
