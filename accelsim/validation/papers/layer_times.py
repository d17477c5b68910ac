"""The closed form in which NVDLA's makers estimate frames a second, under stated rules of re-reading.

A layer takes as long as its multiplications or its traffic, whichever is longer, and a frame as long as all layers
(NVDLA Primer, "NVDLA System Integration"). This knows nothing of the simulator and is a second opinion on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from accelsim.units import ceil_div
from accelsim.validation.papers.hardware_layers import HardwareLayer
from accelsim.validation.papers.machines import Machine

#: MACs that Winograd's F(2x2, 3x3) saves: 36 multiplications for 16.
WINOGRAD = Fraction(9, 4)


class Estimate(NamedTuple):
    """A frame in closed form: its cycles, those of layers bound by the multipliers, and bytes off chip."""

    cycles: Fraction
    multiplier_cycles: Fraction
    moved_bytes: int


class Policy(NamedTuple):
    """How traffic and MACs are counted.

    `passes` is how often a layer's input is read, given the bytes of the buffer; `unfolded` as in `hardware_layers`.
    """

    quantity: str
    passes: Callable[[HardwareLayer, int], int]
    unfolded: bool
    winograd: bool
    assumption: str


def once(layer: HardwareLayer, buffer: int) -> int:
    """Every byte moves once, however small the buffer."""
    return 1


def passes_beside_rows(layer: HardwareLayer, buffer: int) -> int:
    """As many as it takes parts of the weights to fit beside the rows that a window needs.

    One where all weights fit so, or where the whole input fits beside the weights of 32 kernels. A part is no less
    than these kernels, or half of a buffer that they alone would fill.
    """
    kernels = layer.kernel_bytes if layer.kernel_bytes < buffer else buffer // 2
    if not layer.weight_bytes:
        return 1
    if layer.weight_bytes + layer.strip_bytes <= buffer or layer.input_bytes + kernels <= buffer:
        return 1
    return ceil_div(layer.weight_bytes, max(buffer - layer.strip_bytes, kernels))


def passes_by_halves(layer: HardwareLayer, buffer: int) -> int:
    """As many as it takes parts of the weights to fit in half of the buffer, even where the whole input would."""
    return max(1, ceil_div(layer.weight_bytes, buffer // 2))


SUMMED = "Layer time = max(MACs, bytes), summed."
ESTIMATOR = (
    "Bytes and MACs as in the makers' estimator: strides unfolded into channels, channels in atoms of 16; the other "
    "operand of an addition is read too."
)
POLICIES = (
    Policy(
        "frames_per_second_closed_form",
        passes_beside_rows,
        True,
        False,
        f"{SUMMED} {ESTIMATOR} The input is read once for every part of the weights that fits beside kernel + 1 of its "
        "rows, or once where all of it fits beside 32 kernels. Direct convolutions.",
    ),
    Policy(
        "frames_per_second_half_buffer",
        passes_by_halves,
        True,
        False,
        f"{SUMMED} {ESTIMATOR} Half of the buffer is for weights, and the input is read for every half buffer of them. "
        "Direct convolutions.",
    ),
    Policy(
        "frames_per_second_half_buffer_winograd",
        passes_by_halves,
        True,
        True,
        f"{SUMMED} {ESTIMATOR} Half of the buffer is for weights, and the input is read for every half buffer of them. "
        "3x3 convolutions of stride 1 take 1 / 2.25 of their MACs (Winograd).",
    ),
    Policy(
        "frames_per_second_read_once",
        once,
        False,
        False,
        f"{SUMMED} Every byte moves once, strides are not unfolded: the least traffic layer by layer.",
    ),
)


def estimate(machine: Machine, layers: Sequence[HardwareLayer], policy: Policy) -> Estimate:
    """A frame of `layers` on `machine` under `policy`."""
    total, multiplying, moved = Fraction(), Fraction(), 0
    for layer in layers:
        saved = WINOGRAD if policy.winograd and layer.is_winograd else 1
        computing = Fraction(layer.macs) / saved / machine.multipliers
        passes = policy.passes(layer, machine.buffer_kib * 2**10)
        layer_bytes = layer.weight_bytes + passes * layer.input_bytes + layer.other_bytes
        cycles = max(computing, layer_bytes / machine.bytes_per_cycle)
        total += cycles
        multiplying += cycles if computing == cycles else 0
        moved += layer_bytes
    return Estimate(total, multiplying, moved)
