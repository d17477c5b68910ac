"""What a network or a machine consists of, before anything is mapped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.figures import UM2_PER_MM2, memory_pj_per_byte
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.graph import Network, Node, Port
from accelsim.report.cost import Area
from accelsim.report.costs import area_part
from accelsim.report.statistics import StatisticsRow, statistics_rows, statistics_table
from accelsim.report.tables import Table, facts_table, lines_table, quantity


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PortRow(_Part):
    """An input or output as the file declares it."""

    name: str
    layer: str
    shape: tuple[int, ...]


class LayerRow(_Part):
    """A layer in topological order."""

    layer: str
    kind: str
    inputs: tuple[str, ...]
    output: str = Field(description="shape, channels first")
    macs: int
    parameters: int = Field(description="trained values, its owner's where the layer shares them")
    shares: str | None = Field(description="the layer whose weights this one uses as well")


class KindRow(_Part):
    """All layers of one kind."""

    kind: str
    layers: int
    macs: int


class AttentionRow(_Part):
    """A squeeze-excite block, found by structure, by the names of its layers."""

    block: str = Field(description="its multiply")
    map: str
    squeeze: str
    excite: tuple[str, ...]
    gate: str
    skip: str | None
    tile: tuple[int, ...] | None = Field(description="null where the average is over the whole map")
    gate_elements: int
    skip_elements: int


class Totals(_Part):
    layers: int
    macs: int
    parameters: int = Field(description="a weight that several layers share counts once")
    excitation_macs: int
    gate_elements: int
    skip_elements: int


class NetworkInspection(_Part):
    """What `inspect --json` prints of a network."""

    network: str
    inputs: tuple[PortRow, ...]
    outputs: tuple[PortRow, ...]
    totals: Totals
    kinds: tuple[KindRow, ...]
    attention: tuple[AttentionRow, ...]
    layers: tuple[LayerRow, ...]
    statistics: tuple[StatisticsRow, ...] = Field(description="empty where the network carries none")


class FieldRow(_Part):
    """A field of a machine file, by the dotted name that --set takes."""

    field: str
    value: str | int | float | bool | None
    unit: str
    choices: tuple[str, ...]
    meaning: str


class MemoryRow(_Part):
    """What a memory level comes to."""

    memory: str
    size_bytes: int
    read_bytes_per_second: float = Field(description="what all banks read, less what the port wastes")
    write_bytes_per_second: float = Field(description="the same for writes")
    requester_read_bytes_per_second: float = Field(
        description="what one requester alone reads at most, with the bursts it may have under way"
    )
    requester_write_bytes_per_second: float = Field(description="the same for writes")
    pj_per_byte: float | None = Field(description="to read or write a byte; null where it is not known")
    pj_source: str | None = Field(description="where that figure is from")


class AcceleratorInspection(_Part):
    """What `inspect --json` prints of a machine."""

    accelerator: str
    fields: tuple[FieldRow, ...]
    memories: tuple[MemoryRow, ...] = Field(description="from the engine outwards")
    area: Area | None = Field(description="what multipliers and memory cells take; null without a technology")


#: Units by the end of a field's name.
UNITS = {
    "read_bits": "bits/cycle",
    "write_bits": "bits/cycle",
    "energy_pj_per_byte": "pJ/byte",
    "macro": "bytes",
    "power_mw": "mW",
    "area_budget": "mm2",
    "size": "bytes",
    "burst": "bytes",
    "outstanding": "bursts",
    "_cycles": "cycles",
    "_bits": "bits",
    "clock": "Hz",
    "lanes": "elements/cycle",
    "multipliers": "MACs/cycle",
}

#: What the dotted name of a memory's field begins with.
MEMORIES = "memories."
#: Rates of a memory, as text calls them.
RATES = {
    "read_bytes_per_second": "reads",
    "write_bytes_per_second": "writes",
    "requester_read_bytes_per_second": "one reader",
    "requester_write_bytes_per_second": "one writer",
}


def inspect_network(net: Network) -> NetworkInspection:
    """Layers, kinds, shapes, MACs, parameters and squeeze-excite blocks of a network."""
    blocks = attention_buffering(net)
    excite = {name for block in find_attention(net) for name in block.excite}
    return NetworkInspection(
        network=net.name,
        inputs=tuple(_port(port) for port in net.inputs),
        outputs=tuple(_port(port) for port in net.outputs),
        totals=Totals(
            layers=len(net.nodes),
            macs=net.macs,
            parameters=net.parameter_count,
            excitation_macs=sum(net.macs_of(net.by_name[name]) for name in excite),
            gate_elements=blocks.gate_elements,
            skip_elements=blocks.skip_elements,
        ),
        kinds=tuple(_kinds(net)),
        attention=tuple(_attention(net)),
        layers=tuple(_layer(net, node) for node in net.nodes),
        statistics=statistics_rows(net),
    )


def _port(port: Port) -> PortRow:
    return PortRow(name=port.name, layer=port.node, shape=port.shape)


def _layer(net: Network, node: Node) -> LayerRow:
    return LayerRow(
        layer=node.name,
        kind=node.kind,
        inputs=node.inputs,
        output=net.tensors[node.name].label,
        macs=net.macs_of(node),
        parameters=net.parameters_of(node),
        shares=node.shares,
    )


def _kinds(net: Network) -> Iterator[KindRow]:
    """Most MACs first, then most layers."""
    found: dict[str, list[int]] = {}
    for node in net.nodes:
        found.setdefault(node.kind, []).append(net.macs_of(node))
    for kind in sorted(found, key=lambda kind: (-sum(found[kind]), -len(found[kind]), kind)):
        yield KindRow(kind=kind, layers=len(found[kind]), macs=sum(found[kind]))


def _attention(net: Network) -> Iterator[AttentionRow]:
    for row in attention_buffering(net).blocks:
        block = row.block
        yield AttentionRow(
            block=block.multiply,
            map=block.map,
            squeeze=block.squeeze,
            excite=block.excite,
            gate=block.gate,
            skip=block.skip,
            tile=block.tile,
            gate_elements=row.gate_elements,
            skip_elements=row.skip_elements,
        )


def inspect_accelerator(accelerator: Accelerator) -> AcceleratorInspection:
    """Every field of a machine with its value, unit and meaning."""
    return AcceleratorInspection(
        accelerator=accelerator.name,
        fields=tuple(_fields(accelerator, "")),
        memories=tuple(_memory(accelerator, name) for name in accelerator.memories),
        area=area_part(accelerator),
    )


def _memory(accelerator: Accelerator, name: str) -> MemoryRow:
    memory, clock_hz = accelerator.memories[name], accelerator.clock_hz
    energy = memory_pj_per_byte(accelerator, name)
    return MemoryRow(
        memory=name,
        size_bytes=memory.size,
        read_bytes_per_second=float(memory.bytes_per_cycle(write=False) * clock_hz),
        write_bytes_per_second=float(memory.bytes_per_cycle(write=True) * clock_hz),
        requester_read_bytes_per_second=float(memory.requester_bytes_per_cycle(write=False) * clock_hz),
        requester_write_bytes_per_second=float(memory.requester_bytes_per_cycle(write=True) * clock_hz),
        pj_per_byte=None if energy is None else float(energy.value),
        pj_source=None if energy is None else energy.source,
    )


def _fields(part: BaseModel, prefix: str) -> Iterator[FieldRow]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{prefix}{name}.")
            continue
        if isinstance(value, dict):
            for level, below in value.items():
                yield from _fields(below, f"{prefix}{name}.{level}.")
            continue
        yield FieldRow(
            field=prefix + name,
            value=value,
            unit=next((unit for end, unit in UNITS.items() if name.endswith(end)), ""),
            choices=_choices(field.annotation),
            meaning=field.description or "",
        )


def _choices(annotation: Any) -> tuple[str, ...]:
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return tuple(str(choice) for choice in choices) if len(choices) > 1 else ()


def accelerator_tables(inspection: AcceleratorInspection) -> list[Table]:
    """The machine as text: a field a row, and the memories beside each other."""
    fields = [row for row in inspection.fields if not row.field.startswith(MEMORIES)]
    rows = tuple((row.field, _value(row.value), row.unit, _meaning(row)) for row in fields)
    table = Table(inspection.accelerator, ("field|", "value", "unit|", "meaning|"), rows)
    return [table, *_area_table(inspection.area), *_memories_table(inspection)]


def _area_table(area: Area | None) -> Iterator[Table]:
    """What takes the chip's area, and where the figures are from."""
    if area is not None:
        rows = tuple((row.name, quantity(row.area_um2 / UM2_PER_MM2), "mm2", row.source) for row in area.rows)
        total = ("all", quantity(area.total_mm2), "mm2", "registers, wires and control left out")
        yield Table(f"Area in {area.node}, at the least", ("part|", "", "|", "source|"), (*rows, total))


