"""The pipelines that a segment runs, one for every form of tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, replace

import numpy as np

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.array import Folding, stage_foldings
from accelsim.mapping.buffers import needed_and_held
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.movers import load_map, map_bytes, rows_under_way, store_map
from accelsim.mapping.pace import Pace, array_pace
from accelsim.mapping.roles import Role
from accelsim.mapping.segments.channels import ChannelTile, channel_tiles, input_channels, narrowed
from accelsim.mapping.segments.segment import Segment
from accelsim.mapping.segments.tiling import Cut, Range, crossing, cuts
from accelsim.mapping.work import loop_nest
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Tokens that a buffer inside a segment holds beyond the least, so that its writer need not wait for its reader.
SPARE_TOKENS = 1


@dataclass(frozen=True)
class Pass:
    """A form of tile: the stages and edges of its pipeline, and how many tiles of a frame have this form.

    `buffer_bytes` is the room of its buffers, `halo_bytes` that of what is kept from the tiles before.
    """

    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    channels: ChannelTile | None
    times: int
    buffer_bytes: int
    halo_bytes: int


@dataclass(frozen=True)
class Sources:
    """Where a segment's data lies: the memory of every tensor by the stage that makes it, and of partial sums.

    `inputs_stay` where the first of several tiles of output channels leaves its inputs for the others.
    """

    homes: ReadOnly[str, str]
    partial_sums: str
    inputs_stay: bool


def passes_of(design: Design, segment: Segment, bounds: ReadOnly[str, int], sources: Sources) -> list[Pass]:
    """The forms of tile of a segment, each with all its channel tiles in the order in which they run.

    `bounds` are the least capacities of the design's edges, in rows. Raises `InputError` where it cannot be tiled.
    """
    stages = design.in_order(segment.layers)
    edges = tuple(edge for stage in stages for edge in design.edges_to[stage.name])
    rows, columns = (_forms(design, edges, segment, stages, axis) for axis in (0, 1))
    tiled = segment.tile.outputs is not None or segment.tile.inputs is not None
    channels: Sequence[ChannelTile | None] = channel_tiles(design, segment, stages[0]) if tiled else [None]
    builder = _Builder(design, stages, edges, bounds, sources)
    return [
        one
        for row, times in rows
        for column, count in columns
        for one in _of_channels(builder, row, column, channels, times * count)
    ]


def _of_channels(
    builder: _Builder, row: Cut | None, column: Cut | None, channels: Sequence[ChannelTile | None], times: int
) -> Iterator[Pass]:
    """A pass for each tile of channels; those that differ in their weights alone are built once."""
    built: dict[ChannelTile | None, Pass] = {}
    for channel in channels:
        form = channel and replace(channel, weight_bytes=0)
        if form not in built:
            built[form] = builder.built(row, column, channel, times)
        yield replace(built[form], channels=channel)


def _forms(
    design: Design, edges: Sequence[Edge], segment: Segment, stages: Sequence[Stage], axis: int
) -> list[tuple[Cut | None, int]]:
    """Tiles of one form counted together: equal sizes and, along rows, equal dependencies; None for the whole axis."""
    size, space = (segment.tile.rows, segment.tile.columns)[axis], stages[-1].tensor.spatial
    if size is None or (axis < len(space) and size >= space[axis]):
        return [(None, 1)]
    seen: dict[object, int] = {}
    kept: list[Cut] = []
    counts: list[int] = []
    for cut in cuts(design, segment, stages, axis):
        sizes = tuple((name, part.size) for name, part in cut.made.items())
        stored = tuple((name, part.size) for name, part in cut.stored.items())
        key = sizes, stored, tuple(cut.kept.items()), () if axis else _dependencies(design, edges, cut)
        if key not in seen:
            seen[key] = len(kept)
            kept.append(cut)
            counts.append(0)
        counts[seen[key]] += 1
    return list(zip(kept, counts, strict=True))


def _dependencies(design: Design, edges: Sequence[Edge], cut: Cut) -> tuple[bytes, ...]:
    tables = []
    for edge in edges:
        if edge.consumer in cut.made and edge.producer in cut.made:
            reader, made = cut.made[edge.consumer], cut.made[edge.producer]
            needed, held = needed_and_held(design, edge, "row")
            for table in (needed, held):
                tables.append(np.clip(table[reader.begin : reader.end] - made.begin, -1, made.size).tobytes())
    return tuple(tables)


@dataclass(frozen=True)
class _Builder:
    design: Design
    stages: tuple[Stage, ...]
    edges: tuple[Edge, ...]
    bounds: ReadOnly[str, int]
    sources: Sources

    def built(self, row: Cut | None, column: Cut | None, channel: ChannelTile | None, times: int) -> Pass:
        working = [self._part(stage, row, column) for stage in self.stages if _has_work(stage.name, row, column)]
        if channel is not None:
            working = [narrowed(self.design, stage, channel) for stage in working]
        made = {stage.name: stage for stage in working}
        loads = self._loads(made, row, column, channel)
        edges = [
            self._edge(edge, made, loads) for edge in self.edges if edge.consumer in made and _known(edge, made, loads)
        ]
        stores: list[Stage] = []
        for mover, edge in [*self._stores(made, row, column, channel), *self._partial_sums(made, channel)]:
            stores.append(mover)
            edges.append(edge)
        stages = (*loads.values(), *working, *stores)
        bounded = self._bounded(stages, edges)
        return Pass(
            tuple(stages),
            tuple(bounded),
            channel,
            times,
            buffer_bytes(self.design, stages, bounded),
            self._halo_bytes(row, column),
        )

    def _part(self, stage: Stage, row: Cut | None, column: Cut | None) -> Stage:
        tensor, fired = _cropped(stage.tensor, stage.name, row, column), _cropped(stage.fired, stage.name, row, column)
        if tensor == stage.tensor and row is None:
            return stage
        node, engine = stage.group.node, self.design.accelerator.engine
        foldings = stage_foldings(self.design.network, node, engine, fired, stage.port is None)
        pace = tile_pace(self.design, stage, fired, foldings)
        return replace(
            stage,
            tensor=tensor,
            fired=fired,
            macs=stage.macs * fired.pixels // stage.fired.pixels,
            together=pace.together,
            interval_cycles=pace.interval_cycles,
            occupancy_cycles=pace.interval_cycles if stage.port else 0,
            row_offset=row.made[stage.name].begin if row else 0,
            foldings=foldings,
        )

    def _loads(
        self, made: dict[str, Stage], row: Cut | None, column: Cut | None, channel: ChannelTile | None
    ) -> dict[str, Stage]:
        """Sources for what is made elsewhere, by the stage that made it."""
        loads: dict[str, Stage] = {}
        accelerator = self.design.accelerator
        for edge in self.edges:
            name = edge.producer
            if edge.consumer not in made or name in made or name in loads or not _has_work(name, row, column):
                continue
            if name in {stage.name for stage in self.stages}:
                continue
            tensor = _cropped(edge.tensor, name, row, column)
            if channel is not None:
                reader = made[edge.consumer]
                nest = loop_nest(self.design.network, reader.group.node)
                assert nest is not None
                tensor = Tensor(input_channels(reader, channel, tensor, nest.outputs), tensor.spatial)
            bits = accelerator.activation_bits
            load = load_map(accelerator, self.sources.homes[name], "input", edge.consumer, name, tensor, bits)
            if channel is not None and channel.reads_again and self.sources.inputs_stay:
                load = _local(self.design, load)
            loads[name] = replace(load, row_offset=row.made[name].begin if row else 0)
        return loads

    def _edge(self, edge: Edge, made: dict[str, Stage], loads: dict[str, Stage]) -> Edge:
        """`edge` in this tile, with room for its own reader; of a map that waits in memory only a window is here."""
        room = self.design.mapping.capacities.get(edge.name) or self.bounds[edge.name] + SPARE_TOKENS
        if edge.producer in made:
            return replace(edge, tensor=made[edge.producer].tensor, capacity=room)
        load = loads[edge.producer]
        role: Role = "window" if edge.role == "window" else "rate"
        name = f"{load.name} -> {edge.consumer}" + (f" (operand {edge.operand})" if "operand" in edge.name else "")
        return replace(edge, producer=load.name, name=name, role=role, tensor=load.tensor, capacity=room)

    def _stores(
        self, made: dict[str, Stage], row: Cut | None, column: Cut | None, channel: ChannelTile | None
    ) -> list[tuple[Stage, Edge]]:
        movers = []
        if channel is not None and not channel.last:
            return []
        for name in crossing(self.design, self.stages):
            parts = [cut.stored.get(name, Range(0, 0)) if cut else None for cut in (row, column)]
            if name not in made or any(part is not None and part.size <= 0 for part in parts):
                continue
            stage = made[name]
            tensor = _cropped_to(stage.tensor, parts)
            mover, edge = store_map(
                self.design.accelerator,
                self.sources.homes[name],
                "output",
                stage,
                tensor,
                self.design.accelerator.activation_bits,
                f"store {name}",
            )
            offset = row.stored[name].begin if row else 0
            movers.append((replace(mover, row_offset=offset), replace(edge, tensor=stage.tensor)))
        return movers

    def _partial_sums(self, made: dict[str, Stage], channel: ChannelTile | None) -> list[tuple[Stage, Edge]]:
        """What of the sums over input channels a tile takes up, and what it leaves to the next."""
        if channel is None or (channel.first and channel.last):
            return []
        accelerator, memory = self.design.accelerator, self.sources.partial_sums
        (stage,) = made.values()
        bits, name = accelerator.accumulator_bits, f"partial sums of {stage.name}"
        movers = []
        if not channel.first:
            load = load_map(accelerator, memory, "partial", stage.name, name, stage.fired, bits)
            operand = len(stage.group.node.inputs)
            edge = Edge(
                load.name, stage.name, operand, f"{name} -> {stage.name}", "rate", stage.fired, None, reads="each"
            )
            movers.append((replace(load, row_offset=stage.row_offset), edge))
        if not channel.last:
            mover, edge = store_map(accelerator, memory, "partial", stage, stage.fired, bits, f"store {name}")
            assert mover.transfer is not None
            mover = replace(mover, transfer=replace(mover.transfer, tensor=name))
            movers.append((replace(mover, row_offset=stage.row_offset), edge))
        return movers

    def _bounded(self, stages: Sequence[Stage], edges: Sequence[Edge]) -> list[Edge]:
        """`edges` with their capacities, rows under way included.

        Where a fork shares one buffer, it is that of the reader who needs most.
        """
        owners, under_way = (
            [_owner(self.design.accelerator, edge) for edge in edges],
            _under_way(self.design, stages, edges),
        )
        rooms: dict[str, int] = {}
        for owner, edge in zip(owners, edges, strict=True):
            rooms[owner] = max(rooms.get(owner, 0), edge.capacity or 1 + SPARE_TOKENS)
        return [
            replace(edge, capacity=rooms[owner] + under_way[owner]) for owner, edge in zip(owners, edges, strict=True)
        ]

    def _halo_bytes(self, row: Cut | None, column: Cut | None) -> int:
        """Bytes kept from the tiles before.

        The tiles of a row run first: what the next row needs is kept over the whole width, what the next column
        needs over the height of this row.
        """
        tensors = {edge.producer: edge.tensor for edge in self.edges} | {s.name: s.tensor for s in self.stages}
        bits, total = self.design.accelerator.activation_bits, 0
        for axis, cut in enumerate((row, column)):
            for name, points in (cut.kept if cut else {}).items():
                sizes = list(tensors[name].spatial)
                sizes[axis] = points
                if axis == 1 and row:
                    sizes[0] = row.made[name].size if name in row.made else 0
                total += map_bytes(Tensor(tensors[name].channels, tuple(sizes)), bits)
        return total


def buffer_bytes(design: Design, stages: Sequence[Stage], edges: Sequence[Edge]) -> int:
    """Room of the buffers of a pipeline in the first memory, whole bytes a row.

    A buffer has its capacity less the rows under way, or all rows of a visit.
    """
    accelerator, frames = design.accelerator, design.mapping.frames_per_visit
    by_name = {stage.name: stage for stage in stages}
    under_way = _under_way(design, stages, edges)
    rooms: dict[str, int] = {}
    for edge in edges:
        bits = element_bits(accelerator, by_name, edge)
        row_bytes = ceil_div(edge.tensor.elements // edge.tensor.rows * bits, 8)
        owner = _owner(accelerator, edge)
        rooms[owner] = min((edge.capacity or 0) - under_way[owner], frames * edge.tensor.rows) * row_bytes
    return sum(rooms.values())


def element_bits(accelerator: Accelerator, stages: ReadOnly[str, Stage], edge: Edge) -> int:
    """Bits of an element in the buffer of an edge between `stages`: an activation, a weight or a partial sum."""
    transfers = (stages[edge.producer].transfer, stages[edge.consumer].transfer)
    kinds = {transfer.kind for transfer in transfers if transfer}
    if "partial" in kinds:
        return accelerator.accumulator_bits
    return accelerator.weight_bits if "weight" in kinds else accelerator.activation_bits


def _under_way(design: Design, stages: Sequence[Stage], edges: Sequence[Edge]) -> dict[str, int]:
    """Rows of every buffer's capacity that are still on their way to it; the mapping's own capacities hold as given."""
    rows = {stage.name: rows_under_way(stage) for stage in stages}
    found = {_owner(design.accelerator, edge): rows[edge.producer] for edge in edges}
    return found | {_owner(design.accelerator, edge): 0 for edge in edges if edge.name in design.mapping.capacities}


def _owner(accelerator: Accelerator, edge: Edge) -> str:
    """The name of an edge's buffer: where forks share, that of the stage that fills it."""
    return edge.name if accelerator.fork == "copy" else edge.producer


