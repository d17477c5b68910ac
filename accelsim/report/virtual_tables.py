"""Virtual feature maps as text: what they save, layer by layer and in all, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accelsim.report.facts import Fact, Section, Value, value_text
from accelsim.report.report import Body, VirtualMapHardware, VirtualMapRow, VirtualMaps, VirtualMapSaving
from accelsim.report.tables import Table, quantity

KIB = 2**10
MB = 10**6


def _is_there(body: Body) -> bool:
    return body.virtual_maps is not None


def _of_all(value: Callable[[VirtualMaps], Value]) -> Callable[[Body], Value]:
    return lambda body: None if body.virtual_maps is None else value(body.virtual_maps)


def _of_network(value: Callable[[VirtualMapSaving], Value]) -> Callable[[Body], Value]:
    return _of_all(lambda maps: None if maps.network is None else value(maps.network))


def _of_hardware(value: Callable[[VirtualMapHardware], Value]) -> Callable[[Body], Value]:
    return _of_all(lambda maps: None if maps.hardware is None else value(maps.hardware))


def _modes(maps: VirtualMaps) -> Value:
    modes = [row.mode for row in maps.layers]
    return ", ".join(f"{modes.count(mode)} {mode}" for mode in dict.fromkeys(modes))


def _register_remark(body: Body) -> str:
    share = _of_hardware(lambda h: h.register_share)(body)
    return "" if share is None else f"{_percent(share)} of the memory on chip"


def _gates_remark(body: Body) -> str:
    share, operators = _of_hardware(lambda h: h.gate_share)(body), _of_hardware(lambda h: h.operators)(body)
    return "" if share is None else f"{value_text(operators)} operators; {_percent(share)} of the engine's"


def _percent(share: Value) -> str:
    """A small share with three digits."""
    return f"{quantity(float(f'{100 * float(share or 0):.3g}'))} %"


def _virtual(name: str, unit: str, value: Callable[[Body], Value], remark: Callable[[Body], str] | str = "") -> Fact:
    """A figure of reports in which channels are pooled."""
    return Fact(name, unit, value, remark if callable(remark) else lambda body: remark, _is_there)


VIRTUAL_MAPS = Section(
    "Virtual feature maps",
    (
        _virtual("layers pooled", "", _of_all(_modes)),
        _virtual("maps, virtual", "MB", _of_all(lambda m: m.pooled_layers.virtual_bytes / MB), "of these layers"),
        _virtual("and materialised", "MB", _of_all(lambda m: m.pooled_layers.materialised_bytes / MB), "closed forms"),
        _virtual("saved of their maps", "%", _of_all(lambda m: m.pooled_layers.saving)),
        _virtual("with their weights", "%", _of_all(lambda m: m.pooled_layers.saving_with_weights), "loaded once"),
        _virtual("of the network's maps", "%", _of_network(lambda s: s.saving), "off chip, as simulated"),
        _virtual("with its weights", "%", _of_network(lambda s: s.saving_with_weights), "as often as they are loaded"),
        _virtual("register", "bits", _of_hardware(lambda h: h.register_bits), _register_remark),
        _virtual("gates", "NAND", _of_hardware(lambda h: h.gates), _gates_remark),
    ),
)


def virtual_table(body: Body) -> Table | None:
    """A row a layer and the rules of counting; None where no channels are pooled."""
    if body.virtual_maps is None:
        return None
    return Table(
        "Layers whose channels are pooled; maps in KiB a frame",
        ("layer|", "pooled|", "map|", "I", "f P", "S", "read", "written", "virtual", "mater.", "saved", "with weights"),
        tuple(_row(row) for row in body.virtual_maps.layers),
        (*_spatial_notes(body.virtual_maps), *body.virtual_maps.rules),
    )


def _row(row: VirtualMapRow) -> tuple[str, ...]:
    home = f" in {row.home}" if row.home else ""
    sizes = (row.input_bytes, row.virtual_map_bytes, row.stored_map_bytes, row.read_bytes, row.written_bytes)
    return (
        row.layer,
        f"{row.operation} of {row.factor}",
        f"{row.mode}{home}",
        *(_kib(size) for size in (*sizes, row.virtual_bytes, row.materialised_bytes)),
        f"{value_text(row.saving, '%')} %",
        f"{value_text(row.saving_with_weights, '%')} %",
    )


def _kib(size: float | None) -> str:
    return "-" if size is None else f"{size / KIB:,.0f}"


def _spatial_notes(maps: VirtualMaps) -> Sequence[str]:
    """What the spatial poolings behind pooled layers do."""
    notes = []
    for joined, told in (
        (True, "pool in space on the way out, before anything is stored"),
        (False, "read the stored map P again in segments of their own"),
    ):
        names = [r.spatial_pooling for r in maps.layers if r.spatial_pooling and r.spatial_pooling_joined == joined]
        if names:
            notes.append(f"{', '.join(names)}: {told}.")
    return notes
