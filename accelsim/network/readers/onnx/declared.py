"""The shapes and layouts of a network's inputs, from what the file declares and the user adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

from onnx import AttributeProto, GraphProto, NodeProto, TensorShapeProto, ValueInfoProto

from accelsim.errors import InputError, collected
from accelsim.network.graph import LARGEST_TENSOR
from accelsim.network.readers.onnx.builder import InputLayout

Shape = tuple[int, ...]
#: A declared size: a number, or the name of a dimension that is open.
Dimensions = tuple["int | str", ...]

#: Operators that take axis 1 for the channels of a map.
CHANNELS_FIRST = frozenset((
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "DepthToSpace", "SpaceToDepth",
    "Upsample", "Resize", "PRelu", "ConvInteger", "QLinearConv",
))  # fmt: skip
#: Operators that work along the last axis.
CHANNELS_LAST = frozenset(("MatMul", "Gemm", "LayerNormalization", "RMSNormalization", "MatMulInteger"))
#: Operators that keep an input's axes where they are.
TRANSPARENT = frozenset((
    "Add", "Sub", "Mul", "Div", "Pow", "Cast", "Identity", "Dropout", "Relu", "Clip", "Sigmoid", "Tanh", "Pad",
    "Concat", "Slice", "Split", "Sqrt", "Neg", "Abs", "LeakyRelu", "Max", "Min", "Sum", "QuantizeLinear",
    "DequantizeLinear",
))  # fmt: skip
#: Operators that move axes only, so that what reads them decides.
MOVING = frozenset(("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Cast", "Dropout"))


def input_shapes(
    place: str, entries: Sequence[ValueInfoProto], given: Shape | Mapping[str, Shape] | None
) -> dict[str, Shape]:
    """Shape of every input: sizes as declared, `given` ones instead, an open first dimension 1.

    Raises `InputError` with every input that stays open, has no size or does not fit what was given.
    """
    declared = {entry.name: _declared(place, entry) for entry in entries}
    wanted = _by_name(place, declared, given)
    problems: list[str] = []
    shapes = {}
    for name, dimensions in declared.items():
        try:
            shapes[name] = _fixed(place, name, dimensions, wanted.get(name))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise collected(problems)
    return shapes


def _declared(place: str, entry: ValueInfoProto) -> Dimensions | None:
    """Dimensions of an input, None where the file does not say how many there are."""
    if entry.type.HasField("tensor_type"):
        tensor = entry.type.tensor_type
        return tuple(_dimension(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    if entry.type.WhichOneof("value") is None:
        return None
    raise InputError(f"{place}: {entry.name}: an input that is no tensor cannot be read")


def _dimension(dimension: TensorShapeProto.Dimension) -> int | str:
    # Some exporters write -1 for a dimension that is open.
    if dimension.HasField("dim_value") and dimension.dim_value != -1:
        return int(dimension.dim_value)
    return str(dimension.dim_param) or "?"


def _by_name(
    place: str, declared: Mapping[str, Dimensions | None], given: Shape | Mapping[str, Shape] | None
) -> Mapping[str, Shape]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(declared))
        if unknown:
            raise InputError(f"{place}: no input '{unknown[0]}'; inputs are {', '.join(declared)}")
        return given
    if len(declared) == 1:
        return {name: tuple(given) for name in declared}
    open_ones = [n for n, dims in declared.items() if dims is None or any(isinstance(d, str) for d in dims[1:])]
    if len(open_ones) != 1:
        raise InputError(f"{place}: input_shape for {len(declared)} inputs must name them: {', '.join(declared)}")
    return {open_ones[0]: tuple(given)}


def _fixed(place: str, name: str, dimensions: Dimensions | None, given: Shape | None) -> Shape:
    where = f"{place}: input {name}"
    if dimensions is None and given is None:
        raise InputError(f"{where}: its shape is not declared; give it, for instance input_shape=1,3,224,224")
    if given is not None:
        if dimensions is not None and len(given) != len(dimensions):
            raise InputError(f"{where}: input_shape {_text(given)} has not its {len(dimensions)} axes")
        shape = tuple(given)
    else:
        assert dimensions is not None
        batch = dimensions[0] if dimensions and dimensions[0] != "?" else None
        sizes = [1 if isinstance(d, str) and (axis == 0 or d == batch) else d for axis, d in enumerate(dimensions)]
        if any(isinstance(size, str) for size in sizes):
            example = ",".join("64" if isinstance(size, str) else str(size) for size in sizes)
            raise InputError(
                f"{where}: shape {_text(dimensions)} leaves {', '.join(str(s) for s in sizes if isinstance(s, str))} "
                f"open; give every size, for instance input_shape={example}"
            )
        shape = tuple(int(size) for size in sizes)
    if any(size < 1 for size in shape):
        raise InputError(f"{where}: shape {_text(shape)} must be positive")
    if prod(shape) > LARGEST_TENSOR:
        raise InputError(f"{where}: shape {_text(shape)} has {prod(shape):,} elements; the most is 2^40")
    return shape


def _text(sizes: Sequence[int | str]) -> str:
    return "x".join(str(size) for size in sizes)


class Readers:
    """Who reads each value of a graph, operators that ask for its shape aside."""

    def __init__(self, graph: GraphProto) -> None:
        self.of: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            if node.op_type not in ("Shape", "Size"):
                for name in dict.fromkeys(node.input):
                    self.of[name].append(node)
        self.outputs = {output.name for output in graph.output}


def layout(name: str, shape: Shape, readers: Readers) -> InputLayout:
    """Axes that are channels and space: by the first operator that minds, else the second or the last axis."""
    rank = len(shape)
    channel = _asked_for(name, rank, readers)
    if channel is None:
        channel = 1 if rank > 3 else rank - 1
    channels = (channel,) if rank > 1 or rank == 1 else ()
    batch = rank > 1 and shape[0] == 1 and channel != 0
    spatial = tuple(axis for axis in range(1 if batch else 0, rank) if axis != channel)
    return InputLayout(shape, spatial, channels, _is_free(name, readers))


def _asked_for(name: str, rank: int, readers: Readers) -> int | None:
    """The axis that the nearest operator takes for channels, followed through those that keep or permute axes."""
    queue: list[tuple[str, tuple[int, ...]]] = [(name, tuple(range(rank)))]
    seen = {name}
    for value, axes in queue:
        for node in readers.of[value]:
            if node.op_type in CHANNELS_FIRST and node.input[0] == value and len(axes) > 2:
                return axes[1]
            if node.op_type in CHANNELS_LAST and axes:
                return axes[-1]
            moved = _permuted(node, axes) if node.op_type == "Transpose" else axes
            if moved is not None and node.op_type in TRANSPARENT | {"Transpose"}:
                fresh = [output for output in node.output if output and output not in seen]
                seen.update(fresh)
                queue += [(output, moved) for output in fresh]
    return None


def _permuted(node: NodeProto, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    for attribute in node.attribute:
        if attribute.name == "perm" and attribute.type == AttributeProto.INTS:
            fits = sorted(attribute.ints) == list(range(len(axes)))
            return tuple(axes[axis] for axis in attribute.ints) if fits else None
    return tuple(reversed(axes))


def _is_free(name: str, readers: Readers) -> bool:
    """Whether a single operator ends up reading the input, through ones that only move axes."""
    while name not in readers.outputs and len(readers.of[name]) == 1:
        node = readers.of[name][0]
        if node.op_type not in MOVING or node.input[0] != name:
            return True
        name = node.output[0]
    return False
