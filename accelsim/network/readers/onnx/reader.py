"""From an ONNX file to a `Network`: every operator read in turn, all that cannot be read named at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from accelsim.errors import InputError, UnsupportedError, collected
from accelsim.network.graph import Network, Port, network
from accelsim.network.readers.onnx.builder import Builder, InputLayout, Unknown, Value, Weight
from accelsim.network.readers.onnx.declared import Readers, input_shapes, layout
from accelsim.network.readers.onnx.file import load_model, opsets, ordered
from accelsim.network.readers.onnx.folding import fold, foldable
from accelsim.network.readers.onnx.merging import simplify
from accelsim.network.readers.onnx.operator import NotReadable, Operator
from accelsim.network.readers.onnx.operators import OPERATORS
from accelsim.network.readers.onnx.rewriting import Rewriting
from accelsim.network.readers.onnx.tensors import Array, array_of
from accelsim.network.readers.onnx.values import constants
from accelsim.network.readers.onnx.view import View, laid_out
from accelsim.network.tensor import Tensor

#: Operators on a stored constant whose result is still that constant's values.
KEEPING = frozenset(("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Dropout"))

#: Operations on constants that are computed while reading.
LARGEST_REHEARSAL = 2**26

Scope = dict[str, Value]


def read_onnx(path: Path, input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None) -> Network:
    """Read an ONNX file of opset 7 or newer.

    `input_shape` fixes open dimensions, by input name where there are several inputs. One frame is
    read: an open batch is 1, a larger one is refused where a layer needs to know.
    Raises `UnsupportedError` with every operator that cannot be read, and `InputError` with every
    other fault of the file.
    """
    path = Path(path)
    return read_model(path, load_model(path), input_shape)


def read_model(
    path: Path, model: ModelProto, input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None = None
) -> Network:
    """The network of a model that was parsed from `path` already."""
    return _Reading(path, model).network(input_shape)


@dataclass
class _Reading:
    """One file being read; faults are gathered so that all are told at once."""

    path: Path
    model: ModelProto
    build: Builder = field(default_factory=Builder)
    unsupported: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    versions: Mapping[str, int] = field(default_factory=dict)

    def network(self, given: tuple[int, ...] | Mapping[str, tuple[int, ...]] | None) -> Network:
        graph = self.model.graph
        self.versions = opsets(self.model)
        scope = self._stored(graph)
        free = [entry for entry in graph.input if entry.name not in scope]
        order = ordered(str(self.path), graph, [*scope, *(entry.name for entry in free)])
        shapes = input_shapes(str(self.path), free, given)
        self.names.update(node.name for node in graph.node)
        self.build.taken.update(self.names, shapes)
        readers = Readers(graph)
        for name, shape in shapes.items():
            scope[name] = self.build.input(name, layout(name, shape, readers))
        self._read(order, scope)
        outputs = [self._output(entry.name, scope[entry.name]) for entry in graph.output]
        self._raise_faults()
        return self._checked([port for port in outputs if port is not None])

    def _raise_faults(self) -> None:
        if self.unsupported:
            raise UnsupportedError(str(self.path), self.unsupported)
        if self.faults:
            raise collected(self.faults)

    def _checked(self, outputs: Sequence[Port]) -> Network:
        inputs = [Port(name, name, own.shape, own.spatial, own.channels) for name, own in self.build.inputs.items()]
        graph = Rewriting(self.build.nodes, self.build.tensors, self.build.parameters, {port.node for port in outputs})
        simplify(graph)
        ports = [replace(port, node=graph.replaced.get(port.node, port.node)) for port in outputs]
        try:
            return network(self.path.stem, list(graph.nodes.values()), ports, inputs, graph.parameters)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _stored(self, graph: GraphProto) -> Scope:
        """Initializers of a graph by name."""
        scope: Scope = {}
        for tensor in graph.initializer:
            if tensor.name in scope:
                self.faults.append(f"{self.path}: initializer '{tensor.name}' is stored twice")
            scope[tensor.name] = self._weight(tensor, f"initializer {tensor.name}")
        for sparse in graph.sparse_initializer:
            self.unsupported.append(f"{sparse.values.name} (sparse initializer)")
            scope[sparse.values.name] = Unknown()
        return scope

    def _weight(self, tensor: TensorProto, title: str) -> Value:
        try:
            return Weight(array_of(tensor, self.path.parent), stored=True)
        except InputError as error:
            self.faults.append(f"{self.path}: {title}: {error}")
            return Unknown()

    def _read(self, nodes: Iterable[NodeProto], scope: Scope) -> None:
        for node in nodes:
            operator = self._operator(node)
            inputs = [scope[name] if name else None for name in operator.inputs]
            results = self._results(operator, inputs, scope)
            scope.update((name, value) for name, value in zip(operator.outputs, results, strict=False) if name)
            for position, name in enumerate(operator.outputs[len(results) :], len(results)):
                told = not results
                scope[name] = Unknown("" if told else f"output {position} of {operator.name} ({operator.label})")

    def _operator(self, node: NodeProto) -> Operator:
        """The node, named by its own name where no other has it, else by its first output."""
        outputs = tuple(node.output)
        name = node.name if node.name and self.names[node.name] == 1 and node.name not in self.build.inputs else ""
        domain = "" if node.domain == "ai.onnx" else node.domain
        return Operator(
            name or next((output for output in outputs if output), node.op_type),
            node.op_type,
            domain,
            tuple(node.input),
            outputs,
            {attribute.name: attribute for attribute in node.attribute},
            self.versions.get(domain, max(self.versions.get("", 0), 7)),
        )

    def _results(self, op: Operator, inputs: list[Value | None], scope: Scope) -> list[Value]:
        """Outputs of an operator; `Unknown` ones where it, or what it reads, cannot be read."""
        try:
            return self._converted(op, inputs, scope)
        except NotReadable as error:
            self.unsupported.append(f"{op.name} ({op.label}): {error}")
        except InputError as error:
            self.faults += [f"{self.path}: {op.name} ({op.label}): {line}" for line in str(error).splitlines()]
        return []

    def _converted(self, op: Operator, inputs: list[Value | None], scope: Scope) -> list[Value]:
        """Outputs of an operator whose inputs may be anything; none where one of them is unknown."""
        if op.domain == "" and op.kind in ("Constant", "If"):
            return [self._constant(op)] if op.kind == "Constant" else self._branch(op, inputs, scope)
        if op.domain != "" or (op.kind not in OPERATORS and not foldable(op.kind)):
            self.unsupported.append(f"{op.name} ({op.label})")
            return []
        unknown = [value for value in inputs if isinstance(value, Unknown)]
        return self._unread(unknown) if unknown else self._known(op, inputs)

    def _known(self, op: Operator, inputs: Sequence[Value | None]) -> list[Value]:
        """An operator whose inputs are known: folded where they are constant, a layer elsewhere."""
        constant = all(isinstance(value, Weight) for value in inputs if value is not None)
        if constant and foldable(op.kind):
            return self._folded(op, inputs, constants(inputs))
        if op.kind not in OPERATORS:
            raise NotReadable("of the network's input")
        if constant:
            return self._rehearsed(op, inputs)
        self.build.place = op.name
        inputs = [self.build.settled.get(value, value) if isinstance(value, View) else value for value in inputs]
        return OPERATORS[op.kind](op, inputs, self.build)

    def _unread(self, unknown: Sequence[Unknown]) -> list[Value]:
        """No outputs; secondary outputs that nothing needed until now are told as not supported."""
        reasons = [value.reason for value in unknown if value.reason]
        self.unsupported += [reason for reason in reasons if reason not in self.unsupported]
        return []

    def _folded(self, op: Operator, inputs: Sequence[Value | None], arrays: list[Array | None]) -> list[Value]:
        if op.kind == "ConstantOfShape":
            tensor = op.tensor("value")
            arrays = [*arrays[:1], None if tensor is None else array_of(tensor, self.path.parent)]
        first = inputs[0] if inputs else None
        stored = op.kind == "ConstantOfShape" or (op.kind in KEEPING and isinstance(first, Weight) and first.stored)
        return [Weight(array, stored) for array in fold(op, arrays)]

    def _rehearsed(self, op: Operator, inputs: Sequence[Value | None]) -> list[Value]:
        """An operator on constants that is a layer elsewhere: read as one to learn its size, then computed."""
        scratch = Builder(place=op.name)
        first = inputs[0] if inputs else None
        if not isinstance(first, Weight) or not first.array.size:
            raise NotReadable("on nothing but constants")
        channel = [1] if len(first.shape) > 2 else [len(first.shape) - 1] if first.shape else []
        spatial = tuple(axis for axis in range(len(first.shape)) if axis not in channel)
        source = scratch.input("constant", InputLayout(first.shape, spatial, tuple(channel), free=False))
        OPERATORS[op.kind](op, [source, *inputs[1:]], scratch)
        work = sum(
            node.layer.macs(tuple(scratch.tensors[name] for name in node.inputs), scratch.tensors[node.name])
            + scratch.tensors[node.name].elements
            for node in scratch.nodes.values()
        )
        if work > LARGEST_REHEARSAL:
            raise NotReadable(f"on constants, with {work:,} operations")
        return [Weight(array) for array in fold(op, constants(inputs))]

    def _constant(self, op: Operator) -> Value:
        """The value of a Constant node, in whichever attribute it is."""
        tensor = op.tensor("value")
        if tensor is not None:
            return Weight(array_of(tensor, self.path.parent), stored=True)
        for name, attribute in op.attributes.items():
            if name in ("value_int", "value_ints") and attribute.type in (AttributeProto.INT, AttributeProto.INTS):
                values = attribute.i if name == "value_int" else list(attribute.ints)
                return Weight(np.array(values, np.int64), stored=True)
            if name in ("value_float", "value_floats"):
                reals = op.real(name, 0.0) if name == "value_float" else op.reals(name)
                return Weight(np.array(reals, np.float32), stored=True)
        raise NotReadable(f"a constant given by {', '.join(op.attributes) or 'nothing'}")

    def _branch(self, op: Operator, inputs: Sequence[Value | None], scope: Scope) -> list[Value]:
        """The branch of an If whose condition is constant, as if it stood in its place."""
        condition = inputs[0] if inputs else None
        if isinstance(condition, Unknown):
            return []
        if not isinstance(condition, Weight) or condition.array.size != 1:
            raise NotReadable("a condition computed from the network's input")
        graph = op.graph("then_branch" if bool(condition.array.reshape(-1)[0]) else "else_branch")
        inner = scope | self._stored(graph)
        self.names.update(node.name for node in graph.node)
        self._read(ordered(f"{self.path}: {op.name}", graph, inner), inner)
        return [inner[output.name] for output in graph.output]

    def _output(self, name: str, value: Value) -> Port | None:
        """An output as the file shapes it; None where it could not be read."""
        if isinstance(value, Unknown):
            self._unread([value])
            return None
        self.build.place = f"{name}.output"
        if isinstance(value, Weight):
            value = self._constant_output(value)
        placed = _placed(value)
        if placed is None:
            rank = len(value.axes)
            channel = 1 if rank > 3 else rank - 1
            channels = [channel] if rank else []
            spatial = [axis for axis in range(rank) if axis != channel and value.axes[axis]]
            value = self.build.by_axes(value, spatial, channels)
            placed = tuple(spatial), tuple(channels)
        return Port(name, value.node, value.shape, *placed)

    def _constant_output(self, value: Weight) -> View:
        tensor = Tensor(value.array.size)
        if not value.array.size:
            raise InputError(f"{self.path}: output {self.build.place} is empty")
        node = self.build.constant(value.array.reshape(-1), tensor, trained=False)
        flat = laid_out(node, (value.array.size,), (), (0,)).reshaped(value.shape)
        assert flat is not None
        return flat


def _placed(view: View) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Axes of the file that are the node's space and channels, where it holds them whole and in order."""
    held = sorted((axis for axis in range(len(view.axes)) if view.axes[axis]), key=lambda axis: view.axes[axis])
    if list(chain.from_iterable(view.axes[axis] for axis in held)) != list(range(len(view.factors))):
        return None
    spatial = tuple(axis for axis in held if view.axes[axis][-1] < view.space)
    channels = tuple(axis for axis in held if view.axes[axis][0] >= view.space)
    return (spatial, channels) if len(spatial) + len(channels) == len(held) else None
