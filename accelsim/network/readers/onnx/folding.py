"""Shape arithmetic and other operators on constants, computed while reading.

The common operators are a table of NumPy functions; a few others run in the reference evaluator of
the onnx package, where their result is no larger than what they read. Nothing here makes an array
that is large: broadcasts stay broadcasts, and what would be computed is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator

from accelsim.errors import InputError
from accelsim.network.graph import LARGEST_TENSOR
from accelsim.network.readers.onnx.operator import Operator
from accelsim.network.readers.onnx.tensors import MOST_AXES, WORDS, Array

#: Elements an operator on constants may compute; a weight matrix of a large model has 2^26.
LARGEST_FOLD = 2**27
#: Elements the reference evaluator is given.
LARGEST_REFERENCE = 2**24

#: What NumPy and the reference evaluator raise where a malformed node breaks a rule of its operator.
BROKEN_RULES = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, MemoryError)

Constants = list[Array | None]

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": np.power, "Max": np.maximum, "Min": np.minimum,
    "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less,
    "LessOrEqual": np.less_equal, "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
}  # fmt: skip
UNARY: dict[str, Callable[[Array], Array]] = {
    "Abs": np.abs, "Ceil": np.ceil, "Cos": np.cos, "Exp": np.exp, "Floor": np.floor, "Log": np.log, "Neg": np.negative,
    "Not": np.logical_not, "Reciprocal": np.reciprocal, "Round": np.round, "Sign": np.sign, "Sin": np.sin,
    "Sqrt": np.sqrt, "Tanh": np.tanh, "IsNaN": np.isnan, "Relu": lambda x: np.maximum(x, 0).astype(x.dtype),
    "Sigmoid": lambda x: (1 / (1 + np.exp(-x))).astype(x.dtype),
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., Array]] = {
    "ReduceMax": np.max, "ReduceMean": np.mean, "ReduceMin": np.min, "ReduceProd": np.prod, "ReduceSum": np.sum,
}  # fmt: skip
#: Operators left to the reference evaluator: none makes more than it reads.
REFERENCE = frozenset((
    "ArgMax", "ArgMin", "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor",
    "Compress", "CumSum", "DepthToSpace", "Elu", "Erf", "GatherElements", "GatherND", "HardSigmoid", "HardSwish",
    "InstanceNormalization", "IsInf", "LayerNormalization", "LeakyRelu", "LogSoftmax", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ScatterElements", "ScatterND", "Softmax", "Softplus", "SpaceToDepth", "TopK", "Trilu",
    "Unique",
))  # fmt: skip


def foldable(kind: str) -> bool:
    return kind in FOLDS or kind in REFERENCE


def fold(operator: Operator, inputs: Constants) -> list[Array]:
    """Outputs of an operator whose inputs are all constant. Raises `InputError` where they cannot be computed."""
    function = FOLDS.get(operator.kind, reference)
    try:
        with np.errstate(all="ignore"):
            return function(operator, inputs)
    except InputError:
        raise
    except BROKEN_RULES as error:
        raise InputError(f"cannot be computed: {' '.join(str(error).split())}") from None


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    """The elements as `shape`: a view where there can be one, never a copy of a broadcast."""
    if array.ndim and array.size and not any(array.strides):
        return np.broadcast_to(array.reshape(-1)[:1] if array.size == 1 else _first(array), shape)
    _limit(array.size)
    return array.reshape(shape)


def _first(array: Array) -> Array:
    return np.asarray(array[(0,) * array.ndim]).reshape(1)


def _limit(elements: int, largest: int = LARGEST_FOLD) -> None:
    if elements > largest:
        raise InputError(f"computing {elements:,} elements of a constant; the most is {largest:,}")


def _present(inputs: Constants, position: int) -> Array:
    array = inputs[position] if position < len(inputs) else None
    if array is None:
        raise InputError(f"input {position} is missing")
    return array


def _optional(inputs: Constants, position: int) -> Array | None:
    return inputs[position] if position < len(inputs) else None


def integers_in(array: Array) -> tuple[int, ...]:
    """A small constant, such as a shape, as Python integers."""
    if (array.size and array.dtype.kind not in "iub") or array.size > 2 * MOST_AXES:
        raise InputError(f"{array.size:,} values of type {array.dtype} are no sizes or axes")
    return tuple(int(value) for value in array.reshape(-1).tolist())


def axes_of(operator: Operator, inputs: Constants, rank: int, position: int = 1) -> tuple[int, ...] | None:
    """Axes from the attribute of older opsets or the input of newer ones, counted from 0; None where not given."""
    given = _optional(inputs, position)
    if given is not None:
        axes = integers_in(given)
    elif operator.has("axes"):
        axes = operator.integers("axes")
    else:
        return None
    return tuple(axis_of(axis, rank) for axis in axes)


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from 0, of a tensor with `rank` axes."""
    if not -rank <= axis < max(rank, 1):
        raise InputError(f"axis = {axis} is not an axis of a tensor with {rank}")
    return axis + rank if axis < 0 else axis


