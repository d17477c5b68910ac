"""VGG (Simonyan and Zisserman 2014), configuration D, as in torchvision."""

from __future__ import annotations

from accelsim.network.graph import Network
from workloads.blocks import activation, adaptive_mean, convolution, dense, flatten, pool
from workloads.draft import Draft, Shape

#: Output channels of each convolution, a stage a row; a 2x2 maximum ends every stage.
STAGES = {"vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))}


def build(name: str, input_shape: Shape = None) -> Network:
    """VGG-16 for 1000 classes; at other resolutions the last map is averaged to 7x7 as torchvision does."""
    draft = Draft(name)
    x = draft.offer("image", input_shape, (3, 224, 224))
    for stage, widths in enumerate(STAGES[name], 1):
        for position, channels in enumerate(widths, 1):
            layer = f"stage{stage}.conv{position}"
            x = activation(draft, f"{layer}.relu", convolution(draft, layer, x, channels, 3, bias=True), "relu")
        x = pool(draft, f"stage{stage}.pool", x, 2, 2)
    x = flatten(draft, "flatten", adaptive_mean(draft, "mean", x, 7))
    for layer in ("dense1", "dense2"):
        x = activation(draft, f"{layer}.relu", dense(draft, layer, x, 4096), "relu")
    return draft.finished(dense(draft, "classifier", x, 1000))
