"""EfficientNet (Tan and Le 2019) with the original's TensorFlow padding, as in timm's `tf_efficientnet_b0` to `b4`."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from accelsim.network.graph import Network
from workloads.blocks import InvertedResidual, Squeeze, dense, divisible, inverted_residual, mean_vector, unit
from workloads.draft import Draft, Shape


class Variant(NamedTuple):
    """Multipliers of widths and depths, and the published image size."""

    width: float
    depth: float
    size: int


VARIANTS = {
    "efficientnet_b0": Variant(1.0, 1.0, 224),
    "efficientnet_b1": Variant(1.0, 1.1, 240),
    "efficientnet_b2": Variant(1.1, 1.2, 260),
    "efficientnet_b3": Variant(1.2, 1.4, 300),
    "efficientnet_b4": Variant(1.4, 1.8, 380),
}

#: Expansion, output channels, blocks, kernel and first stride of each stage of B0.
STAGES = (
    (1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2), (6, 112, 3, 5, 1), (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)  # fmt: skip


def build(name: str, input_shape: Shape = None) -> Network:
    """An EfficientNet of `VARIANTS` for 1000 classes."""
    variant = VARIANTS[name]
    draft = Draft(name, same=True, epsilon=1e-3)
    image = draft.offer("image", input_shape, (3, variant.size, variant.size))
    x = backbone(draft, image, variant)[-1]
    x = unit(draft, "head", x, divisible(1280 * variant.width), function="silu")
    return draft.finished(dense(draft, "classifier", mean_vector(draft, x), 1000))


def backbone(draft: Draft, image: str, variant: Variant) -> tuple[str, ...]:
    """Adds the stem and all stages; the last layer of each stage."""
    x = unit(draft, "stem", image, divisible(32 * variant.width), 3, 2, function="silu")
    ends = []
    for stage, (expansion, channels, blocks, kernel, first_stride) in enumerate(STAGES, 1):
        for block in range(1, ceil(blocks * variant.depth) + 1):
            stride = first_stride if block == 1 else 1
            shape = _block(draft.channels(x), expansion, divisible(channels * variant.width), kernel, stride)
            x = inverted_residual(draft, f"stage{stage}.block{block}", x, shape)
        ends.append(x)
    return tuple(ends)


def _block(inputs: int, expansion: int, channels: int, kernel: int, stride: int) -> InvertedResidual:
    squeeze = Squeeze(max(1, inputs // 4), "silu")
    return InvertedResidual(kernel, inputs * expansion, channels, stride, "silu", squeeze)
