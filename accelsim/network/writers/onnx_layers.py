"""How each kind of layer is written in ONNX operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from accelsim.network.layers import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Concat,
    Convolution,
    Dense,
    Embedding,
    Inputs,
    Layer,
    LocalNorm,
    Normalise,
    Pad,
    Padding,
    Pool,
    PRelu,
    Product,
    Rearrange,
    Reduce,
    Resize,
    Slice,
    Softmax,
    TransposedConvolution,
)
from accelsim.network.tensor import Tensor
from accelsim.network.writers.onnx_graph import Graph, Shape, layout

#: Reductions: the operator, and the value that changes nothing where a partial tile is filled up.
REDUCTIONS: dict[str, tuple[str, float]] = {
    "mean": ("ReduceMean", 0.0), "maximum": ("ReduceMax", -np.inf), "minimum": ("ReduceMin", np.inf),
    "sum": ("ReduceSum", 0.0), "product": ("ReduceProd", 1.0), "l1": ("ReduceL1", 0.0), "l2": ("ReduceL2", 0.0),
    "lp": ("ReduceL2", 0.0),
}  # fmt: skip
GLOBAL_POOLS = {"mean": "GlobalAveragePool", "maximum": "GlobalMaxPool", "lp": "GlobalLpPool"}
POOLS = {"maximum": "MaxPool", "average": "AveragePool", "lp": "LpPool"}
COMBINERS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "maximum": "Max", "minimum": "Min",
    "mean": "Mean", "power": "Pow",
}  # fmt: skip
#: Operators that take any number of operands; the others take two.
VARIADIC = ("maximum", "minimum", "mean")
#: Activations that are one operator without attributes.
PLAIN = {
    "abs": "Abs", "ceil": "Ceil", "cos": "Cos", "erf": "Erf", "exp": "Exp", "floor": "Floor", "gelu": "Gelu",
    "hard_swish": "HardSwish", "log": "Log", "mish": "Mish", "neg": "Neg", "reciprocal": "Reciprocal", "relu": "Relu",
    "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "softplus": "Softplus",
    "softsign": "Softsign", "sqrt": "Sqrt", "tanh": "Tanh",
}  # fmt: skip
#: Activations whose parameters are attributes of those names.
PARAMETRIC = {
    "elu": "Elu", "hard_sigmoid": "HardSigmoid", "leaky_relu": "LeakyRelu", "selu": "Selu",
    "threshold": "ThresholdedRelu",
}  # fmt: skip
#: Coordinates whose nearest neighbour is not the nearest with halves down, and the pair of attributes for it.
#: TensorFlow's floor((y + 1/2) scale), which later opsets have no name for, is half_pixel with halves up.
NEAREST = {"asymmetric": ("asymmetric", "floor"), "tf_half_pixel_for_nn": ("half_pixel", "round_prefer_ceil")}
#: Axes that pooling and convolution operators are commonly made for.
MOST_WINDOW_AXES = 3


@dataclass(frozen=True)
class Place:
    """Where a layer is written: the graph, its inputs and output, and `weight(name, shape)`, a value with a weight."""

    graph: Graph
    values: tuple[str, ...]
    inputs: Inputs
    output: Tensor
    weight: Callable[[str, Shape], str]

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return layout(self.output)

    def apply(self, operator: str, *values: str, **attributes: object) -> str:
        """One operator that gives the result."""
        return self.graph.emit(operator, values, self.shape, **attributes)


def misfit(layer: Layer, inputs: Inputs, output: Tensor) -> str | None:
    """Why `layer` has no form in ONNX; None where it has."""
    if isinstance(layer, Resize) and layer.coordinates == "tf_half_pixel_for_nn" and layer.mode != "nearest":
        return f"coordinates {layer.coordinates} with mode {layer.mode}; they are for nearest"
    windows = isinstance(layer, Convolution | TransposedConvolution | Pool)
    tiles = isinstance(layer, Reduce) and layer.operation == "mean" and output.pixels > 1
    if (windows or tiles) and len(inputs[0].spatial) > MOST_WINDOW_AXES:
        return f"windows over {len(inputs[0].spatial)} axes; the most is {MOST_WINDOW_AXES}"
    return None


@singledispatch
def export(layer: Layer, place: Place) -> str:
    """Adds the operators of `layer` to the graph; the value that holds its result."""
    raise AssertionError(f"{type(layer).__name__} has no form in ONNX")


@export.register
def _(layer: Convolution, place: Place) -> str:
    weights = [place.weight(name, shape) for name, shape in _spatial_weights(layer, place).items()]
    return _windowed("Conv", layer, place, weights, group=layer.groups)


@export.register
def _(layer: TransposedConvolution, place: Place) -> str:
    weights = [place.weight(name, shape) for name, shape in _spatial_weights(layer, place).items()]
    extra = list(layer.output_padding or (0,))
    return _windowed("ConvTranspose", layer, place, weights, group=layer.groups, output_padding=extra)


def _spatial_weights(layer: Convolution | TransposedConvolution, place: Place) -> dict[str, Shape]:
    shapes = layer.weights(place.inputs)
    return shapes if layer.kernel else shapes | {"weight": (*shapes["weight"], 1)}


@export.register
def _(layer: Pool, place: Place) -> str:
    extra: dict[str, int] = {"ceil_mode": int(layer.ceil_mode)}
    if layer.operation == "average":
        extra["count_include_pad"] = int(layer.count_include_pad)
    if layer.operation == "lp":
        extra["p"] = 2
    if layer.ceil_mode:
        layer, place = _without_the_unread(layer, place)
    return _windowed(POOLS[layer.operation], layer, place, [], **extra)


def _without_the_unread(layer: Pool, place: Place) -> tuple[Pool, Place]:
    """The same pool without the points behind its last window.

    In ceil mode those may be taken for one more window, which would start in the padding: the operator's
    definition changed on this between opsets.
    """
    source, padding, sizes = place.inputs[0], [], []
    axes = zip(
        source.spatial, place.output.spatial, layer.kernel, layer.stride, layer.dilation, layer.padding, strict=True
    )
    for n, outputs, k, s, d, (before, after) in axes:
        unread = max(0, n + before + after - ((outputs - 1) * s + d * (k - 1) + 1))
        padding.append((before, max(0, after - unread)))
        sizes.append(n - max(0, unread - after))
    if tuple(sizes) == source.spatial:
        return replace(layer, padding=tuple(padding)), place
    value = place.graph.slice(place.values[0], range(2, 2 + len(sizes)), [0] * len(sizes), sizes)
    cut = Tensor(source.channels, tuple(sizes))
    return replace(layer, padding=tuple(padding)), replace(place, values=(value,), inputs=(cut,))


def _windowed(
    operator: str,
    layer: Convolution | TransposedConvolution | Pool,
    place: Place,
    weights: Sequence[str],
    **attributes: object,
) -> str:
    """An operator with a window; a vector becomes a map of one position for it."""
    source, graph = place.inputs[0], place.graph
    value = place.values[0] if source.spatial else graph.reshape(place.values[0], (*layout(source), 1))
    shape = place.shape if source.spatial else (*place.shape, 1)
    result = graph.emit(
        operator,
        [value, *weights],
        shape,
        kernel_shape=list(layer.kernel or (1,)),
        strides=list(layer.stride or (1,)),
        dilations=list(layer.dilation or (1,)),
        pads=_pads(layer.padding or ((0, 0),)),
        **attributes,
    )
    return graph.reshape(result, place.shape)


def _pads(padding: Padding) -> list[int]:
    return [before for before, _ in padding] + [after for _, after in padding]


@export.register
def _(layer: Dense, place: Place) -> str:
    """A 1x1 convolution, or a matrix product on a vector."""
    source, graph = place.inputs[0], place.graph
    axes = len(source.spatial)
    shape = (layer.channels, source.channels)
    bias = [place.weight("bias", (layer.channels,))] if layer.bias else []
    if axes == 0:
        return place.apply("Gemm", place.values[0], place.weight("weight", shape), *bias, transB=1)
    flat = axes > MOST_WINDOW_AXES
    value = graph.reshape(place.values[0], (1, source.channels, source.pixels)) if flat else place.values[0]
    kernel = (1,) * (1 if flat else axes)
    result_shape = (1, layer.channels, source.pixels) if flat else place.shape
    result = graph.emit("Conv", [value, place.weight("weight", (*shape, *kernel)), *bias], result_shape)
    return graph.reshape(result, place.shape)


@export.register
def _(layer: Product, place: Place) -> str:
    """A batched matrix product over leading axes and groups."""
    graph, groups = place.graph, layer.groups
    first, second = place.inputs
    rows = first.spatial[-1:] or (1,)
    left = _grouped_matrix(graph, place.values[0], groups, first.channels, (*first.spatial[:-1], *rows), (-1, 1))
    order = (1, -1) if layer.transposed else (-1, 1)
    right = _grouped_matrix(graph, place.values[1], groups, second.channels, second.spatial, order)
    leading = place.output.spatial[:-1]
    columns = place.output.channels // groups
    product = graph.emit("MatMul", [left, right], (*leading, groups, *rows, columns))
    count = len(leading)
    moved = graph.transpose(product, (count, count + 2, *range(count), count + 1))
    return graph.reshape(moved, place.shape)


def _grouped_matrix(
    graph: Graph, value: str, groups: int, channels: int, spatial: Shape, order: tuple[int, int]
) -> str:
    """(leading axes, groups, rows, columns): rows are the last spatial axis, or the channels if `order` is (1, -1)."""
    split = graph.reshape(value, (groups, channels // groups, *spatial))
    last = len(spatial) + 1
    rows_and_columns = (last, 1) if order == (-1, 1) else (1, last)
    return graph.transpose(split, (*range(2, last), 0, *rows_and_columns))


@export.register
def _(layer: Reduce, place: Place) -> str:
    source, graph = place.inputs[0], place.graph
    if not source.spatial:
        return place.apply("Abs" if layer.operation in ("l1", "l2", "lp") else "Identity", place.values[0])
    operator, neutral = REDUCTIONS[layer.operation]
    sizes = layer.sizes(source)
    if sizes == source.spatial:
        if layer.operation in GLOBAL_POOLS and len(sizes) <= MOST_WINDOW_AXES:
            return place.apply(GLOBAL_POOLS[layer.operation], place.values[0])
        return graph.reduce(operator, place.values[0], range(2, 2 + len(sizes)))
    if layer.operation == "mean":
        return place.apply("AveragePool", place.values[0], kernel_shape=list(sizes), strides=list(sizes), ceil_mode=1)
    return _tiled(graph, place, sizes, operator, neutral)


def _tiled(graph: Graph, place: Place, sizes: Shape, operator: str, neutral: float) -> str:
    """Fills the far tiles up, gives every tile axes of its own, and reduces those."""
    source, tiles = place.inputs[0], place.output.spatial
    missing = [count * size - n for count, size, n in zip(tiles, sizes, source.spatial, strict=True)]
    value = place.values[0]
    if any(missing):
        shape = (*layout(source)[:2], *(n + extra for n, extra in zip(source.spatial, missing, strict=True)))
        pads = graph.integers([0] * (len(shape) + 2) + missing)
        value = graph.emit("Pad", [value, pads, graph.number(neutral)], shape)
    split = tuple(n for pair in zip(tiles, sizes, strict=True) for n in pair)
    cut = graph.reshape(value, (1, source.channels, *split))
    return graph.reduce(operator, cut, range(3, 3 + len(split), 2), keep=False)


@export.register
def _(layer: ChannelPool, place: Place) -> str:
    source, graph = place.inputs[0], place.graph
    runs = graph.reshape(place.values[0], (1, place.output.channels, layer.factor, *source.spatial))
    return graph.reduce(REDUCTIONS[layer.operation][0], runs, (2,), keep=False)


@export.register
def _(layer: Combine, place: Place) -> str:
    operands = [_operand(layer, place, operand) for operand in range(len(place.values))]
    operator = COMBINERS[layer.operation]
    if len(operands) == 1:
        return place.apply("Identity", operands[0])
    if layer.operation in VARIADIC:
        return place.apply(operator, *operands)
    result = operands[0]
    for operand in operands[1:]:
        shapes = (place.graph.shapes[result], place.graph.shapes[operand])
        result = place.graph.emit(operator, [result, operand], np.broadcast_shapes(*shapes))
    return result


def _operand(layer: Combine, place: Place, operand: int) -> str:
    """An operand with as many axes as the output, its elements repeated where `repeat` says so."""
    source, graph = place.inputs[operand], place.graph
    missing = len(place.output.spatial) - len(source.spatial)
    value = graph.reshape(place.values[operand], (1, source.channels, *(1,) * missing, *source.spatial))
    if not layer.repeat or not layer.repeat[operand]:
        return value
    times = tuple(1 if n == 1 else t for n, t in zip(source.spatial, layer.repeat[operand], strict=True))
    if all(t == 1 for t in times):
        return value
    return _repeated(graph, value, times, place.output.spatial)


def _repeated(graph: Graph, value: str, times: Shape, limits: Shape) -> str:
    """Nearest repeat along each axis of space, cropped to `limits`; axes of size 1 are left to broadcasting."""
    shape = graph.shapes[value]
    spatial = tuple(n * t for n, t in zip(shape[2:], times, strict=True))
    sizes = graph.integers((*shape[:2], *spatial))
    repeated = graph.emit(
        "Resize", [value, "", "", sizes], (*shape[:2], *spatial), mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    axes = [axis for axis, (size, limit) in enumerate(zip(spatial, limits, strict=True)) if size > limit]
    if not axes:
        return repeated
    return graph.slice(repeated, [2 + a for a in axes], [0] * len(axes), [limits[a] for a in axes])


@export.register
def _(layer: Concat, place: Place) -> str:
    return place.apply("Concat", *place.values, axis=layer.axis + 2)


@export.register
def _(layer: Slice, place: Place) -> str:
    return place.graph.slice(place.values[0], (layer.axis + 2,), (layer.start,), (layer.size,), layer.step)


@export.register
def _(layer: Pad, place: Place) -> str:
    """Crops first, because ONNX leaves negative pads open in most modes."""
    graph, value = place.graph, place.values[0]
    padding = ((0, 0), layer.channel_padding, *layer.padding)
    crops = [(axis, -min(before, 0), -min(after, 0)) for axis, (before, after) in enumerate(padding)]
    crops = [crop for crop in crops if crop[1] or crop[2]]
    if crops:
        sizes = [graph.shapes[value][axis] - before - after for axis, before, after in crops]
        value = graph.slice(value, [axis for axis, _, _ in crops], [before for _, before, _ in crops], sizes)
    pads = graph.integers(_pads(tuple((max(before, 0), max(after, 0)) for before, after in padding)))
    fill = [graph.number(layer.value)] if layer.mode == "constant" else []
    return place.apply("Pad", value, pads, *fill, mode=layer.mode)


@export.register
def _(layer: Resize, place: Place) -> str:
    coordinates, rounding = layer.coordinates, "round_prefer_floor"
    if layer.mode == "nearest":
        coordinates, rounding = NEAREST.get(coordinates, (coordinates, rounding))
    sizes = place.graph.integers(place.shape)
    return place.apply(
        "Resize", place.values[0], "", "", sizes, mode=layer.mode, nearest_mode=rounding,
        coordinate_transformation_mode=coordinates,
    )  # fmt: skip


@export.register
def _(layer: Activation, place: Place) -> str:
    value, graph = place.values[0], place.graph
    if layer.function in PLAIN:
        return place.apply(PLAIN[layer.function], value)
    if layer.function in PARAMETRIC:
        names = ACTIVATIONS[layer.function]
        return place.apply(PARAMETRIC[layer.function], value, **dict(zip(names, layer.parameters, strict=True)))
    if layer.function == "gelu_tanh":
        return place.apply("Gelu", value, approximate="tanh")
    if layer.function == "power":
        return place.apply("Pow", value, graph.number(layer.parameters[0]))
    if layer.function == "silu":
        return place.apply("Mul", value, place.apply("Sigmoid", value))
    low, high = (0.0, 6.0) if layer.function == "relu6" else layer.parameters
    return place.apply("Clip", value, graph.number(low), graph.number(high))


@export.register
def _(layer: PRelu, place: Place) -> str:
    slopes = 1 if layer.shared else place.output.channels
    slope = place.weight("slope", (slopes, *(1,) * len(place.output.spatial)))
    return place.apply("PRelu", place.values[0], slope)


@export.register
def _(layer: BatchNorm, place: Place) -> str:
    size = (place.output.channels,)
    weights = [place.weight(name, size) for name in ("scale", "shift", "mean", "variance")]
    return place.apply("BatchNormalization", place.values[0], *weights, epsilon=layer.epsilon)


@export.register
def _(layer: Normalise, place: Place) -> str:
    result = _normalised(layer, place)
    if not layer.affine:
        return result
    column = (place.output.channels, *(1,) * len(place.output.spatial))
    result = place.apply("Mul", result, place.weight("scale", column))
    return place.apply("Add", result, place.weight("shift", column)) if layer.centred else result


def _normalised(layer: Normalise, place: Place) -> str:
    """(x - mean) / sqrt(variance + epsilon), or x / sqrt(mean square + epsilon), written out."""
    graph, channels = place.graph, place.output.channels
    groups = channels if layer.over == "space" else layer.groups
    split = (1, groups, channels // groups, *place.output.spatial)
    axes = (2,) if layer.over == "channels" else tuple(range(2, len(split)))
    value = graph.reshape(place.values[0], split)
    if layer.centred:
        value = graph.emit("Sub", [value, graph.reduce("ReduceMean", value, axes)], split)
    power = graph.reduce("ReduceMean", graph.emit("Mul", [value, value], split), axes)
    shape = graph.shapes[power]
    shifted = graph.emit("Add", [power, graph.number(layer.epsilon)], shape)
    deviation = graph.emit("Sqrt", [shifted], shape)
    return graph.reshape(graph.emit("Div", [value, deviation], split), place.shape)


@export.register
def _(layer: LocalNorm, place: Place) -> str:
    """Over four axes, the only form that is commonly implemented."""
    graph = place.graph
    shape = (1, place.output.channels, place.output.pixels, 1)
    value = graph.reshape(place.values[0], shape)
    result = graph.emit(
        "LRN", [value], shape, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.bias
    )  # fmt: skip
    return graph.reshape(result, place.shape)


@export.register
def _(layer: Softmax, place: Place) -> str:
    graph, tensor = place.graph, place.output
    shape: Shape = (1, tensor.channels, tensor.pixels)
    if layer.over == "channels":
        shape = (1, layer.groups, tensor.channels // layer.groups, *tensor.spatial)
    value = graph.reshape(place.values[0], shape)
    result = graph.emit("LogSoftmax" if layer.log else "Softmax", [value], shape, axis=2)
    return graph.reshape(result, place.shape)


@export.register
def _(layer: Rearrange, place: Place) -> str:
    graph = place.graph
    split = graph.reshape(graph.channels_last(place.values[0]), layer.split)
    moved = graph.transpose(split, layer.order)
    return graph.channels_first(graph.reshape(moved, (1, *layer.spatial, layer.channels)))


@export.register
def _(layer: Embedding, place: Place) -> str:
    graph, spatial = place.graph, place.output.spatial
    table = place.weight("weight", (layer.count, layer.channels))
    indices = graph.emit("Cast", [graph.reshape(place.values[0], (1, *spatial))], (1, *spatial), to=7)
    rows = graph.emit("Gather", [table, indices], (1, *spatial, layer.channels))
    return graph.channels_first(rows)
