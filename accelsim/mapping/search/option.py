"""Ways to run a segment, and their figures: one by one, or many in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.segments.segment import Halo, Tile, Weights

Ints = NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class Options:
    """Many options: tile, halo and weights of each, and their figures in columns."""

    ways: tuple[tuple[Tile, Halo, Weights | None], ...]
    demand_bytes: Ints
    read_bytes: tuple[Ints, ...]
    written_bytes: tuple[Ints, ...]
    weight_bytes: Ints
    partial_bytes: Ints
    sums_stay: Ints
    runs: Ints
    compute_cycles: Ints

    def __len__(self) -> int:
        return len(self.ways)

    def __getitem__(self, position: int) -> Option:
        return Option(
            *self.ways[position],
            demand_bytes=int(self.demand_bytes[position]),
            read_bytes=tuple(int(column[position]) for column in self.read_bytes),
            written_bytes=tuple(int(column[position]) for column in self.written_bytes),
            weight_bytes=int(self.weight_bytes[position]),
            partial_bytes=int(self.partial_bytes[position]),
            sums_stay=bool(self.sums_stay[position]),
            runs=int(self.runs[position]),
            compute_cycles=int(self.compute_cycles[position]),
        )


def columns(options: Sequence[Option]) -> Options:
    """`options`, one or more that read and write the same maps, side by side."""
    reads, writes = ([getattr(option, name) for option in options] for name in ("read_bytes", "written_bytes"))
    return Options(
        ways=tuple((option.tile, option.halo, option.weights) for option in options),
        demand_bytes=_column([option.demand_bytes for option in options]),
        read_bytes=tuple(_column(sizes) for sizes in zip(*reads, strict=True)),
        written_bytes=tuple(_column(sizes) for sizes in zip(*writes, strict=True)),
        weight_bytes=_column([option.weight_bytes for option in options]),
        partial_bytes=_column([option.partial_bytes for option in options]),
        sums_stay=_column([option.sums_stay for option in options]),
        runs=_column([option.runs for option in options]),
        compute_cycles=_column([option.compute_cycles for option in options]),
    )


def _column(figures: Sequence[int]) -> Ints:
    return np.array(figures, np.int64)


def joined(groups: Sequence[Options]) -> Options:
    """All options of `groups`, one or more that read and write the same maps."""
    return Options(
        ways=tuple(way for group in groups for way in group.ways),
        demand_bytes=np.concatenate([group.demand_bytes for group in groups]),
        read_bytes=tuple(np.concatenate(parts) for parts in zip(*(group.read_bytes for group in groups), strict=True)),
        written_bytes=tuple(
            np.concatenate(parts) for parts in zip(*(group.written_bytes for group in groups), strict=True)
        ),
        weight_bytes=np.concatenate([group.weight_bytes for group in groups]),
        partial_bytes=np.concatenate([group.partial_bytes for group in groups]),
        sums_stay=np.concatenate([group.sums_stay for group in groups]),
        runs=np.concatenate([group.runs for group in groups]),
        compute_cycles=np.concatenate([group.compute_cycles for group in groups]),
    )
