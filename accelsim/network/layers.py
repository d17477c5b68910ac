"""What a layer computes: a frozen dataclass a kind, with its shapes, weights and MACs.

Shapes are checked where they are computed: a layer that does not fit its inputs raises
`InputError` with the rule it breaks; the graph adds the layer's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from accelsim.errors import InputError
from accelsim.network.tensor import Tensor
from accelsim.network.window import CENTRES, output_size
from accelsim.units import ceil_div

Padding = tuple[tuple[int, int], ...]
Inputs = tuple[Tensor, ...]

#: Unary functions by name, with the names of their scalar parameters.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "abs": (), "ceil": (), "clip": ("low", "high"), "cos": (), "elu": ("alpha",), "erf": (), "exp": (),
    "floor": (), "gelu": (), "gelu_tanh": (), "hard_sigmoid": ("alpha", "beta"), "hard_swish": (),
    "leaky_relu": ("alpha",),
    "log": (), "mish": (), "neg": (), "power": ("exponent",), "reciprocal": (), "relu": (), "relu6": (), "round": (),
    "selu": ("alpha", "gamma"), "sigmoid": (), "sign": (), "silu": (), "sin": (), "softplus": (), "softsign": (),
    "sqrt": (), "tanh": (), "threshold": ("alpha",),
}  # fmt: skip
REDUCTIONS = ("mean", "maximum", "minimum", "sum", "product", "l1", "l2", "lp")
COMBINATIONS = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "mean", "power")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise InputError(rule)


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        _require(size > 0, f"{name} = {size} must be positive")


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of all kinds; `arity` is the number of inputs, -1 for two or more (or one, where that makes sense)."""

    arity: ClassVar[int] = 1

    def output(self, inputs: Inputs) -> Tensor:
        """Shape of the output; raises `InputError` where the inputs do not fit."""
        return inputs[0]

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        """Trained parameters by name, with their shapes."""
        return {}

    def macs(self, inputs: Inputs, output: Tensor) -> int:
        """Multiply-accumulates a frame, padding included: output elements times taps times inputs a group."""
        return 0


@dataclass(frozen=True, slots=True)
class Input(Layer):
    """A tensor the source offers, one a frame."""

    arity: ClassVar[int] = 0
    channels: int
    spatial: tuple[int, ...] = ()

    def output(self, inputs: Inputs) -> Tensor:
        _positive(channels=self.channels)
        for size in self.spatial:
            _positive(spatial=size)
        return Tensor(self.channels, self.spatial)


@dataclass(frozen=True, slots=True)
class Constant(Layer):
    """A tensor that never changes (a position embedding, a mask); it waits for nothing. Weight: `value`."""

    arity: ClassVar[int] = 0
    channels: int
    spatial: tuple[int, ...] = ()
    trained: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _positive(channels=self.channels)
        for size in self.spatial:
            _positive(spatial=size)
        return Tensor(self.channels, self.spatial)

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        return {"value": (*self.spatial, self.channels)}


