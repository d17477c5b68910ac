"""What a design of ResNet-50 costs here, beside one evaluation of the network by ZigZag and by SCALE-Sim.

    pip install '.[bench]'
    python -m tests.benchmarks.peers [peer]

Seconds are of processor time, in one run: ours means over many warm designs, theirs one evaluation each, in a process
of its own and without its imports. They answer other questions: ZigZag searches mappings of one layer after the other
to a machine that it brings along, as its settings are; SCALE-Sim counts the cycles of a weight-stationary array,
without memories. A peer that is not there, or fails, is told as such. With a `peer`, its seconds alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import accelsim as acs
from accelsim.network.graph import Network
from accelsim.network.writers.onnx import write_onnx
from tests.benchmarks.sweep import closed_seconds, simulated_seconds
from tests.benchmarks.systolic import peer_cycles

if TYPE_CHECKING:
    import onnx

NETWORK = "resnet50"
#: Many times what either peer takes.
PATIENCE_SECONDS = 3600


def zigzag(net: Network, folder: Path) -> Callable[[], object]:
    """Every layer mapped to the machine `tpu_like` and costed, from an ONNX file with all shapes."""
    import onnx
    import zigzag.api

    written, inputs = folder / "network.onnx", Path(zigzag.api.__file__).parent / "inputs"
    write_onnx(net, written)
    model = onnx.shape_inference.infer_shapes(with_weights(onnx.load(written)))
    return lambda: zigzag.api.get_hardware_performance_zigzag(
        model,
        str(inputs / "hardware/tpu_like.yaml"),
        str(inputs / "mapping/tpu_like.yaml"),
        dump_folder=str(folder),
        loma_show_progress_bar=False,
    )


def with_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with weights known by their shapes alone, which ZigZag would take for layers were they computed."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    sizes = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        graph.initializer.add(name=node.output[0], data_type=TensorProto.FLOAT, dims=sizes[node.input[0]])
        graph.node.remove(node)
    return model


def scale_sim(net: Network, folder: Path) -> Callable[[], object]:
    """The cycles of every layer on an array where weights stay."""
    import scalesim.compute.systolic_compute_ws  # noqa: F401 - its imports are not timed

    return lambda: peer_cycles(net, "ws")


PEERS: dict[str, Callable[[Network, Path], Callable[[], object]]] = {"ZigZag": zigzag, "SCALE-Sim": scale_sim}


def processor_seconds(work: Callable[[], object]) -> float:
    """Those of this process and of the processes that it starts and ends."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def evaluated_alone(peer: str) -> None:
    """The last line printed is the seconds that one evaluation took."""
    with tempfile.TemporaryDirectory() as folder:
        work = PEERS[peer](acs.load_network(NETWORK), Path(folder))
        print(f"\n{processor_seconds(work)}")


def peer_seconds(peer: str) -> float | None:
    """Seconds of a peer in a process of its own; None, and what it said last, where it failed."""
    command = [sys.executable, "-m", "tests.benchmarks.peers", peer]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
    except subprocess.CalledProcessError as error:
        print(f"{peer}: failed: {error.stderr.strip().splitlines()[-1]}")
    except subprocess.TimeoutExpired:
        print(f"{peer}: not done after {PATIENCE_SECONDS} s")
    else:
        return float(ended.stdout.split()[-1])
    return None


def main() -> None:
    ours = {"by closed forms": closed_seconds()[1], "simulated by rows": simulated_seconds()[1]}
    for what, own in ours.items():
        print(f"{NETWORK} {what}: {own * 1e3:,.4g} ms a design")
    for peer in PEERS:
        if (taken := peer_seconds(peer)) is not None:
            ratios = ", ".join(f"{taken / own:,.0f} designs {what}" for what, own in ours.items())
            print(f"{peer}: {taken:,.1f} s an evaluation, the time of {ratios}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        evaluated_alone(sys.argv[1])
    else:
        main()
