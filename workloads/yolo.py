"""Tiny YOLOv2 (Redmon and Farhadi 2016), as in darknet's `yolov2-tiny-voc.cfg`."""

from __future__ import annotations

from accelsim.network.graph import Network
from workloads.blocks import convolution, pool, unit
from workloads.draft import Draft, Shape

#: Output channels of each 3x3 convolution and the stride of the 2x2 maximum behind it, 0 for none.
BACKBONE = ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1), (1024, 0), (1024, 0))
ANCHORS = 5
CLASSES = 20
#: Four coordinates and an objectness beside the classes.
OUTPUTS = ANCHORS * (CLASSES + 5)


def build(name: str, input_shape: Shape = None) -> Network:
    """Tiny YOLOv2 for the 20 classes of VOC; the output is the map of predictions before decoding."""
    draft = Draft(name, same=True)
    x = draft.offer("image", input_shape, (3, 416, 416))
    for position, (channels, stride) in enumerate(BACKBONE, 1):
        x = unit(draft, f"conv{position}", x, channels, 3, function="leaky_relu")
        if stride:
            x = pool(draft, f"conv{position}.pool", x, 2, stride)
    return draft.finished(convolution(draft, "prediction", x, OUTPUTS, bias=True))
