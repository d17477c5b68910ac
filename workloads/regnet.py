"""RegNetY (Radosavovic et al. 2020): as in timm, whose widths are the paper's, and as in torchvision."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.network.graph import Network
from workloads.blocks import Squeeze, activation, add, dense, mean_vector, squeeze_excite, unit
from workloads.draft import Draft, Shape


class Variant(NamedTuple):
    """Channels and blocks of each stage, and the channels of a group."""

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    group: int


#: `regnet_y_800mf` is torchvision's, which rounds two widths to other multiples of the group than the paper.
VARIANTS = {
    "regnety_800mf": Variant((64, 128, 320, 768), (1, 3, 8, 2), 16),
    "regnety_3_2gf": Variant((72, 216, 576, 1512), (2, 5, 13, 1), 24),
    "regnet_y_800mf": Variant((64, 144, 320, 784), (1, 3, 8, 2), 16),
}


def build(name: str, input_shape: Shape = None) -> Network:
    """A RegNetY of `VARIANTS` for 1000 classes."""
    draft, variant = Draft(name), VARIANTS[name]
    x = unit(draft, "stem", draft.offer("image", input_shape, (3, 224, 224)), 32, 3, 2, function="relu")
    for stage, (width, blocks) in enumerate(zip(variant.widths, variant.blocks, strict=True), 1):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 else 1
            x = _bottleneck(draft, f"stage{stage}.block{block}", x, width, stride, width // variant.group)
    return draft.finished(dense(draft, "classifier", mean_vector(draft, x), 1000))


def _bottleneck(draft: Draft, name: str, source: str, width: int, stride: int, groups: int) -> str:
    inputs = draft.channels(source)
    x = unit(draft, f"{name}.conv1", source, width, function="relu")
    x = unit(draft, f"{name}.conv2", x, width, 3, stride, groups, function="relu")
    x = squeeze_excite(draft, f"{name}.se", x, Squeeze(round(inputs / 4)))
    x = unit(draft, f"{name}.conv3", x, width)
    skip = source
    if stride > 1 or inputs != width:
        skip = unit(draft, f"{name}.shortcut", source, width, 1, stride)
    return activation(draft, f"{name}.relu", add(draft, f"{name}.add", x, skip), "relu")
