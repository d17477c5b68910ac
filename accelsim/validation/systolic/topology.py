"""Reading `topology_<network>.csv`: the layers of a network in SCALE-Sim's form, as layers of ours.

Sizes of maps include padding, and a window that the map ends in counts: a map of H rows has
ceil((H - kernel) / stride) + 1 rows of windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from accelsim.errors import InputError, collected
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Convolution, Dense, Input, Layer
from accelsim.network.window import output_size
from accelsim.validation.systolic.sheet import Line, read_sheet

MOST_SIZE = 2**24

#: Columns of convolutions, and of products of matrices; some have other names too.
CONVOLUTION = (
    ("layer_name", "layer", "name"),
    ("ifmap_height",),
    ("ifmap_width",),
    ("filter_height",),
    ("filter_width",),
    ("channels",),
    ("num_filter", "num_filters"),
    ("strides", "stride", "stride_height"),
)
PRODUCT = (("layer_name", "layer", "name"), ("m",), ("n",), ("k",))

#: Channels of layers that are listed channel by channel: more than any network has.
MOST_CHANNELS = 2**17

#: In the name of a layer: its channels are convolved one by one, and listed so.
CHANNEL_BY_CHANNEL = "DP"


@dataclass(frozen=True)
class TopologyLayer:
    """A layer, and the map that it reads."""

    name: str
    source: Input
    layer: Layer

    @property
    def is_split(self) -> bool:
        return CHANNEL_BY_CHANNEL in self.name and isinstance(self.layer, Convolution)

    def network(self) -> Network:
        """A network of this layer alone."""
        return network(self.name, [Node("input", self.source), Node("layer", self.layer, ("input",))], ["layer"])


@dataclass(frozen=True)
class Listing:
    """Layers in the order in which a table numbers them."""

    layers: tuple[TopologyLayer, ...]

    @cached_property
    def numbers(self) -> Mapping[str, tuple[int, ...]]:
        """Numbers of the layers of each name, from 0."""
        found: dict[str, list[int]] = {}
        for number, layer in enumerate(self.layers):
            found.setdefault(layer.name, []).append(number)
        return {name: tuple(numbers) for name, numbers in found.items()}


@dataclass(frozen=True)
class Topology:
    """The layers of a file, a line each."""

    layers: tuple[TopologyLayer, ...]

    @cached_property
    def listings(self) -> tuple[Listing, ...]:
        """As the lines have them, and as SCALE-Sim lists them, channel by channel where so named, if that differs."""
        channels = sum(layer.source.channels for layer in self.layers if layer.is_split)
        lines = Listing(self.layers)
        if not 0 < channels <= MOST_CHANNELS:
            return (lines,)
        return lines, Listing(tuple(one for layer in self.layers for one in _channels(layer)))


def read_topology(path: Path) -> Topology:
    """Raises `InputError` with everything that is no layer."""
    problems: list[str] = []
    lines: list[TopologyLayer] = []
    for line in _lines(path):
        try:
            lines.append(_checked(line, _layer(line)))
        except InputError as error:
            problems.append(str(error))
    if not lines and not problems:
        problems.append(f"{path}: it has no layers; give one a line")
    if problems:
        raise collected(problems)
    return Topology(tuple(lines))


def _lines(path: Path) -> Iterable[Line]:
    try:
        return read_sheet(path, CONVOLUTION)
    except InputError as error:
        try:
            return read_sheet(path, PRODUCT)
        except InputError:
            raise error from None


def _layer(line: Line) -> TopologyLayer:
    name = line.text(*CONVOLUTION[0])
    if not name:
        raise InputError(f"{line.place}: the layer has no name")
    if "m" in line.cells and "ifmap_height" not in line.cells:
        rows, outputs, inputs = (line.whole(size, 1, MOST_SIZE) for size in "mnk")
        return TopologyLayer(name, Input(inputs, (rows,)), Dense(outputs))
    _check_dense(line)
    sizes = (line.whole("ifmap_height", 1, MOST_SIZE), line.whole("ifmap_width", 1, MOST_SIZE))
    kernel = (line.whole("filter_height", 1, MOST_SIZE), line.whole("filter_width", 1, MOST_SIZE))
    channels, filters = line.whole("channels", 1, MOST_SIZE), line.whole("num_filter", 1, MOST_SIZE, "num_filters")
    down = line.whole("strides", 1, MOST_SIZE, "stride", "stride_height")
    across = line.whole("stride_width", 1, MOST_SIZE) if line.text("stride_width") else down
    for axis, size, taps in zip(("height", "width"), sizes, kernel, strict=True):
        if taps > size:
            raise InputError(
                f"{line.place}: filter_{axis} = {taps:,} is more than ifmap_{axis} = {size:,} ({name}); "
                "sizes of maps include padding"
            )
    stride = (down, across)
    padding = tuple((0, _partial(*axis)) for axis in zip(sizes, kernel, stride, strict=True))
    return TopologyLayer(name, Input(channels, sizes), Convolution(filters, kernel, stride, padding, (1, 1)))


def _checked(line: Line, made: TopologyLayer) -> TopologyLayer:
    """`made`, if there can be a network of it."""
    try:
        made.network()
    except InputError as error:
        raise InputError(f"{line.place}: {error}; make the layer smaller") from None
    return made


def _partial(size: int, kernel: int, stride: int) -> int:
    """Points that the last window has beyond the map."""
    windows = output_size(size, kernel, stride, 1, 0, ceil_mode=True)
    return max(0, (windows - 1) * stride + kernel - size)


def _check_dense(line: Line) -> None:
    ratio = line.text("sparsity", "sparsity_ratio", "sparsity_support")
    kept, colon, of = ratio.partition(":")
    if colon and kept.strip() != of.strip():
        raise InputError(f"{line.place}: sparsity = '{ratio[:40]}' is not modelled; use 1:1")


def _channels(made: TopologyLayer) -> Iterator[TopologyLayer]:
    if not made.is_split:
        yield made
        return
    for channel in range(made.source.channels):
        yield TopologyLayer(f"{made.name}Channel_{channel}", Input(1, made.source.spatial), made.layer)
