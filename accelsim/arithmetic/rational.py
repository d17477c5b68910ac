"""Hyperbolic tangent and logistic function as ONNX Runtime has them: quotients of polynomials in single precision.

Coefficients are those of its kernels (MLAS, after Eigen); each step is a fused multiply-add, as on every x86
processor with AVX2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from accelsim.arithmetic.floating import applied
from accelsim.arithmetic.formats import Array, Reals
from accelsim.network.layers import Activation

#: Coefficients from the highest power of the square on: of the numerator, which is odd, and of the denominator.
TANH = (
    (
        -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
        1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
    ),
    (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03),
)  # fmt: skip
LOGISTIC = (
    (
        4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03,
        2.48287947061529e-01,
    ),
    (
        6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06, 1.70198817374094e-03,
        1.16817656904453e-01, 9.93151921023180e-01,
    ),
)  # fmt: skip
#: Beyond these the functions are those of the end.
TANH_END, LOGISTIC_END = np.float32(9), np.float32(18)


def _polynomial(coefficients: tuple[float, ...], square: Reals) -> Reals:
    """By Horner's scheme; products are exact in double precision."""
    wide = square.astype(np.float64)
    total = np.full(square.shape, coefficients[0], np.float32)
    for coefficient in coefficients[1:]:
        total = (total * wide + np.float64(np.float32(coefficient))).astype(np.float32)
    return total


def _quotient(x: Reals, of: tuple[tuple[float, ...], tuple[float, ...]]) -> Reals:
    square = x * x
    return np.asarray(_polynomial(of[0], square) * x / _polynomial(of[1], square), np.float32)


def tanh(x: Reals) -> Reals:
    return _quotient(np.clip(x, -TANH_END, TANH_END), TANH)


def logistic(x: Reals) -> Reals:
    """Not below 0; just below the end it may be the number above 1."""
    made = _quotient(np.clip(x, -LOGISTIC_END, LOGISTIC_END), LOGISTIC) + np.float32(0.5)
    return np.asarray(np.maximum(made, np.float32(0)), np.float32)


RATIONAL: Mapping[str, Callable[[Reals], Reals]] = {
    "tanh": tanh,
    "sigmoid": logistic,
    "silu": lambda x: x * logistic(x),
}


def applied_as_the_runtime(layer: Activation, values: Array) -> Array:
    """`floating.applied` with the last bits of ONNX Runtime's functions where these are known."""
    own = RATIONAL.get(layer.function)
    return applied(layer, values) if own is None else own(np.asarray(values, np.float32))
