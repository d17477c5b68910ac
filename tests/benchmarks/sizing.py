"""How long sizing takes, how often it probes, and what of its answers is proved.

    python -m tests.benchmarks.sizing

Seconds are of the processor, the least of several warm runs in this process, and the first call's beside them; a probe
is one decision whether capacities keep a pace, or let a frame through. Ratios are of figures of the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import accelsim as acs
from accelsim.mapping.design import Design
from accelsim.report.sizing import SizeTotal, Sizing, size_report
from accelsim.timing.simulate import schedule
from accelsim.timing.size import fastest_cycles, least_sizes, paced_sizes
from accelsim.timing.sizing.alone import Alone
from accelsim.timing.sizing.pacing import Pacing

NETWORKS = ("resnet50", "efficientnet_b0", "efficientdet_d0")
RUNS = 3


class Probes(NamedTuple):
    """How often schedules and frames were asked for."""

    paced: int
    alone: int


def seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Least processor seconds of several runs."""
    found = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        found.append(time.process_time() - begin)
    return min(found)


def probes(work: Callable[[], object]) -> Probes:
    """Probes of one run, counted in wrappers that are taken off again."""
    counted = {Pacing: 0, Alone: 0}
    kept = {Pacing: Pacing.settled, Alone: Alone.lacking}

    def counting(kind: type, method: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object) -> object:
            counted[kind] += 1
            return method(*given)

        return call

    names = {Pacing: "settled", Alone: "lacking"}
    for kind, name in names.items():
        setattr(kind, name, counting(kind, kept[kind]))
    try:
        work()
    finally:
        for kind, name in names.items():
            setattr(kind, name, kept[kind])
    return Probes(counted[Pacing], counted[Alone])


def told(total: SizeTotal) -> str:
    above = total.elements / max(total.bound_elements, 1) - 1
    return "proved" if total.proved_least else f"<= {100 * above:.1f} % above"


def row(name: str, design: Design) -> tuple[Sizing, float]:
    begin = time.process_time()
    sizing = size_report(design).sizing
    first = time.process_time() - begin
    whole = seconds(partial(size_report, design))
    asked = probes(partial(size_report, design))
    print(
        f"{name:16} {len(design.edges):6} {first:9.2f} {whole:7.2f} {asked.paced:7,} {asked.alone:6,} "
        f"{sizing.least.elements:12,} {told(sizing.least):14} {sizing.full.elements:12,} {told(sizing.full):14}"
    )
    return sizing, whole


def shares(name: str, design: Design, whole: float) -> None:
    """Where the time goes, beside one frame of the simulator."""
    least = seconds(partial(least_sizes, design))
    full = seconds(partial(paced_sizes, design, fastest_cycles(design)))
    frame = (seconds(partial(schedule, design, frames=22)) - seconds(partial(schedule, design, frames=2))) / 20
    print(
        f"{name:16} {100 * least / whole:8.0f} % {100 * full / whole:8.0f} % "
        f"{100 * max(0.0, whole - least - full) / whole:8.0f} % {whole / frame:12,.0f} x"
    )


def main() -> None:
    machine = acs.load_accelerator("streaming-asic")
    designs = {name: acs.map_network(acs.load_network(name), machine) for name in NETWORKS}
    print(
        f"{'network':16} {'edges':>6} {'first s':>9} {'warm s':>7} {'probes':>7} {'alone':>6} "
        f"{'least':>12} {'':14} {'full':>12}"
    )
    wholes = {name: row(name, design)[1] for name, design in designs.items()}
    print(f"\n{'share of':16} {'least':>10} {'full':>10} {'the rest':>10} {'one frame simulated':>14}")
    for name, design in designs.items():
        shares(name, design, wholes[name])


if __name__ == "__main__":
    main()
