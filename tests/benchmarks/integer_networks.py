"""How fast whole integer networks are beside ONNX Runtime on one thread, and on two beside one; where the time goes.

    python -m tests.benchmarks.integer_networks

MobileNetV2, ResNet-18 and ResNet-50 with random weights at 224x224, quantised by ONNX Runtime's own tool (QOperator),
in turn in one process; the outputs are equal bit for bit.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

import accelsim as acs
from accelsim.arithmetic.execute import checked_feeds, each_frame, program_of
from accelsim.network.layers import Input
from tests.arithmetic.models import Draft, images, quantised, runtime
from tests.benchmarks.integers import interleaved, quickest_tenths

SHAPE = (1, 3, 224, 224)
#: Expansion, channels, repeats and stride of each group of blocks.
MOBILENET_V2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


def mobilenet_v2() -> onnx.ModelProto:
    draft = Draft(0, SHAPE)
    x, inputs, block = draft.conv("x", 3, 32, 3, "stem", 2, act="Clip"), 32, 0
    for expansion, outputs, repeats, first_stride in MOBILENET_V2:
        for repeat in range(repeats):
            stride, wide = first_stride if repeat == 0 else 1, inputs * expansion
            y = draft.conv(x, inputs, wide, 1, f"e{block}", act="Clip") if expansion > 1 else x
            y = draft.conv(y, wide, wide, 3, f"d{block}", stride, wide, "Clip")
            y = draft.conv(y, wide, outputs, 1, f"p{block}")
            x = draft.node("Add", [x, y], f"sum{block}") if stride == 1 and inputs == outputs else y
            inputs, block = outputs, block + 1
    return draft.model(draft.head(draft.conv(x, inputs, 1280, 1, "last", act="Clip"), 1280))


def resnet_18() -> onnx.ModelProto:
    draft = Draft(0, SHAPE)
    x, inputs = draft.conv("x", 3, 64, 7, "stem", 2, act="Relu"), 64
    x = draft.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for group, outputs in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name, stride = f"{group}.{block}", 2 if group and not block else 1
            y = draft.conv(x, inputs, outputs, 3, f"a{name}", stride, act="Relu")
            y = draft.conv(y, outputs, outputs, 3, f"b{name}")
            short = x if inputs == outputs else draft.conv(x, inputs, outputs, 1, f"c{name}", stride)
            x = draft.node("Relu", [draft.node("Add", [y, short], f"sum{name}")], f"out{name}")
            inputs = outputs
    return draft.model(draft.head(x, 512))


def resnet_50() -> onnx.ModelProto:
    draft = Draft(0, SHAPE)
    x, inputs = draft.conv("x", 3, 64, 7, "stem", 2, act="Relu"), 64
    x = draft.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for group, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            name, stride, outputs = f"{group}.{block}", 2 if group and not block else 1, 4 * width
            y = draft.conv(x, inputs, width, 1, f"a{name}", act="Relu")
            y = draft.conv(y, width, width, 3, f"b{name}", stride, act="Relu")
            y = draft.conv(y, width, outputs, 1, f"c{name}")
            short = x if block else draft.conv(x, inputs, outputs, 1, f"d{name}", stride)
            x = draft.node("Relu", [draft.node("Add", [y, short], f"sum{name}")], f"out{name}")
            inputs = outputs
    return draft.model(draft.head(x, inputs))


def profile(inet: acs.IntegerNetwork, x: np.ndarray, runs: int = 9) -> Counter[str]:
    """Seconds a frame by kind of layer."""
    frame = next(each_frame(inet, checked_feeds(inet, x)))
    operations, seconds = program_of(inet).operations, Counter()
    for _ in range(runs):
        values = dict(frame)
        for node in inet.network.nodes:
            if isinstance(node.layer, Input):
                continue
            operands = [values[name] for name in node.inputs]
            begin = time.perf_counter()
            values[node.name] = operations[node.name](node.layer, operands)
            depthwise = getattr(node.layer, "groups", 1) > 1
            seconds[f"{node.kind}{' (depthwise)' if depthwise else ''}"] += (time.perf_counter() - begin) / runs
    return seconds


def main() -> None:
    read = {}
    for name, build in (("MobileNetV2", mobilenet_v2), ("ResNet-18", resnet_18), ("ResNet-50", resnet_50)):
        with tempfile.TemporaryDirectory() as folder:
            path = quantised(build(), Path(folder) / "net.onnx", "QOperator", shape=SHAPE)
            inet, session = acs.load_integer_network(path), runtime(path, exact=False)
            x = images(1, seed=3, shape=SHAPE)
            works = [lambda: acs.execute(inet, x)["logits"], lambda: session.run(None, {"x": x})[0]]  # noqa: B023
            equal = np.array_equal(works[0](), works[1]())
            own, peer = interleaved(works, 15)
        print(f"{name}: {own * 1e3:.2f} ms, onnxruntime {peer * 1e3:.2f} ms, ratio {peer / own:.2f}, equal: {equal}")
        for kind, seconds in profile(inet, x).most_common():
            print(f"    {kind:28} {seconds * 1e3:7.2f} ms")
        read[name] = inet, x
    # No peer is timed once there are threads.
    for name, (inet, x) in read.items():
        threads = [lambda number=number: acs.execute(inet, x, threads=number) for number in (1, 2)]  # noqa: B023
        one, two = quickest_tenths(threads, 10, 10)
        print(f"{name}: {one / two:.2f} times as fast on two threads")


if __name__ == "__main__":
    main()
