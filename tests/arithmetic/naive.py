"""Integer layers in Python's own integers and fractions, point by point; shares no code with the package."""

from fractions import Fraction
from itertools import product

import numpy as np


def taps(position, window, size, transposed=False):
    """(tap, input coordinate) along one axis, for (kernel, stride, before, dilation)."""
    kernel, stride, before, dilation = window
    found = []
    for tap in range(kernel):
        if transposed:
            there, rest = divmod(position + before - tap * dilation, stride)
            inside = rest == 0 and 0 <= there < size
        else:
            there = position * stride - before + tap * dilation
            inside = 0 <= there < size
        if inside:
            found.append((tap, there))
    return found


def convolution_terms(source, weights, windows, spatial, groups, transposed=False):
    """Lists of the products of every output (*spatial, channels), in raster order of taps, then inputs.

    `source` (*space, channels) and `weights` (outputs, inputs a group, *kernel), or for a transposed one (inputs,
    outputs a group, *kernel), have their zero points taken away.
    """
    inputs = source.shape[-1] // groups
    outputs = (weights.shape[1] * groups if transposed else weights.shape[0]) // groups
    terms = {}
    for position in np.ndindex(*spatial):
        axes = [
            taps(p, window, size, transposed)
            for p, window, size in zip(position, windows, source.shape[:-1], strict=True)
        ]
        for channel in range(outputs * groups):
            group, own = divmod(channel, outputs)
            found = []
            for pairs in product(*axes):
                tap, here = tuple(t for t, _ in pairs), tuple(c for _, c in pairs)
                for k in range(inputs):
                    value = int(source[here][group * inputs + k])
                    if transposed:
                        weight = int(weights[(group * inputs + k, own, *tap)])
                    else:
                        weight = int(weights[(channel, k, *tap)])
                    found.append(value * weight)
            terms[(*position, channel)] = found
    return terms


def summed(terms, start, bits, overflow):
    """A sum in an accumulator of `bits`; None where it does not fit one that refuses."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if overflow == "saturate":
        total = min(max(start, low), high)
        for term in terms:
            total = min(max(total + term, low), high)
        return total
    total = start + sum(terms)
    if overflow == "wrap":
        return (total - low) % 2**bits + low
    return total if low <= total <= high else None


def half_even(number):
    whole, rest = divmod(number, 1)
    return int(whole) + int(rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1))


def half_away(number):
    return int(number + Fraction(1, 2)) if number >= 0 else -int(-number + Fraction(1, 2))


def by_float(total, multiplier, zero, low, high):
    """Float32(total) * multiplier, the product rounded to single precision, then half to even."""
    product_ = np.float32(np.float32(total) * np.float32(multiplier))
    if not np.isfinite(product_):
        return high if product_ > 0 else low
    return min(max(half_even(Fraction(float(product_))) + zero, low), high)


def doubling_high(a, b):
    """Rounded high half of the doubled product, saturated: halves towards plus infinity for either sign."""
    if a == b == -(2**31):
        return 2**31 - 1
    nudge = 2**30 if a * b >= 0 else 1 - 2**30
    total = a * b + nudge
    return total // 2**31 if total >= 0 else -(-total // 2**31)


def by_fixed(total, significand, shift, zero, low, high):
    left, right = max(shift, 0), max(-shift, 0)
    raised = min(max(total * 2**left, -(2**31)), 2**31 - 1)
    scaled = half_away(Fraction(doubling_high(raised, significand), 2**right))
    return min(max(scaled + zero, low), high)