def _memories_table(inspection: AcceleratorInspection) -> Iterator[Table]:
    """A field a row and a level a column, then what the fields come to."""
    levels = [row.memory for row in inspection.memories]
    if not levels:
        return
    of = {row.field: row for row in inspection.fields}
    first = f"{MEMORIES}{levels[0]}."
    rows = []
    for name in (row.field.removeprefix(first) for row in inspection.fields if row.field.startswith(first)):
        each = [of[f"{MEMORIES}{level}.{name}"] for level in levels]
        rows.append((name, *(_value(row.value) for row in each), each[0].unit, _meaning(each[0])))
    for name, field in MemoryRow.model_fields.items():
        if name.endswith("_per_second"):
            figures = (quantity(getattr(row, name) / 10**9) for row in inspection.memories)
            rows.append((RATES[name], *figures, "GB/s", field.description or ""))
    energies = ("-" if row.pj_per_byte is None else quantity(row.pj_per_byte) for row in inspection.memories)
    sources = dict.fromkeys(row.pj_source for row in inspection.memories if row.pj_source)
    rows.append(("energy", *energies, "pJ/byte", "; ".join(sources)))
    yield Table(
        "Memories, from the engine outwards",
        ("field|", *levels, "unit|", "meaning|"),
        tuple(rows),
        (f"--set {first}size=... changes a field; rates follow from the fields and the clock",),
    )


