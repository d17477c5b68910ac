"""From a design to a chain of blocks, word by word.

A convolution is padding, a window, a matrix unit (a vector unit where it is depthwise) and thresholds; a dense layer
or a 1x1 convolution needs no window. What several stages read is forked, an element-wise operation joins. On an
edge comes a queue, and a converter where the words of both ends differ in width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm, prod
from types import MappingProxyType
from typing import NamedTuple

from accelsim.errors import InputError, NotModelled
from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.unrolling import Unroll
from accelsim.network.layers import Activation, BatchNorm, Combine, Convolution, Dense, Input, PRelu
from accelsim.network.tensor import Tensor
from accelsim.timing.words.blocks import Block, Converter, Fifo, Fork, Join, Matrix, Padding, Tap, Threshold, Window
from accelsim.timing.words.chain import Chain, Placed, Traffic, chain
from accelsim.units import divisors

#: Depth of a queue that nothing fills.
UNBOUNDED = 2**40


class Part(NamedTuple):
    """A block of a stage, and what it is there for."""

    role: str
    block: Block


@dataclass(frozen=True)
class Stream:
    """A stage as blocks in a row, for words of `takes` channels to words of `gives`; `core` does its work."""

    stage: Stage
    parts: tuple[Part, ...]
    takes: int
    gives: int
    core: str


@dataclass(frozen=True)
class WordDesign:
    """A design as blocks: the whole chain, its stages as streams, and what is where in the chain by name."""

    design: Design
    constants: StreamBlocks
    chain: Chain
    streams: Mapping[str, Stream]
    outputs: Mapping[str, str]

    def core(self, stage: str) -> str | None:
        """Name of the block that does a stage's work; None for sources."""
        stream = self.streams[stage]
        return f"{stage}.{stream.core}" if stream.core else None


