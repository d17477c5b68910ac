"""Ways to run a stage in tiles: what each takes of the first memory, moves, and computes.

The figures are those of the passes that the segment then runs (`passes_of`), in closed form and for many tiles at
once, since a stage can be cut along rows, columns, output and input channels in thousands of ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array import channel_foldings, channel_groups
from accelsim.mapping.buffers import segment_bounds
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.search.option import Ints, Options, joined
from accelsim.mapping.segments.channels import ChannelTile, narrowed, tile_unroll
from accelsim.mapping.segments.passes import SPARE_TOKENS
from accelsim.mapping.segments.segment import Halo, Tile, Weights
from accelsim.mapping.segments.tiling import ranges, spatial_axes
from accelsim.mapping.shares import shares
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.layers import Weighted
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div, divisors

Flags = NDArray[np.bool_]

#: Tiles that are tried at most along one axis.
MOST_ALONG = 64
#: Tiles a frame that are tried at most, and bytes of weights for each that make up for more.
MOST_RUNS = 256
WEIGHTS_OF_A_RUN = 8192


def stage_options(design: Design, stage: Stage, room: int, timed: bool = True) -> Options | None:
    """Ways to run `stage` by itself in `room` bytes of the first memory, None where there is none.

    Those with few tiles come first. Cycles are 0 unless `timed`.
    """
    found = list(_StageTiles(design, stage, room, timed).options())
    return joined(found) if found else None


class _Part(NamedTuple):
    """A form of tile along one axis: how many have it, points of each map, and points kept from the tiles before."""

    times: int
    sizes: tuple[int, ...]
    kept: tuple[int, ...]


class _Form(NamedTuple):
    """A form of spatial tile: how many have it, rows and row widths of each map, and bytes of halo kept."""

    times: int
    rows: tuple[int, ...]
    widths: tuple[int, ...]
    halo_bytes: int


@dataclass(frozen=True, slots=True)
class _Spatial:
    """A spatial tile and its forms."""

    tile: Tile
    halo: Halo
    forms: tuple[_Form, ...]

    @property
    def count(self) -> int:
        return sum(form.times for form in self.forms)


class _Split(NamedTuple):
    """An axis in tiles, in columns: the size of a tile (0 for the whole axis), full tiles of `size`, and a rest."""

    tile: Ints
    size: Ints
    full: Ints
    rest: Ints

    @property
    def tiles(self) -> Ints:
        return self.full + (self.rest > 0)

    @property
    def last(self) -> Ints:
        """Size of the last tile."""
        return np.where(self.rest > 0, self.rest, self.size)

    @property
    def parts(self) -> tuple[tuple[Ints, Ints], ...]:
        """Sizes, and how many tiles have them."""
        return (self.size, self.full), (self.rest, np.minimum(self.rest, 1))


def _split(extent: int, tiles: list[int]) -> _Split:
    tile = np.array(tiles, np.int64)
    size = np.where(tile > 0, tile, extent)
    return _Split(tile, size, extent // size, extent % size)


@dataclass(frozen=True)
class _StageTiles:
    """A stage that runs by itself, and all that its tiles have in common; maps are those it reads, then its own."""

    design: Design
    stage: Stage
    room: int
    timed: bool

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return self.design.edges_to[self.stage.name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*dict.fromkeys(edge.producer for edge in self.edges), self.stage.name)

    @property
    def reads(self) -> range:
        """Positions of the maps that it reads."""
        return range(len(self.names) - 1)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        by_name = {edge.producer: edge.tensor for edge in self.edges} | {self.stage.name: self.stage.tensor}
        return tuple(by_name[name] for name in self.names)

    @cached_property
    def tokens(self) -> tuple[tuple[int, int], ...]:
        """The map and the capacity of every buffer that the stage reads."""
        bounds = segment_bounds(self.design, {self.stage.name})
        tokens: dict[str, tuple[int, int]] = {}
        for edge in self.edges:
            key = edge.name if self.design.accelerator.fork == "copy" else edge.producer
            capacity = max(bounds[edge.name] + SPARE_TOKENS, tokens.get(key, (0, 0))[1])
            tokens[key] = (self.names.index(edge.producer), capacity)
        return tuple(tokens.values())

    @cached_property
    def nest(self) -> LoopNest | None:
        """The loops of a layer whose channels can be tiled."""
        layer = self.stage.group.node.layer
        tileable = isinstance(layer, Weighted)
        return loop_nest(self.design.network, self.stage.group.node) if tileable else None

    @cached_property
    def groups(self) -> int:
        return channel_groups(self.stage.group.node)

    @cached_property
    def weights(self) -> int:
        return weight_bytes(self.design, self.stage)

    @property
    def most_runs(self) -> int:
        return max(MOST_RUNS, self.weights // WEIGHTS_OF_A_RUN)

    @property
    def frames(self) -> int:
        return self.design.mapping.frames_per_visit

    # Options

    def options(self) -> Iterator[Options]:
        for spatial in self.spatials():
            yield from self.of_tile(spatial)

    def of_tile(self, spatial: _Spatial) -> Iterator[Options]:
        """The options of a spatial tile: channels, how weights are loaded, what of inputs and partial sums stays."""
        buffers = np.maximum.reduce([self.buffer_bytes(form) for form in spatial.forms])
        buffers = buffers + self.frames * max(form.halo_bytes for form in spatial.forms)
        once, again, one_tile = self.read_bytes(spatial)
        partial, one_sum = self.partial_sums(spatial)
        written = np.sum([form.times * self.made_bytes(form) for form in spatial.forms], axis=0)
        runs = spatial.count * self.made.tiles * self.taken.tiles
        few = (runs <= self.most_runs) & ((spatial.tile.columns is None) | (self.taken.tile == 0))
        cycles = self.compute_cycles(spatial) if self.timed else np.zeros_like(runs)
        for (weights, taken, loaded, allowed), sums_stay, inputs_stay in product(
            self.weight_modes(spatial), (False, True), (False, True)
        ):
            demand = buffers + taken + self.frames * (sums_stay * one_sum + inputs_stay * one_tile)
            useful = few & allowed & (demand <= self.room)
            useful = useful & (self.taken.tiles > 1) if sums_stay else useful
            useful = useful & self.is_again if inputs_stay else useful
            (chosen,) = np.nonzero(useful)
            if chosen.size:
                yield Options(
                    ways=tuple((self.tile(spatial, int(k)), spatial.halo, weights) for k in chosen),
                    demand_bytes=demand[chosen],
                    read_bytes=tuple((a if inputs_stay else a + b)[chosen] for a, b in zip(once, again, strict=True)),
                    written_bytes=(written[chosen],),
                    weight_bytes=loaded + np.zeros_like(chosen),
                    partial_bytes=partial[chosen],
                    sums_stay=np.full(chosen.size, sums_stay, np.int64),
                    runs=runs[chosen],
                    compute_cycles=cycles[chosen],
                )

    def tile(self, spatial: _Spatial, position: int) -> Tile:
        outputs, inputs = int(self.made.tile[position]), int(self.taken.tile[position])
        return Tile(spatial.tile.rows, spatial.tile.columns, outputs or None, inputs or None)

    def weight_modes(self, spatial: _Spatial) -> Iterator[tuple[Weights | None, Ints, int, Flags]]:
        """Ways to load weights: as the segment says it, bytes that they take, bytes loaded a visit, and for which."""
        mode, tiles, whole = self.design.accelerator.weights, spatial.count, self.weights
        share, every = self.largest_share, self.made.tiles > 0
        if mode == "resident":
            yield None, np.zeros_like(share), 0, every
        elif tiles == 1:
            yield None, share, whole, every
        elif mode == "frame":
            yield None, np.full_like(share, whole), whole, every
        else:
            yield "frame", np.full_like(share, whole), whole, every
            yield None, share, tiles * whole, self.made.tiles * self.taken.tiles > 1

    # Channels

    @cached_property
    def splits(self) -> tuple[_Split, _Split]:
        """Tiles of output and of input channels, those of all channels first."""
        nest = self.nest
        if nest is None:
            return _split(self.stage.tensor.channels, [0]), _split(1, [0])
        pooled = nest.outputs // self.stage.tensor.channels
        together = max(pooled, nest.outputs // self.groups if self.groups > 1 else 1)
        pairs = [(0, 0)] + [(together * n, 0) for n in _steps(nest.outputs // together)]
        if self.groups == 1:
            fewer = [0, *(size for size in _powers(nest.outputs) if size % together == 0)]
            pairs += product(fewer, _powers(nest.inputs))
        return _split(nest.outputs, [a for a, _ in pairs]), _split(nest.inputs, [b for _, b in pairs])

    @property
    def made(self) -> _Split:
        return self.splits[0]

    @property
    def taken(self) -> _Split:
        return self.splits[1]

    @cached_property
    def is_again(self) -> Flags:
        """Whether tiles of output channels read the same inputs."""
        return (self.made.tiles > 1) & (self.groups == 1)

    @cached_property
    def largest_share(self) -> Ints:
        """Weights of the tile that has most, in whole bytes that add up."""
        if self.nest is None:
            return np.array([self.weights], np.int64)
        sizes = zip(self.made.size, self.taken.size, strict=True)
        return np.array([self.share(self.nest, int(a), int(b)) for a, b in sizes], np.int64)

    def share(self, nest: LoopNest, made: int, taken: int) -> int:
        if ceil_div(nest.outputs, made) * ceil_div(nest.inputs, taken) > self.most_runs:
            return self.weights
        outputs = np.minimum(made, nest.outputs - np.arange(0, nest.outputs, made))
        inputs = np.minimum(taken, nest.inputs - np.arange(0, nest.inputs, taken))
        done = np.cumsum(np.multiply.outer(outputs, inputs).ravel())
        return int(np.diff(self.weights * done // (nest.outputs * nest.inputs), prepend=0).max())

    def read_channels(self, position: int, made: Ints, taken: Ints) -> Ints:
        """Channels that a tile reads of a map."""
        channels = self.tensors[position].channels
        if self.nest is None:
            return np.full_like(made, channels)
        return taken if self.groups == 1 else channels * made // self.nest.outputs

    def stored_channels(self, made: Ints) -> Ints:
        if self.nest is None:
            return made
        pooled = self.nest.outputs // self.stage.tensor.channels
        found: Ints = -(-made // pooled)
        return found

    # Bytes

    def map_bytes(self, elements: Ints) -> Ints:
        return _whole_bytes(elements, self.design.accelerator.activation_bits)

    def sum_bytes(self, elements: Ints) -> Ints:
        return _whole_bytes(elements, self.design.accelerator.accumulator_bits)

    def buffer_bytes(self, form: _Form) -> Ints:
        """Room of the buffers, of the dearest tile of channels."""
        spare = min(1 + SPARE_TOKENS, self.frames * form.rows[-1])
        sums = spare * self.sum_bytes(form.widths[-1] * self.made.size)
        stored = spare * self.map_bytes(form.widths[-1] * self.stored_channels(self.made.size))
        tiles = self.taken.tiles
        first = self.loaded_bytes(form, self.taken.size) + np.where(tiles > 1, sums * np.minimum(tiles - 1, 2), 0)
        last = self.loaded_bytes(form, self.taken.last) + np.where(tiles > 1, sums, 0) + stored
        found: Ints = np.maximum(first, last)
        return found

    def loaded_bytes(self, form: _Form, taken: Ints) -> Ints:
        """Room of the buffers that are read."""
        room = np.zeros_like(taken)
        for p, tokens in self.tokens:
            channels = self.read_channels(p, self.made.size, taken)
            room = room + min(tokens, self.frames * form.rows[p]) * self.map_bytes(form.widths[p] * channels)
        return room

    def made_bytes(self, form: _Form) -> Ints:
        points = form.rows[-1] * form.widths[-1]
        (size, full), (rest, one) = self.made.parts
        whole = full * self.map_bytes(points * self.stored_channels(size))
        return whole + one * self.map_bytes(points * self.stored_channels(rest))

    def read_bytes(self, spatial: _Spatial) -> tuple[list[Ints], list[Ints], Ints]:
        """Bytes of each map read once, bytes read again where they do not stay, and bytes of one tile that does."""
        once = [np.zeros_like(self.made.size) for _ in self.reads]
        one_tile = np.zeros_like(self.made.size)
        for form in spatial.forms:
            moved = [self.moved_bytes(form, p) for p in self.reads]
            once = [total + form.times * n for total, n in zip(once, moved, strict=True)]
            one_tile = np.maximum(one_tile, np.sum(moved, axis=0))
        return once, [np.where(self.is_again, self.made.tiles - 1, 0) * n for n in once], one_tile

    def moved_bytes(self, form: _Form, position: int) -> Ints:
        """Bytes of a map that all tiles of channels read, each input channel once."""
        points = form.rows[position] * form.widths[position]
        split = self.made if self.nest is None or self.groups > 1 else self.taken
        total = np.zeros_like(self.made.size)
        for size, count in split.parts:
            total += count * self.map_bytes(points * self.read_channels(position, size, size))
        return total

    def partial_sums(self, spatial: _Spatial) -> tuple[Ints, Ints]:
        """Bytes of partial sums moved a frame, and those of the largest tile."""
        moved, largest = np.zeros_like(self.made.size), np.zeros_like(self.made.size)
        for form in spatial.forms:
            points = form.rows[-1] * form.widths[-1]
            for size, count in self.made.parts:
                moved = moved + form.times * count * self.sum_bytes(points * size)
            largest = np.maximum(largest, self.sum_bytes(points * self.made.size))
        return 2 * (self.taken.tiles - 1) * moved, largest

    # Space

    def spatials(self) -> Iterator[_Spatial]:
        """Spatial tiles: the whole, then ever smaller ones; the halo kept or, where there is one, read again."""
        axes = spatial_axes(self.design, [self.stage])
        rows, columns = [_halves(n) for n in (*self.stage.tensor.spatial, 1, 1)[:2]]
        tiles = [Tile()]
        if axes > 0:
            tiles += [Tile(size) for size in rows]
        if axes > 1:
            tiles += [Tile(None, size) for size in columns]
            tiles += [Tile(rows[min(k, len(rows) - 1)], size) for k, size in enumerate(columns) if rows]
        for tile in tiles:
            kept = self.spatial(tile, "cache")
            yield kept
            if any(form.halo_bytes for form in kept.forms):
                yield self.spatial(tile, "reread")

    def spatial(self, tile: Tile, halo: Halo) -> _Spatial:
        rows, columns = (self.along(axis, size, halo) for axis, size in enumerate((tile.rows, tile.columns)))
        forms = tuple(self.form(by_rows, by_columns) for by_rows in rows for by_columns in columns)
        return _Spatial(tile, halo, forms)

    def along(self, axis: int, size: int | None, halo: Halo) -> tuple[_Part, ...]:
        """The forms of tile along an axis."""
        if size is None:
            extents = tuple(tensor.row_pixels if axis else tensor.rows for tensor in self.tensors)
            return (_Part(1, extents, (0,) * len(extents)),)
        if (axis, size, halo) not in self.known:
            tiles = ranges(self.design, [self.stage], axis, size, halo == "cache")
            nothing = np.zeros(tiles.tiles, np.int64)
            made = [np.maximum(end - begin, 0) for begin, end in (tiles.made[name] for name in self.names)]
            kept = [tiles.kept.get(name, nothing) for name in self.names]
            forms, times = np.unique(np.array([*made, *kept]), axis=1, return_counts=True)
            cut = len(self.names)
            self.known[axis, size, halo] = tuple(
                _Part(int(n), tuple(map(int, form[:cut])), tuple(map(int, form[cut:])))
                for form, n in zip(forms.T, times, strict=True)
            )
        return self.known[axis, size, halo]

    @cached_property
    def known(self) -> dict[tuple[int, int, Halo], tuple[_Part, ...]]:
        return {}

    def form(self, by_rows: _Part, by_columns: _Part) -> _Form:
        halo, bits = 0, self.design.accelerator.activation_bits
        for p, tensor in enumerate(self.tensors):
            halo += ceil_div(by_rows.kept[p] * tensor.row_pixels * tensor.channels * bits, 8)
            halo += ceil_div(by_columns.kept[p] * by_rows.sizes[p] * tensor.channels * bits, 8)
        return _Form(by_rows.times * by_columns.times, by_rows.sizes, by_columns.sizes, halo)

    # Cycles

    def compute_cycles(self, spatial: _Spatial) -> Ints:
        """Cycles a frame, as each tile runs by itself."""
        total = np.zeros_like(self.made.size)
        engine = self.design.accelerator.engine
        for form in spatial.forms:
            if self.nest is not None and isinstance(engine, SystolicEngine):
                total = total + form.times * self.folded_cycles(engine, self.nest, form)
            else:
                total = total + form.times * self.firings(spatial, form) * self.intervals
        return total

    def firings(self, spatial: _Spatial, form: _Form) -> Ints:
        """Of a tile of channels, by how many pixels go together."""
        together = np.array([stage.together for stage in self.unrolled], np.int64)
        if spatial.tile.is_whole:
            return self.stage.fired.pixels // together
        return form.rows[-1] * -(-form.widths[-1] // together)

    @cached_property
    def unrolled(self) -> tuple[Stage, ...]:
        """The stage as each tile of channels unrolls it."""
        if self.nest is None or self.stage.unroll is None:
            return (self.stage,) * len(self.made.tile)
        budget = self.design.accelerator.engine.multipliers
        tiles = zip(self.made.tile, self.taken.tile, strict=True)
        chosen = [tile_unroll(self.nest, Tile(outputs=int(a), inputs=int(b)), budget) for a, b in tiles]
        return tuple(replace(self.stage, unroll=u, together=u.pixels) for u in chosen)

    @cached_property
    def intervals(self) -> Ints:
        """Cycles in which the stage fires once for each tile of channels."""
        if self.nest is None:
            return np.array([self.stage.interval_cycles], np.int64)
        total = np.zeros_like(self.made.size)
        for (a, n), (b, m) in product(self.made.parts, self.taken.parts):
            rows = zip(self.unrolled, a, b, strict=True)
            cycles = [self.interval_of(stage, int(x), int(y)) if x and y else 0 for stage, x, y in rows]
            total = total + n * m * np.array(cycles, np.int64)
        return total

    def interval_of(self, stage: Stage, made: int, taken: int) -> int:
        return narrowed(self.design, stage, ChannelTile(made, taken, 0, False, True, True)).interval_cycles

    def fired(self, form: _Form) -> Tensor:
        """What the stage fires for in a tile."""
        whole = self.stage.fired
        if form.rows[-1] * form.widths[-1] == whole.pixels:
            return whole
        return Tensor(whole.channels, (form.rows[-1], form.widths[-1])[: len(whole.spatial)])

    def folded_cycles(self, engine: SystolicEngine, nest: LoopNest, form: _Form) -> Ints:
        """Cycles of all tiles of channels on a systolic array, spread evenly over their rows."""
        rows, total = form.rows[-1], np.zeros_like(self.made.size)
        pixels = shares(self.design.network, self.stage.group.node, self.fired(form), nest, alone=True)
        for (a, n), (b, m) in product(self.made.parts, self.taken.parts):
            made, groups = np.maximum(a, 1), np.maximum(self.groups * a // nest.outputs, 1)
            for k, (outputs, together, inputs) in enumerate(zip(made, groups, np.maximum(b, 1), strict=True)):
                part = replace(nest, inputs=int(inputs), outputs=int(outputs))
                foldings = channel_foldings(engine, part, int(together), pixels)
                total[k] += n[k] * m[k] * rows * ceil_div(sum(one.compute_cycles for one in foldings), rows)
        return total


def _whole_bytes(elements: Ints, bits: int) -> Ints:
    found: Ints = -(-elements * bits // 8)
    return found


def _steps(size: int) -> list[int]:
    """Divisors and powers of two below `size`, largest first."""
    powers = {2**k for k in range(size.bit_length()) if 2**k < size}
    return sorted(powers.union(divisors(size)) - {size}, reverse=True)


def _halves(size: int) -> list[int]:
    """Half of an axis, a quarter, and so on, rounded up."""
    most = min(size, MOST_ALONG)
    return list(dict.fromkeys(ceil_div(size, 2**k) for k in range(1, most.bit_length()) if 2**k <= most))


def _powers(size: int) -> list[int]:
    """Powers of two below `size`, largest first."""
    return [2**k for k in reversed(range(size.bit_length())) if 2**k < size]