def _value(value: str | float | None) -> str:
    return quantity(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _meaning(row: FieldRow) -> str:
    return "; ".join(text for text in (row.meaning, f"one of {', '.join(row.choices)}" if row.choices else "") if text)


def network_tables(inspection: NetworkInspection) -> list[Table]:
    """The network as text: totals, kinds, squeeze-excite blocks, and every layer."""
    totals = inspection.totals
    tables = [
        lines_table(inspection.network, []),
        Table("Inputs and outputs", ("|", "name|", "shape|"), tuple(_port_texts(inspection))),
        facts_table("Totals", ((name.replace("_", " "), quantity(value), "") for name, value in totals)),
        Table(
            "Kinds of layers",
            ("kind|", "layers", "MACs"),
            tuple((row.kind, quantity(row.layers), quantity(row.macs)) for row in inspection.kinds),
        ),
    ]
    if inspection.attention:
        tables.append(_blocks_table(inspection))
    tables.append(_layers_table(inspection))
    if inspection.statistics:
        tables.append(statistics_table(inspection.statistics))
    return tables


def _port_texts(inspection: NetworkInspection) -> Iterator[tuple[str, ...]]:
    for direction, ports in (("input", inspection.inputs), ("output", inspection.outputs)):
        for port in ports:
            yield direction, port.name, "x".join(str(size) for size in port.shape)


def _blocks_table(inspection: NetworkInspection) -> Table:
    rows = (
        (
            row.block,
            "whole map" if row.tile is None else "x".join(str(size) for size in row.tile),
            quantity(row.gate_elements),
            quantity(row.skip_elements),
        )
        for row in inspection.attention
    )
    return Table(
        f"Squeeze-excite blocks ({len(inspection.attention)}), elements that wait by the paper's accounting",
        ("multiply|", "averages|", "gate", "skip"),
        tuple(rows),
    )


def _layers_table(inspection: NetworkInspection) -> Table:
    rows = (
        (row.layer, row.kind, row.output, quantity(row.macs), quantity(row.parameters), ", ".join(row.inputs))
        for row in inspection.layers
    )
    return Table("Layers", ("layer|", "kind|", "output|", "MACs", "parameters", "reads|"), tuple(rows))