def _elementwise(operator: Operator, inputs: Constants) -> list[Array]:
    arrays = [_present(inputs, k) for k in range(len(inputs))]
    _limit(prod(np.broadcast_shapes(*(a.shape for a in arrays))))
    result = arrays[0]
    for array in arrays[1:]:
        result = BINARY[operator.kind](result, array)
    return [result.astype(arrays[0].dtype) if operator.kind == "Pow" else np.asarray(result)]


def _unary(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    _limit(array.size)
    return [np.asarray(UNARY[operator.kind](array))]


def _divide(operator: Operator, inputs: Constants) -> list[Array]:
    dividend, divisor = _present(inputs, 0), _present(inputs, 1)
    _limit(prod(np.broadcast_shapes(dividend.shape, divisor.shape)))
    if np.issubdtype(dividend.dtype, np.integer):
        if not divisor.all():
            raise InputError("division by zero in shape arithmetic")
        quotient = np.abs(dividend) // np.abs(divisor)
        return [np.asarray(quotient * np.sign(dividend) * np.sign(divisor)).astype(dividend.dtype)]
    return [np.asarray(dividend / divisor)]


def _modulo(operator: Operator, inputs: Constants) -> list[Array]:
    dividend, divisor = _present(inputs, 0), _present(inputs, 1)
    _limit(prod(np.broadcast_shapes(dividend.shape, divisor.shape)))
    if np.issubdtype(divisor.dtype, np.integer) and not divisor.all():
        raise InputError("division by zero in shape arithmetic")
    return [np.asarray((np.fmod if operator.integer("fmod", 0) else np.mod)(dividend, divisor))]


def _cast(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    kind = operator.integer("to", 0)
    if kind not in WORDS:
        raise InputError(f"cast of a constant to data type {kind} is not supported")
    if array.dtype == np.dtype(WORDS[kind]):
        return [array]
    if array.ndim and array.size and not any(array.strides):
        return [np.broadcast_to(_first(array).astype(WORDS[kind]), array.shape)]
    _limit(array.size)
    return [array.astype(WORDS[kind])]


def _reshape(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    shape = reshape_target(array.shape, integers_in(_present(inputs, 1)), bool(operator.integer("allowzero", 0)))
    return [reshaped(array, shape)]


def reshape_target(shape: tuple[int, ...], wanted: tuple[int, ...], allow_zero: bool) -> tuple[int, ...]:
    """Shape a Reshape to `wanted` gives, 0 (copy) and -1 (whatever is left) resolved."""
    if len(wanted) > MOST_AXES:
        raise InputError(f"a shape of {len(wanted)} axes; the most is {MOST_AXES}")
    if not allow_zero and any(size == 0 and axis >= len(shape) for axis, size in enumerate(wanted)):
        raise InputError(f"shape {list(wanted)} copies an axis that {list(shape)} has not")
    target = [shape[axis] if size == 0 and not allow_zero else size for axis, size in enumerate(wanted)]
    if target.count(-1) > 1 or any(size < -1 for size in target):
        raise InputError(f"shape {list(wanted)} has sizes that are no sizes")
    known = prod(size for size in target if size != -1)
    if -1 in target and known:
        target[target.index(-1)] = prod(shape) // known
    if prod(target) != prod(shape) or -1 in target:
        raise InputError(f"{list(shape)} has {prod(shape):,} elements and cannot be reshaped to {list(wanted)}")
    return tuple(target)


def _flatten(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    axis = operator.integer("axis", 1)
    axis = axis + array.ndim if axis < 0 else axis
    return [reshaped(array, (prod(array.shape[:axis]), prod(array.shape[axis:])))]


def _transpose(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    return [array.transpose(operator.integers("perm", tuple(reversed(range(array.ndim)))))]


def _squeeze(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    axes = axes_of(operator, inputs, array.ndim)
    return [np.squeeze(array, axes)]


def _unsqueeze(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    given = _optional(inputs, 1)
    axes = operator.integers("axes") if given is None else integers_in(given)
    return [np.expand_dims(array, axes)]


def _concat(operator: Operator, inputs: Constants) -> list[Array]:
    arrays = [_present(inputs, k) for k in range(len(inputs))]
    _limit(sum(array.size for array in arrays))
    return [np.concatenate(arrays, operator.integer("axis", 0))]


def _gather(operator: Operator, inputs: Constants) -> list[Array]:
    array, index = _present(inputs, 0), _present(inputs, 1)
    axis = axis_of(operator.integer("axis", 0), array.ndim)
    _limit(array.size // max(array.shape[axis], 1) * index.size)
    return [np.asarray(np.take(array, index.astype(np.int64), axis))]


def _slice(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    cuts = slices(operator, inputs, array.shape)
    return [array[tuple(slice(*cuts[axis]) if axis in cuts else slice(None) for axis in range(array.ndim))]]


Cut = tuple[int, "int | None", int]


def slices(operator: Operator, inputs: Constants, shape: tuple[int, ...]) -> dict[int, Cut]:
    """Start, stop and step an axis, as Python's `slice` takes them; from attributes (to opset 9) or inputs."""
    if operator.opset < 10:
        starts, ends = operator.integers("starts"), operator.integers("ends")
        axes, steps = operator.integers("axes", tuple(range(len(starts)))), (1,) * len(starts)
    else:
        starts, ends = integers_in(_present(inputs, 1)), integers_in(_present(inputs, 2))
        given, pace = _optional(inputs, 3), _optional(inputs, 4)
        axes = tuple(range(len(starts))) if given is None else integers_in(given)
        steps = (1,) * len(starts) if pace is None else integers_in(pace)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise InputError("starts, ends, axes and steps differ in length")
    if 0 in steps:
        raise InputError("a slice cannot have step 0")
    cuts = {}
    for start, end, named, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(named, len(shape))
        stop = None if step < 0 and end < -shape[axis] else end
        cuts[axis] = (start, stop, step)
    return cuts


def _split(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    axis = axis_of(operator.integer("axis", 0), array.ndim)
    sizes = split_sizes(operator, _optional(inputs, 1), array.shape[axis])
    return list(np.split(array, np.cumsum(sizes)[:-1], axis))


def split_sizes(operator: Operator, given: Array | None, total: int) -> tuple[int, ...]:
    """Sizes of the parts of a Split, from attribute or input, or `total` shared out evenly."""
    if given is not None:
        sizes = integers_in(given)
    elif operator.has("split"):
        sizes = operator.integers("split")
    else:
        count = operator.integer("num_outputs", len(operator.outputs))
        size = -(-total // max(count, 1))
        sizes = tuple(min(size, total - k * size) for k in range(len(operator.outputs)))
    if sum(sizes) != total or len(sizes) != len(operator.outputs) or min(sizes, default=0) < 0:
        raise InputError(f"split {list(sizes)} into {len(operator.outputs)} outputs does not make up {total}")
    return sizes


def _range(operator: Operator, inputs: Constants) -> list[Array]:
    start, limit, delta = (_present(inputs, k).reshape(-1)[0] for k in range(3))
    count = max(0, -int(-(float(limit) - float(start)) // float(delta)))
    _limit(count, 2**24)
    return [np.asarray(start + np.arange(count) * delta).astype(_present(inputs, 0).dtype)]


def _expand(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    shape = np.broadcast_shapes(array.shape, integers_in(_present(inputs, 1)))
    return [_broadcast(array, shape)]


def _broadcast(array: Array, shape: tuple[int, ...]) -> Array:
    if any(size < 0 for size in shape):
        raise InputError(f"shape {list(shape)} must not be negative")
    if prod(shape) > LARGEST_TENSOR:
        raise InputError(f"shape {list(shape)} makes {prod(shape):,} elements; the most is 2^40")
    return np.broadcast_to(array, shape)


def _constant_of_shape(operator: Operator, inputs: Constants) -> list[Array]:
    value = _optional(inputs, 1)
    filling = np.zeros(1, np.float32) if value is None else value
    return [_broadcast(filling.reshape(-1)[:1], integers_in(_present(inputs, 0)))]


def _tile(operator: Operator, inputs: Constants) -> list[Array]:
    array, repeats = _present(inputs, 0), integers_in(_present(inputs, 1))
    _limit(array.size * prod(repeats))
    return [np.tile(array, repeats)]


def _where(operator: Operator, inputs: Constants) -> list[Array]:
    arrays = [_present(inputs, k) for k in range(3)]
    _limit(prod(np.broadcast_shapes(*(a.shape for a in arrays))))
    return [np.where(*arrays)]


def _reduce(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    _limit(array.size)
    if not array.size:
        raise InputError("a reduction of nothing")
    axes = axes_of(operator, inputs, array.ndim)
    if not axes and operator.integer("noop_with_empty_axes", 0):
        return [array]
    keep = bool(operator.integer("keepdims", 1))
    return [np.asarray(REDUCTIONS[operator.kind](array, axis=axes or None, keepdims=keep)).astype(array.dtype)]


def _shape(operator: Operator, inputs: Constants) -> list[Array]:
    return [shape_constant(operator, _present(inputs, 0).shape)]


def shape_constant(operator: Operator, shape: tuple[int, ...]) -> Array:
    """What a Shape (with the `start` and `end` of newer opsets) or a Size returns."""
    if operator.kind == "Size":
        return np.array(prod(shape), np.int64)
    end = operator.integer("end", len(shape))
    return np.array(shape[operator.integer("start", 0) : end], np.int64)


def _non_zero(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    _limit(array.size)
    return [np.array(np.nonzero(np.atleast_1d(array)), np.int64)]


def _clip(operator: Operator, inputs: Constants) -> list[Array]:
    array = _present(inputs, 0)
    _limit(array.size)
    low, high = clip_bounds(operator, inputs)
    return [np.clip(array, low, high).astype(array.dtype)]


def clip_bounds(operator: Operator, inputs: Constants) -> tuple[float, float]:
    """Bounds of a Clip, from attributes (to opset 10) or inputs."""
    low, high = _optional(inputs, 1), _optional(inputs, 2)
    lowest = operator.real("min", -np.inf) if low is None else _scalar(low)
    return lowest, operator.real("max", np.inf) if high is None else _scalar(high)


def _scalar(array: Array) -> float:
    if array.size != 1:
        raise InputError(f"a bound is one number, not {array.size}")
    return float(array.reshape(-1)[0])


def _matmul(operator: Operator, inputs: Constants) -> list[Array]:
    left, right = _present(inputs, 0), _present(inputs, 1)
    _limit(left.size * (right.shape[-1] if right.ndim else 1), 2**24)
    return [np.asarray(left @ right)]


def _identity(operator: Operator, inputs: Constants) -> list[Array]:
    return [_present(inputs, 0)]


def reference(operator: Operator, inputs: Constants) -> list[Array]:
    """What the onnx package's own evaluator makes of a node."""
    arrays = {f"i{k}": array for k, array in enumerate(inputs) if array is not None}
    for array in arrays.values():
        _limit(array.size, LARGEST_REFERENCE)
    names = [f"i{k}" if array is not None else "" for k, array in enumerate(inputs)]
    node = helper.make_node(operator.kind, names, [f"o{k}" for k in range(len(operator.outputs))])
    node.attribute.extend(operator.attributes.values())
    free = [helper.make_empty_tensor_value_info(name) for name in arrays]
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "constant", free, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", operator.opset)])
    return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, arrays)]


Fold = Callable[[Operator, Constants], list[Array]]

FOLDS: dict[str, Fold] = {
    **dict.fromkeys(BINARY, _elementwise), **dict.fromkeys(UNARY, _unary), **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(("Identity", "Dropout"), _identity), **dict.fromkeys(("Shape", "Size"), _shape),
    "Cast": _cast, "Clip": _clip, "Concat": _concat, "ConstantOfShape": _constant_of_shape, "Div": _divide,
    "Expand": _expand, "Flatten": _flatten, "Gather": _gather, "MatMul": _matmul, "Mod": _modulo,
    "NonZero": _non_zero, "Range": _range, "Reshape": _reshape, "Slice": _slice, "Split": _split, "Squeeze": _squeeze,
    "Tile": _tile, "Transpose": _transpose, "Unsqueeze": _unsqueeze, "Where": _where,
}  # fmt: skip