@dataclass(frozen=True, slots=True)
class Convolution(Layer):
    """Cross-correlation over every spatial axis. Weights: (outputs, inputs / groups, *kernel)."""

    channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    groups: int = 1
    bias: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _check_window(inputs[0], self.kernel, self.stride, self.padding, self.dilation)
        _check_groups(inputs[0].channels, self.channels, self.groups)
        return Tensor(self.channels, _windows(inputs[0], self.kernel, self.stride, self.padding, self.dilation))

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        weight = (self.channels, inputs[0].channels // self.groups, *self.kernel)
        return {"weight": weight, **({"bias": (self.channels,)} if self.bias else {})}

    def macs(self, inputs: Inputs, output: Tensor) -> int:
        return output.elements * (inputs[0].channels // self.groups) * prod(self.kernel)


@dataclass(frozen=True, slots=True)
class TransposedConvolution(Layer):
    """Each input point adds a kernel-sized patch to the output. Weights: (inputs, outputs / groups, *kernel)."""

    channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int = 1
    bias: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _check_window(inputs[0], self.kernel, self.stride, self.padding, self.dilation)
        _check_groups(inputs[0].channels, self.channels, self.groups)
        _require(
            len(self.output_padding) == len(self.kernel) and all(extra >= 0 for extra in self.output_padding),
            f"output_padding {self.output_padding} needs a size of at least 0 an axis",
        )
        axes = zip(
            inputs[0].spatial, self.kernel, self.stride, self.padding, self.dilation, self.output_padding, strict=True
        )
        spatial = tuple((n - 1) * s + d * (k - 1) + 1 - sum(p) + extra for n, k, s, p, d, extra in axes)
        _require(all(size > 0 for size in spatial), f"padding {self.padding} leaves no output")
        return Tensor(self.channels, spatial)

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        weight = (inputs[0].channels, self.channels // self.groups, *self.kernel)
        return {"weight": weight, **({"bias": (self.channels,)} if self.bias else {})}

    def macs(self, inputs: Inputs, output: Tensor) -> int:
        return inputs[0].elements * (self.channels // self.groups) * prod(self.kernel)


@dataclass(frozen=True, slots=True)
class Dense(Layer):
    """A fully connected layer at every point of space. Weights: (outputs, inputs)."""

    channels: int
    bias: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _positive(channels=self.channels)
        return Tensor(self.channels, inputs[0].spatial)

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        weight = (self.channels, inputs[0].channels)
        return {"weight": weight, **({"bias": (self.channels,)} if self.bias else {})}

    def macs(self, inputs: Inputs, output: Tensor) -> int:
        return output.elements * inputs[0].channels


#: Layers that multiply by weights of their own.
Weighted = Convolution | TransposedConvolution | Dense


@dataclass(frozen=True, slots=True)
class Product(Layer):
    """Matrix product of two activations: the first streams its last spatial axis, the second is stationary.

    With G = `groups` (heads) and leading spatial axes B (a product each), shapes as (spatial; channels):
    first (B, M; G*K). Second (B, N; G*K) if `transposed`, giving (B, M; G*N); else (B, K; G*N), giving (B, M; G*N).
    Axes in B of size 1 broadcast.
    """

    arity: ClassVar[int] = 2
    groups: int = 1
    transposed: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        first, second = inputs
        _positive(groups=self.groups)
        _require(bool(second.spatial), "the second operand of a product needs a spatial axis")
        inner = first.channels // self.groups
        _require(inner * self.groups == first.channels, f"groups = {self.groups} does not divide {first.channels}")
        _require(second.channels % self.groups == 0, f"groups = {self.groups} does not divide {second.channels}")
        contracted = second.channels // self.groups if self.transposed else second.spatial[-1]
        _require(contracted == inner, f"products of {inner} with {contracted} values do not match")
        columns = second.spatial[-1] if self.transposed else second.channels // self.groups
        leading = _broadcast((first.spatial[:-1], second.spatial[:-1]))
        return Tensor(self.groups * columns, (*leading, *first.spatial[-1:]))

    def macs(self, inputs: Inputs, output: Tensor) -> int:
        return output.elements * (inputs[0].channels // self.groups)


@dataclass(frozen=True, slots=True)
class Pool(Layer):
    """Maximum, average or lp (root of the sum of powers) over a sliding window."""

    operation: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.operation in ("maximum", "average", "lp"), f"unknown pooling '{self.operation}'")
        _check_window(inputs[0], self.kernel, self.stride, self.padding, self.dilation)
        spatial = _windows(inputs[0], self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        if self.ceil_mode:
            axes = zip(inputs[0].spatial, spatial, self.stride, self.padding, strict=True)
            spatial = tuple(o - 1 if (o - 1) * s >= n + p[0] else o for n, o, s, p in axes)
        return Tensor(inputs[0].channels, spatial)


@dataclass(frozen=True, slots=True)
class Reduce(Layer):
    """Mean, maximum or the like over tiles that do not overlap; the far tile may be partial.

    A machine accumulates rows as they arrive and keeps none. `tile` None is the whole of space.
    A partial tile averages its real elements only.
    """

    operation: str
    tile: tuple[int, ...] | None = None

    def sizes(self, source: Tensor) -> tuple[int, ...]:
        """Tile extents, clipped to the map."""
        tile = source.spatial if self.tile is None else self.tile
        return tuple(min(t, n) for t, n in zip(tile, source.spatial, strict=True))

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.operation in REDUCTIONS, f"unknown reduction '{self.operation}'")
        if self.tile is not None:
            _require(
                len(self.tile) == len(inputs[0].spatial),
                f"tile {self.tile} has not as many axes as a {inputs[0].label} map",
            )
            for size in self.tile:
                _positive(tile=size)
        tiles = zip(inputs[0].spatial, self.sizes(inputs[0]), strict=True)
        return Tensor(inputs[0].channels, tuple(ceil_div(n, t) for n, t in tiles))


@dataclass(frozen=True, slots=True)
class ChannelPool(Layer):
    """Reduces every run of `factor` consecutive channels to one."""

    operation: str
    factor: int

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.operation in REDUCTIONS, f"unknown reduction '{self.operation}'")
        _positive(factor=self.factor)
        _require(
            inputs[0].channels % self.factor == 0,
            f"factor = {self.factor} does not divide {inputs[0].channels} channels",
        )
        return Tensor(inputs[0].channels // self.factor, inputs[0].spatial)


@dataclass(frozen=True, slots=True)
class Combine(Layer):
    """Element by element over all inputs, with broadcasting.

    `repeat` gives, an operand and axis, how many outputs one of its elements serves (nearest repeat,
    cropped); () leaves it to broadcasting: sizes equal, or 1, or no spatial axes at all.
    """

    arity: ClassVar[int] = -1
    operation: str
    repeat: tuple[tuple[int, ...], ...] = ()

    def repeats(self, operand: int, source: Tensor, output: Tensor) -> tuple[int, ...]:
        """Outputs served by one element of `operand`, per axis of `source`."""
        if self.repeat and self.repeat[operand]:
            return self.repeat[operand]
        return tuple(
            total if size == 1 else 1
            for size, total in zip(source.spatial, _last(output.spatial, len(source.spatial)), strict=True)
        )

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.operation in COMBINATIONS, f"unknown combination '{self.operation}'")
        _require(not self.repeat or len(self.repeat) == len(inputs), "repeat needs an entry an operand")
        explicit = [bool(self.repeat and self.repeat[k]) for k in range(len(inputs))]
        _require(not all(explicit), "one operand must have the size of the output, without repeat")
        spatial = _broadcast(tuple(t.spatial for t, tiled in zip(inputs, explicit, strict=True) if not tiled))
        channels = _broadcast(tuple((t.channels,) for t in inputs))[0]
        for operand, tensor in enumerate(inputs):
            if explicit[operand]:
                _require(len(self.repeat[operand]) == len(spatial), f"repeat {self.repeat} needs {len(spatial)} axes")
                for times in self.repeat[operand]:
                    _positive(repeat=times)
                tiles = tuple(ceil_div(n, r) for n, r in zip(spatial, self.repeat[operand], strict=True))
                _require(tensor.spatial == tiles, f"operand {operand} is {tensor.spatial}, its repeat needs {tiles}")
        return Tensor(channels, spatial)


@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """Joins its inputs along `axis`: -1 the channels, else a spatial axis from 0."""

    arity: ClassVar[int] = -1
    axis: int = -1

    def output(self, inputs: Inputs) -> Tensor:
        first = inputs[0]
        _require(-1 <= self.axis < len(first.spatial), f"axis = {self.axis} is not an axis of {first.label}")
        if self.axis == -1:
            _require(
                len({t.spatial for t in inputs}) == 1, f"maps of {', '.join(t.label for t in inputs)} differ in space"
            )
            return Tensor(sum(t.channels for t in inputs), first.spatial)
        others = {(t.channels, *(n for a, n in enumerate(t.spatial) if a != self.axis)) for t in inputs}
        _require(len(others) == 1, f"{', '.join(t.label for t in inputs)} differ outside axis {self.axis}")
        total = sum(t.spatial[self.axis] for t in inputs)
        return Tensor(first.channels, tuple(total if a == self.axis else n for a, n in enumerate(first.spatial)))


@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """Every `step`-th element of `axis` (-1 the channels) from `start`; `size` of them."""

    axis: int
    start: int
    size: int
    step: int = 1

    def output(self, inputs: Inputs) -> Tensor:
        source = inputs[0]
        _require(-1 <= self.axis < len(source.spatial), f"axis = {self.axis} is not an axis of {source.label}")
        _positive(size=self.size)
        _require(self.step != 0, "step must not be 0")
        total = source.channels if self.axis == -1 else source.spatial[self.axis]
        last = self.start + (self.size - 1) * self.step
        _require(min(self.start, last) >= 0 and max(self.start, last) < total, f"slice ends outside {total} elements")
        if self.axis == -1:
            return Tensor(self.size, source.spatial)
        return Tensor(source.channels, tuple(self.size if a == self.axis else n for a, n in enumerate(source.spatial)))


@dataclass(frozen=True, slots=True)
class Pad(Layer):
    """Adds elements round the map (negative: takes them away). Modes: constant, edge, reflect, wrap."""

    padding: Padding
    channel_padding: tuple[int, int] = (0, 0)
    mode: str = "constant"
    value: float = 0.0

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.mode in ("constant", "edge", "reflect", "wrap"), f"unknown padding mode '{self.mode}'")
        _require(
            len(self.padding) == len(inputs[0].spatial), f"padding of {len(self.padding)} axes on {inputs[0].label}"
        )
        spatial = tuple(n + sum(p) for n, p in zip(inputs[0].spatial, self.padding, strict=True))
        channels = inputs[0].channels + sum(self.channel_padding)
        _require(min((*spatial, channels)) > 0, f"padding {self.padding} leaves nothing of {inputs[0].label}")
        return Tensor(channels, spatial)


@dataclass(frozen=True, slots=True)
class Resize(Layer):
    """Resamples space to `spatial`. Modes: nearest, linear, cubic; `coordinates` as ONNX names them."""

    spatial: tuple[int, ...]
    mode: str = "nearest"
    coordinates: str = "asymmetric"

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.mode in ("nearest", "linear", "cubic"), f"unknown resize mode '{self.mode}'")
        _require(self.coordinates in CENTRES, f"unknown resize coordinates '{self.coordinates}'")
        _require(len(self.spatial) == len(inputs[0].spatial), f"size {self.spatial} on a {inputs[0].label} map")
        for size in self.spatial:
            _positive(spatial=size)
        return Tensor(inputs[0].channels, self.spatial)


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """A unary function from `ACTIVATIONS`; `parameters` in the order named there."""

    function: str
    parameters: tuple[float, ...] = ()

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.function in ACTIVATIONS, f"unknown activation '{self.function}'")
        names = ACTIVATIONS[self.function]
        _require(len(names) == len(self.parameters), f"{self.function} takes {len(names)} parameters")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class PRelu(Layer):
    """Leaky ReLU with a trained slope a channel, or one for all."""

    shared: bool = False

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        return {"slope": (1 if self.shared else inputs[0].channels,)}


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """Scale and shift a channel from running statistics (kept beside the trained weights)."""

    epsilon: float = 1e-5

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        return {"scale": (inputs[0].channels,), "shift": (inputs[0].channels,)}


