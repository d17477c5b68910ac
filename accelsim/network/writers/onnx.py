"""A network as an ONNX file: what the simulator sees, to be run and read by anything else."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from accelsim.errors import InputError, UnsupportedError
from accelsim.network.graph import Network, Node, Port
from accelsim.network.layers import Constant, Input
from accelsim.network.tensor import Tensor
from accelsim.network.writers.onnx_graph import Graph, Shape, layout, write_model
from accelsim.network.writers.onnx_layers import Place, export, misfit

#: What a weight without an array is filled with, so that normalising by it changes nothing; all others with 0.
UNTRAINED = {"scale": 1.0, "variance": 1.0}


def write_onnx(net: Network, path: str | Path) -> None:
    """Writes `net` as an ONNX model in single precision, opset 20.

    Ports keep their names and shapes. Weights without an array become a `ConstantOfShape`, so that a network
    known by its shapes only makes a small file that still runs. Inside, maps are channels first. `lp`
    reductions and pools have the exponent 2. Raises `UnsupportedError` naming every layer that ONNX has no
    form for, `InputError` where an input has the name of another output, or the file cannot be written.
    """
    problems = [
        f"{node.name} ({node.kind}): {rule}"
        for node in net.nodes
        if (rule := misfit(node.layer, net.sources(node), net.tensors[node.name])) is not None
    ]
    if problems:
        raise UnsupportedError(net.name, problems)
    declared = {port.name: port for port in net.inputs}
    clashes = [port.name for port in net.outputs if _layout_of(declared.get(port.name, port)) != _layout_of(port)]
    if clashes:
        raise InputError(f"{net.name}: {', '.join(clashes)}: an input has the name of this output")
    try:
        write_model(_Writer(net).model(), Path(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


class _Writer:
    """Walks the network once; `values` are the names that hold the nodes' results in the graph."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._graph = Graph([port.name for port in (*net.inputs, *net.outputs)])
        self._values: dict[str, str] = {}
        self._weights: dict[tuple[int | str, Shape], str] = {}
        self._offered = {port.name for port in net.inputs}
        self._plain = {port.node: port.name for port in net.outputs if self._is_plain(port)}

    def model(self) -> Any:
        for port in self._net.inputs:
            self._graph.shapes[port.name] = port.shape
            self._values[port.node] = self._from_port(port)
        for node in self._net.nodes:
            if not isinstance(node.layer, Input):
                self._values[node.name] = self._write(node)
        for port in self._net.outputs:
            self._to_port(port)
        declared = ([(port.name, port.shape) for port in ports] for ports in (self._net.inputs, self._net.outputs))
        return self._graph.model(self._net.name, *declared)

    def _write(self, node: Node) -> str:
        graph, tensor = self._graph, self._net.tensors[node.name]
        graph.prefix = node.name
        sources = self._net.sources(node)
        if isinstance(node.layer, Constant):
            return self._constant(node, tensor)
        values = tuple(self._values[name] for name in node.inputs)
        result = export(node.layer, Place(graph, values, sources, tensor, partial(self._weight, node)))
        assert graph.shapes[result] == layout(tensor)
        return graph.finish(result, self._plain.get(node.name, node.name), node.name in self._plain)

    def _is_plain(self, port: Port) -> bool:
        """Whether an output is declared just as the graph holds it."""
        axes = [axis for axis in _axes(port) if port.shape[axis] > 1]
        return port.shape == layout(self._net.tensors[port.node]) and axes == sorted(axes)

    def _constant(self, node: Node, tensor: Tensor) -> str:
        """The value as (1, *spatial, channels), moved to channels first."""
        value = self._net.parameters.get(f"{node.name}.value")
        if value is None:
            return self._graph.filled(layout(tensor), 0.0, node.name)
        last = value.astype(np.float32).reshape(1, *tensor.spatial, tensor.channels)
        return self._graph.constant(np.moveaxis(last, -1, 1), "value")

    def _weight(self, node: Node, name: str, shape: Shape) -> str:
        """The initializer of a weight, one for all nodes that share it."""
        array = self._net.parameters.get(f"{node.name}.{name}")
        owner = f"{node.shares or node.name}.{name}"
        key = (owner if array is None else id(array), shape)
        if key not in self._weights:
            self._weights[key] = (
                self._graph.filled(shape, UNTRAINED.get(name, 0.0), owner)
                if array is None
                else self._graph.constant(array.astype(np.float32).reshape(shape), name)
            )
        return self._weights[key]

    def _from_port(self, port: Port) -> str:
        """From the declared shape to channels first: the port's axes of neither kind have size 1 and go first."""
        graph, tensor = self._graph, self._net.tensors[port.node]
        graph.prefix = port.name
        return graph.reshape(graph.transpose(port.name, _axes(port)), layout(tensor))

    def _to_port(self, port: Port) -> None:
        if port.name in self._offered or self._values[port.node] == port.name:
            return
        graph, axes = self._graph, _axes(port)
        graph.prefix = port.name
        split = graph.reshape(self._values[port.node], tuple(port.shape[axis] for axis in axes))
        moved = graph.transpose(split, [axes.index(axis) for axis in range(len(axes))])
        graph.nodes.append(helper.make_node("Identity", [moved], [port.name], name=graph.unique(port.name)))


def _layout_of(port: Port) -> tuple[str, Shape, list[int]]:
    """What tells two declarations of one tensor apart."""
    return port.node, port.shape, [axis for axis in _axes(port) if port.shape[axis] > 1]


def _axes(port: Port) -> list[int]:
    """The axes of a port: those of neither kind, then channels, then space."""
    named = (*port.channel_axes, *port.spatial_axes)
    return [*(axis for axis in range(len(port.shape)) if axis not in named), *named]
