"""Condensation-Net (Chen et al. 2021, arXiv 2104.14124; US 11853864): Tiny YOLOv2 with virtual feature maps.

The paper's table of layers is not public: neither which layers are pooled, nor by what factor, nor how many
channels they store. What is known is the operator (channels are computed, activated and reduced before they
are stored) and that Tiny YOLOv2 is what it is compared with. All else here is assumed, and a parameter:
every 3x3 convolution is pooled, by the maximum of 2 channels, and stores as many as Tiny YOLOv2 does.
Figures of these networks are therefore no reproduction of the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

from accelsim.errors import InputError
from accelsim.network.graph import Network
from accelsim.network.rewrites.virtual_maps import virtual_maps
from workloads.draft import Shape
from workloads.yolo import CHANNELS, tiny_yolo

#: The convolutions with `CHANNELS`, by name.
BACKBONE = tuple(f"conv{position}" for position, _ in enumerate(CHANNELS, 1))
#: What a network has in common with plain Tiny YOLOv2: the maps it stores, or the work it does.
KEPT = ("stored", "macs")


class Variant(NamedTuple):
    """Channels computed for each one stored, and what is kept of Tiny YOLOv2."""

    factor: int
    keep: str = "stored"


VARIANTS = {
    "condensation_net": Variant(2),
    "condensation_net_f2": Variant(2),
    "condensation_net_f4": Variant(4),
    "condensation_net_f2_macs": Variant(2, "macs"),
    "condensation_net_f4_macs": Variant(4, "macs"),
}


def build(name: str, input_shape: Shape = None) -> Network:
    """A Condensation-Net of `VARIANTS`."""
    variant = VARIANTS[name]
    return condensation_net(variant.factor, keep=variant.keep, input_shape=input_shape, name=name)


def condensation_net(
    factor: int = 2,
    pooled: Sequence[str] = BACKBONE,
    operation: str = "maximum",
    keep: str = "stored",
    input_shape: Shape = None,
    name: str = "condensation_net",
) -> Network:
    """Tiny YOLOv2 whose layers `pooled` compute `factor` channels for each one they store.

    With `keep` "stored" they store as many as in Tiny YOLOv2, and their MACs and weights grow by `factor`.
    With "macs" they store `equal_work` channels: a layer between two pooled ones has the MACs of the plain one
    but for the rounding, the first pooled one sqrt(factor) times as many, and the layer behind the last one
    sqrt(factor) times fewer. `prediction` has its 125 channels either way.
    Raises `InputError` for names, factors and operations that `virtual_maps` cannot use, and other values of `keep`.
    """
    if keep not in KEPT:
        raise InputError(f"{name}: keep = {keep!r} is unknown; use {' or '.join(KEPT)}")
    net = virtual_maps(tiny_yolo(name, input_shape), factor, operation, pooled)
    if keep == "stored":
        return net
    widths = zip(BACKBONE, CHANNELS, strict=True)
    channels = [equal_work(width, factor) if layer in pooled else width for layer, width in widths]
    return virtual_maps(tiny_yolo(name, input_shape, channels), factor, operation, pooled)


def equal_work(channels: int, factor: int) -> int:
    """The whole number next to channels / sqrt(factor), halves up, and at least 1.

    A convolution from a / sqrt(factor) to factor * b / sqrt(factor) channels has the MACs of one from a to b.
    """
    return max(1, (isqrt(4 * channels**2 // factor) + 1) // 2)
