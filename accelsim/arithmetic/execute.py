"""Runs an integer network on whole tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from accelsim.arithmetic.encodings import Stored
from accelsim.arithmetic.formats import Array
from accelsim.arithmetic.network import IntegerNetwork
from accelsim.arithmetic.operations.place import Operation, as_real, place_of
from accelsim.arithmetic.operations.prepare import prepared
from accelsim.errors import InputError, collected
from accelsim.network.graph import Node, Port
from accelsim.network.layers import Input

if TYPE_CHECKING:
    from accelsim.mapping.design import Design

Arrays = Mapping[str, Array]


def execute(
    inet: IntegerNetwork, x: Array | Arrays, threads: int = 1, streaming: Design | None = None
) -> dict[str, Array]:
    """Outputs by name, as the file declares them, for `x`: the only input's array, or arrays by input name.

    Numbers of types that NumPy has not come in the smallest one that holds them all, such as int8 or float16; constants
    that a file gives out are integers of up to 32 bits as they are stored, or in single precision.
    An array has the declared shape and type, or along the first axis several frames where that is 1 and no axis of
    the tensor; outputs then have as many. Raises `InputError` for arrays of another shape or type, values outside
    an input's format, NaN, and sums that overflow an accumulator that refuses to.

    `threads` is how many one layer may use. With `streaming`, a design of the network's own graph, it runs row by
    row through buffers of the capacities given there, with the same result or a `DeadlockError` that names them.
    """
    if not isinstance(inet, IntegerNetwork):
        made = "quantise makes one, load_integer_network reads one"
        raise InputError(f"{type(inet).__name__} where an integer network is expected: {made}")
    run = _streamed(inet, streaming) if streaming is not None else program_of(inet, threads).run
    frames = [run(frame) for frame in each_frame(inet, checked_feeds(inet, x))]
    return {port.name: joined([frame[port.name] for frame in frames]) for port in inet.network.outputs}


def _streamed(inet: IntegerNetwork, design: Design) -> Callable[[Arrays], dict[str, Array]]:
    from accelsim.arithmetic.stream import run_streaming
    from accelsim.mapping.design import Design

    if not isinstance(design, Design):
        raise InputError(f"streaming = {design!r} is no design; map_network makes one")
    return lambda frame: run_streaming(inet, design, frame)


def joined(frames: Sequence[Array]) -> Array:
    return frames[0] if len(frames) == 1 else np.concatenate(frames)


@dataclass(frozen=True, eq=False)
class Program:
    """A network with its operations prepared: weights packed, tables made."""

    inet: IntegerNetwork
    threads: int = 1

    @cached_property
    def operations(self) -> dict[str, Operation]:
        nodes = (node for node in self.inet.network.nodes if not isinstance(node.layer, Input))
        return {node.name: prepared(place_of(self.inet, node, self.threads)) for node in nodes}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One frame: outputs as their ports shape them."""
        values = self.tensors(feeds, {port.node for port in self.inet.network.outputs})
        return {port.name: handed_over(self.inet, port, values[port.node]) for port in self.inet.network.outputs}

    def tensors(self, feeds: Arrays, kept: set[str]) -> dict[str, Array]:
        """Tensors (*spatial, channels) of the nodes in `kept`."""
        return {node.name: value for node, _, value in self.steps(feeds) if node.name in kept}

    def steps(self, feeds: Arrays) -> Iterator[tuple[Node, list[Array], Array]]:
        """Every node with its operands and output, in topological order; tensors are let go after their last reader."""
        net = self.inet.network
        values: dict[str, Array] = {}
        left = {node.name: len(net.consumers[node.name]) for node in net.nodes}
        for node in net.nodes:
            operands = [values[name] for name in node.inputs]
            given = isinstance(node.layer, Input)
            values[node.name] = feeds[node.name] if given else self.operations[node.name](node.layer, operands)
            yield node, operands, values[node.name]
            for name in node.inputs:
                left[name] -= 1
                if not left[name]:
                    values.pop(name, None)


def program_of(inet: IntegerNetwork, threads: int = 1) -> Program:
    """The prepared form of a network for a number of threads, made once. Raises `InputError` for no such number."""
    if not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads = {threads!r} is no whole number from 1")
    made: dict[int, Program] = inet.__dict__.setdefault("_programs", {})
    if threads not in made:
        made[threads] = Program(inet, threads)
    return made[threads]


