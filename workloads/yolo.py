"""Tiny YOLOv2 (Redmon and Farhadi 2016), as in darknet's `yolov2-tiny-voc.cfg`."""

from __future__ import annotations

from collections.abc import Sequence

from accelsim.network.graph import Network
from workloads.blocks import convolution, pool, unit
from workloads.draft import Draft, Shape

#: Output channels of the 3x3 convolutions `conv1` to `conv8`.
CHANNELS = (16, 32, 64, 128, 256, 512, 1024, 1024)
#: Stride of the 2x2 maximum behind each of them, 0 for none.
STRIDES = (2, 2, 2, 2, 2, 1, 0, 0)
ANCHORS = 5
CLASSES = 20
#: Four coordinates and an objectness beside the classes.
OUTPUTS = ANCHORS * (CLASSES + 5)


def build(name: str, input_shape: Shape = None) -> Network:
    """Tiny YOLOv2 as published, under any of its names."""
    return tiny_yolo(name, input_shape)


def tiny_yolo(name: str, input_shape: Shape = None, channels: Sequence[int] = CHANNELS) -> Network:
    """Tiny YOLOv2 for the 20 classes of VOC; the output is the map of predictions before decoding.

    Nine convolutions, eight of them 3x3 with batch norm and a leaky ReLU of slope 0.1, and six 2x2 maxima, the
    last with stride 1 and its padding at the far end. `channels` are those of the eight.
    """
    draft = Draft(name, same=True)
    x = draft.offer("image", input_shape, (3, 416, 416))
    for position, (width, stride) in enumerate(zip(channels, STRIDES, strict=True), 1):
        x = unit(draft, f"conv{position}", x, width, 3, function="leaky_relu")
        if stride:
            x = pool(draft, f"conv{position}.pool", x, 2, stride)
    return draft.finished(convolution(draft, "prediction", x, OUTPUTS, bias=True))
