"""Activations written out in simpler operators, recognised by what they compute.

An exporter may write a hard-swish as Add, Clip, Mul and Div in any order, a GELU with Erf or Tanh, a
SiLU as a multiply. Where element-wise layers make one number of one number, that function is
evaluated at sample points and compared with the functions that have a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from math import erf

import numpy as np
from numpy.typing import NDArray

from accelsim.network.graph import Node
from accelsim.network.layers import Activation, Combine, Layer
from accelsim.network.readers.onnx.rewriting import Rewriting

Samples = NDArray[np.float64]
#: Layers between the input of a written-out activation and its output, at most.
LONGEST = 16
#: Where functions bend, far from where any does, and no round numbers, at which two may meet by chance.
POINTS: Samples = np.concatenate(
    (np.linspace(-8.03, 8.11, 83), np.array([-1.01e6, -61.7, -23.3, -2.07e-3, 1.3e-13, 7.1e-9, 1.03e-3, 47.9, 1.02e6]))
)
TOLERANCE = 2e-5
#: Next to zero only relative errors count, or the epsilon of a norm would vanish under its root.
ABSOLUTE = np.where((POINTS > 0) & (POINTS < 1e-6), 0.0, TOLERANCE)

_erf = np.vectorize(erf, otypes=[np.float64])


def _sigmoid(x: Samples) -> Samples:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(x: Samples) -> Samples:
    return np.asarray(np.logaddexp(0.0, x))


def _gelu_tanh(x: Samples) -> Samples:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


#: What each function computes, its parameters after the input.
FUNCTIONS: dict[str, Callable[..., Samples]] = {
    "abs": np.abs, "ceil": np.ceil, "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high), "cos": np.cos,
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)), "erf": _erf, "exp": np.exp, "floor": np.floor,
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))), "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x), "log": np.log,
    "mish": lambda x: x * np.tanh(_softplus(x)), "neg": np.negative, "power": np.power, "reciprocal": np.reciprocal,
    "relu": lambda x: np.maximum(x, 0), "relu6": lambda x: np.clip(x, 0, 6), "round": np.round,
    "selu": lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * np.expm1(x)), "sigmoid": _sigmoid,
    "sign": np.sign, "silu": lambda x: x * _sigmoid(x), "sin": np.sin, "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)), "sqrt": np.sqrt, "tanh": np.tanh,
    "threshold": lambda x, alpha: np.where(x > alpha, x, 0.0),
}  # fmt: skip
OPERATIONS: dict[str, Callable[[Samples, Samples], Samples]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "power": np.power,
    "maximum": np.maximum, "minimum": np.minimum, "mean": lambda a, b: (a + b) / 2,
}  # fmt: skip
#: Functions without parameters that something else may stand for, the most specific first.
PLAIN = (
    "relu", "relu6", "hard_swish", "silu", "gelu", "gelu_tanh", "mish", "softplus", "softsign", "sigmoid", "tanh",
    "abs", "neg", "exp", "sqrt", "reciprocal",
)  # fmt: skip

#: Clips that have names of their own.
NAMED_CLIPS: dict[tuple[float, ...], Activation] = {(0.0, 6.0): Activation("relu6"), (0.0, np.inf): Activation("relu")}

Formula = Callable[[Samples], Samples]


def recognise_activations(graph: Rewriting) -> None:
    """Replace written-out activations by one layer each, the longest first."""
    for name in reversed(list(graph.nodes)):
        if name in graph.nodes and isinstance(graph.nodes[name].layer, Activation | Combine):
            _recognise(graph, name)


def _recognise(graph: Rewriting, name: str) -> None:
    """Widen the operators behind a node until they read one value only; the widest that has a name counts."""
    inside = [name]
    best: Node | None = None
    while len(inside) <= LONGEST:
        leaves = _leaves(graph, inside)
        if len(leaves) == 1:
            function = _named(graph, inside, leaves[0])
            best = best if function is None else Node(name, function, (leaves[0],))
        deepest = max(leaves, key=graph.position, default=None)
        if deepest is None or not _widens(graph, deepest, inside):
            break
        inside.append(deepest)
    if best is not None and best != graph.nodes[name]:
        graph.replace(best)


def _leaves(graph: Rewriting, inside: Sequence[str]) -> list[str]:
    """What the layers `inside` read from outside, single numbers aside."""
    sources = dict.fromkeys(source for name in inside for source in graph.nodes[name].inputs if source not in inside)
    return [source for source in sources if graph.scalar(source) is None]


def _widens(graph: Rewriting, name: str, inside: Sequence[str]) -> bool:
    """Whether a layer is element-wise and read from `inside` only."""
    element_wise = isinstance(graph.nodes[name].layer, Activation | Combine)
    return element_wise and name not in graph.outputs and set(graph.readers(name)) <= set(inside)


def _named(graph: Rewriting, inside: Sequence[str], source: str) -> Activation | None:
    """The activation that equals what the layers `inside`, last first, make of `source`; None where none does."""
    layer = graph.nodes[inside[0]].layer
    if len(inside) == 1 and isinstance(layer, Activation):
        return NAMED_CLIPS.get(layer.parameters) if layer.function == "clip" else None
    formula = _formula(graph, inside, source)
    if formula is None:
        return None
    with np.errstate(all="ignore"):
        return _matching(formula)


def _formula(graph: Rewriting, inside: Sequence[str], source: str) -> Formula | None:
    """The layers `inside` as a function of `source`."""
    order = sorted(inside, key=graph.position)
    if any(len(graph.nodes[name].inputs) > 2 for name in order):
        return None

    def formula(points: Samples) -> Samples:
        values = {source: points}
        for name in order:
            node = graph.nodes[name]
            values[name] = _computed(node.layer, [_value(graph, values, read) for read in node.inputs])
        return values[inside[0]]

    return formula


def _value(graph: Rewriting, values: Mapping[str, Samples], name: str) -> Samples:
    return values[name] if name in values else np.array(graph.scalar(name))


def _computed(layer: Layer, operands: Sequence[Samples]) -> Samples:
    if isinstance(layer, Activation):
        return FUNCTIONS[layer.function](operands[0], *layer.parameters)
    assert isinstance(layer, Combine)
    return reduce(OPERATIONS[layer.operation], operands)


def _matching(formula: Formula) -> Activation | None:
    values = formula(POINTS)
    if _equal(values, POINTS):
        return None
    candidates = chain((Activation(function) for function in PLAIN), _fitted(formula))
    return next(
        (layer for layer in candidates if _equal(values, FUNCTIONS[layer.function](POINTS, *layer.parameters))), None
    )


def _fitted(formula: Formula) -> Iterator[Activation]:
    """Functions with parameters, those chosen so that a few of the values fit."""
    left, middle, near, two, right = (float(value) for value in formula(np.array([-1.01e6, 0.0, 1e-3, 2.0, 1.02e6])))
    fits: dict[str, tuple[float, ...]] = {
        "leaky_relu": (left / -1.01e6,),
        "elu": (-left,),
        "hard_sigmoid": ((near - middle) / 1e-3, middle),
        "power": (float(np.log2(two)),),
        "clip": (-np.inf if left == -1.01e6 else left, np.inf if right == 1.02e6 else right),
    }
    for function, parameters in fits.items():
        if function == "clip" or np.isfinite(parameters).all():
            yield Activation(function, tuple(float(f"{value:.6g}") for value in parameters))


def _equal(values: Samples, expected: Samples) -> bool:
    """Whether functions agree wherever the written-out one does not overflow, as log(1 + exp(x)) does."""
    finite = np.isfinite(values)
    enough = bool(finite.sum() > len(POINTS) // 3)
    limit = ABSOLUTE[finite] + TOLERANCE * np.abs(expected[finite])
    return enough and bool((np.abs(values[finite] - expected[finite]) <= limit).all())
