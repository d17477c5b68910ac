"""Any layer one output token at a time: which rows it reads, and the layer that makes one row of them.

A token is a row as `Tensor.rows` counts them: a line of the last axis, or a point where there is but one axis. The
axes that tokens are counted along are all but the last, or that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np

from accelsim.arithmetic.formats import Array
from accelsim.network import layers as kinds
from accelsim.network.layers import Inputs, Layer
from accelsim.network.reach import spans, token_reach
from accelsim.network.tensor import Tensor
from accelsim.network.window import Span


def token_axes(tensor: Tensor) -> int:
    """How many leading axes tokens are counted along."""
    return len(tensor.spatial) - (len(tensor.spatial) > 1)


def row_shape(tensor: Tensor) -> tuple[int, ...]:
    """Shape of a token's values, channels innermost."""
    return (*tensor.spatial[token_axes(tensor) :], tensor.channels)


def position(tensor: Tensor, token: int) -> tuple[int, ...]:
    """Coordinates of a token along its axes."""
    return (
        tuple(int(c) for c in np.unravel_index(token, tensor.spatial[: token_axes(tensor)])) if tensor.spatial else ()
    )


@dataclass(frozen=True)
class Reads:
    """What one output token reads of an operand: for each token axis a run of coordinates, which may be empty."""

    runs: tuple[range, ...]
    source: Tensor

    @property
    def tokens(self) -> Array:
        """The tokens read, in the shape of the runs."""
        grids = np.meshgrid(*(np.array(run, np.int64) for run in self.runs), indexing="ij")
        sizes = self.source.spatial[: len(self.runs)]
        if not grids:
            return np.zeros((), np.int64)
        return np.asarray(sum(g * int(np.prod(sizes[k + 1 :])) for k, g in enumerate(grids)), np.int64)


@dataclass(frozen=True)
class RowPlan:
    """How the rows of one layer are made.

    `layer_at` is the layer that makes one token of what it reads, None where a token is cut out of the whole output.
    """

    layer: Layer
    inputs: Inputs
    output: Tensor
    axes: tuple[tuple[Span, ...], ...]
    by_rows: bool

    def reads(self, operand: int, token: int) -> Reads:
        """What `token` reads of an operand."""
        source = self.inputs[operand]
        if not self.by_rows:
            return self._reads_range(operand, token)
        here = position(self.output, token)
        outer = (1,) * (len(source.spatial) - len(self.output.spatial)) + self.output.spatial
        shift = len(outer) - len(source.spatial)
        rows_out = token_axes(self.output)
        lead = len(outer) - len(self.output.spatial)
        runs = []
        for axis in range(token_axes(source)):
            span, along = self.axes[operand][axis], axis + shift - lead
            if 0 <= along < rows_out:
                runs.append(range(int(span.first[here[along]]), int(span.last[here[along]]) + 1))
            else:
                runs.append(range(int(span.first.min()), int(span.last.max()) + 1))
        return Reads(tuple(runs), source)

    def _reads_range(self, operand: int, token: int) -> Reads:
        """All tokens from the first to the last that is read, as one run."""
        source = self.inputs[operand]
        reach = token_reach(self.layer, operand, self.inputs, self.output, "row")
        flat = Tensor(source.channels, (source.rows, source.row_pixels))
        return Reads((range(int(reach.first[token]), int(reach.last[token]) + 1),), flat)

    def in_padding(self, token: int) -> bool:
        """Whether the window of a token lies in the padding altogether."""
        if not isinstance(self.layer, kinds.Convolution | kinds.TransposedConvolution | kinds.Pool):
            return False
        reach = token_reach(self.layer, 0, self.inputs, self.output, "row")
        return bool(reach.last[token] < reach.first[token])

    def layer_at(self, token: int) -> Layer:
        """The layer whose output on what `token` reads is that token alone."""
        return one_row(self.layer, self, token)


