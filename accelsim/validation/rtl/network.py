"""A measured chain of blocks as a network and a mapping, to be simulated by rows, by pixels, or word by word.

By rows and pixels a window's intake, which is what padding gives, is a stage of its own: every pixel of it takes as
many cycles as it has words, padding included. Queues are counted in words, and what the blocks' own registers hold
is room too, but for the pipelines of matrix units, which are given by their cycles. Nothing but the blocks' parameters
and the library's constants goes into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

from accelsim.errors import NotModelled
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.design import Design, bind
from accelsim.mapping.mapping import Granularity, Mapping, Measured
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Combine, Convolution, Dense, Input, Layer, Pad
from accelsim.timing.words.blocks import Block, Converter, Fifo, Fork, Join, Matrix, Padding, Tap, Threshold, Window
from accelsim.timing.words.chain import Chain, Placed

#: Words that wait at padding while it sends others.
PADDING_WORDS = 1
#: Cycles through a window of one pixel, and those between frames in which it takes nothing.
PASSING_CYCLES, PASSING_GAP_CYCLES = 1, 1
#: Words that are read of a buffer that repeats vectors and not yet multiplied.
REPLAY_WORDS = 1
#: Cycles through a width converter.
WIDER_CYCLES, NARROWER_CYCLES = 1, 2
#: What gives the pixels that it takes.
PASSING = (Fifo, Fork, Tap, Threshold, Converter)


class _Held(NamedTuple):
    """What is on a link: a layer's output in words of `width` channels.

    `queue` are the words of its queues, `room` the elements that all blocks can hold there; where it is `forked`,
    others take it too, and `tap` is the registered fork whose second reader takes it.
    """

    node: str
    shape: tuple[int, ...]
    channels: int
    width: int
    queue: int = 0
    room: int = 0
    delay: int = 0
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    window: Window | None = None
    forked: bool = False
    tap: str | None = None

    @property
    def fold(self) -> int:
        return self.channels // self.width


@dataclass
class _Raising:
    """Layers so far and what their mapping needs; `links` says what is on each link."""

    chain: Chain
    constants: StreamBlocks
    granularity: Granularity
    nodes: list[Node] = field(default_factory=list)
    unroll: dict[str, Unroll] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    capacities: dict[str, int] = field(default_factory=dict)
    links: dict[str, _Held] = field(default_factory=dict)
    stage: dict[str, str] = field(default_factory=dict)
    tapped: dict[str, str] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)

    @property
    def by_word(self) -> bool:
        return self.granularity == "word"


def raised(chain: Chain, accelerator: Accelerator, constants: StreamBlocks, granularity: Granularity) -> Design:
    """`chain` as a design of layers on `accelerator`; word by word they are convolutions, dense layers and additions.

    By rows and pixels what is no whole layer is one too: windows alone are a convolution that takes no time to
    multiply. Raises `NotModelled` where blocks do not make up layers.
    """
    made = _Raising(chain, constants, granularity)
    source = chain.sources[0].link
    shape, channels, width = _entering(chain, source)
    made.links[source] = _add(made, "image", Input(channels, shape), (), shape, channels, width, channels // width)
    for placed in chain.blocks:
        _place(made, placed)
    last = _ended(made, made.links[chain.sinks[0].link])
    net = network("chain", made.nodes, [last.node])
    mapping = Mapping(
        unroll=MappingProxyType(made.unroll),
        capacities=MappingProxyType(made.capacities),
        granularity="word",
        measured=MappingProxyType({} if made.by_word else made.measured),
    )
    _check_forks(made)
    if made.tapped:
        blocks = constants.model_copy(update={"fork": "registered"})
        accelerator = accelerator.model_copy(update={"blocks": blocks})
    return bind(net, accelerator, mapping)


def _check_forks(made: _Raising) -> None:
    """Raises `NotModelled` where a machine with one kind of forks has not those of the chain."""
    forks = [placed for placed in made.chain.blocks if isinstance(placed.block, Fork | Tap)]
    if len({type(placed.block) for placed in forks if len(placed.outs) == 2}) > 1:
        raise NotModelled("forks of both kinds")
    for edge, tap in made.tapped.items():
        producer, consumer = edge.split(" -> ")
        readers = [node.name for node in made.nodes if producer in node.inputs]
        if readers[1:] != [consumer]:
            raise NotModelled(f"{tap}: what its second output goes to is not the later of two layers")


def _ended(made: _Raising, last: _Held) -> _Held:
    """What leaves the chain as the result of a layer."""
    if made.by_word:
        whole = last.window is None and not any(last.pads) and last.node != "image"
        if not whole or last.node in made.unroll:
            raise NotModelled("its last blocks are no layer")
        return last
    last = _windows_alone(made, "windows", last)
    return _handed_on(made, "end", last) if last.node == "image" or last.delay else last


def _handed_on(made: _Raising, name: str, held: _Held, latency: int = 0) -> _Held:
    """A stage that gives what it takes, a word a cycle."""
    _queue(made, held, name, 0)
    layer = Pad(((0, 0),) * len(held.shape))
    return _add(made, name, layer, (held.node,), held.shape, held.channels, held.width, held.fold, latency)


def _entering(chain: Chain, source: str) -> tuple[tuple[int, ...], int, int]:
    """Shape, channels and channels a word of what the source gives, told by the first block that knows of any.

    Where none does, a pixel is a word, or as many as make up a wider one.
    """
    links, scale = {source: Fraction(1)}, Fraction(1)
    for position, placed in enumerate(chain.blocks):
        if not links.keys() & set(placed.ins):
            continue
        block, scale = placed.block, links[next(link for link in placed.ins if link in links)]
        found = _told(placed, chain.blocks[position:])
        if found is not None:
            shape, channels, width = found
            given = Fraction(width) / scale
            if given.denominator > 1:
                raise NotModelled(f"{placed.name} takes words of {width} channels, made of words of less than one")
            return shape, channels, int(given)
        if isinstance(block, Converter):
            scale = scale * Fraction(block.out_bits, block.in_bits)
        links |= dict.fromkeys(placed.outs, scale)
    width = max(1, int(1 / min(links.values())))
    channels = int(max(links.values()) * width)
    return (chain.words[source] * width // channels,), channels, width


def _told(placed: Placed, following: Sequence[Placed]) -> tuple[tuple[int, ...], int, int] | None:
    """Shape, channels and channels a word of what a block takes; None for those that take all."""
    block = placed.block
    if isinstance(block, Window):
        return (block.height, block.width), block.channels, block.simd
    if isinstance(block, Padding):
        channels, width = _of_pixels(block.fold, _behind(placed, following, PASSING))
        return (block.height, block.width), channels, width
    if isinstance(block, Matrix):
        together = block.pe if block.per_channel else 1
        inputs = block.columns * (block.rows if block.per_channel else 1)
        return _map_of(block.vectors, _behind(placed, following, Block)), inputs, block.simd * together
    return None


def _behind(placed: Placed, blocks: Iterable[Placed], through: Any) -> Iterator[Placed]:
    """Those of `blocks` that what a block gives comes to, by way of kinds that are `through`."""
    links = set(placed.outs)
    for other in blocks:
        if not links.isdisjoint(other.ins):
            yield other
            links |= set(other.outs) if isinstance(other.block, through) else set()


def _of_pixels(fold: int, following: Iterable[Placed]) -> tuple[int, int]:
    """Channels, and channels a word, of pixels of `fold` words, where a window behind tells; else one a word."""
    windows = (placed.block for placed in following if isinstance(placed.block, Window))
    channels = next((window.channels for window in windows if window.channels % fold == 0), fold)
    return channels, channels // fold


def _map_of(pixels: int, following: Iterable[Placed]) -> tuple[int, ...]:
    """The map that so many vectors are, where padding or a window behind them tells; else they stand in a row."""
    for block in (placed.block for placed in following):
        if isinstance(block, Padding | Window):
            return (block.height, block.width) if block.height * block.width == pixels else (pixels,)
    return (pixels,)


def _add(
    made: _Raising,
    name: str,
    layer: Layer,
    inputs: tuple[str, ...],
    shape: tuple[int, ...],
    channels: int,
    width: int,
    cycles: int | None,
    latency: int = 0,
) -> _Held:
    """A layer that is a stage, of so many cycles a pixel and of latency."""
    made.nodes.append(Node(name, layer, inputs))
    made.stage[name] = name
    made.measured[name] = Measured(cycles, latency)
    made.given[name] = made.unroll[name].outputs if name in made.unroll else width
    return _Held(name, shape, channels, width)


def _place(made: _Raising, placed: Placed) -> None:
    block, held = placed.block, made.links[placed.ins[0]]
    if made.by_word:
        whole = isinstance(block, Window | Matrix) or (held.window is None and not any(held.pads))
        if not whole or (held.node in made.unroll and not isinstance(block, Threshold)):
            raise NotModelled(f"{placed.name} is in the middle of a layer")
    elif not isinstance(block, Matrix):
        held = _windows_alone(made, f"{placed.name}.windows", held)
    _check_pixels(placed, held)
    made.links |= dict.fromkeys(placed.outs, PLACING[type(block)](made, placed, block, held))
    if isinstance(block, Tap):
        made.links[placed.outs[1]] = made.links[placed.outs[1]]._replace(tap=placed.name)


def _check_pixels(placed: Placed, held: _Held) -> None:
    """Raises `NotModelled` where a block takes the words that come as those of other pixels."""
    block, (top, left, bottom, right) = placed.block, held.pads
    height, width = (1,) * (2 - len(held.shape)) + held.shape
    height, width = height + top + bottom, width + left + right
    if isinstance(block, Padding | Window):
        fits = (height, width, held.fold) == (block.height, block.width, block.fold)
    elif isinstance(block, Matrix):
        taps = 1 if held.window is None else held.window.taps
        fits = held.channels * taps == block.columns * (block.rows if block.per_channel else 1)
    elif isinstance(block, Converter):
        bits = held.width * block.out_bits
        fits = bits % block.in_bits == 0 and held.channels * block.in_bits % bits == 0
    else:
        return
    if not fits:
        raise NotModelled(
            f"{placed.name} takes words otherwise than as those of {height}x{width} pixels of {held.channels} "
            "channels, which they are"
        )


def _queued(made: _Raising, placed: Placed, block: Fifo, held: _Held) -> _Held:
    if min(block.depth, held.queue or block.depth) == 1 and held.room and not made.by_word:
        raise NotModelled(
            f"{placed.name}: a queue of 1 word beside other room takes one every other cycle; use granularity word"
        )
    if held.width < made.given[made.stage[held.node]] and not made.by_word:
        # it holds parts of words as they are given
        held = _handed_on(made, placed.name, held)
    held = _later(made, held, made.constants.fifo.latency_cycles)
    return held._replace(queue=held.queue + block.depth, room=held.room + block.depth * held.width)


def _forked(made: _Raising, placed: Placed, block: Fork | Tap, held: _Held) -> _Held:
    if held.room and not made.by_word:
        # what waits before a fork waits for all of its branches, whichever has room
        held = _handed_on(made, placed.name, held)
    return held._replace(forked=True)


def _activated(made: _Raising, placed: Placed, block: Threshold, held: _Held) -> _Held:
    """Thresholds, as part of the stage before, or, where others take what that gives, as a queue."""
    if made.by_word and (held.node == "image" or held.forked):
        raise NotModelled(f"{placed.name} is no layer")
    if held.node == "image" and not held.forked:
        held = _handed_on(made, placed.name, held)
    elif not held.forked:
        made.nodes.append(Node(placed.name, Activation("relu"), (held.node,)))
        made.stage[placed.name] = made.stage[held.node]
        held = held._replace(node=placed.name)
    constants = made.constants.threshold
    words = block.bits + constants.inside_words
    result = held._replace(room=held.room + words * held.width)
    return _later(made, result, block.bits + constants.latency_cycles)


def _later(made: _Raising, held: _Held, cycles: int) -> _Held:
    """What is on a link so many cycles later: on the way, where others take it too or it comes from no matrix unit."""
    if not made.by_word and (held.forked or made.stage[held.node] not in made.unroll):
        return held._replace(delay=held.delay + cycles)
    stage = made.stage[held.node]
    before = made.measured[stage]
    made.measured[stage] = replace(before, latency_cycles=(before.latency_cycles or 0) + cycles)
    return held


def _converted(made: _Raising, placed: Placed, block: Converter, held: _Held) -> _Held:
    width = held.width * block.out_bits // block.in_bits
    if width == held.width:
        return held
    if width > held.width:
        if held.room and not made.by_word:
            # words that wait before it come to it one by one, slower than those of the width that it makes
            held = _handed_on(made, placed.name, held)
        held = _later(made, held, WIDER_CYCLES)
        return held._replace(width=width, room=held.room + width + held.width)
    held = _later(made, held, NARROWER_CYCLES)
    return held._replace(width=width, room=held.room + held.width)


def _padded(made: _Raising, placed: Placed, block: Padding, held: _Held) -> _Held:
    if made.by_word:
        return held._replace(pads=block.pads)
    return _taken_in(made, placed.name, held, block.pads, 1)


def _taken_in(made: _Raising, name: str, held: _Held, pads: tuple[int, int, int, int], latency: int) -> _Held:
    """What is taken in by a window, padding included, as a stage of its own."""
    top, left, bottom, right = pads
    flat = 2 - len(held.shape)
    height, width = (1,) * flat + held.shape
    shape = (height + top + bottom, width + left + right)
    _queue(made, held, name, PADDING_WORDS if latency else 0)
    padding = ((top, bottom), (left, right))[2 - len(held.shape) :]
    layer = Pad(padding)
    return _add(
        made, name, layer, (held.node,), shape[2 - len(held.shape) :], held.channels, held.width, held.fold, latency
    )


def _is_taken_in(made: _Raising, held: _Held) -> bool:
    """Whether a window takes words otherwise than they are given: of units, and narrower ones."""
    stage = made.stage[held.node]
    return stage in made.unroll or held.width < made.given[stage]


def _windowed(made: _Raising, placed: Placed, block: Window, held: _Held) -> _Held:
    """A window, or the register that one of a pixel, all of which it passes on, is."""
    if made.by_word or block.taps > 1 or max(block.stride) > 1:
        return held._replace(window=block)
    result = _handed_on(made, placed.name, held, PASSING_CYCLES)
    made.measured[placed.name] = replace(made.measured[placed.name], gap_cycles=PASSING_GAP_CYCLES)
    return result


def _windows_alone(made: _Raising, name: str, held: _Held) -> _Held:
    """Windows that no matrix unit takes, as a convolution that gives their words as they come."""
    window = held.window
    if window is None:
        return held
    if _is_taken_in(made, held):
        held = _taken_in(made, f"{name}.intake", held, (0, 0, 0, 0), 0)
    elif held.room:
        _queue(made, held, name, 0)
    taps, by_group = window.taps, window.depthwise and window.fold > 1
    channels, groups = (held.channels, held.channels) if by_group else (held.channels * taps, 1)
    at_once = taps if window.at_once else 1
    made.unroll[name] = Unroll(
        inputs=1 if by_group else held.width, outputs=held.width if by_group else channels, window=at_once
    )
    layer = Convolution(channels, window.kernel, window.stride, ((0, 0), (0, 0)), window.dilation, groups)
    width = held.width if by_group else held.width * at_once
    return _add(made, name, layer, (held.node,), window.outputs, channels, width, None)


def _multiplied(made: _Raising, placed: Placed, block: Matrix, held: _Held) -> _Held:
    window = held.window
    if window is not None and not made.by_word and _is_taken_in(made, held):
        held = _taken_in(made, f"{placed.name}.intake", held, (0, 0, 0, 0), 0)
    shape = held.shape if window is None else window.outputs
    top, left, bottom, right = held.pads
    if window is None:
        layer: Layer = Dense(block.rows) if len(held.shape) < 2 else _pointwise(block.rows)
    else:
        layer = Convolution(
            block.rows,
            window.kernel,
            window.stride,
            ((top, bottom), (left, right)),
            window.dilation,
            held.channels if block.per_channel else 1,
        )
    made.unroll[placed.name] = _unrolled(block, window)
    if window is None or made.by_word or held.room:
        _queue(made, held, placed.name, 0)
    latency = _latency(made.constants, block)
    made_of = _add(made, placed.name, layer, (held.node,), shape, block.rows, block.pe, None, latency)
    repeated = REPLAY_WORDS if block.output_fold > 1 and not block.per_channel else 0
    pipeline = block.latency(made.constants) + repeated
    made.measured[placed.name] = replace(made.measured[placed.name], pipeline_cycles=pipeline)
    return made_of._replace(room=made.constants.matrix.output_words * block.pe)


def _unrolled(block: Matrix, window: Window | None) -> Unroll:
    if block.per_channel and window is None:
        return Unroll(inputs=block.simd * block.pe, outputs=block.rows)
    taps = window.taps if window is not None and window.at_once else 1
    inputs = 1 if block.per_channel else block.simd // taps
    return Unroll(inputs=inputs, outputs=block.pe, window=block.simd // inputs)


def _pointwise(channels: int) -> Convolution:
    return Convolution(channels, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))


def _latency(constants: StreamBlocks, block: Matrix) -> int:
    """Cycles from the end of a vector's work to its result."""
    replayed = constants.matrix.replay_latency_cycles if block.output_fold > 1 and not block.per_channel else 0
    return replayed + block.latency(constants) + 1


