"""How many designs a second: closed forms, and simulated by rows; one process and two.

    python -m tests.benchmarks.sweep

Everything is on ResNet-50, in this process and warm, but for the sweep with two processes.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import accelsim as acs
from accelsim.sweeps.metrics import DEFAULT_METRICS
from accelsim.sweeps.plan import read_plan
from accelsim.sweeps.point import simulated
from accelsim.sweeps.table import evaluated

MILLION: dict[str, Any] = {
    "network": "resnet50",
    "speed": "bounds",
    "axes": {
        "engine.multipliers": {"linear": [64, 65536], "count": 1000},
        "engine.lanes": {"log": [8, 1024], "count": 50},
        "clock": ["500 MHz", "1 GHz"],
        "memories.sram.size": ["1 MiB", "2 MiB", "4 MiB", "8 MiB", "16 MiB"],
        "activation_bits": [4, 8],
    },
}
SIMULATED: dict[str, Any] = {
    "network": "resnet50",
    "axes": {"engine.multipliers": {"linear": [2000, 9999], "count": 2000}},
}


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that pass, and those of this process."""
    wall, own = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - own


def closed_seconds() -> tuple[float, float]:
    """Seconds a design by closed forms takes, as time passes and of this process."""
    plan = read_plan(MILLION)
    stretch = np.arange(2**16)
    evaluated(plan, "bounds", stretch)
    wall, own = seconds_of(lambda: [evaluated(plan, "bounds", stretch + k * 2**16) for k in range(4)])
    return wall / (4 * 2**16), own / (4 * 2**16)


def simulated_seconds() -> tuple[float, float]:
    """Seconds a design simulated by rows takes, as time passes and of this process."""
    values = {"network": "resnet50", "accelerator": "streaming-asic"}
    budgets = iter(range(2000, 9000, 7))
    step = lambda: [  # noqa: E731 - timed as a whole
        simulated({**values, "engine.multipliers": next(budgets)}, "row", None, DEFAULT_METRICS) for _ in range(50)
    ]
    step()
    wall, own = min((seconds_of(step) for _ in range(3)), key=lambda both: both[1])
    return wall / 50, own / 50


def main() -> None:
    for what, work in {"closed forms": closed_seconds, "simulated by rows": simulated_seconds}.items():
        wall, own = work()
        print(f"{what}: {1 / own:,.0f} designs/s of processor time ({1 / wall:,.0f} as time passed)")

    wall, _ = seconds_of(lambda: acs.sweep(MILLION, workers=1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"a million designs by closed forms, table written: {wall:.1f} s, {peak:.2f} GiB at most")

    times = {}
    for workers in (1, 2):
        with TemporaryDirectory() as folder:
            times[workers], _ = seconds_of(lambda n=workers, place=folder: acs.sweep(SIMULATED, n, folder=place))
    print(f"2,000 designs by rows: {times[1]:.1f} s, two processes {times[2]:.1f} s: {times[1] / times[2]:.2f} times")


if __name__ == "__main__":
    main()