@dataclass(frozen=True, slots=True)
class Normalise(Layer):
    """Normalises by its own mean and variance, then scales and shifts a channel (`affine`).

    `over`: "channels" at each point (layer norm; `groups` runs of channels), "space" a channel
    (instance norm), or "all" a run of channels over all of space (group norm). "channels" waits
    for nothing; the others hold the whole map. `centred` False leaves the mean out (RMS norm).
    """

    over: str = "channels"
    groups: int = 1
    affine: bool = True
    centred: bool = True
    epsilon: float = 1e-5

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.over in ("channels", "space", "all"), f"over = '{self.over}' is not channels, space or all")
        _check_groups(inputs[0].channels, inputs[0].channels, self.groups)
        return inputs[0]

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        if not self.affine:
            return {}
        return {"scale": (inputs[0].channels,), **({"shift": (inputs[0].channels,)} if self.centred else {})}


@dataclass(frozen=True, slots=True)
class LocalNorm(Layer):
    """Local response normalisation over `size` neighbouring channels."""

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def output(self, inputs: Inputs) -> Tensor:
        _positive(size=self.size)
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """Exponentials that sum to 1 over each of `groups` runs of channels (`over` "channels") or over space."""

    groups: int = 1
    over: str = "channels"
    log: bool = False

    def output(self, inputs: Inputs) -> Tensor:
        _require(self.over in ("channels", "space"), f"over = '{self.over}' is not channels or space")
        _check_groups(inputs[0].channels, inputs[0].channels, self.groups)
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Rearrange(Layer):
    """Splits (spatial, channels) into the axes `split`, permutes them by `order`, and merges them again.

    The merged axes are `spatial` and `channels`. Flatten, channel shuffle, depth-to-space, window
    partition and transposition are all of this form.
    """

    split: tuple[int, ...]
    order: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int

    def output(self, inputs: Inputs) -> Tensor:
        for name, sizes in (("split", self.split), ("spatial", self.spatial), ("channels", (self.channels,))):
            for size in sizes:
                _positive(**{name: size})
        _require(
            prod(self.split) == inputs[0].elements,
            f"split {self.split} has {prod(self.split)} elements, the input {inputs[0].elements}",
        )
        _require(sorted(self.order) == list(range(len(self.split))), f"order {self.order} is no order of {self.split}")
        _require(
            prod(self.spatial) * self.channels == inputs[0].elements,
            f"{self.channels}x{self.spatial} has not the input's {inputs[0].elements} elements",
        )
        return Tensor(self.channels, self.spatial)


