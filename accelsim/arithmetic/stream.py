"""Runs an integer network row by row, as the stages of a design would, through buffers of the mapped size.

Every stage fires its rows in order, as soon as the rows it reads are there and its output buffers have room. A slot
is taken by the row that is made and free once the last firing that reads it is over: the buffer is a ring of exactly
its capacity, and a row that is still needed cannot be overwritten. A reduction keeps sums, not rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelsim.arithmetic.encodings import Encoding, Stored
from accelsim.arithmetic.execute import Program, handed_over, program_of
from accelsim.arithmetic.formats import Array, Format
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.operations.place import as_real, place_of, rescaled
from accelsim.arithmetic.operations.pooling import check_sums, mean_of
from accelsim.arithmetic.rows import Reads, RowPlan, position, row_plan, row_shape, stacked, token_axes
from accelsim.errors import DeadlockError, InputError, NotModelled
from accelsim.mapping.design import Design, Stage
from accelsim.network.graph import Node
from accelsim.network.layers import Input, Reduce
from accelsim.network.reach import token_reach
from accelsim.network.tensor import Tensor

Ints = NDArray[np.int64]
#: Gives row `token` of an operand.
Fetch = Callable[[int, int], Array]


def run_streaming(inet: IntegerNetwork, design: Design, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """One frame by way of the design's buffers: outputs as their ports shape them.

    Raises `InputError` where the design is of another network or counts its buffers in other tokens than rows,
    `NotModelled` where it is not one pipeline, and `DeadlockError` with the buffers that are too small.
    """
    check_design(inet, design)
    return _Pipeline(inet, design, feeds).run()


def check_design(inet: IntegerNetwork, design: Design) -> None:
    if design.mapping.granularity != "row" and any(edge.capacity is not None for edge in design.edges):
        raise InputError(
            f"streaming runs row by row; the buffers of this design are counted in {design.mapping.granularity}s"
        )
    whole = all(stage.transfer is None and not stage.row_offset for stage in design.stages)
    if len(design.mapping.segments) > 1 or not whole or any(edge.reads != "window" for edge in design.edges):
        count = len(design.mapping.segments)
        raise NotModelled(
            f"{inet.name}: streaming runs designs of one pipeline; this one has {count} segments or moves parts of maps"
        )
    placed = [name for name, kind in inet.formats.items() if isinstance(kind, Encoding) and kind.scales.ndim > 1]
    if placed:
        raise NotModelled(f"{inet.name}: {placed[0]} has other scales in other rows, which streaming does not follow")
    mine, theirs = inet.network, design.network
    own = {node.name: (node.layer, node.inputs) for node in mine.nodes}
    others = {node.name: (node.layer, node.inputs) for node in theirs.nodes}
    if own == others and dict(mine.tensors) == dict(theirs.tensors):
        return
    differing = [name for name in [*own, *others] if own.get(name) != others.get(name)]
    raise InputError(
        f"the design is of another network than {inet.name}: {differing[0] if differing else theirs.name} differs; map "
        "the integer network's own graph, its attribute network"
    )


@dataclass
class _Ring:
    """A buffer of `rows`, row t in slot t modulo its capacity; `readers` say when a slot may be used again."""

    rows: Array
    edges: tuple[str, ...]
    written: int = 0
    readers: list[_Reader] = field(default_factory=list)

    @property
    def capacity(self) -> int:
        return len(self.rows)

    def has_room(self) -> bool:
        return self.written - min(reader.freed for reader in self.readers) < self.capacity

    def write(self, row: Array) -> None:
        self.rows[self.written % self.capacity] = row
        self.written += 1

    def read(self, token: int) -> Array:
        assert self.written - self.capacity <= token < self.written
        return np.asarray(self.rows[token % self.capacity])


@dataclass
class _Reader:
    """An operand of a stage: firing n waits for row `need[n]`; row t is free after firing `last_use[t]`."""

    ring: _Ring
    operand: int
    need: Ints
    last_use: Ints
    freed: int = 0

    def ready(self, firing: int) -> bool:
        return bool(self.ring.written > self.need[firing])

    def release(self, done: int) -> None:
        self.freed = int(np.searchsorted(self.last_use, done, "left"))


@dataclass
class _Stage:
    """`makes[n]` is the row that firing n puts out, -1 for none."""

    name: str
    makes: Ints
    fire: Callable[[int, Fetch], Array | None]
    readers: list[_Reader]
    rings: list[_Ring] = field(default_factory=list)
    kept: Array | None = None
    done: int = 0

    def may_fire(self) -> bool:
        if self.done == len(self.makes) or not all(reader.ready(self.done) for reader in self.readers):
            return False
        return self.makes[self.done] < 0 or all(ring.has_room() for ring in self.rings)

    def step(self) -> None:
        rings = {reader.operand: reader.ring for reader in self.readers}
        row = self.fire(self.done, lambda operand, token: rings[operand].read(token))
        if row is not None:
            for ring in self.rings:
                ring.write(row)
            if self.kept is not None:
                self.kept[self.makes[self.done]] = row
        self.done += 1
        for reader in self.readers:
            reader.release(self.done)


class _Pipeline:
    """All stages and rings of a design for one frame."""

    def __init__(self, inet: IntegerNetwork, design: Design, feeds: Mapping[str, Array]) -> None:
        self._inet, self._design, self._feeds = inet, design, feeds
        self._program: Program = program_of(inet)
        self._fixed = self._constants()
        self._rings = self._buffers()
        self._stages = [self._stage(stage) for stage in design.stages]

    def run(self) -> dict[str, Array]:
        waiting = set(range(len(self._stages)))
        while waiting:
            moved = False
            for index in sorted(waiting):
                stage = self._stages[index]
                while stage.may_fire():
                    stage.step()
                    moved = True
                if stage.done == len(stage.makes):
                    waiting.discard(index)
            if not moved:
                raise DeadlockError(self._deadlock())
        return self._outputs()

    def _constants(self) -> dict[str, Array]:
        """Tensors that no input reaches, made once."""
        values: dict[str, Array] = {}
        fixed = self._inet.network.constant_nodes
        for node in self._inet.network.nodes:
            if node.name in fixed:
                operands = [values[name] for name in node.inputs]
                values[node.name] = self._program.operations[node.name](node.layer, operands)
        return values

    def _dtype(self, name: str) -> np.dtype[np.generic]:
        kind = self._inet.formats.get(name)
        return np.dtype(np.float32) if kind is None else kind.type.dtype

    def _buffers(self) -> dict[str, _Ring]:
        """Rings by edge name; under a shared fork the edges of a producer have the same one."""
        shared = self._design.accelerator.fork == "shared"
        rings: dict[str, _Ring] = {}
        by_producer: dict[str, _Ring] = {}
        for edge in self._design.edges:
            made = by_producer.get(edge.producer) if shared else None
            if made is None:
                output = self._design.stage_by_name[edge.producer].group.output
                count = edge.tensor.rows if edge.capacity is None else min(edge.capacity, edge.tensor.rows)
                room = np.empty((count, *row_shape(edge.tensor)), self._dtype(output))
                names = tuple(e.name for e in self._design.edges if shared and e.producer == edge.producer)
                made = by_producer[edge.producer] = _Ring(room, names or (edge.name,))
            rings[edge.name] = made
        return rings

    def _stage(self, stage: Stage) -> _Stage:
        node, net = stage.group.node, self._inet.network
        readers = []
        for edge in (e for e in self._design.edges if e.consumer == stage.name):
            reader = _Reader(self._rings[edge.name], edge.operand, *self._flow(node, edge.operand))
            reader.ring.readers.append(reader)
            reader.release(0)
            readers.append(reader)
        made = _Stage(stage.name, self._makes(node), self._firing(stage), readers)
        seen: set[int] = set()
        for edge in (e for e in self._design.edges if e.producer == stage.name):
            ring = self._rings[edge.name]
            if id(ring) not in seen:
                seen.add(id(ring))
                made.rings.append(ring)
        if stage.group.output in net.output_nodes:
            tensor = net.tensors[stage.group.output]
            made.kept = np.empty((tensor.rows, *row_shape(tensor)), self._dtype(stage.group.output))
        return made

    def _makes(self, node: Node) -> Ints:
        net = self._inet.network
        if not isinstance(node.layer, Reduce):
            return np.arange(net.tensors[node.name].rows, dtype=np.int64)
        source = net.sources(node)[0]
        last = token_reach(node.layer, 0, (source,), net.tensors[node.name], "row").last
        makes = np.full(source.rows, -1, np.int64)
        makes[last] = np.arange(last.size)
        return makes

    def _flow(self, node: Node, operand: int) -> tuple[Ints, Ints]:
        """Newest row each firing waits for, and the last firing that reads each row."""
        net = self._inet.network
        inputs = net.sources(node)
        if isinstance(node.layer, Reduce):
            each = np.arange(inputs[operand].rows, dtype=np.int64)
            return each, each
        reach = token_reach(node.layer, operand, inputs, net.tensors[node.name], "row")
        held = np.minimum.accumulate(reach.first[::-1])[::-1]
        last_use = np.searchsorted(held, np.arange(inputs[operand].rows), side="right") - 1
        return np.maximum.accumulate(reach.last), last_use

    def _firing(self, stage: Stage) -> Callable[[int, Fetch], Array | None]:
        """What a firing of a stage does: its layer's row, and the point-wise layers that the row passes."""
        node, net = stage.group.node, self._inet.network
        if isinstance(node.layer, Input):
            rows = self._feeds[node.name].reshape(net.tensors[node.name].rows, *row_shape(net.tensors[node.name]))
            return lambda firing, fetch: np.asarray(rows[firing])
        first = self._reduction(node) if isinstance(node.layer, Reduce) else self._rows(node)
        passed = [(net.by_name[name], self._rows(net.by_name[name])) for name in stage.group.fused]
        makes = self._makes(node)

        def fire(firing: int, fetch: Fetch) -> Array | None:
            row, previous = first(firing, fetch), node.name
            if row is None:
                return None
            token = int(makes[firing])
            for member, function in passed:
                row = self._passed(member, previous, function, token, row)
                previous = member.name
            return row

        return fire

    def _passed(
        self, member: Node, source: str, function: Callable[[int, Fetch], Array], token: int, row: Array
    ) -> Array:
        operand = next(k for k, name in enumerate(member.inputs) if name not in self._fixed)
        assert member.inputs[operand] == source

        def fetch(k: int, wanted: int) -> Array:
            assert wanted == token
            return row

        return function(token, fetch)

    def _rows(self, node: Node) -> Callable[[int, Fetch], Array]:
        """A row of a layer from rows of its operands."""
        net, operation = self._inet.network, self._program.operations[node.name]
        inputs, output = net.sources(node), net.tensors[node.name]
        integers = all(isinstance(self._inet.formats.get(name), Format) for name in (*node.inputs, node.name))
        real = not integers or node.name in self._inet.real_nodes
        plan, place = row_plan(node.layer, inputs, output, real), place_of(self._inet, node)

        def make(token: int, fetch: Fetch) -> Array:
            if plan.in_padding(token):
                nothing = self._in_place([], Reads((range(0),), inputs[0]), inputs[0], place.operands[0])
                return np.asarray(operation(node.layer, [nothing]).reshape(output.rows, *row_shape(output))[token])
            parts = [self._part(node, plan, k, token, fetch) for k in range(len(inputs))]
            if plan.by_rows:
                return np.asarray(operation(plan.layer_at(token), parts).reshape(row_shape(output)))
            whole = operation(node.layer, parts)
            return np.asarray(whole.reshape(output.rows, *row_shape(output))[token])

        return make

    def _part(self, node: Node, plan: RowPlan, operand: int, token: int, fetch: Fetch) -> Array:
        """What a token reads of an operand; where the layer works on the whole, in its place among what it does not."""
        name, source = node.inputs[operand], plan.inputs[operand]
        reads = plan.reads(operand, token)
        wanted = reads.tokens.reshape(-1)
        if name in self._fixed:
            found = list(self._fixed[name].reshape(source.rows, *row_shape(source))[wanted])
        else:
            found = [fetch(operand, int(token)) for token in wanted]
        if plan.by_rows:
            return stacked(found, reads, row_shape(source), self._dtype(name))
        return self._in_place(found, reads, source, self._inet.formats.get(name))

    def _in_place(self, rows: list[Array], reads: Reads, source: Tensor, kind: Stored | None) -> Array:
        shape = (source.rows, *row_shape(source))
        nothing = kind.type.low if isinstance(kind, Format) else 0
        whole = np.full(shape, nothing, np.float32 if kind is None else kind.type.dtype)
        for row, token in zip(rows, reads.tokens.reshape(-1), strict=True):
            whole[token] = row
        return whole.reshape(*source.spatial, source.channels)

    def _reduction(self, node: Node) -> Callable[[int, Fetch], Array | None]:
        assert isinstance(node.layer, Reduce)
        place = place_of(self._inet, node)
        if node.layer.operation in ("maximum", "minimum"):
            source, whole = place.sources[0], place.operands[0]
            choose = np.maximum if node.layer.operation == "maximum" else np.minimum
            extreme = _Accumulation(node.layer, self._inet.network.sources(node)[0], choose, None)
            # Integers are compared as they are, all else as the real numbers it stands for.
            return lambda firing, fetch: _finished(
                extreme.add(firing, fetch(0, firing) if source is not None else as_real(fetch(0, firing), whole)),
                lambda total, counts: rescaled(place, total, source),
            )
        if node.layer.operation != "mean" or not place.in_integers:
            raise NotModelled(f"{place.name}: a reduction in real numbers is not executed row by row")
        summed, mean = place.sources[0], mean_of(place)
        assert summed is not None
        sums = _Accumulation(node.layer, self._inet.network.sources(node)[0], np.add, summed.zero_point[0])
        check_sums(place, summed, sums.largest)
        return lambda firing, fetch: _finished(sums.add(firing, fetch(0, firing)), mean)

    def _outputs(self) -> dict[str, Array]:
        net = self._inet.network
        kept = {stage.group.output: own.kept for stage, own in zip(self._design.stages, self._stages, strict=True)}
        made = {}
        for port in net.outputs:
            tensor = net.tensors[port.node]
            value = kept.get(port.node)
            value = self._fixed[port.node] if value is None else value
            made[port.name] = handed_over(self._inet, port, value.reshape(*tensor.spatial, tensor.channels))
        return made

    def _deadlock(self) -> str:
        """Every stage that has what it reads and no room for what it makes, with the buffers that are full."""
        told = []
        for stage in self._stages:
            if stage.done == len(stage.makes) or not all(reader.ready(stage.done) for reader in stage.readers):
                continue
            for ring in stage.rings:
                if not ring.has_room():
                    slow = min(ring.readers, key=lambda reader: reader.freed)
                    names = ", ".join(ring.edges)
                    told.append(
                        f"{stage.name} waits for space on {names} ({ring.capacity} of {ring.capacity} rows, row "
                        f"{slow.freed} is still needed)"
                    )
        return f"deadlock: {'; '.join(told)}"


