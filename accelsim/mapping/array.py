"""Products of matrices on a systolic array: how they are cut into folds, the cycles that takes, and what is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from accelsim.hardware.engine import SpatialEngine, SystolicEngine
from accelsim.mapping.shares import Share, shares
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Convolution, Product, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

Axis = Literal["pixels", "taps", "outputs"]


class Spread(NamedTuple):
    """The axes of a product that lie along the rows and columns of the array, and the one that passes in time."""

    rows: Axis
    columns: Axis
    stream: Axis


#: What stays in the array lies along its rows and columns; the third axis streams through it.
SPREADS: Mapping[str, Spread] = MappingProxyType(
    {
        "output-stationary": Spread("pixels", "outputs", "taps"),
        "weight-stationary": Spread("taps", "outputs", "pixels"),
        "input-stationary": Spread("taps", "pixels", "outputs"),
    }
)


@dataclass(frozen=True, slots=True)
class Folding:
    """Products of `pixels` x `taps` by `taps` x `outputs`, cut into folds of the array's R rows x C columns.

    There is one for each of `groups`, of channels or of operands. All of them follow each other in `bursts` equal
    runs, each of which finds the array empty and leaves it so. Where it `resumes`, there are sums of other taps.
    """

    engine: SystolicEngine
    pixels: int
    taps: int
    outputs: int
    groups: int = 1
    bursts: int = 1
    resumes: bool = False

    @property
    def spread(self) -> Spread:
        return SPREADS[self.engine.dataflow]

    @property
    def rows(self) -> int:
        """Of a product, along the rows of the array."""
        return self._size(self.spread.rows)

    @property
    def columns(self) -> int:
        """Of a product, along the columns of the array."""
        return self._size(self.spread.columns)

    @property
    def stream(self) -> int:
        """Steps of a product that pass through the array one after the other."""
        return self._size(self.spread.stream)

    @property
    def row_folds(self) -> int:
        return ceil_div(self.rows, self.engine.rows)

    @property
    def column_folds(self) -> int:
        return ceil_div(self.columns, self.engine.columns)

    @property
    def products(self) -> int:
        return self.groups * self.bursts

    @property
    def folds(self) -> int:
        """Of all products."""
        return self.products * self.row_folds * self.column_folds

    @property
    def compute_cycles(self) -> int:
        """Cycles from the first operand into the array to the last result, of all bursts.

        With T the stream, a fold takes T + R + C - 2 cycles: operands enter row r and column c so many cycles later.
        Where weights or inputs stay, they are loaded first, a row a cycle: R more. Folds `apart` follow each other so
        (SCALE-Sim, Samajdar et al., ISPASS 2020). Folds that `overlap` begin max(T, R) cycles after each other: a
        second register in every multiplier takes up what stays in the next fold, or passes on what the last one
        made, row by row, while the first is multiplied with. Results of an output-stationary fold that are still to
        be passed on when the last product is done, R cycles of them, are not counted.
        """
        rows, columns = self.engine.rows, self.engine.columns
        load = 0 if self.engine.dataflow == "output-stationary" else rows
        fold = load + self.stream + rows + columns - 2
        each = self.folds // self.bursts
        if self.engine.folds == "apart":
            return self.bursts * each * fold
        return self.bursts * (fold + (each - 1) * max(self.stream, rows))

    @property
    def mapped_share(self) -> float:
        """Multipliers that have work, of all in the array, on average over the folds."""
        whole = self.row_folds * self.engine.rows * self.column_folds * self.engine.columns
        return self.rows * self.columns / whole

    @property
    def input_reads(self) -> int:
        """Elements read from the first memory, again for every fold of outputs."""
        return self.products * self.pixels * self.taps * self._folds_along("outputs")

    @property
    def weight_reads(self) -> int:
        """Elements read from the first memory, again for every fold of pixels."""
        return self.products * self.taps * self.outputs * self._folds_along("pixels")

    @property
    def output_writes(self) -> int:
        """Results that leave the array: outputs, and before them a partial sum for every fold of taps but the last."""
        return self.products * self.pixels * self.outputs * self._folds_along("taps")

    @property
    def partial_sum_reads(self) -> int:
        """Partial sums read back and added to, so many of those written."""
        sums = self._folds_along("taps") - 1 + self.resumes
        return self.products * self.pixels * self.outputs * sums

    def _size(self, axis: Axis) -> int:
        size: int = getattr(self, axis)
        return size

    def _folds_along(self, axis: Axis) -> int:
        """Folds into which an axis is cut: what does not have it is read, or written, once for each."""
        return {self.spread.rows: self.row_folds, self.spread.columns: self.column_folds}.get(axis, 1)


def stage_foldings(
    net: Network, node: Node, engine: SpatialEngine | SystolicEngine, fired: Tensor, alone: bool
) -> tuple[Folding, ...]:
    """How a layer is folded for `fired`, its map or a tile of it; nothing on another engine, or without products."""
    nest = loop_nest(net, node)
    if nest is None or isinstance(engine, SpatialEngine):
        return ()
    return channel_foldings(engine, nest, channel_groups(node), shares(net, node, fired, nest, alone))


def channel_foldings(
    engine: SystolicEngine, nest: LoopNest, groups: int, pixels: Iterable[Share], resumes: bool = False
) -> tuple[Folding, ...]:
    """The foldings of a layer, or of a tile of its channels: each of its `groups` of channels is a product."""
    outputs = nest.outputs // groups
    return tuple(
        Folding(engine, share.pixels, nest.inputs * share.window, outputs, groups * share.times, share.bursts, resumes)
        for share in pixels
    )


def channel_groups(node: Node) -> int:
    """Independent products that a layer with multiplications is made of."""
    layer = node.layer
    return layer.groups if isinstance(layer, Convolution | TransposedConvolution | Product) else 1