@dataclass(frozen=True, slots=True)
class Embedding(Layer):
    """Looks up a row of `channels` values among `count` for each index of the input."""

    count: int
    channels: int

    def output(self, inputs: Inputs) -> Tensor:
        _positive(count=self.count, channels=self.channels)
        _require(inputs[0].channels == 1, f"indices have one channel, not {inputs[0].channels}")
        return Tensor(self.channels, inputs[0].spatial)

    def weights(self, inputs: Inputs) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.count, self.channels)}


#: Every kind by the name it has in files and reports.
KINDS: dict[str, type[Layer]] = {
    "input": Input, "constant": Constant, "convolution": Convolution, "transposed_convolution": TransposedConvolution,
    "dense": Dense, "product": Product, "pool": Pool, "reduce": Reduce, "channel_pool": ChannelPool, "combine": Combine,
    "concat": Concat, "slice": Slice, "pad": Pad, "resize": Resize, "activation": Activation, "prelu": PRelu,
    "batch_norm": BatchNorm, "normalise": Normalise, "local_norm": LocalNorm, "softmax": Softmax,
    "rearrange": Rearrange, "embedding": Embedding,
}  # fmt: skip
KIND_NAMES: dict[type[Layer], str] = {kind: name for name, kind in KINDS.items()}