def tile_pace(design: Design, stage: Stage, fired: Tensor, foldings: Sequence[Folding]) -> Pace:
    """The pace of `stage` where it fires for `fired`, a tile of its map, by itself, in `foldings` on a systolic array.

    Elsewhere pixels go together as in the whole map; where they do not divide the tile's row, the whole row is one
    firing, as long as that takes.
    """
    measured = design.mapping.measured.get(stage.name)
    if foldings and not (measured and measured.interval_cycles):
        return array_pace(foldings, fired)
    if fired.row_pixels % stage.together == 0:
        return Pace(stage.interval_cycles, stage.together)
    return Pace(stage.interval_cycles * ceil_div(fired.row_pixels, stage.together), fired.row_pixels)


def _has_work(name: str, row: Cut | None, column: Cut | None) -> bool:
    return all(cut is None or name in cut.made for cut in (row, column))


def _known(edge: Edge, made: dict[str, Stage], loads: dict[str, Stage]) -> bool:
    return edge.producer in made or edge.producer in loads


def _cropped(tensor: Tensor, name: str, row: Cut | None, column: Cut | None) -> Tensor:
    return _cropped_to(tensor, [cut.made[name] if cut else None for cut in (row, column)])


def _cropped_to(tensor: Tensor, parts: Sequence[Range | None]) -> Tensor:
    sizes = list(tensor.spatial)
    for axis, part in enumerate(parts):
        if part is not None and axis < len(sizes):
            sizes[axis] = part.size
    return Tensor(tensor.channels, tuple(sizes))


def _local(design: Design, load: Stage) -> Stage:
    """`load` of what an earlier tile has left in the engine's own memory: as fast as lanes move it, at no port."""
    cycles = ceil_div(load.tensor.elements // load.tensor.rows, design.accelerator.engine.lanes)
    return replace(load, interval_cycles=cycles, latency_cycles=0, port=None, occupancy_cycles=0, transfer=None)