def _finished(done: tuple[Array, Array] | None, finish: Callable[[Array, Array], Array]) -> Array | None:
    if done is None:
        return None
    total, counts = done
    return finish(total.reshape(-1, total.shape[-1]), counts).reshape(total.shape)


class _Accumulation:
    """Tiles that rows are added to as they come; a row of tiles is given out when its last row has come."""

    def __init__(self, layer: Reduce, source: Tensor, function: np.ufunc, zero: int | None) -> None:
        self._source, self._function, self._zero = source, function, zero
        self._sizes = layer.sizes(source)
        self._output = layer.output((source,))
        self._open: dict[tuple[int, ...], tuple[Array, Array]] = {}
        self._left: dict[tuple[int, ...], int] = {}

    @property
    def largest(self) -> int:
        """Most elements of a tile."""
        return int(np.prod(self._sizes))

    def add(self, token: int, row: Array) -> tuple[Array, Array] | None:
        """Takes a row in; totals and counts (points, or none) of the row of tiles that it completes, if any."""
        axes = token_axes(self._source)
        here = position(self._source, token)
        tile = tuple(c // s for c, s in zip(here, self._sizes, strict=False))
        part, counts = self._along_the_row(row)
        if tile in self._open:
            total, seen = self._open[tile]
            part, counts = self._function(total, part), seen + counts
        else:
            spans = zip(tile, self._sizes[:axes], self._source.spatial, strict=False)
            self._left[tile] = int(np.prod([min((t + 1) * s, n) - t * s for t, s, n in spans]))
        self._left[tile] -= 1
        if self._left[tile]:
            self._open[tile] = part, counts
            return None
        self._open.pop(tile, None)
        return part, counts

    def _along_the_row(self, row: Array) -> tuple[Array, Array]:
        """A row reduced to its tiles."""
        values = row if self._zero is None else row.astype(np.int64) - self._zero
        if len(self._source.spatial) < 2:
            return values, np.ones(1, np.int64)
        width, size = row.shape[0], self._sizes[-1]
        starts = np.arange(0, width, size)
        counts = np.minimum(starts + size, width) - starts
        return self._function.reduceat(values, starts, axis=0), counts
