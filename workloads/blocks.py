"""The building blocks that families share; each adds its layers to a draft and returns the last one's name."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.network.layers import (
    Activation,
    BatchNorm,
    Combine,
    Concat,
    Convolution,
    Dense,
    Padding,
    Pool,
    Rearrange,
    Reduce,
    Slice,
)
from accelsim.units import ceil_div
from workloads.draft import Draft

#: Parameters of the activations that have any, as all of these networks use them.
PARAMETERS: dict[str, tuple[float, ...]] = {"hard_sigmoid": (1 / 6, 0.5), "leaky_relu": (0.1,)}


def activation(draft: Draft, name: str, source: str, function: str) -> str:
    return draft.add(name, Activation(function, PARAMETERS.get(function, ())), source)


def convolution(
    draft: Draft,
    name: str,
    source: str,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    padding: Padding | None = None,
    shares: str | None = None,
) -> str:
    """A convolution with the same kernel and stride on every axis; `padding` None leaves it to the draft."""
    axes = len(draft.tensor(source).spatial)
    pads = draft.padding(source, kernel, stride) if padding is None else padding
    layer = Convolution(channels, (kernel,) * axes, (stride,) * axes, pads, (1,) * axes, groups, bias)
    return draft.add(name, layer, source, shares=shares)


def depthwise(
    draft: Draft, name: str, source: str, kernel: int, stride: int = 1, bias: bool = False, shares: str | None = None
) -> str:
    """A convolution of every channel by itself."""
    channels = draft.channels(source)
    return convolution(draft, name, source, channels, kernel, stride, groups=channels, bias=bias, shares=shares)


def normalised(draft: Draft, name: str, function: str | None = None) -> str:
    """Batch norm behind layer `name`, then the activation `function`, if any."""
    result = draft.add(f"{name}.bn", BatchNorm(draft.epsilon), name)
    return result if function is None else activation(draft, f"{name}.{function}", result, function)


def unit(
    draft: Draft,
    name: str,
    source: str,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    function: str | None = None,
    bias: bool = False,
) -> str:
    """Convolution, batch norm and, if named, an activation."""
    return normalised(draft, convolution(draft, name, source, channels, kernel, stride, groups, bias), function)


def pool(draft: Draft, name: str, source: str, kernel: int, stride: int, padding: Padding | None = None) -> str:
    """Maximum over a sliding window; `padding` None leaves it to the draft."""
    axes = len(draft.tensor(source).spatial)
    pads = draft.padding(source, kernel, stride) if padding is None else padding
    return draft.add(name, Pool("maximum", (kernel,) * axes, (stride,) * axes, pads, (1,) * axes), source)


def add(draft: Draft, name: str, branch: str, skip: str) -> str:
    """Joins a branch and what runs round it."""
    return draft.add(name, Combine("add"), branch, skip)


class Squeeze(NamedTuple):
    """What varies among squeeze-and-excite blocks: hidden `channels` and the two functions."""

    channels: int
    function: str = "relu"
    gate: str = "sigmoid"


def squeeze_excite(draft: Draft, name: str, source: str, squeeze: Squeeze) -> str:
    """Scales every channel by a gate computed from the means of all channels (Hu et al. 2018)."""
    mean = draft.add(f"{name}.squeeze", Reduce("mean"), source)
    reduced = convolution(draft, f"{name}.reduce", mean, squeeze.channels, bias=True)
    reduced = activation(draft, f"{name}.reduce.{squeeze.function}", reduced, squeeze.function)
    expanded = convolution(draft, f"{name}.expand", reduced, draft.channels(source), bias=True)
    gate = activation(draft, f"{name}.gate", expanded, squeeze.gate)
    return draft.add(f"{name}.scale", Combine("multiply"), source, gate)


class InvertedResidual(NamedTuple):
    """A block that is widest in the middle (Sandler et al. 2018)."""

    kernel: int
    expanded: int
    channels: int
    stride: int
    function: str
    squeeze: Squeeze | None = None


def inverted_residual(draft: Draft, name: str, source: str, block: InvertedResidual) -> str:
    """Expand, filter each channel, squeeze-excite if any, project; a skip where the shape stays the same."""
    wide = source
    if block.expanded != draft.channels(source):
        wide = unit(draft, f"{name}.expand", source, block.expanded, function=block.function)
    wide = normalised(draft, depthwise(draft, f"{name}.depthwise", wide, block.kernel, block.stride), block.function)
    if block.squeeze is not None:
        wide = squeeze_excite(draft, f"{name}.se", wide, block.squeeze)
    narrow = unit(draft, f"{name}.project", wide, block.channels)
    if block.stride == 1 and block.channels == draft.channels(source):
        return add(draft, f"{name}.add", narrow, source)
    return narrow


def flatten(draft: Draft, name: str, source: str, channels_first: bool = True) -> str:
    """The map as one vector, a channel after the other, or a point after the other."""
    tensor = draft.tensor(source)
    axes = len(tensor.spatial)
    order = (axes, *range(axes)) if channels_first else tuple(range(axes + 1))
    return draft.add(name, Rearrange((*tensor.spatial, tensor.channels), order, (), tensor.elements), source)


def mean_vector(draft: Draft, source: str) -> str:
    """The mean of every channel over all of space, as a vector."""
    return flatten(draft, "flatten", draft.add("mean", Reduce("mean"), source))


def dense(draft: Draft, name: str, source: str, channels: int) -> str:
    return draft.add(name, Dense(channels, bias=True), source)


def adaptive_mean(draft: Draft, name: str, source: str, size: int) -> str:
    """Means over `size` windows an axis that cover it as evenly as whole points allow.

    Window i runs from floor(i * n / size) to ceil((i + 1) * n / size) of n points; windows of unequal
    length are sliced out one by one.
    """
    for axis, points in enumerate(draft.tensor(source).spatial):
        source = _adaptive_axis(draft, f"{name}.axis{axis}", source, axis, points, size)
    return source


def _adaptive_axis(draft: Draft, name: str, source: str, axis: int, points: int, size: int) -> str:
    if points == size:
        return source
    if points % size == 0:
        return draft.add(name, Reduce("mean", _tile(draft, source, axis, points // size)), source)
    means = []
    for window in range(size):
        start, end = window * points // size, ceil_div((window + 1) * points, size)
        part = draft.add(f"{name}.part{window + 1}", Slice(axis, start, end - start), source)
        tile = _tile(draft, part, axis, end - start)
        means.append(draft.add(f"{name}.mean{window + 1}", Reduce("mean", tile), part))
    return draft.add(name, Concat(axis), *means)


def _tile(draft: Draft, source: str, axis: int, length: int) -> tuple[int, ...]:
    return tuple(length if a == axis else 1 for a, _ in enumerate(draft.tensor(source).spatial))


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` next to `value`, never below nine tenths of it (the MobileNets' rounding)."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest
