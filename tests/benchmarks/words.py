"""How fast streaming blocks are clocked: cycles, and cycles times blocks, a second.

    python -m tests.benchmarks.words

Each figure is the median of several warm runs in this process.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from accelsim.hardware.accelerator import load_accelerator
from accelsim.timing.words.run import run
from accelsim.validation.rtl.predict import compare_rtl
from accelsim.validation.rtl.specs import read_specs
from tests.benchmarks.timing import median_seconds

GIVEN = Path(str(resources.files("accelsim.validation") / "data" / "rtl"))
RUNS = ("mvu_72x16_s1p1/full", "ch1_conv3x3/full", "res1_32x32c16_s8_d2112/full", "ch4_vgg_small/full")


def main() -> None:
    machine = load_accelerator("fpga-stream")
    specs = read_specs(GIVEN / "specs.jsonl")
    print(f"{'run':30} {'blocks':>6} {'cycles':>9} {'ms':>8} {'Mcycles/s':>10} {'Mcycles x blocks/s':>19}")
    for key in RUNS:
        spec = specs[key]
        seconds = median_seconds(lambda spec=spec: run(spec.chain, machine.blocks, spec.frames))
        cycles, blocks = run(spec.chain, machine.blocks, spec.frames).cycles, len(spec.chain.blocks)
        print(
            f"{key:30} {blocks:6} {cycles:9,} {seconds * 1e3:8.2f} {cycles / seconds / 1e6:10.2f} "
            f"{cycles * blocks / seconds / 1e6:19.1f}"
        )
    seconds = median_seconds(lambda: compare_rtl(GIVEN, machine), 3)
    print(f"\nall figures of the measurements: {seconds:.2f} s")


if __name__ == "__main__":
    sys.exit(main())
