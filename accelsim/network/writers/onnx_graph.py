"""An ONNX graph under construction; every tensor has the layout (1, channels, *spatial)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from accelsim.network.tensor import Tensor

Shape = tuple[int, ...]


def layout(tensor: Tensor) -> Shape:
    """Shape of a map in the files written here."""
    return (1, tensor.channels, *tensor.spatial)


class Graph:
    """Operators and initializers in order; `shapes` knows every value's shape."""

    def __init__(self, reserved: Sequence[str]) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.shapes: dict[str, Shape] = {}
        self.prefix = ""
        self._taken = set(reserved)

    def unique(self, name: str) -> str:
        """`name`, or with a number behind it where it is taken."""
        candidate, number = name, 0
        while candidate in self._taken or not candidate:
            number += 1
            candidate = f"{name}/{number}"
        self._taken.add(candidate)
        return candidate

    def emit(self, operator: str, inputs: Sequence[str], shape: Shape, **attributes: Any) -> str:
        """Adds an operator whose one output has `shape`; the output's name."""
        name = self.unique(f"{self.prefix}/{operator}")
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        self.shapes[name] = shape
        return name

    def finish(self, value: str, name: str, reserved: bool = False) -> str:
        """Gives the newest operator's output the name `name`, if it is `value` and the name is free or `reserved`."""
        if (name in self._taken and not reserved) or not self.nodes or self.nodes[-1].output[0] != value:
            return value
        self._taken.add(name)
        self.nodes[-1].output[0] = name
        self.nodes[-1].name = name
        self.shapes[name] = self.shapes.pop(value)
        return name

    def constant(self, array: NDArray[np.generic], name: str = "constant") -> str:
        """An initializer of its own."""
        name = self.unique(f"{self.prefix}/{name}")
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.shapes[name] = array.shape
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def filled(self, shape: Shape, value: float, name: str) -> str:
        """A tensor of one value that takes no room in the file."""
        tensor = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
        name = self.unique(name)
        size = self.integers(shape)
        self.nodes.append(helper.make_node("ConstantOfShape", [size], [name], name=name, value=tensor))
        self.shapes[name] = shape
        return name

    def reshape(self, value: str, shape: Shape) -> str:
        if self.shapes[value] == shape:
            return value
        assert prod(shape) == prod(self.shapes[value])
        return self.emit("Reshape", [value, self.integers(shape)], shape)

    def transpose(self, value: str, order: Sequence[int]) -> str:
        """Moves axes; where only axes of size 1 move, that is a reshape."""
        before = self.shapes[value]
        after = tuple(before[axis] for axis in order)
        moved = [axis for axis in order if before[axis] > 1]
        if moved == sorted(moved):
            return self.reshape(value, after)
        return self.emit("Transpose", [value], after, perm=list(order))

    def channels_last(self, value: str) -> str:
        """(1, channels, *spatial) to (1, *spatial, channels)."""
        rank = len(self.shapes[value])
        return self.transpose(value, (0, *range(2, rank), 1))

    def channels_first(self, value: str) -> str:
        """(1, *spatial, channels) to (1, channels, *spatial)."""
        rank = len(self.shapes[value])
        return self.transpose(value, (0, rank - 1, *range(1, rank - 1)))

    def slice(self, value: str, axes: Sequence[int], starts: Sequence[int], sizes: Sequence[int], step: int = 1) -> str:
        """`sizes` elements of `axes` from `starts`, every `step`-th."""
        shape = list(self.shapes[value])
        for axis, size in zip(axes, sizes, strict=True):
            shape[axis] = size
        ends = [start + size * step for start, size in zip(starts, sizes, strict=True)]
        beyond_the_first = -(2**62)
        ends = [end if end >= 0 else beyond_the_first for end in ends]
        inputs = [value, *(self.integers(v) for v in (starts, ends, axes, [step] * len(list(axes))))]
        return self.emit("Slice", inputs, tuple(shape))

    def reduce(self, operator: str, value: str, axes: Sequence[int], keep: bool = True) -> str:
        """A reduction over `axes`, which stay with size 1 if `keep`."""
        shape = self.shapes[value]
        kept = tuple(1 if a in axes else n for a, n in enumerate(shape) if keep or a not in axes)
        return self.emit(operator, [value, self.integers(axes)], kept, keepdims=int(keep))

    def model(self, name: str, inputs: Sequence[tuple[str, Shape]], outputs: Sequence[tuple[str, Shape]]) -> Any:
        def declared(ports: Sequence[tuple[str, Shape]]) -> list[Any]:
            return [helper.make_tensor_value_info(port, TensorProto.FLOAT, list(shape)) for port, shape in ports]

        graph = helper.make_graph(
            self.nodes, name, declared(inputs), declared(outputs), initializer=list(self.initializers.values())
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="accelsim")


#: The first with Gelu, Mish and dilated average pooling; the IR version that came with it.
OPSET = 20
IR_VERSION = 9
#: A little below what a protocol buffer may have.
LARGEST_FILE_BYTES = 2**31 - 2**20


def write_model(model: Any, path: Path) -> None:
    """Saves `model`, its weights in a file beside it where one file cannot hold them."""
    if model.ByteSize() < LARGEST_FILE_BYTES:
        onnx.save_model(model, path)
    else:
        onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data")
