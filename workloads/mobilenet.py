"""MobileNet V1 (Howard 2017) as in Keras; V2 (Sandler 2018) and V3 (Howard 2019) as in torchvision."""

from __future__ import annotations

from accelsim.network.graph import Network
from workloads.blocks import (
    InvertedResidual,
    Squeeze,
    activation,
    dense,
    depthwise,
    divisible,
    inverted_residual,
    mean_vector,
    normalised,
    unit,
)
from workloads.draft import Draft, Shape

PUBLISHED = (3, 224, 224)

#: V1: output channels and stride of each depthwise-separable block.
SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip

#: V2: expansion, output channels, blocks and first stride of each stage.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

#: V3: kernel, expanded and output channels, squeeze-excite, activation and stride of each block.
LARGE = (
    (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard_swish", 2), (3, 200, 80, False, "hard_swish", 1), (3, 184, 80, False, "hard_swish", 1),
    (3, 184, 80, False, "hard_swish", 1), (3, 480, 112, True, "hard_swish", 1), (3, 672, 112, True, "hard_swish", 1),
    (5, 672, 160, True, "hard_swish", 2), (5, 960, 160, True, "hard_swish", 1), (5, 960, 160, True, "hard_swish", 1),
)  # fmt: skip
SMALL = (
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard_swish", 2), (5, 240, 40, True, "hard_swish", 1), (5, 240, 40, True, "hard_swish", 1),
    (5, 120, 48, True, "hard_swish", 1), (5, 144, 48, True, "hard_swish", 1), (5, 288, 96, True, "hard_swish", 2),
    (5, 576, 96, True, "hard_swish", 1), (5, 576, 96, True, "hard_swish", 1),
)  # fmt: skip


def build(name: str, input_shape: Shape = None) -> Network:
    """A MobileNet of width 1.0 for 1000 classes."""
    if name == "mobilenet_v1":
        return _first(name, input_shape)
    if name == "mobilenet_v2":
        return _second(name, input_shape)
    return _third(name, input_shape)


def _first(name: str, input_shape: Shape) -> Network:
    draft = Draft(name, same=True, epsilon=1e-3)
    x = unit(draft, "stem", draft.offer("image", input_shape, PUBLISHED), 32, 3, 2, function="relu6")
    for block, (channels, stride) in enumerate(SEPARABLE, 1):
        x = normalised(draft, depthwise(draft, f"block{block}.depthwise", x, 3, stride), "relu6")
        x = unit(draft, f"block{block}.pointwise", x, channels, function="relu6")
    return draft.finished(dense(draft, "classifier", mean_vector(draft, x), 1000))


def _second(name: str, input_shape: Shape) -> Network:
    draft = Draft(name)
    x = unit(draft, "stem", draft.offer("image", input_shape, PUBLISHED), 32, 3, 2, function="relu6")
    for stage, (expansion, channels, blocks, first_stride) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            stride = first_stride if block == 1 else 1
            shape = InvertedResidual(3, expansion * draft.channels(x), channels, stride, "relu6")
            x = inverted_residual(draft, f"stage{stage}.block{block}", x, shape)
    x = unit(draft, "head", x, 1280, function="relu6")
    return draft.finished(dense(draft, "classifier", mean_vector(draft, x), 1000))


def _third(name: str, input_shape: Shape) -> Network:
    blocks, hidden = (LARGE, 1280) if name == "mobilenet_v3_large" else (SMALL, 1024)
    draft = Draft(name, epsilon=1e-3)
    x = unit(draft, "stem", draft.offer("image", input_shape, PUBLISHED), 16, 3, 2, function="hard_swish")
    for block, (kernel, expanded, channels, attention, function, stride) in enumerate(blocks, 1):
        squeeze = Squeeze(divisible(expanded / 4), gate="hard_sigmoid") if attention else None
        shape = InvertedResidual(kernel, expanded, channels, stride, function, squeeze)
        x = inverted_residual(draft, f"block{block}", x, shape)
    x = unit(draft, "head", x, 6 * draft.channels(x), function="hard_swish")
    x = dense(draft, "hidden", mean_vector(draft, x), hidden)
    return draft.finished(dense(draft, "classifier", activation(draft, "hidden.hard_swish", x, "hard_swish"), 1000))