def lower_words(design: Design, source: str, pace_cycles: int, unbounded: bool = False) -> WordDesign:
    """`design` as a chain of blocks, its sources "greedy" or "paced" at a frame in `pace_cycles`.

    Queues have the capacity of their edge; where there is none, the machine's `fifo_depth`, or room for all that
    comes. Where `unbounded`, all queues that there are have. Raises `NotModelled` with every layer and unrolling
    that no block does.
    """
    constants = stream_blocks(design)
    streams = _streams(design, constants)
    builder = _Builder(design, constants, streams, unbounded)
    for stage in design.stages:
        builder.place(streams[stage.name])
    pace = pace_cycles if source == "paced" else 0
    sources = [Traffic(f"{s.name}.out", pace_cycles=pace) for s in design.stages if s.is_source]
    words = {f"{s.name}.out": s.tensor.elements // streams[s.name].gives for s in design.stages if s.is_source}
    sinks = [Traffic(link) for link in builder.sinks.values()]
    made = chain(builder.placed, words, sources, sinks)
    return WordDesign(design, constants, made, MappingProxyType(streams), MappingProxyType(builder.outputs))


def stream_blocks(design: Design) -> StreamBlocks:
    """The blocks of the design's machine; raises `InputError` where it has none."""
    blocks = design.accelerator.blocks
    if blocks is None:
        raise InputError(
            f"granularity word needs blocks, and {design.accelerator.name} describes none; use fpga-stream, "
            "or give the machine a section 'blocks'"
        )
    return blocks


def given_channels(design: Design, edge: Edge) -> int:
    """Channels of a word in the queue of an edge."""
    return _streams(design, stream_blocks(design))[edge.producer].gives


def alone(stream: Stream, given: int, elements: int) -> Chain:
    """A stage by itself behind the converters of its edge, its source and sink always ready.

    `given` is how many channels a word has that comes, of `elements` elements a frame.
    """
    placed, link = [], "in"
    for name, block in converters(given, stream.takes):
        placed.append(Placed(name, block, (link,), (f"{name}.out",)))
        link = f"{name}.out"
    placed += _in_a_row(stream, link)
    return chain(placed, {"in": elements // given}, [Traffic("in")], [Traffic(placed[-1].outs[0])])


def converters(given: int, taken: int) -> Iterable[tuple[str, Converter]]:
    """What makes words of `taken` channels of those with `given`, by name: nothing, one block, or two."""
    common = lcm(given, taken)
    if given != common:
        yield "wider", Converter(given, common)
    if common != taken:
        yield "narrower", Converter(common, taken)


def _in_a_row(stream: Stream, first: str) -> list[Placed]:
    placed = []
    for part in stream.parts:
        name = f"{stream.stage.name}.{part.role}"
        placed.append(Placed(name, part.block, (first,), (f"{name}.out",)))
        first = f"{name}.out"
    return placed


def _streams(design: Design, constants: StreamBlocks) -> dict[str, Stream]:
    streams: dict[str, Stream] = {}
    problems = []
    for stage in design.stages:
        try:
            streams[stage.name] = _stream(design, stage, constants, streams)
        except NotModelled as error:
            problems.append(f"{stage.name} ({stage.group.node.kind}): {error}")
            streams[stage.name] = Stream(stage, (), 1, 1, "")
    if problems:
        raise NotModelled(
            f"word by word, {'; '.join(problems)}. Use granularity row or pixel, or unrollings of blocks (in_blocks)"
        )
    return streams


def _stream(design: Design, stage: Stage, constants: StreamBlocks, made: Mapping[str, Stream]) -> Stream:
    layer = stage.group.node.layer
    if isinstance(layer, Input):
        return Stream(stage, (), 0, _source_width(design, stage), "")
    if stage.unroll is not None and isinstance(layer, Convolution | Dense):
        return _multiplying(design, stage, stage.unroll, constants)
    width = made[stage.group.operands[0][1]].gives if stage.group.operands else 1
    if isinstance(layer, Combine) and len(stage.group.operands) > 1:
        return _joining(design, stage, width)
    if isinstance(layer, Activation | BatchNorm | PRelu | Combine) and len(stage.group.operands) == 1:
        part = Part("threshold", _threshold(design, stage, width))
        return Stream(stage, (part,), width, width, "threshold")
    raise NotModelled("no block does it")


def _source_width(design: Design, stage: Stage) -> int:
    """Channels a word of what comes in: as its first reader takes them, or as many as the lanes can move."""
    for edge in (edge for edge in design.edges if edge.producer == stage.name):
        reader = design.stage_by_name[edge.consumer]
        if reader.unroll is not None:
            return _taken(reader, reader.unroll)
    return max(d for d in divisors(stage.tensor.channels) if d <= max(1, design.accelerator.engine.lanes))


def _taken(stage: Stage, unroll: Unroll) -> int:
    """Channels a word that a multiplying stage takes."""
    layer = stage.group.node.layer
    return unroll.outputs if isinstance(layer, Convolution) and layer.groups > 1 else unroll.inputs


def _threshold(design: Design, stage: Stage, width: int) -> Threshold:
    return Threshold(stage.tensor.elements // width, design.accelerator.activation_bits)


def _joining(design: Design, stage: Stage, width: int) -> Stream:
    tensors = {design.stage_by_name[producer].tensor for _, producer in stage.group.operands}
    if tensors != {design.network.tensors[stage.name]}:
        raise NotModelled("operands of different shapes")
    fused = (Part("threshold", _threshold(design, stage, width)),) if stage.group.fused else ()
    return Stream(stage, (Part("join", Join()), *fused), width, width, "join")


def _multiplying(design: Design, stage: Stage, unroll: Unroll, constants: StreamBlocks) -> Stream:
    if unroll.pixels > 1:
        raise NotModelled(f"pixels = {unroll.pixels} at a time")
    layer, source = stage.group.node.layer, design.network.sources(stage.group.node)[0]
    taps = prod(layer.kernel) if isinstance(layer, Convolution) else 1
    if unroll.window not in (1, taps):
        raise NotModelled(f"window = {unroll.window} of {taps} taps at a time; only 1 or all")
    by_channel = isinstance(layer, Convolution) and layer.groups > 1
    if isinstance(layer, Convolution) and by_channel and not layer.groups == layer.channels == source.channels:
        raise NotModelled(f"{layer.groups} groups of {source.channels} channels; only 1, or one a channel")
    takes = _taken(stage, unroll)
    inputs = 1 if by_channel else source.channels
    matrix = Matrix(
        columns=taps * inputs,
        rows=stage.tensor.channels,
        simd=unroll.window * unroll.inputs,
        pe=unroll.outputs,
        vectors=stage.tensor.pixels,
        core="dsp58" if by_channel else constants.core,
        segment_inputs=constants.segment_inputs,
        per_channel=by_channel,
    )
    before = _windows(layer, source, takes, unroll.window > 1) if isinstance(layer, Convolution) else []
    core = Part("vector" if by_channel else "matrix", matrix)
    after = Part("threshold", _threshold(design, stage, unroll.outputs))
    return Stream(stage, (*before, core, after), takes, unroll.outputs, core.role)


def _windows(layer: Convolution, source: Tensor, simd: int, parallel: bool) -> list[Part]:
    """Padding and window of a convolution, each where it has one."""
    axes = len(source.spatial)
    if axes not in (1, 2):
        raise NotModelled(f"windows over {axes} axes; only 1 or 2")
    flat = 2 - axes
    height, width = (1,) * flat + source.spatial
    (top, bottom), (left, right) = ((0, 0),) * flat + layer.padding
    kernel, stride, dilation = ((1,) * flat + sizes for sizes in (layer.kernel, layer.stride, layer.dilation))
    parts = []
    if top or bottom or left or right:
        pads = (top, left, bottom, right)
        parts.append(Part("padding", Padding(height, width, source.channels // simd, pads)))
    if prod(kernel) > 1 or prod(stride) > 1:
        window = Window(
            height + top + bottom,
            width + left + right,
            source.channels,
            (kernel[0], kernel[1]),
            (stride[0], stride[1]),
            simd,
            dilation=(dilation[0], dilation[1]),
            depthwise=layer.groups > 1,
            parallel=parallel,
        )
        parts.append(Part("window", window))
    return parts


class _Builder:
    """Blocks placed so far; `outputs` is the link that a stage gives its words to, `sinks` those that leave."""

    def __init__(self, design: Design, constants: StreamBlocks, streams: Mapping[str, Stream], unbounded: bool) -> None:
        self.design, self.constants, self.streams, self.unbounded = design, constants, streams, unbounded
        self.placed: list[Placed] = []
        self.outputs: dict[str, str] = {}
        self.sinks: dict[str, str] = {}
        self.branches: dict[str, str] = {}

    def place(self, stream: Stream) -> None:
        """A stage's blocks, what is before them on its edges, and the fork behind them."""
        name = stream.stage.name
        entering = [self._edge(edge, stream.takes) for edge in self.design.edges if edge.consumer == name]
        link = f"{name}.out"
        row = _in_a_row(stream, entering[0] if entering else link)
        if row:
            first = Placed(row[0].name, row[0].block, tuple(entering), row[0].outs)
            self.placed += [first, *row[1:]]
            link = row[-1].outs[0]
        self.outputs[name] = link
        readers = [edge.name for edge in self.design.edges if edge.producer == name]
        ends = [f"{name} -> output"] if name in self.design.output_stages else []
        self._fork(name, link, [*readers, *ends])
        if ends:
            self.sinks[name] = self.branches[ends[0]]

    def _fork(self, stage: str, link: str, readers: list[str]) -> None:
        if len(readers) == 1:
            self.branches[readers[0]] = link
            return
        outs = tuple(f"{stage}.fork.{reader}" for reader in readers)
        registered = self.constants.fork == "registered" and len(outs) == 2
        self.placed.append(Placed(f"{stage}.fork", Tap() if registered else Fork(), (link,), outs))
        self.branches |= dict(zip(readers, outs, strict=True))

    def _edge(self, edge: Edge, width: int) -> str:
        """The link at the end of an edge, behind its queue and converters."""
        link, given = self.branches[edge.name], self.streams[edge.producer].gives
        for block, name in self._on_edge(edge, given, width):
            self.placed.append(Placed(name, block, (link,), (f"{name}.out",)))
            link = f"{name}.out"
        return link

    def _on_edge(self, edge: Edge, given: int, taken: int) -> Iterable[tuple[Block, str]]:
        depth = self._depth(edge)
        if depth > 0:
            yield Fifo(depth), edge.name
        for name, block in converters(given, taken):
            yield block, f"{edge.name} ({name})"

    def _depth(self, edge: Edge) -> int:
        """Words of an edge's queue, 0 where there is none."""
        depth = self.constants.fifo_depth if edge.capacity is None else edge.capacity
        if depth == 0:
            return 0
        return UNBOUNDED if depth is None or self.unbounded else depth
