"""The study of virtual feature maps in the README: `python -m tests.virtual_maps_study` prints its tables.

Every row is a line of a table: its title and its cells. Each run is simulated once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import accelsim as acs
from accelsim.report.facts import MB, off_chip_rows
from accelsim.report.report import Body, Report, VirtualMaps

MACHINE = "feature-map-npu"
PRESET = "512 KiB"
SIZES = (PRESET, "1 MiB", "4 MiB")
PLAIN = "tiny_yolov2"
NETWORKS = {
    "f = 2": "condensation_net_f2",
    "f = 4": "condensation_net_f4",
    "f = 2, equal MACs": "condensation_net_f2_macs",
    "f = 4, equal MACs": "condensation_net_f4_macs",
}

Line = tuple[str, list[str]]


@cache
def run(
    name: str,
    size: str,
    stored: bool = False,
    objective: str = "bytes",
    mapping: str = "layer-by-layer",
    pooling: bool = True,
) -> Report:
    """A network on the machine with a weight and map buffer of `size`, its virtual maps stored or not.

    Without `pooling` the machine has a stage of its own for the pooling of channels.
    """
    machine = acs.load_accelerator(MACHINE, {"memories.buffer.size": size, "channel_pooling": pooling})
    net = acs.load_network(name)
    return acs.simulate(acs.map_network(net, machine, mapping=mapping, objective=objective, materialised=stored))


def off_chip_mb(report: Report, weights: bool = True) -> float:
    """Megabytes a frame off chip, with or without those of weights."""
    rows = (row for row in off_chip_rows(report.body) if weights or row.kind != "weight")
    return sum(row.read_bytes + row.written_bytes for row in rows) / MB


def saved(less: float, more: float) -> str:
    """How much less, in percent; negative where it is more."""
    return f"{100 * (1 - less / more):.1f} %"


def designs() -> Iterator[Line]:
    """At the preset's size: traffic of mappings chosen for bytes, cycles of mappings chosen for cycles."""
    yield "Tiny YOLOv2", _design(PLAIN, False)
    for title, name in NETWORKS.items():
        yield f"{title}: virtual", _design(name, False)
        yield f"{title}: stored", _design(name, True)


def _design(name: str, stored: bool) -> list[str]:
    report = run(name, PRESET, stored)
    cycles = run(name, PRESET, stored, "cycles").throughput.interval_cycles
    work = report.body.work
    return [
        f"{work.macs / 10**9:.2f} G",
        f"{work.parameters / 10**6:.1f} M",
        f"{off_chip_mb(report):.1f}",
        f"{off_chip_mb(report, weights=False):.1f}",
        f"{cycles / 10**6:.1f} M",
        *_hardware(report.body),
    ]


def _hardware(body: Body) -> list[str]:
    unit = body.virtual_maps.hardware if body.virtual_maps else None
    if unit is None or unit.register_share is None or unit.gate_share is None:
        return ["-", "-"]
    return [f"{unit.register_bits:,} bits, {100 * unit.register_share:.3f} %", f"{100 * unit.gate_share:.1f} %"]


def sizes() -> Iterator[Line]:
    """Over sizes of the buffer, with weights and without: off-chip traffic, and how much less it is than others'."""
    plain = [run(PLAIN, size) for size in SIZES]
    yield "Tiny YOLOv2, MB", [_both(report) for report in plain]
    for title, name in NETWORKS.items():
        virtual = [run(name, size) for size in SIZES]
        stored = [run(name, size, True) for size in SIZES]
        yield f"{title}: virtual, MB", [_both(report) for report in virtual]
        yield f"{title}: saved of stored", [_saved(*pair) for pair in zip(virtual, stored, strict=True)]
        yield f"{title}: saved of Tiny YOLOv2", [_saved(*pair) for pair in zip(virtual, plain, strict=True)]


def _both(report: Report) -> str:
    return f"{off_chip_mb(report):.1f} ({off_chip_mb(report, False):.1f})"


def _saved(less: Report, more: Report) -> str:
    pairs = [(off_chip_mb(less, weights), off_chip_mb(more, weights)) for weights in (True, False)]
    return f"{saved(*pairs[0])} ({saved(*pairs[1])})"


def rules() -> Iterator[Line]:
    """The same four networks under every rule of counting, at the preset's size."""
    parts = [part for name in NETWORKS.values() if (part := run(name, PRESET).body.virtual_maps)]
    for weights, told in ((False, "maps"), (True, "maps and weights")):
        yield f"pooled layers, {told}", [_closed(name, weights, False) for name in NETWORKS.values()]
        yield f"and 2x2 pooling too, {told}", [_closed(name, weights, True) for name in NETWORKS.values()]
        yield f"whole network, {told}", [_of_network(part, weights) for part in parts]
    yield "two mappings simulated", [saved(*_pair(name, name, True)) for name in NETWORKS.values()]
    yield "against Tiny YOLOv2", [saved(*_pair(name, PLAIN, False)) for name in NETWORKS.values()]


def _closed(name: str, weights: bool, joined: bool) -> str:
    """By the closed forms; `joined` where pooling in space takes place before anything is stored, too."""
    tensors, part = acs.load_network(name).tensors, run(name, PRESET).body.virtual_maps
    virtual, added = 0, 0
    for row in part.layers if part else ():
        stored = tensors[row.spatial_pooling].elements if joined and row.spatial_pooling else row.pooled_map_bytes
        virtual += row.input_bytes + stored + weights * row.weight_bytes
        added += 2 * row.virtual_map_bytes
    return saved(virtual, virtual + added)


def _of_network(part: VirtualMaps, weights: bool) -> str:
    assert part.network is not None
    return f"{100 * (part.network.saving_with_weights if weights else part.network.saving):.1f} %"


def _pair(name: str, other: str, stored: bool) -> tuple[float, float]:
    return off_chip_mb(run(name, PRESET)), off_chip_mb(run(other, PRESET, stored))


def fused() -> Iterator[Line]:
    """Segments of several layers, at the preset's size: what is left to save."""
    for title, name, stored, pooling in (
        ("Tiny YOLOv2", PLAIN, False, True),
        ("f = 2: virtual", NETWORKS["f = 2"], False, True),
        ("f = 2: pooled by a stage of its own", NETWORKS["f = 2"], False, False),
        ("f = 2: stored", NETWORKS["f = 2"], True, True),
    ):
        report = run(name, PRESET, stored, mapping="fused", pooling=pooling)
        yield f"fused, {title}", [f"{off_chip_mb(report):.1f}", f"{off_chip_mb(report, False):.1f}"]


TABLES = {
    "designs": (designs, ("", "MACs", "weights", "off chip, MB", "maps alone, MB", "cycles", "register", "gates")),
    "sizes": (sizes, ("buffer", *SIZES)),
    "rules": (rules, ("counted", *NETWORKS)),
    "fused": (fused, ("", "off chip, MB", "maps alone, MB")),
}


def main() -> None:
    for lines, heads in TABLES.values():
        print(f"\n| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 1)}")
        for title, cells in lines():
            print(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
