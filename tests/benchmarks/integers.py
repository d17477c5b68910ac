"""How fast integer layers are beside ONNX Runtime's QLinearConv, on one thread and on two.

    python -m tests.benchmarks.integers

Both run the same file in this process in turn; a row gives medians and how many times as fast ours is. Ours is
given its map as a machine streams it, channels innermost; ONNX Runtime its own order, channels outermost.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from accelsim.arithmetic.execute import program_of
from accelsim.arithmetic.load import load_integer_network
from accelsim.arithmetic.operations.processor import instructions


class Shape(NamedTuple):
    """A square map, kernel and channels; `groups` as many as channels for a depthwise layer."""

    size: int
    inputs: int
    outputs: int
    kernel: int
    groups: int = 1


SHAPES = (
    Shape(56, 64, 64, 3), Shape(28, 128, 128, 3), Shape(14, 256, 256, 3), Shape(7, 512, 512, 3),
    Shape(56, 64, 256, 1), Shape(14, 1024, 256, 1), Shape(112, 32, 32, 3, 32), Shape(14, 576, 576, 3, 576),
)  # fmt: skip


def layer_file(shape: Shape, folder: Path, signed: bool = False) -> Path:
    """A QLinearConv of a shape with random weights."""
    rng = np.random.default_rng(0)
    kind = np.int8 if signed else np.uint8
    weight = rng.integers(-127, 128, (shape.outputs, shape.inputs // shape.groups, shape.kernel, shape.kernel))
    stored = {
        "x_scale": np.float32(0.02), "x_zero": kind(20), "w": weight.astype(np.int8),
        "w_scale": rng.uniform(0.001, 0.01, shape.outputs).astype(np.float32),
        "w_zero": np.zeros(shape.outputs, np.int8),
        "y_scale": np.float32(0.5), "y_zero": kind(10), "b": rng.integers(-999, 999, shape.outputs).astype(np.int32),
    }  # fmt: skip
    pads = [shape.kernel // 2] * 4
    node = helper.make_node(
        "QLinearConv", ["x", *[n for n in stored if n != "b"], "b"], ["y"], pads=pads, group=shape.groups
    )
    number = TensorProto.INT8 if signed else TensorProto.UINT8
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("x", number, [1, shape.inputs, shape.size, shape.size])],
        [helper.make_tensor_value_info("y", number, [1, shape.outputs, shape.size, shape.size])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    path = folder / "layer.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def ours(path: Path, x: np.ndarray, threads: int) -> Callable[[], object]:
    inet = load_integer_network(path)
    node = inet.network.nodes[-1]
    operation = program_of(inet, threads).operations[node.name]
    moved = np.ascontiguousarray(x[0].transpose(1, 2, 0))
    return lambda: operation(node.layer, [moved])


def theirs(path: Path, x: np.ndarray) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    return lambda: session.run(None, {"x": x})


def interleaved(works: list[Callable[[], object]], runs: int = 31) -> list[float]:
    """Median seconds of each, run in turn."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for own, work in zip(seconds, works, strict=True):
            begin = time.perf_counter()
            work()
            own.append(time.perf_counter() - begin)
    return [statistics.median(own) for own in seconds]


def example(shape: Shape, signed: bool) -> np.ndarray:
    low, high, kind = (-128, 128, np.int8) if signed else (0, 256, np.uint8)
    return np.random.default_rng(1).integers(low, high, (1, shape.inputs, shape.size, shape.size)).astype(kind)


def title(shape: Shape, signed: bool) -> str:
    what = f"{shape.kernel}x{shape.kernel}{' depthwise' if shape.groups > 1 else ''}"
    where = f"{shape.size}x{shape.size}x{shape.inputs}->{shape.outputs}"
    return f"{what:14} {where:20} {'s8' if signed else 'u8'}"


def against_peer(shape: Shape, folder: Path, signed: bool) -> None:
    path, x = layer_file(shape, folder, signed), example(shape, signed)
    own, peer = interleaved([ours(path, x, 1), theirs(path, x)])
    macs = shape.size**2 * shape.outputs * shape.inputs // shape.groups * shape.kernel**2
    print(f"{title(shape, signed)} {own * 1e6:9.1f} {peer * 1e6:9.1f} {macs / own / 1e9:8.0f} {peer / own:6.2f}")


def on_two_threads(shape: Shape, folder: Path) -> None:
    path, x = layer_file(shape, folder), example(shape, False)
    one, two = interleaved([ours(path, x, 1), ours(path, x, 2)])
    print(f"{title(shape, False)} {one * 1e6:9.1f} {two * 1e6:9.1f} {'':8} {one / two:6.2f}")


def main() -> None:
    print(f"instructions: {instructions().name}; onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'layer':35}    {'ours us':>9} {'peer us':>9} {'GMAC/s':>8} {'ratio':>6}")
        for signed in (False, True):
            for shape in SHAPES:
                against_peer(shape, Path(folder), signed)
        # Threads of either library wait in a loop for more work, so nothing else is timed once there are some.
        print(f"{'layer':35}    {'1 thread':>9} {'2 threads':>9} {'':8} {'ratio':>6}")
        for shape in SHAPES:
            on_two_threads(shape, Path(folder))


if __name__ == "__main__":
    main()