def row_plan(layer: Layer, inputs: Inputs, output: Tensor, real: bool) -> RowPlan:
    """`real` layers with sums are cut out of the whole, since sums of real numbers depend on the shape they are in."""
    summing = isinstance(layer, kinds.Convolution | kinds.TransposedConvolution | kinds.Dense | kinds.Product)
    whole = isinstance(layer, kinds.Rearrange) or (isinstance(layer, kinds.Resize) and layer.mode != "nearest")
    whole |= isinstance(layer, kinds.Softmax | kinds.Normalise) and layer.over != "channels"
    whole |= isinstance(layer, kinds.Pool) and layer.ceil_mode
    if whole or (real and summing):
        return RowPlan(layer, inputs, output, ((),) * len(inputs), by_rows=False)
    axes = tuple(spans(layer, operand, inputs, output) for operand in range(len(inputs)))
    return RowPlan(layer, inputs, output, axes, by_rows=True)


@singledispatch
def one_row(layer: Layer, plan: RowPlan, token: int) -> Layer:
    """By default a layer makes a row of a row as it makes a map of a map."""
    return layer


def _windowed(layer: kinds.Convolution | kinds.Pool, plan: RowPlan, token: int) -> Layer:
    """The window of one token: what of it lies outside the map is padding."""
    here, count = position(plan.output, token), token_axes(plan.output)
    reads = plan.reads(0, token).runs
    padding, stride = list(layer.padding), list(layer.stride)
    for axis in range(count):
        start = here[axis] * layer.stride[axis] - layer.padding[axis][0]
        run, reach = reads[axis], layer.dilation[axis] * (layer.kernel[axis] - 1) + 1
        before = run.start - start
        padding[axis] = (before, reach - before - len(run))
        stride[axis] = 1
    return replace(layer, padding=tuple(padding), stride=tuple(stride))


@one_row.register
def _(layer: kinds.Convolution, plan: RowPlan, token: int) -> Layer:
    return _windowed(layer, plan, token)


@one_row.register
def _(layer: kinds.Pool, plan: RowPlan, token: int) -> Layer:
    return _windowed(layer, plan, token)


@one_row.register
def _(layer: kinds.TransposedConvolution, plan: RowPlan, token: int) -> Layer:
    here, reads = position(plan.output, token), plan.reads(0, token).runs
    padding, extra = list(layer.padding), list(layer.output_padding)
    for axis in range(token_axes(plan.output)):
        stride, run = layer.stride[axis], reads[axis]
        before = layer.padding[axis][0] + here[axis] - run.start * stride
        reach = (len(run) - 1) * stride + layer.dilation[axis] * (layer.kernel[axis] - 1)
        padding[axis], extra[axis] = (before, reach - before), 0
    return replace(layer, padding=tuple(padding), output_padding=tuple(extra))


@one_row.register
def _(layer: kinds.Combine, plan: RowPlan, token: int) -> Layer:
    count = token_axes(plan.output)
    rows = tuple((1,) * count + own[count:] if own else () for own in layer.repeat)
    return replace(layer, repeat=rows)


@one_row.register
def _(layer: kinds.Slice, plan: RowPlan, token: int) -> Layer:
    return replace(layer, start=0, size=1, step=1) if 0 <= layer.axis < token_axes(plan.output) else layer


@one_row.register
def _(layer: kinds.Pad, plan: RowPlan, token: int) -> Layer:
    reads = plan.reads(0, token).runs
    rows = tuple((1 - len(run), 0) for run in reads)
    return replace(layer, padding=(*rows, *layer.padding[len(rows) :]))


@one_row.register
def _(layer: kinds.Resize, plan: RowPlan, token: int) -> Layer:
    count = token_axes(plan.output)
    return replace(layer, spatial=(1,) * count + layer.spatial[count:])


def stacked(rows: Sequence[Array], reads: Reads, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    """Rows read, as an array (*runs, *row shape)."""
    sizes = tuple(len(run) for run in reads.runs)
    if not rows:
        return np.empty((*sizes, *shape), dtype)
    return np.stack(rows).reshape(*sizes, *shape)