def _joined(made: _Raising, placed: Placed, block: Join, first: _Held) -> _Held:
    inputs = [made.links[link] for link in placed.ins]
    if any(held.window is not None for held in inputs):
        raise NotModelled(f"{placed.name} joins windows")
    if len({(held.shape, held.channels, held.width) for held in inputs}) > 1:
        raise NotModelled(f"{placed.name} joins maps of different pixels")
    times = Counter(made.stage[held.node] for held in inputs)
    for operand, held in enumerate(inputs):
        twice = times[made.stage[held.node]] > 1
        _queue(made, held, f"{placed.name} (operand {operand})" if twice else placed.name, 0)
    names = tuple(held.node for held in inputs)
    return _add(made, placed.name, Combine("add"), names, first.shape, first.channels, first.width, first.fold, 0)


def _queue(made: _Raising, held: _Held, consumer: str, registers: int) -> None:
    """Room between two stages in words, as the first of them gives them."""
    stage = made.stage[held.node]
    edge = f"{stage} -> {consumer}"
    if held.tap is not None:
        made.tapped[edge] = held.tap
    if made.by_word:
        if held.queue:
            made.capacities[edge] = held.queue
        return
    made.measured[edge] = Measured(latency_cycles=held.delay)
    made.capacities[edge] = max(1, (held.room + registers * held.width) // made.given[stage])


#: What is on a link behind each kind of block.
PLACING: MappingProxyType[type[Block], Callable[[_Raising, Placed, Any, _Held], _Held]] = MappingProxyType(
    {
        Padding: _padded,
        Window: _windowed,
        Matrix: _multiplied,
        Threshold: _activated,
        Fifo: _queued,
        Converter: _converted,
        Fork: _forked,
        Tap: _forked,
        Join: _joined,
    }
)