def _check_groups(inputs: int, outputs: int, groups: int) -> None:
    _positive(channels=outputs, groups=groups)
    for name, channels in (("input", inputs), ("output", outputs)):
        _require(channels % groups == 0, f"groups = {groups} does not divide {channels} {name} channels")


def _check_window(
    source: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: Padding, dilation: tuple[int, ...]
) -> None:
    axes = len(source.spatial)
    for name, values in (("kernel", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)):
        _require(len(values) == axes, f"{name} {values} has not the {axes} spatial axes of a {source.label} map")
    for name, sizes in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        for size in sizes:
            _positive(**{name: size})
    _require(all(p >= 0 for pair in padding for p in pair), f"padding {padding} must not be negative")


def _windows(
    source: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: Padding,
    dilation: tuple[int, ...],
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    axes = zip(source.spatial, kernel, stride, padding, dilation, strict=True)
    sizes = tuple(output_size(n, k, s, d, sum(p), ceil_mode) for n, k, s, p, d in axes)
    _require(all(size > 0 for size in sizes), f"kernel {kernel} does not fit a {source.label} map padded by {padding}")
    return sizes


def _last(sizes: tuple[int, ...], count: int) -> tuple[int, ...]:
    return sizes[len(sizes) - count :]


def _broadcast(shapes: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    longest = max(len(shape) for shape in shapes)
    padded = [(1,) * (longest - len(shape)) + shape for shape in shapes]
    result = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    fits = all(size in (1, total) for shape in padded for size, total in zip(shape, result, strict=True))
    _require(fits, f"sizes {', '.join(str(shape) for shape in shapes)} do not broadcast")
    return result
