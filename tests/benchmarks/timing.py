"""How fast the simulator is: tokens a second, and how the cost grows with image size and depth.

    python -m tests.benchmarks.timing

Each figure is the median of several warm runs in this process; ratios are of figures of the same run.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import accelsim as acs
from accelsim.mapping.design import Design, Stage, with_interval
from accelsim.mapping.mapper import map_network
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Activation, Convolution, Input
from accelsim.timing.simulate import Trace, schedule

MACHINE = acs.load_accelerator("streaming-asic")


def median_seconds(work: Callable[[], object], runs: int = 7) -> float:
    work()
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def kernel_row(name: str, net: Network, granularity: str) -> tuple[float, int]:
    design = map_network(net, MACHINE)
    trace: Trace = schedule(design, granularity)
    tokens = int(trace.pipeline.first_firing[-1])
    extra = max(4, 1_000_000 // tokens)
    two = median_seconds(lambda: schedule(design, granularity, frames=2))
    more = median_seconds(lambda: schedule(design, granularity, frames=2 + extra))
    frame = (more - two) / extra
    print(
        f"{name:28} {granularity:6} {tokens:12,} {frame * 1e3:10.2f} {tokens / frame / 1e6:10.1f} "
        f"{two * 1e3:12.1f} {trace.frames:7}"
    )
    return frame, tokens


def sharing(design: Design, users: int) -> Design:
    """`design` with its sources and `users` more of its stages at one port, which is held for half of every frame."""
    others = [stage for stage in design.stages if not stage.is_source]
    chosen = {stage.name for stage in design.stages if stage.is_source}
    chosen |= {stage.name for stage in others[:: max(1, len(others) // users)][:users]}
    share = design.pace_cycles // 2 // len(chosen)

    def held(stage: Stage) -> Stage:
        cycles = share // (stage.fired.pixels // stage.together)
        return replace(stage, port="dram", occupancy_cycles=max(1, min(stage.interval_cycles, cycles)))

    return replace(design, stages=tuple(held(s) if s.name in chosen else s for s in design.stages))


def frame_seconds(designs: Sequence[Design], frames: int, runs: int = 9) -> list[float]:
    """Least processor seconds a frame of each at row granularity, taken by turns so that all see the same machine."""
    least = [[float("inf"), float("inf")] for _ in designs]
    for _ in range(runs):
        for kept, design in zip(least, designs, strict=True):
            for k, count in enumerate((2, 2 + frames)):
                begin = time.process_time()
                schedule(design, "row", "paced", frames=count)
                kept[k] = min(kept[k], time.process_time() - begin)
    return [(more - few) / frames for few, more in least]


def shared_ports(users: int = 20) -> None:
    print(f"\nsources and {users} stages at one port, row tokens: cost of a frame beside the same without the port")
    for name, frames in (("resnet50", 200), ("efficientdet_d2", 30)):
        design = map_network(acs.load_network(name), MACHINE)
        design = with_interval(design, design.bottleneck_cycles * 6 // 5)
        alone, shared = frame_seconds([design, sharing(design, users)], frames)
        print(f"  {name:24} {alone * 1e3:8.3f} ms  {shared * 1e3:8.3f} ms  {shared / alone:6.2f} x")


def chain(depth: int) -> Network:
    nodes = [Node("image", Input(16, (64, 64)))]
    for index in range(depth):
        convolution = Convolution(16, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
        nodes.append(Node(f"conv{index}", convolution, (nodes[-1].name,)))
        nodes.append(Node(f"relu{index}", Activation("relu"), (nodes[-1].name,)))
    return network(f"chain-{depth}", nodes, [nodes[-1].name])


def growth(title: str, rows: list[tuple[str, float, int]]) -> None:
    print(f"\n{title}: cost a token beside the first")
    base = rows[0][1] / rows[0][2]
    for name, seconds, tokens in rows:
        print(f"  {name:24} {tokens:12,} tokens  {seconds / tokens / base:6.2f} x")


def whole_commands() -> None:
    print("\nwhole commands, a new process each, numba's cache warm (seconds, median of 5)")
    for arguments in (["--help"], ["simulate", "resnet50", "--json"], ["simulate", "efficientdet_d2", "--json"]):
        command = [sys.executable, "-m", "accelsim.cli.main", *arguments]
        seconds = median_seconds(lambda command=command: subprocess.run(command, check=True, capture_output=True), 5)
        print(f"  accelsim {' '.join(arguments):36} {seconds:6.2f}")


def main() -> None:
    columns = f"{'network':28} {'tokens':6} {'a frame':>12} {'ms/frame':>10} {'Mtokens/s':>10}"
    print(f"{columns} {'2 frames ms':>12} {'steady':>7}")
    kernel_row("resnet50", acs.load_network("resnet50"), "row")
    kernel_row("resnet50", acs.load_network("resnet50"), "pixel")
    kernel_row("efficientdet_d2", acs.load_network("efficientdet_d2"), "row")
    kernel_row("efficientdet_d2", acs.load_network("efficientdet_d2"), "pixel")
    sizes = [(256, "row"), (512, "row"), (768, "row"), (1024, "row"), (1536, "row")]
    growth(
        "EfficientDet-D2 by image size, row tokens",
        [
            (f"{size}x{size}", *kernel_row(f"efficientdet_d2@{size}", at_size(size), granularity))
            for size, granularity in sizes
        ],
    )
    growth(
        "EfficientDet-D2 by image size, pixel tokens",
        [
            (f"{size}x{size}", *kernel_row(f"efficientdet_d2@{size}", at_size(size), "pixel"))
            for size in (256, 512, 768)
        ],
    )
    growth(
        "chain of 3x3 convolutions by depth, row tokens",
        [(f"{depth} layers", *kernel_row(f"chain-{depth}", chain(depth), "row")) for depth in (50, 200, 800, 3200)],
    )
    shared_ports()
    whole_commands()
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def at_size(size: int) -> Network:
    return acs.load_network("efficientdet_d2", input_shape=(3, size, size))


if __name__ == "__main__":
    main()
