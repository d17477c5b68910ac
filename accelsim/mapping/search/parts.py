"""Segments in the making: stages that run together, and what they take and move with no tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array import stage_foldings
from accelsim.mapping.buffers import (
    edge_bounds,
    fork_bounds,
    fork_lags,
    fork_region,
    needed_and_held,
    tokens_made,
)
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.pace import array_pace
from accelsim.mapping.search.downsets import StageGraph, bits
from accelsim.mapping.search.option import Ints, Option, Options, columns
from accelsim.mapping.search.tiles import stage_options
from accelsim.mapping.segments.passes import SPARE_TOKENS
from accelsim.mapping.segments.segment import Halo, Segment, Tile
from accelsim.mapping.segments.tiling import ranges, spatial_axes
from accelsim.mapping.unrolling import multiplier_choices
from accelsim.mapping.work import loop_nest
from accelsim.network.layers import ChannelPool, Reduce
from accelsim.units import ceil_div

#: Parts into which the columns of several stages together are cut.
COLUMN_PARTS = (2, 4, 8, 16)
HALOS: tuple[Halo, ...] = ("cache", "recompute")


@dataclass(frozen=True, slots=True)
class Part:
    """Stages `members` that run after the stages `done`, with no tiles.

    `buffer_bytes` hold what each reader of a map needs by itself. `reads` are the maps made elsewhere that they
    read, `writes` those of their own that cross, by position. `multipliers` are what the stages take at least for
    each of some intervals; `filling` is the share of a frame that passes before the last stage has its first input.
    """

    done: int
    members: int
    buffer_bytes: int
    weight_bytes: int
    macs: int
    multiplying: int
    moving_cycles: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    multipliers: NDArray[np.int64] | None
    filling: float

    @property
    def after(self) -> int:
        return self.done | self.members

    @property
    def is_single(self) -> bool:
        return self.members & (self.members - 1) == 0


@dataclass(frozen=True)
class Parts:
    """Makes parts of the stages of `design`, and the ways to run them; with `timed` these tell their cycles."""

    design: Design
    timed: bool

    @cached_property
    def graph(self) -> StageGraph:
        return StageGraph(self.design)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(self.design.stage_by_name[name] for name in self.graph.names)

    @cached_property
    def weights(self) -> tuple[int, ...]:
        return tuple(weight_bytes(self.design, stage) for stage in self.stages)

    @cached_property
    def resident_bytes(self) -> int:
        """Weights that are in the first memory for ever."""
        return sum(self.weights) if self.design.accelerator.weights == "resident" else 0

    @cached_property
    def most_multiplying(self) -> int:
        """Stages with multiplications that the engine can hold at once."""
        engine = self.design.accelerator.engine
        return len(self.stages) if isinstance(engine, SystolicEngine) else engine.multipliers

    def whole_bytes(self, part: Part) -> int:
        """Bytes of the first memory that a part takes in one go."""
        key = (part.done, part.members)
        if key not in self._lag_bytes:
            self._lag_bytes[key] = self._more_for_lags(part.reads, part.members)
        return part.buffer_bytes + self._lag_bytes[key] + part.weight_bytes

    def fits(self, part: Part, room: int) -> bool:
        """Whether a part can run in one go in `room` bytes."""
        return part.buffer_bytes + part.weight_bytes <= room and self.whole_bytes(part) <= room

    @cached_property
    def _lag_bytes(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def spilled(self) -> int:
        """Stages whose maps must lie off chip: too large for other memories, and for a segment with some reader."""
        *on_chip, _ = self.design.accelerator.memories.values()
        frames = self.design.mapping.frames_per_visit
        largest = max(on_chip[0].size - self.resident_bytes, *(level.size for level in on_chip))
        return sum(
            1 << p
            for p in range(self.graph.count)
            if frames * self.graph.map_bytes[p] > largest
            and not self.graph.leaves[p]
            and not all(self._can_join(p, reader) for reader in bits(self.graph.readers[p]))
        )

    def _can_join(self, maker: int, reader: int) -> bool:
        """Whether some segment has room for the maker of a map, a reader, and all that is between them."""
        above = self._above
        members = sum(1 << k for k in bits(above[reader] & (self._below[maker] | 1 << maker)))
        done = self._needed_before(members)
        part = self.extended(self.empty(done), done | members)
        room = next(iter(self.design.accelerator.memories.values())).size - self.resident_bytes
        return part is not None and (self.fits(part, room) or self.tiled(part, room) is not None)

    def _needed_before(self, members: int) -> int:
        """Stages that must have run before `members`."""
        done = 0
        for k in bits(members):
            done |= self._above[k]
        return done & ~members

    def empty(self, done: int) -> Part:
        return Part(done, 0, 0, 0, 0, 0, 0, (), (), None, 0.0)

    def grown(self, part: Part, position: int) -> Part:
        """`part` and one more stage, all of whose operands it or the stages before make."""
        graph, stage = self.graph, self.stages[position]
        members = part.members | 1 << position
        after = part.done | members
        writes = tuple(p for p in part.writes if graph.crosses(p, after))
        if graph.crosses(position, after):
            writes += (position,)
        outside = tuple(p for p in graph.operands[position] if not part.members >> p & 1 and p not in part.reads)
        multiplies = stage.macs > 0 and loop_nest(self.design.network, stage.group.node) is not None
        multipliers = part.multipliers
        if self.timed and multiplies:
            more = self._least_multipliers[position]
            multipliers = more if multipliers is None else multipliers + more
        return Part(
            done=part.done,
            members=members,
            buffer_bytes=part.buffer_bytes + self._more_buffers(part, position),
            weight_bytes=part.weight_bytes + (0 if self.resident_bytes else self.weights[position]),
            macs=part.macs + stage.macs,
            multiplying=part.multiplying + multiplies,
            moving_cycles=max(part.moving_cycles, 0 if multiplies else stage.work_cycles),
            reads=part.reads + outside,
            writes=writes,
            multipliers=multipliers,
            filling=part.filling + (self._fill(position, part.members) if self.timed else 0.0),
        )

    def extended(self, part: Part, after: int) -> Part | None:
        """`part` with all further stages of `after`, None where no segment may have them together."""
        for position in bits(after & ~part.after):
            if self.is_apart(part, position):
                return None
            part = self.grown(part, position)
        return part if part.multiplying <= self.most_multiplying else None

    def is_apart(self, part: Part, position: int) -> bool:
        """Whether a stage pools the channels of a map that is to be stored, and that a stage of `part` makes."""
        return bool(self._stored_for[position] & part.members)

    @cached_property
    def _stored_for(self) -> tuple[int, ...]:
        """For each stage the stages whose maps are stored before it pools their channels."""
        materialised = self.design.mapping.materialised
        return tuple(
            sum(1 << p for p in self._pooled_by(position) if not materialised.isdisjoint(self._layers(position, p)))
            for position in range(self.graph.count)
        )

    def _pooled_by(self, position: int) -> Iterator[int]:
        """The stage whose channels a stage pools, if it does."""
        if isinstance(self.stages[position].group.node.layer, ChannelPool):
            yield from (p for p in self.graph.operands[position] if p < self.graph.count)

    def _layers(self, *positions: int) -> tuple[str, ...]:
        return tuple(name for position in positions for name in self.stages[position].group.layers)

    def whole(self, part: Part) -> Option:
        """The part in one go."""
        return Option(
            tile=Tile(),
            halo=Segment.halo,
            weights=None,
            demand_bytes=self.whole_bytes(part),
            read_bytes=tuple(self.graph.map_bytes[p] for p in part.reads),
            written_bytes=tuple(self.graph.map_bytes[p] for p in part.writes),
            weight_bytes=part.weight_bytes,
            partial_bytes=0,
            sums_stay=False,
            runs=1,
            compute_cycles=self.cycles(part) if self.timed else 0,
        )

    # Buffers

    @cached_property
    def _fork_is_shared(self) -> bool:
        return self.design.accelerator.fork == "shared"

    @cached_property
    def _edges_from(self) -> tuple[tuple[tuple[int, Edge], ...], ...]:
        """Edges out of each stage with the position of their reader."""
        edges: list[list[tuple[int, Edge]]] = [[] for _ in self.graph.names]
        for edge in self.design.edges:
            edges[self.graph.position[edge.producer]].append((self.graph.position[edge.consumer], edge))
        return tuple(tuple(found) for found in edges)

    @cached_property
    def _bounds(self) -> dict[str, int]:
        return edge_bounds(self.design, "row")

    @cached_property
    def _order(self) -> dict[str, int]:
        return {stage.name: k for k, stage in enumerate(self.design.stages)}

    @cached_property
    def _row_bytes(self) -> tuple[int, ...]:
        tensors = (stage.tensor for stage in self.stages)
        return tuple(ceil_div(t.elements // t.rows * self.design.accelerator.activation_bits, 8) for t in tensors)

    @cached_property
    def _rooms(self) -> dict[tuple[int, int, bool], int]:
        return {}

    @cached_property
    def _between(self) -> tuple[int, ...]:
        """For each map the stages on a way from it to one of its readers, those included."""
        towards = [0] * len(self.graph.names)
        for p, readers in enumerate(self.graph.readers):
            for k in bits(readers):
                towards[p] |= self._above[k]
        return tuple(towards)

    def _more_buffers(self, part: Part, position: int) -> int:
        """Bytes of buffers that a stage adds to a part."""
        members = part.members | 1 << position
        more = self._room_inside(position, 0, self.graph.crosses(position, part.done | members))
        for p in self.graph.operands[position]:
            if part.members >> p & 1:
                now, before = (
                    self._room_inside(p, self.graph.readers[p] & held, self.graph.crosses(p, part.done | held))
                    for held in (members, part.members)
                )
            else:
                now, before = self._room_outside(p, members), self._room_outside(p, part.members)
            more += now - before
        return more

    def _room_inside(self, position: int, readers: int, crosses: bool) -> int:
        """Room of the buffers of a map made in a part where `readers` read it."""
        key = (position, readers, crosses)
        if key not in self._rooms:
            tokens = [self._bounds[e.name] + SPARE_TOKENS for k, e in self._edges_from[position] if readers >> k & 1]
            self._rooms[key] = self._room(position, tokens + [1 + SPARE_TOKENS] * crosses)
        return self._rooms[key]

    def _room_outside(self, position: int, members: int) -> int:
        """Room of the buffers of a map that is loaded for the readers among `members`."""
        inside = members & self._between[position]
        if not inside & self.graph.readers[position]:
            return 0
        return self._room(position, self._loaded_tokens(position, inside))

    @cached_property
    def _loaded(self) -> dict[tuple[int, int], list[int]]:
        return {}

    def _loaded_tokens(self, position: int, inside: int) -> list[int]:
        """Capacities for the readers of a loaded map, with the stages `inside` on the engine."""
        if (position, inside) not in self._loaded:
            self._loaded[position, inside] = self._found_tokens(position, inside)
        return self._loaded[position, inside]

    def _found_tokens(self, position: int, inside: int) -> list[int]:
        readers = [edge for k, edge in self._edges_from[position] if inside >> k & 1]
        if len(self._edges_from[position]) == 1:
            return [self._bounds[edge.name] + SPARE_TOKENS for edge in readers]
        incoming = {name: self.design.edges_to[name] for name in (self.graph.names[k] for k in bits(inside))}
        found = fork_bounds(self.design, self.stages[position], readers, incoming, self._order, "row")
        return [found[edge.name] + SPARE_TOKENS for edge in readers]

    def _more_for_lags(self, reads: Sequence[int], members: int) -> int:
        """Bytes that buffers hold because readers of one map are not equally far."""
        more = 0
        for p in (*reads, *bits(members & self._forks)):
            lags = self._lags(p, members)
            if lags:
                least = [tokens - lags.get(k, 0) for k, tokens in self._tokens(p, members)]
                stores = [1 + SPARE_TOKENS] * (self.graph.leaves[p] or bool(self.graph.readers[p] & ~members))
                stores = stores if members >> p & 1 else []
                tokens = [tokens for _, tokens in self._tokens(p, members)]
                more += self._room(p, tokens + stores) - self._room(p, least + stores)
        return more

    @cached_property
    def _forks(self) -> int:
        """Stages whose maps several stages read."""
        return sum(1 << k for k in range(self.graph.count) if self.graph.readers[k].bit_count() > 1)

    def _lags(self, position: int, members: int) -> dict[int, int]:
        """Rows by which each reader of a map among `members` can be behind the others."""
        if (self.graph.readers[position] & members).bit_count() < 2:
            return {}
        names = self.graph.names
        region = fork_region(self.design, names[position], {names[k] for k in bits(members & self._below[position])})
        if (position, region) not in self._known_lags:
            lags = fork_lags(self.design, self.stages[position], region)
            edges = self._edges_from[position]
            self._known_lags[position, region] = {k: lags[edge.name] for k, edge in edges if edge.name in lags}
        return self._known_lags[position, region]

    @cached_property
    def _known_lags(self) -> dict[tuple[int, tuple[str, ...]], dict[int, int]]:
        return {}

    @cached_property
    def _above(self) -> tuple[int, ...]:
        """Each stage with all that it comes from."""
        above: list[int] = []
        for k in range(self.graph.count):
            own = 1 << k
            for p in bits(self.graph.needs[k]):
                own |= above[p]
            above.append(own)
        return tuple(above)

    @cached_property
    def _below(self) -> tuple[int, ...]:
        """Stages on ways from each map."""
        below = [0] * len(self.graph.names)
        for p in (*reversed(range(self.graph.count)), *range(self.graph.count, len(self.graph.names))):
            for k in bits(self.graph.readers[p]):
                below[p] |= 1 << k | below[k]
        return tuple(below)

    def _room(self, position: int, tokens: Sequence[int]) -> int:
        """Bytes of buffers of so many tokens each, or of the largest where a fork shares one."""
        row_bytes = self._row_bytes[position]
        rows = self.design.mapping.frames_per_visit * self.stages[position].tensor.rows
        if self._fork_is_shared:
            return row_bytes * min(rows, max(tokens, default=0))
        return row_bytes * sum(min(rows, n) for n in tokens)

    # Cycles

    @cached_property
    def _intervals(self) -> NDArray[np.int64]:
        """Cycles a frame that some unrolling of some layer takes, ascending."""
        found = [np.zeros(0, np.int64)]
        for stage in self.stages:
            nest = loop_nest(self.design.network, stage.group.node)
            if nest is not None:
                found.append(nest.macs * stage.fired.pixels // np.array(multiplier_choices(nest), np.int64))
        return np.unique(np.concatenate(found))

    @cached_property
    def _least_multipliers(self) -> dict[int, NDArray[np.int64]]:
        """For every stage that multiplies, the fewest multipliers for each interval; too many where none do."""
        least: dict[int, NDArray[np.int64]] = {}
        for k, stage in enumerate(self.stages):
            nest = loop_nest(self.design.network, stage.group.node)
            if nest is not None:
                choices = np.array(multiplier_choices(nest), np.int64)
                needed = -(-nest.macs * stage.fired.pixels // self._intervals)
                padded = np.append(choices, 2**40)
                least[k] = padded[np.searchsorted(choices, needed)]
        return least

    def cycles(self, part: Part) -> int:
        """Cycles from the first row in to the last row out, with the engine shared out as well as can be.

        All stages go at the pace of the busiest; each begins when the first rows that it needs have come.
        """
        return ceil(self._busiest_cycles(part) * (1 + part.filling))

    def _fill(self, position: int, members: int) -> float:
        """The share of a frame that a stage waits for the first rows of what others of its part make."""
        shares = [
            self._fills[edge.name]
            for edge in self.design.edges_to[self.graph.names[position]]
            if members >> self.graph.position[edge.producer] & 1
        ]
        return max(shares, default=0.0)

    @cached_property
    def _fills(self) -> dict[str, float]:
        """By edge: rows that its reader's first result needs, or of a reduction its first whole tile, of all rows.

        What comes in one piece has been waited for where that was made.
        """
        return {edge.name: self._first_rows(edge) / edge.tensor.rows for edge in self.design.edges}

    def _first_rows(self, edge: Edge) -> int:
        producer, reader = self.design.stage_by_name[edge.producer], self.design.stage_by_name[edge.consumer]
        if edge.tensor.rows == 1 or isinstance(producer.group.node.layer, Reduce):
            return 0
        needed, _ = needed_and_held(self.design, edge, "row")
        first = tokens_made(reader, "row", needed)[0] if isinstance(reader.group.node.layer, Reduce) else needed[0]
        return int(first) + 1

    def _busiest_cycles(self, part: Part) -> int:
        """Cycles a frame of the busiest stage."""
        engine = self.design.accelerator.engine
        if isinstance(engine, SystolicEngine):
            return max(part.moving_cycles, self._array_cycles(part, engine))
        if part.multipliers is None:
            return part.moving_cycles
        enough = part.multipliers <= engine.multipliers
        return max(part.moving_cycles, int(self._intervals[int(np.argmax(enough))]))

    def _array_cycles(self, part: Part, engine: SystolicEngine) -> int:
        total = 0
        for k in bits(part.members):
            stage = self.stages[k]
            node = stage.group.node
            foldings = stage_foldings(self.design.network, node, engine, stage.fired, part.multiplying == 1)
            if foldings:
                total += stage.fired.rows * array_pace(foldings, stage.fired).interval_cycles
        return total

    # Tiles

    def tiled(self, part: Part, room: int) -> Options | None:
        """Ways to run a part in tiles, in `room` bytes; None where there is none."""
        key = (part.members, part.reads, part.writes, room)
        if key not in self._known:
            alone = part.members.bit_length() - 1
            self._known[key] = self._of_stage(alone, room) if part.is_single else self._of_columns(part, room)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[object, Options | None]:
        return {}

    def _of_stage(self, position: int, room: int) -> Options | None:
        stage = self.stages[position]
        reads = [(edge.operand, edge.tensor, edge.producer) for edge in self.design.edges_to[stage.name]]
        makers = [maker for _, _, maker in reads]
        same = tuple((operand, tensor, makers.index(maker)) for operand, tensor, maker in reads)
        key = (stage.group.node.layer, same, stage.tensor, stage.unroll, self.weights[position], room)
        if key not in self._known:
            self._known[key] = stage_options(self.design, stage, room, self.timed)
        return self._known[key]

    def _of_columns(self, part: Part, room: int) -> Options | None:
        """Several stages in tiles of columns, narrow ones first and as long as they fit."""
        stages = [self.stages[k] for k in bits(part.members)]
        if part.weight_bytes > room or spatial_axes(self.design, stages) < 2:
            return None
        width = stages[-1].tensor.spatial[1]
        found: list[Option] = []
        for size in dict.fromkeys(ceil_div(width, n) for n in reversed(COLUMN_PARTS) if n <= width):
            fitting = [o for halo in HALOS if (o := self._of_segment(part, stages, size, halo)).demand_bytes <= room]
            found += fitting
            if not fitting:
                break
        return columns(found) if found else None

    def _of_segment(self, part: Part, stages: Sequence[Stage], size: int, halo: Halo) -> Option:
        """Several stages in tiles of so many columns."""
        tiles = ranges(self.design, stages, 1, size, halo == "cache")
        widths = {name: np.maximum(end - begin, 0) for name, (begin, end) in tiles.made.items()}
        stored = {name: np.maximum(end - begin, 0) for name, (begin, end) in tiles.stored.items()}
        names, position = self.graph.names, self.graph.position
        halo_bytes = np.zeros(tiles.tiles, np.int64)
        for name, kept in tiles.kept.items():
            halo_bytes += self._columns_bytes(position[name], kept)
        demand = int(self._tile_buffers(part, widths, stored).max())
        demand += self.design.mapping.frames_per_visit * int(halo_bytes.max())
        macs = sum(stage.macs * int(widths[stage.name].sum()) // stage.tensor.row_pixels for stage in stages)
        return Option(
            tile=Tile(columns=size),
            halo=halo,
            weights="frame" if self.design.accelerator.weights == "tile" else None,
            demand_bytes=demand + part.weight_bytes,
            read_bytes=tuple(int(self._columns_bytes(p, widths[names[p]]).sum()) for p in part.reads),
            written_bytes=tuple(int(self._columns_bytes(p, stored[names[p]]).sum()) for p in part.writes),
            weight_bytes=part.weight_bytes,
            partial_bytes=0,
            sums_stay=False,
            runs=tiles.tiles,
            compute_cycles=ceil_div(self.cycles(part) * macs, max(part.macs, 1)) if self.timed else 0,
        )

    def _columns_bytes(self, position: int, widths: Ints, rows: int | None = None) -> Ints:
        """Bytes of so many columns of a map, of all its rows or of some."""
        tensor, activation_bits = self.stages[position].tensor, self.design.accelerator.activation_bits
        height = tensor.rows if rows is None else rows
        found: Ints = -(-widths * height * tensor.channels * activation_bits // 8)
        return found

    def _tile_buffers(self, part: Part, widths: dict[str, Ints], stored: dict[str, Ints]) -> Ints:
        """Room of the buffers of every tile: of what has nothing to do in it there is no buffer."""
        names = self.graph.names
        total = np.zeros_like(widths[names[part.members.bit_length() - 1]])
        for p in (*part.reads, *bits(part.members)):
            rows = self.design.mapping.frames_per_visit * self.stages[p].tensor.rows
            needed = [
                np.where(widths[names[k]] > 0, min(rows, tokens), 0) for k, tokens in self._tokens(p, part.members)
            ]
            if p in part.writes:
                needed.append(np.where(stored[names[p]] > 0, min(rows, 1 + SPARE_TOKENS), 0))
            tokens = np.maximum.reduce(needed) if self._fork_is_shared else np.sum(needed, axis=0)
            total = total + tokens * self._columns_bytes(p, widths[names[p]], rows=1)
        return total

    def _tokens(self, position: int, members: int) -> list[tuple[int, int]]:
        """Readers of a map among `members`, and the capacity of the buffer that each needs."""
        lags = self._lags(position, members)
        if members >> position & 1:
            edges = self._edges_from[position]
            least = [(k, self._bounds[edge.name] + SPARE_TOKENS) for k, edge in edges if members >> k & 1]
        else:
            inside = members & self._between[position]
            readers = [k for k, _ in self._edges_from[position] if inside >> k & 1]
            least = list(zip(readers, self._loaded_tokens(position, inside), strict=True))
        return [(k, tokens + lags.get(k, 0)) for k, tokens in least]
