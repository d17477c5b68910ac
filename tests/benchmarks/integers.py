"""How fast integer layers are beside ONNX Runtime's QLinearConv, on one thread and on two.

    python -m tests.benchmarks.integers

Both run the same file in this process in turn; a row gives medians on unsigned bytes and how many times as fast ours
is, the same ratio on signed bytes; then how many times as fast two threads of ours are as one, and half the rows as
all of them (quickest tenths). Ours is given its map as a machine streams it, channels innermost; ONNX Runtime its own
order, channels outermost.
"""

from __future__ import annotations

import os
import subprocess
import sys
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
    """Median seconds of each, all run in turn."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for own, work in zip(seconds, works, strict=True):
            own.append(seconds_of(work))
    return [float(np.median(own)) for own in seconds]


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def quickest_tenths(works: list[Callable[[], object]], batches: int = 30, calls: int = 40) -> list[float]:
    """Seconds that a tenth of the calls of each stayed below, batch by batch in turn.

    The first call of a batch is not counted: it finds memory in the caches of other processors than the next do.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(batches):
        for own, work in zip(seconds, works, strict=True):
            work()
            own.extend(seconds_of(work) for _ in range(calls))
    return [float(np.quantile(own, 0.1)) for own in seconds]


def example(shape: Shape, signed: bool) -> np.ndarray:
    low, high, kind = (-128, 128, np.int8) if signed else (0, 256, np.uint8)
    return np.random.default_rng(1).integers(low, high, (1, shape.inputs, shape.size, shape.size)).astype(kind)


def title(shape: Shape) -> str:
    what = f"{shape.kernel}x{shape.kernel}{' depthwise' if shape.groups > 1 else ''}"
    return f"{what}, {shape.size}x{shape.size}x{shape.inputs} -> {shape.outputs}"


def against_peer(shape: Shape, folder: Path, signed: bool) -> tuple[float, float]:
    """Median seconds of ours and of ONNX Runtime's, one thread each."""
    path, x = layer_file(shape, folder, signed), example(shape, signed)
    own, peer = interleaved([ours(path, x, 1), theirs(path, x)], 31 if signed else 201)
    return own, peer


def speedup(shape: Shape, folder: Path) -> tuple[float, float]:
    """How many times as fast two threads are as one, and one with half the rows as one with all of them.

    What a call costs by itself is paid once by either, so that two threads come no further than half the rows do.
    """
    path, x = layer_file(shape, folder), example(shape, False)
    half = np.ascontiguousarray(x[:, :, : shape.size // 2])
    one, two = quickest_tenths([ours(path, x, 1), ours(path, x, 2)])
    return one / two, one / quickest_tenths([ours(path, half, 1)])[0]


def row(shape: Shape, unsigned: tuple[float, float], signed: tuple[float, float]) -> str:
    macs = shape.size**2 * shape.outputs * shape.inputs // shape.groups * shape.kernel**2
    own, peer = unsigned
    cells = (
        f"{own * 1e6:.0f}", f"{peer * 1e6:.0f}", f"{macs / own / 1e9:.0f}", f"{peer / own:.2f}",
        f"{signed[1] / signed[0]:.1f}",
    )  # fmt: skip
    return f"| {title(shape)} | {' | '.join(cells)} |"


FIRST_CALL = """
import sys, time
import numpy as np
import accelsim as acs
inet = acs.load_integer_network(sys.argv[1])
x = np.load(sys.argv[2])
read = time.perf_counter()
acs.execute(inet, x)
print(time.perf_counter() - read)
"""


def first_calls(folder: Path) -> list[float]:
    """Seconds of the first call in a new process, without compiled kernels on disk and then with them."""
    path = layer_file(SHAPES[0], folder)
    np.save(folder / "x.npy", example(SHAPES[0], False))
    command = [sys.executable, "-c", FIRST_CALL, str(path), str(folder / "x.npy")]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
    runs = (subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2))
    return [float(run.stdout) for run in runs]


def main() -> None:
    print(f"instructions: {instructions().name}; onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| layer | us | ONNX Runtime's us | GMAC/s | ratio | ratio, signed |")
        print("|---|---:|---:|---:|---:|---:|")
        for shape in SHAPES:
            print(row(shape, against_peer(shape, folder, False), against_peer(shape, folder, True)))
        # Threads of either library wait in a loop for more work, so no peer is timed once there are some.
        for shape in SHAPES:
            two, half = speedup(shape, folder)
            print(f"{title(shape)}: {two:.2f} times as fast on two threads, {half:.2f} times with half the rows")
        print("first call {:.1f} s, {:.2f} s once compiled kernels are on disk".format(*first_calls(folder)))


if __name__ == "__main__":
    main()
