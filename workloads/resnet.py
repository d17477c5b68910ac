"""ResNet (He et al. 2015) as in torchvision, stride on the 3x3, and SE-ResNet (Hu et al. 2018) as in timm.

`resnet50_v1` is the paper's own, with the stride of a bottleneck on its first 1x1.
"""

from __future__ import annotations

from typing import NamedTuple

from accelsim.network.graph import Network
from workloads.blocks import Squeeze, activation, add, dense, mean_vector, pool, squeeze_excite, unit
from workloads.draft import Draft, Shape


class Variant(NamedTuple):
    """Blocks a stage, how much wider a bottleneck's output is (1: basic blocks), and the squeeze ratio.

    `stride_first` puts the stride of a bottleneck on its first convolution.
    """

    blocks: tuple[int, int, int, int]
    widening: int
    squeeze_ratio: int | None = None
    stride_first: bool = False


VARIANTS = {
    "resnet18": Variant((2, 2, 2, 2), 1),
    "resnet50": Variant((3, 4, 6, 3), 4),
    "resnet50_v1": Variant((3, 4, 6, 3), 4, stride_first=True),
    "se_resnet50": Variant((3, 4, 6, 3), 4, 16),
}


def build(name: str, input_shape: Shape = None) -> Network:
    """A ResNet of `VARIANTS`, for 1000 classes."""
    draft, variant = Draft(name), VARIANTS[name]
    x = unit(draft, "stem", draft.offer("image", input_shape, (3, 224, 224)), 64, 7, 2, function="relu")
    x = pool(draft, "stem.pool", x, 3, 2)
    for stage, blocks in enumerate(variant.blocks, 1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual(draft, f"stage{stage}.block{block}", x, 64 << (stage - 1), stride, variant)
    return draft.finished(dense(draft, "classifier", mean_vector(draft, x), 1000))


def _residual(draft: Draft, name: str, source: str, width: int, stride: int, variant: Variant) -> str:
    branch = (_basic if variant.widening == 1 else _bottleneck)(draft, name, source, width, stride, variant)
    channels = draft.channels(branch)
    if variant.squeeze_ratio is not None:
        branch = squeeze_excite(draft, f"{name}.se", branch, Squeeze(channels // variant.squeeze_ratio))
    skip = source
    if stride > 1 or draft.channels(source) != channels:
        skip = unit(draft, f"{name}.shortcut", source, channels, 1, stride)
    return activation(draft, f"{name}.relu", add(draft, f"{name}.add", branch, skip), "relu")


def _basic(draft: Draft, name: str, source: str, width: int, stride: int, variant: Variant) -> str:
    x = unit(draft, f"{name}.conv1", source, width, 3, stride, function="relu")
    return unit(draft, f"{name}.conv2", x, width * variant.widening, 3)


def _bottleneck(draft: Draft, name: str, source: str, width: int, stride: int, variant: Variant) -> str:
    first, second = (stride, 1) if variant.stride_first else (1, stride)
    x = unit(draft, f"{name}.conv1", source, width, 1, first, function="relu")
    x = unit(draft, f"{name}.conv2", x, width, 3, second, function="relu")
    return unit(draft, f"{name}.conv3", x, width * variant.widening)