def checked_feeds(inet: IntegerNetwork, x: Array | Arrays) -> dict[str, Array]:
    """Arrays by input name, of the declared shapes but for the number of frames."""
    ports = inet.network.inputs
    if not isinstance(x, Mapping):
        if len(ports) != 1:
            raise InputError(
                f"{inet.name}: {len(ports)} inputs; give arrays by name: {', '.join(p.name for p in ports)}"
            )
        x = {ports[0].name: x}
    wanted = [port.name for port in ports]
    problems = [f"{inet.name}: input '{name}' is missing" for name in wanted if name not in x]
    others = (name for name in x if name not in wanted)
    problems += [f"{inet.name}: no input '{name}'; inputs are {', '.join(wanted)}" for name in others]
    problems += [problem for port in ports if port.name in x for problem in _shape_problems(inet, port, x[port.name])]
    if not problems and len({len(np.asarray(x[p.name])) for p in ports if has_frames(p)}) > 1:
        problems.append(f"{inet.name}: inputs have different numbers of frames")
    if problems:
        raise collected(problems)
    return {name: np.asarray(array) for name, array in x.items()}


def has_frames(port: Port) -> bool:
    """Whether the first declared axis counts frames."""
    return bool(port.shape) and port.shape[0] == 1 and 0 not in (*port.spatial_axes, *port.channel_axes)


def _shape_problems(inet: IntegerNetwork, port: Port, array: Array) -> list[str]:
    place = f"{inet.name}: input {port.name}"
    if not isinstance(array, np.ndarray):
        return [f"{place}: {type(array).__name__} where an array is expected"]
    several = has_frames(port) and array.ndim == len(port.shape) and array.shape[0] > 0
    if tuple(array.shape[several:]) != port.shape[several:]:
        return [f"{place}: shape {array.shape}, declared is {port.shape}"]
    return []


def each_frame(inet: IntegerNetwork, feeds: Arrays) -> Iterator[dict[str, Array]]:
    """Input tensors by node, a frame at a time."""
    ports = inet.network.inputs
    counts = [len(feeds[port.name]) for port in ports if has_frames(port)]
    for frame in range(counts[0] if counts else 1):
        yield {
            port.node: taken_in(
                inet, port, feeds[port.name][frame : frame + 1] if has_frames(port) else feeds[port.name]
            )
            for port in ports
        }


def taken_in(inet: IntegerNetwork, port: Port, array: Array) -> Array:
    """An input's array as its node's tensor (*spatial, channels), checked and quantised."""
    tensor = inet.network.tensors[port.node]
    rest = [axis for axis in range(len(port.shape)) if axis not in (*port.spatial_axes, *port.channel_axes)]
    canonical = array.transpose((*rest, *port.spatial_axes, *port.channel_axes))
    values = np.ascontiguousarray(canonical).reshape(*tensor.spatial, tensor.channels)
    return _converted(
        f"{inet.name}: input {port.name}", values, inet.ports.get(port.name), inet.formats.get(port.node), inet
    )


def _converted(place: str, values: Array, given: Stored | None, wanted: Stored | None, inet: IntegerNetwork) -> Array:
    if given is not None:
        values = given.checked(place, values)
    elif values.dtype.kind not in "f":
        raise InputError(f"{place}: values of type {values.dtype} where real numbers (float32) are expected")
    else:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            raise InputError(f"{place}: values that are not finite in single precision")
    if given == wanted:
        return values
    reals = as_real(values, given)
    return reals if wanted is None else wanted.nearest(reals, "away" if inet.requantiser == "fixed_point" else "even")


def handed_over(inet: IntegerNetwork, port: Port, values: Array) -> Array:
    """An output's tensor as the file declares its shape and type."""
    given, wanted = inet.formats.get(port.node), inet.ports.get(port.name)
    if given != wanted:
        reals = as_real(values, given)
        values = reals if wanted is None else wanted.nearest(reals)
    rest = [axis for axis in range(len(port.shape)) if axis not in (*port.spatial_axes, *port.channel_axes)]
    order = (*rest, *port.spatial_axes, *port.channel_axes)
    split = values.reshape([port.shape[axis] for axis in order])
    return np.asarray(split.transpose(np.argsort(order)), order="C")
