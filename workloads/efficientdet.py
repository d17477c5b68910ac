"""EfficientDet (Tan, Pang and Le 2020) as in effdet's `tf_efficientdet_d0` to `d3`.

EfficientNet without its head, a bidirectional feature pyramid whose joints weigh their operands, and
two heads whose convolutions serve all levels while every level has batch norms of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from accelsim.network.graph import Network
from accelsim.network.layers import Combine, Constant, Resize
from workloads import efficientnet
from workloads.blocks import activation, convolution, depthwise, normalised, pool, unit
from workloads.draft import Draft, Shape


class Variant(NamedTuple):
    """The backbone's name, image size, channels and cells of the pyramid, and convolutions a head."""

    backbone: str
    size: int
    channels: int
    cells: int
    convolutions: int


VARIANTS = {
    "efficientdet_d0": Variant("efficientnet_b0", 512, 64, 3, 3),
    "efficientdet_d1": Variant("efficientnet_b1", 640, 88, 4, 3),
    "efficientdet_d2": Variant("efficientnet_b2", 768, 112, 5, 3),
    "efficientdet_d3": Variant("efficientnet_b3", 896, 160, 6, 4),
}
LEVELS = (3, 4, 5, 6, 7)
#: Three scales and three aspect ratios of boxes at every point.
ANCHORS = 9
CLASSES = 90
COORDINATES = 4

#: The newest map of every level, by level.
Pyramid = dict[int, str]


def build(name: str, input_shape: Shape = None) -> Network:
    """An EfficientDet of `VARIANTS` for 90 classes; outputs are the class maps, then the box maps, finest first."""
    variant = VARIANTS[name]
    draft = Draft(name, same=True, epsilon=1e-3)
    image = draft.offer("image", input_shape, (3, variant.size, variant.size))
    pyramid = _levels(draft, image, variant)
    for cell in range(1, variant.cells + 1):
        pyramid = _cell(draft, f"bifpn.cell{cell}", pyramid, variant.channels)
    classes = _head(draft, "class_head", pyramid, variant.convolutions, CLASSES * ANCHORS)
    boxes = _head(draft, "box_head", pyramid, variant.convolutions, COORDINATES * ANCHORS)
    return draft.finished(*classes, *boxes)


def _levels(draft: Draft, image: str, variant: Variant) -> Pyramid:
    """Strides 8, 16 and 32 from the backbone (ends of stages 3, 5, 7), and two coarser levels from the last."""
    ends = efficientnet.backbone(draft, image, efficientnet.VARIANTS[variant.backbone])
    narrow = unit(draft, "bifpn.p6", ends[6], variant.channels, bias=True)
    p6 = pool(draft, "bifpn.p6.pool", narrow, 3, 2)
    return {3: ends[2], 4: ends[4], 5: ends[6], 6: p6, 7: pool(draft, "bifpn.p7.pool", p6, 3, 2)}


def _cell(draft: Draft, name: str, inputs: Pyramid, channels: int) -> Pyramid:
    """One way down and one up: a level joins its input, on the way up also its map from the way down."""
    down = dict(inputs)
    for level in reversed(LEVELS[:-1]):
        operands = (inputs[level], down[level + 1])
        down[level] = _joint(draft, f"{name}.p{level}_down", operands, down[level], channels)
    up = {LEVELS[0]: down[LEVELS[0]]}
    for level in LEVELS[1:]:
        own = (inputs[level],) if level == LEVELS[-1] else (inputs[level], down[level])
        up[level] = _joint(draft, f"{name}.p{level}_up", (*own, up[level - 1]), inputs[level], channels)
    return up


def _joint(draft: Draft, name: str, operands: tuple[str, ...], like: str, channels: int) -> str:
    """The weighted sum of maps brought to one shape, SiLU, and a separable convolution.

    Fast fusion divides each weight by the sum of all; at inference those quotients are constants.
    """
    weighted = []
    for position, operand in enumerate(operands, 1):
        x = _resampled(draft, f"{name}.input{position}", operand, like, channels)
        weight = draft.add(f"{name}.weight{position}", Constant(1, trained=True))
        weighted.append(draft.add(f"{name}.weighted{position}", Combine("multiply"), x, weight))
    x = activation(draft, f"{name}.silu", draft.add(f"{name}.sum", Combine("add"), *weighted), "silu")
    x = depthwise(draft, f"{name}.depthwise", x, 3)
    return normalised(draft, convolution(draft, f"{name}.pointwise", x, channels, bias=True))


def _resampled(draft: Draft, name: str, source: str, like: str, channels: int) -> str:
    """`source` with `channels` channels and the spatial size of `like`."""
    spatial = draft.tensor(like).spatial
    if draft.channels(source) != channels:
        source = unit(draft, name, source, channels, bias=True)
    if draft.tensor(source).pixels > draft.tensor(like).pixels:
        return pool(draft, f"{name}.pool", source, 3, 2)
    if draft.tensor(source).spatial != spatial:
        return draft.add(f"{name}.resize", Resize(spatial), source)
    return source


def _head(draft: Draft, name: str, pyramid: Pyramid, convolutions: int, outputs: int) -> list[str]:
    """The prediction of every level; the finest level owns the weights."""
    predictions = []
    for level in LEVELS:
        x = pyramid[level]
        for position in range(1, convolutions + 1):
            x = _separable(draft, name, level, f"conv{position}", x, draft.channels(x))
            x = normalised(draft, x, "silu")
        predictions.append(_separable(draft, name, level, "prediction", x, outputs))
    return predictions


def _separable(draft: Draft, head: str, level: int, part: str, source: str, channels: int) -> str:
    def owner(layer: str) -> str | None:
        return None if level == LEVELS[0] else f"{head}.p{LEVELS[0]}.{part}.{layer}"

    name = f"{head}.p{level}.{part}"
    x = depthwise(draft, f"{name}.depthwise", source, 3, shares=owner("depthwise"))
    return convolution(draft, f"{name}.pointwise", x, channels, bias=True, shares=owner("pointwise"))
