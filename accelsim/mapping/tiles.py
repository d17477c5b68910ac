"""Ways to run a stage in tiles: what each takes of the first memory, moves, and computes.

The figures are those of the passes that the segment then runs (`passes_of`), in closed form, since a stage can be
cut along rows, columns, output and input channels in thousands of ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.channels import ChannelTile, narrowed
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.pace import channel_groups
from accelsim.mapping.passes import SPARE_TOKENS, tile_pace
from accelsim.mapping.segment import Halo, Segment, Tile, Weights
from accelsim.mapping.tiling import Cut, cuts, spatial_axes
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.layers import Convolution, Dense, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div, divisors

#: Tiles a frame that are tried at most, along one axis and in all.
MOST_ALONG = 64
MOST_RUNS = 4096


@dataclass(frozen=True, slots=True)
class Option:
    """A way to run a segment.

    `demand_bytes` of the first memory are taken while it runs, resident weights not among them. A frame reads
    `read_bytes` of each map made elsewhere and writes `written_bytes` of each that crosses, in the order in which
    the segment names them, and moves `partial_bytes` of partial sums, off chip unless `sums_stay`. A visit
    loads `weight_bytes` and starts `runs` pipelines; the busiest stage works for `compute_cycles` a frame.
    """

    tile: Tile
    halo: Halo
    weights: Weights | None
    demand_bytes: int
    read_bytes: tuple[int, ...]
    written_bytes: tuple[int, ...]
    weight_bytes: int
    partial_bytes: int
    sums_stay: bool
    runs: int
    compute_cycles: int


def stage_options(design: Design, stage: Stage, room: int) -> list[Option]:
    """Ways to run `stage` by itself in `room` bytes of the first memory, those with few tiles first."""
    return [option for option in _StageTiles(design, stage).options() if option.demand_bytes <= room]


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
    """A spatial tile, its forms, and the firings of a frame."""

    tile: Tile
    halo: Halo
    forms: tuple[_Form, ...]
    firings: int

    @property
    def count(self) -> int:
        return sum(form.times for form in self.forms)


@dataclass(frozen=True, slots=True)
class _Channels:
    """Tiles of channels: sizes of output and input tiles with how many have them, the largest one's weights.

    A firing of each of them in turn takes `interval_cycles`.
    """

    outputs: int | None
    inputs: int | None
    made: tuple[tuple[int, int], ...]
    taken: tuple[tuple[int, int], ...]
    weight_bytes: int
    interval_cycles: int

    @property
    def is_whole(self) -> bool:
        return self.outputs is None and self.inputs is None

    @property
    def output_tiles(self) -> int:
        return sum(count for _, count in self.made)

    @property
    def input_tiles(self) -> int:
        return sum(count for _, count in self.taken)

    @property
    def count(self) -> int:
        return self.output_tiles * self.input_tiles


@dataclass(frozen=True)
class _StageTiles:
    """A stage that runs by itself, and all that its tiles have in common; maps are those it reads, then its own."""

    design: Design
    stage: Stage

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.design.edges if edge.consumer == self.stage.name)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (*dict.fromkeys(edge.producer for edge in self.edges), self.stage.name)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        by_name = {edge.producer: edge.tensor for edge in self.edges} | {self.stage.name: self.stage.tensor}
        return tuple(by_name[name] for name in self.names)

    @cached_property
    def tokens(self) -> tuple[tuple[int, int], ...]:
        """The map and the capacity of every buffer that the stage reads."""
        bounds = edge_bounds(self.design, "row", {self.stage.name})
        tokens: dict[str, tuple[int, int]] = {}
        for edge in self.edges:
            key = edge.name if self.design.accelerator.fork == "copy" else edge.producer
            capacity = max(bounds[edge.name] + SPARE_TOKENS, tokens.get(key, (0, 0))[1])
            tokens[key] = (self.names.index(edge.producer), capacity)
        return tuple(tokens.values())

    @cached_property
    def nest(self) -> LoopNest | None:
        return loop_nest(self.design.network, self.stage.group.node)

    @cached_property
    def groups(self) -> int:
        return channel_groups(self.stage.group.node)

    @cached_property
    def weights(self) -> int:
        return weight_bytes(self.design, self.stage)

    @property
    def bits(self) -> int:
        return self.design.accelerator.activation_bits

    def options(self) -> Iterator[Option]:
        for spatial in self.spatials():
            for channels in self.channels:
                few = spatial.count * channels.count <= MOST_RUNS
                if few and (spatial.tile.columns is None or channels.inputs is None):
                    yield from self.of_tile(spatial, channels)

    def of_tile(self, spatial: _Spatial, channels: _Channels) -> Iterator[Option]:
        """The options of a tile: how its weights are loaded, and what of inputs and partial sums stays."""
        frames = self.design.mapping.frames_per_visit
        buffers = max(self.buffer_bytes(form, channels) for form in spatial.forms)
        buffers += frames * max(form.halo_bytes for form in spatial.forms)
        once, again, one_tile = self.reads(spatial, channels)
        partial, one_sum = self.partial_sums(spatial, channels)
        written = (sum(form.times * self.made_bytes(form, channels) for form in spatial.forms),)
        modes = self.weight_modes(spatial, channels)
        stays = product((False, True) if partial else (False,), (False, True) if any(again) else (False,))
        for (weights, taken, loaded), (sums_stay, inputs_stay) in product(modes, stays):
            yield Option(
                tile=Tile(spatial.tile.rows, spatial.tile.columns, channels.outputs, channels.inputs),
                halo=spatial.halo,
                weights=weights,
                demand_bytes=buffers + taken + frames * (sums_stay * one_sum + inputs_stay * one_tile),
                read_bytes=once if inputs_stay else tuple(a + b for a, b in zip(once, again, strict=True)),
                written_bytes=written,
                weight_bytes=loaded,
                partial_bytes=partial,
                sums_stay=sums_stay,
                runs=spatial.count * channels.count,
                compute_cycles=self.compute_cycles(spatial, channels),
            )

    def weight_modes(self, spatial: _Spatial, channels: _Channels) -> list[tuple[Weights | None, int, int]]:
        """Ways to load weights: as the segment says it, bytes that they take, and bytes loaded a visit."""
        mode, tiles = self.design.accelerator.weights, spatial.count
        if mode == "resident":
            return [(None, 0, 0)]
        part, whole = channels.weight_bytes, self.weights
        if tiles == 1:
            return [(None, part, whole)]
        if mode == "frame":
            return [(None, whole, whole)]
        kept: tuple[Weights | None, int, int] = ("frame", whole, whole)
        return [kept, (None, part, tiles * whole)] if channels.count > 1 else [kept]

    def buffer_bytes(self, form: _Form, channels: _Channels) -> int:
        """Room of the buffers, of the dearest tile of channels."""
        last, most = channels.input_tiles - 1, 0
        frames = self.design.mapping.frames_per_visit
        spare = min(1 + SPARE_TOKENS, frames * form.rows[-1])
        for (made, _), k in product(channels.made, {0, min(1, last), last}):
            taken = channels.taken[-1 if k == last else 0][0]
            room = sum(
                min(tokens, frames * form.rows[p])
                * self.bytes_of(form.widths[p] * self.read_channels(p, made, taken, channels))
                for p, tokens in self.tokens
            )
            sums = spare * ceil_div(form.widths[-1] * made * self.design.accelerator.accumulator_bits, 8)
            stored = spare * self.bytes_of(form.widths[-1] * self.stored_channels(made, channels))
            most = max(most, room + (sums if k > 0 else 0) + (stored if k == last else sums))
        return most

    def bytes_of(self, elements: int) -> int:
        return ceil_div(elements * self.bits, 8)

    def read_channels(self, position: int, made: int, taken: int, channels: _Channels) -> int:
        if channels.is_whole:
            return self.tensors[position].channels
        assert self.nest is not None
        return taken if self.groups == 1 else self.tensors[position].channels * made // self.nest.outputs

    def stored_channels(self, made: int, channels: _Channels) -> int:
        if channels.is_whole:
            return self.stage.tensor.channels
        assert self.nest is not None
        return ceil_div(made, self.nest.outputs // self.stage.tensor.channels)

    def made_bytes(self, form: _Form, channels: _Channels) -> int:
        points = form.rows[-1] * form.widths[-1]
        return sum(n * self.bytes_of(points * self.stored_channels(made, channels)) for made, n in channels.made)

    def reads(self, spatial: _Spatial, channels: _Channels) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Bytes of each map read once, bytes read again where they do not stay, and bytes of one tile that does."""
        shared = self.groups == 1 or channels.is_whole
        kinds = [(channels.made[0][0], taken, n) for taken, n in channels.taken]
        if not shared:
            kinds = [(made, channels.taken[0][0], n) for made, n in channels.made]
        moved = [
            [
                sum(
                    n * self.bytes_of(form.rows[p] * form.widths[p] * self.read_channels(p, made, taken, channels))
                    for made, taken, n in kinds
                )
                for p in range(len(self.names) - 1)
            ]
            for form in spatial.forms
        ]
        once = tuple(
            sum(form.times * tile[p] for form, tile in zip(spatial.forms, moved, strict=True))
            for p in range(len(self.names) - 1)
        )
        times = channels.output_tiles - 1 if shared else 0
        return once, tuple(times * n for n in once), max(sum(tile) for tile in moved)

    def partial_sums(self, spatial: _Spatial, channels: _Channels) -> tuple[int, int]:
        """Bytes of partial sums moved a frame, and those of the largest tile."""
        rounds = channels.input_tiles - 1
        tiles = [
            (
                form.times * n,
                ceil_div(form.rows[-1] * form.widths[-1] * made * self.design.accelerator.accumulator_bits, 8),
            )
            for form in spatial.forms
            for made, n in channels.made
        ]
        return 2 * rounds * sum(n * size for n, size in tiles), max(size for _, size in tiles) if rounds else 0

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
        segment = Segment((self.stage.name,), tile, halo)
        rows, columns = (self.parts(segment, axis, size) for axis, size in enumerate((tile.rows, tile.columns)))
        forms = tuple(self.form(by_rows, by_columns) for by_rows in rows for by_columns in columns)
        return _Spatial(tile, halo, forms, self.firings(forms) if not tile.is_whole else self.whole_firings())

    def parts(self, segment: Segment, axis: int, size: int | None) -> list[_Part]:
        if size is None:
            return [_Part(1, tuple(self.extent(t, axis) for t in self.tensors), (0,) * len(self.tensors))]
        counted = Counter(self.sizes_and_kept(cut) for cut in cuts(self.design, segment, [self.stage], axis))
        return [_Part(count, sizes, kept) for (sizes, kept), count in counted.items()]

    def sizes_and_kept(self, cut: Cut) -> tuple[tuple[int, ...], tuple[int, ...]]:
        sizes = tuple(cut.made[name].size if name in cut.made else 0 for name in self.names)
        return sizes, tuple(cut.kept.get(name, 0) for name in self.names)

    @staticmethod
    def extent(tensor: Tensor, axis: int) -> int:
        return tensor.row_pixels if axis else tensor.rows

    def form(self, by_rows: _Part, by_columns: _Part) -> _Form:
        halo = 0
        for p, tensor in enumerate(self.tensors):
            halo += self.bytes_of(by_rows.kept[p] * tensor.row_pixels * tensor.channels)
            halo += self.bytes_of(by_columns.kept[p] * by_rows.sizes[p] * tensor.channels)
        return _Form(by_rows.times * by_columns.times, by_rows.sizes, by_columns.sizes, halo)

    def firings(self, forms: Sequence[_Form]) -> int:
        return sum(form.times * form.rows[-1] * self.row_firings(form.widths[-1]) for form in forms)

    def row_firings(self, width: int) -> int:
        return ceil_div(width, self.stage.together)

    def compute_cycles(self, spatial: _Spatial, channels: _Channels) -> int:
        """Cycles a frame; on a systolic array every tile is folded by itself."""
        if self.nest is None or not isinstance(self.design.accelerator.engine, SystolicEngine):
            return spatial.firings * channels.interval_cycles
        return sum(form.times * self.folded_cycles(form, channels) for form in spatial.forms)

    def folded_cycles(self, form: _Form, channels: _Channels) -> int:
        space = (form.rows[-1], form.widths[-1])[: len(self.stage.fired.spatial)]
        if form.rows[-1] * form.widths[-1] == self.stage.fired.pixels:
            space = self.stage.fired.spatial
        fired = Tensor(self.stage.fired.channels, space)
        pace = tile_pace(self.design, self.stage, fired)
        firings = fired.pixels // pace.together
        if channels.is_whole:
            return firings * pace.interval_cycles
        tile = replace(self.stage, fired=fired, interval_cycles=pace.interval_cycles, together=pace.together)
        return firings * self.interval(tile, channels.made, channels.taken)

    def whole_firings(self) -> int:
        return self.stage.fired.pixels // self.stage.together

    @cached_property
    def channels(self) -> tuple[_Channels, ...]:
        """Tiles of channels: all together, then ever smaller ones."""
        layer, nest = self.stage.group.node.layer, self.nest
        whole = _Channels(None, None, ((0, 1),), ((0, 1),), self.weights, self.stage.interval_cycles)
        if nest is None or not isinstance(layer, Convolution | TransposedConvolution | Dense):
            return (whole,)
        together = max(
            nest.outputs // self.stage.tensor.channels, nest.outputs // self.groups if self.groups > 1 else 1
        )
        outputs = [together * n for n in _steps(nest.outputs // together)]
        alone = [self.tiled(nest, size, None) for size in outputs]
        if self.groups > 1:
            return (whole, *alone)
        fewer: list[int | None] = [None, *(size for size in _powers(nest.outputs) if size % together == 0)]
        return (whole, *alone, *(self.tiled(nest, o, i) for o, i in product(fewer, _powers(nest.inputs))))

    def tiled(self, nest: LoopNest, outputs: int | None, inputs: int | None) -> _Channels:
        made, taken = _sizes(nest.outputs, outputs), _sizes(nest.inputs, inputs)
        interval = self.interval(self.stage, made, taken)
        return _Channels(outputs, inputs, made, taken, self.largest_share(nest, made, taken), interval)

    def interval(self, stage: Stage, made: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> int:
        """Cycles in which `stage` fires once for each tile of channels."""
        return sum(
            n * m * narrowed(self.design, stage, ChannelTile(a, b, 0, False, True, True)).interval_cycles
            for (a, n), (b, m) in product(made, taken)
        )

    def largest_share(self, nest: LoopNest, made: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> int:
        """Weights of the tile that has most, in whole bytes that add up."""
        outputs, inputs = (np.repeat(*np.array(sizes, np.int64).T) for sizes in (made, taken))
        done = np.cumsum(np.multiply.outer(outputs, inputs).ravel())
        shares = np.diff(self.weights * done // (nest.outputs * nest.inputs), prepend=0)
        return int(shares.max())


def _sizes(size: int, tile: int | None) -> tuple[tuple[int, int], ...]:
    """Sizes of the parts of an axis, with how many have them, in order."""
    full, rest = divmod(size, tile or size)
    return tuple((part, count) for part, count in ((tile or size, full), (rest, 1)) if part and count)


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
