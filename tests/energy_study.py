"""The table of the README's section about energy: `python -m tests.energy_study` prints it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import accelsim as acs
from accelsim.hardware.figures import areas

TECHNOLOGIES = ("45nm-horowitz", "7nm-jouppi")
MACHINES = {"streaming-asic": "pipeline", "feature-map-npu": "fused", "systolic-npu": "fused"}
COLUMNS = {
    "arithmetic": ("mac", "add", "multiply"),
    "weights": ("weight_read", "weight_write"),
    "buffers": ("buffer_read", "buffer_write"),
    "partial sums": ("sum_read", "sum_write"),
    "ports on chip": (),
    "off chip": (),
}
FJ_PER_MJ = 10**12


def rows() -> Iterator[tuple[str, ...]]:
    """A row a machine and technology: its name, that of the technology, and figures as text."""
    net = acs.load_network("resnet50")
    for preset, mapping in MACHINES.items():
        design = acs.map_network(net, acs.load_accelerator(preset), mapping=mapping)
        for technology in TECHNOLOGIES:
            machine = acs.load_accelerator(preset, {"technology": technology})
            spent = _spent(replace(design, accelerator=machine))
            area = sum(part.mm2 for part in areas(machine) or ())
            figures = (sum(spent.values()), *(spent[column] for column in COLUMNS))
            yield f"`{preset}`", technology, *(f"{figure / FJ_PER_MJ:.2f}" for figure in figures), f"{float(area):.1f}"


def _spent(design: acs.Design) -> Counter[str]:
    """Femtojoules by column."""
    spent: Counter[str] = Counter()
    column_of = {part: column for column, parts in COLUMNS.items() for part in parts}
    for one in acs.frame_energy(design):
        ports = "off chip" if one.access.memory == design.accelerator.off_chip_memory else "ports on chip"
        spent[column_of.get(one.access.part, ports)] += one.femtojoules
    return spent


if __name__ == "__main__":
    for row in rows():
        print(f"| {' | '.join(row)} |")
