"""When streaming blocks let a pixel in: word by word, as far as what they hold has been taken.

On a machine whose windows are `streamed` an edge has no room for whole tokens. A window made tap by tap takes a pixel
when the one that it overwrites has been sent for the last time, and one that leaves whole when all windows before have
left, so that neither takes more than the next window needs. A matrix unit takes words as it works on them; where it
repeats a vector, as its buffer is read for the last time. Capacities are words, of the channels that the
producer gives at a time. Each pixel's coming hangs so on the end of one firing of the consumer, before or after it.

A token of several pixels is let in with its first.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NotModelled
from accelsim.hardware.engine import SpatialEngine
from accelsim.hardware.streaming import WindowBlock
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.layers import Activation, BatchNorm, Combine, Convolution, Dense, Pad, PRelu
from accelsim.network.reach import Granularity
from accelsim.timing.forks import needed_through, registers_of, turns_of, undecided
from accelsim.timing.kernels.pipeline import ALWAYS
from accelsim.timing.reads import blocks_of, given_channels, reach_of, readers_of

Ints = NDArray[np.int64]

#: Narrower words of the one before that may be left in a width converter when it takes a wider one.
SPLIT_WORDS = 2
#: Fewest rows of windows behind other layers of which one by one is told enough.
LEAST_ROWS = 7
#: Layers that hand on words without multiplying.
MOVING = (Activation, BatchNorm, Combine, Pad, PRelu)


class Admission(NamedTuple):
    """Per token: the consumer's firing that its coming hangs on (`admit` of a pipeline), and how long after its end."""

    firing: Ints
    after: Ints


class Gate(NamedTuple):
    """When tokens of an edge may begin to come, and, of rows, when they may have come."""

    begin: Admission
    end: Admission | None


def not_told(design: Design) -> NotModelled | None:
    """What pixels do not tell of a design that by them goes through; None where they tell all."""
    if not hands_on_words(design) or design.mapping.granularity != "word":
        return None
    spacing = pixel_cycles(design)
    return next(filter(None, (undecided(design, edge, spacing[edge.consumer]) for edge in design.edges)), None)


def check_rows(design: Design) -> None:
    """Raises `NotModelled` where what happens within a row, of which rows tell the first and the last, decides.

    That is so of windows behind other layers or a fork that make few rows, of which one is much of a frame, and where
    between a fork and its join words change width before padding, which holds up what comes.
    """
    if not hands_on_words(design) or design.mapping.granularity != "word":
        return
    behind: set[str] = set()
    joined = any(len(stage.group.operands) > 1 for stage in design.stages)
    for stage in design.stages:
        for edge in design.edges_to[stage.name]:
            producer = design.stage_by_name[edge.producer]
            if edge.producer in behind or producer.unroll is not None or joined:
                behind.add(stage.name)
                if _has_window(stage.group.node.layer) and stage.fired.rows < LEAST_ROWS:
                    raise NotModelled(
                        f"{stage.name} makes {stage.fired.rows} rows of windows, and of fewer than {LEAST_ROWS} behind "
                        "other layers what happens within one decides; use granularity pixel"
                    )
            changes = given_channels(producer) * _unit(design, edge, stage).fold != edge.tensor.channels
            if (
                joined
                and changes
                and isinstance(stage.group.node.layer, Pad)
                and any(map(any, stage.group.node.layer.padding))
            ):
                raise NotModelled(
                    f"{edge.name}: between a fork and its join words change width before padding, which holds them up "
                    "within rows; use granularity pixel"
                )


class _Unit(NamedTuple):
    """What takes words of an edge: `fold` a pixel, `length` a firing, `held` by a buffer that repeats them for outputs.

    A word that is repeated makes room `through` cycles after it has been worked on for the last time.
    """

    stage: Stage
    fold: int
    length: int
    held: int = 0
    through: int = 0

    def taken(self, firing: Ints, word: Ints) -> Admission:
        """When a word of a firing has been taken, by the end of an earlier one: it is ready when that has ended."""
        if not self.held:
            return Admission(firing - 1, word + 1)
        early = word < self.held - self.length
        after = word + 1 - self.held + self.through
        return Admission(firing - np.where(early, 2, 1), np.where(early, after + self.length, after))

    def sent(self, firing: Ints, word: Ints) -> Admission:
        """The same for a window's words, which are all there."""
        if self.held:
            return self.taken(firing, word)
        return Admission(firing, word + 1 - self.stage.interval_cycles)


def hands_on_words(design: Design) -> bool:
    """Whether blocks of the machine hand on words as they come."""
    engine = design.accelerator.engine
    return isinstance(engine, SpatialEngine) and engine.window_frames == "streamed"


def _is_block(design: Design, edge: Edge, stage: Stage) -> bool:
    """Whether the consumer is blocks that take words as they come: any other layer waits for whole pixels."""
    layer, unroll = stage.group.node.layer, stage.unroll
    if not hands_on_words(design) or edge.reads != "window":
        return False
    if isinstance(layer, Convolution) and unroll is not None:
        dense = layer.groups == 1 or layer.groups == layer.channels == edge.tensor.channels
        return dense and unroll.pixels == 1 and unroll.window in (1, prod(layer.kernel))
    if isinstance(layer, Dense) and unroll is not None:
        return unroll.pixels == 1
    return isinstance(layer, MOVING) and stage.together == 1


def pixel_cycles(design: Design) -> dict[str, int]:
    """Cycles from pixel to pixel of a row by stage: of streaming blocks as the slowest before it gives them."""
    found: dict[str, int] = {}
    for stage in design.stages:
        given = [
            found[edge.producer] * edge.tensor.row_pixels // stage.fired.row_pixels
            for edge in (design.edges_to[stage.name] if hands_on_words(design) else ())
        ]
        found[stage.name] = max(stage.interval_cycles, *given) if given else stage.interval_cycles
    return found


def lead_cycles(design: Design, edge: Edge, granularity: Granularity) -> int:
    """Cycles for which a firing of the consumer is at work before the last word of the first pixel that it needs."""
    stage = design.stage_by_name[edge.consumer]
    if not _is_block(design, edge, stage):
        return 0
    lead = _lead_of_pixel(design, edge, stage)
    if granularity == "row":
        last = reach_of(design, edge)[2][: stage.fired.pixels].reshape(-1, stage.fired.row_pixels)
        without = np.cumprod(last < 0, axis=1).sum(axis=1)
        lead += (
            int(without[without < stage.fired.row_pixels].min(initial=stage.fired.row_pixels)) * stage.interval_cycles
        )
    return lead


def _lead_of_pixel(design: Design, edge: Edge, stage: Stage) -> int:
    """Cycles of a firing before the last word that it needs, and after the first has come.

    Those of the producer's last wider word come with it.
    """
    unit, layer = _unit(design, edge, stage), stage.group.node.layer
    producer = design.stage_by_name[edge.producer]
    groups = _groups(producer, unit.fold)
    behind = max(0, unit.fold // groups - 1)
    if not _has_window(layer):
        first = (groups - 1) * (producer.interval_cycles // groups) + 1 if behind and producer.unroll else unit.length
        return min(unit.length - behind, first)
    assert isinstance(layer, Convolution)
    if _at_once(stage, layer):
        return unit.fold - 1 - behind
    words = prod(layer.kernel) + unit.fold - 1 if layer.groups > 1 else unit.length
    return words - 1 - blocks_of(design).window.store_cycles - behind


def early_cycles(design: Design, edge: Edge, pixel_cycles: int) -> int:
    """Cycles for which a row's last firing is at work, or done, before the row's last word is there."""
    if not _is_block(design, edge, design.stage_by_name[edge.consumer]):
        return 0
    columns = edge.tensor.row_pixels
    unused = columns - 1 - int((reach_of(design, edge)[1] % columns).max())
    return _lead_of_pixel(design, edge, design.stage_by_name[edge.consumer]) + unused * pixel_cycles


def admission(design: Design, edge: Edge, granularity: Granularity, pixel_cycles: Mapping[str, int]) -> Gate | None:
    """When the tokens of an edge may come; None where capacities in tokens say so."""
    stage = design.stage_by_name[edge.consumer]
    if not _is_block(design, edge, stage):
        return None
    producer, layer = design.stage_by_name[edge.producer], stage.group.node.layer
    unit = _unit(design, edge, stage)
    pixels = np.arange(edge.tensor.pixels, dtype=np.int64)
    registers = registers_of(design, edge)
    words = edge.capacity if design.mapping.granularity == "word" else None
    if words is not None or (registers.words and _has_window(layer)):
        words = (words or 0) + registers.words
    if isinstance(layer, Convolution) and _has_window(layer):
        room = (words or 0) * given_channels(producer) // edge.tensor.channels
        found = _behind(_into_window(design, edge, unit, layer, pixels), room, stage)
    elif words is not None:
        taken = edge.tensor.channels // unit.fold
        split = SPLIT_WORDS * taken if words and taken < given_channels(producer) else 0
        found = _into_room(design, edge, unit, words * given_channels(producer) + split, pixels)
    else:
        return None
    early = producer.interval_cycles + _register_cycles(producer)
    found = found._replace(after=found.after + registers.late_cycles - early)
    if granularity == "pixel":
        return Gate(found, None)
    columns, spacing = edge.tensor.row_pixels, pixel_cycles[stage.name]
    joins = len(stage.group.operands) > 1
    needed = needed_through(design, edge, "row").token if joins else reach_of(design, edge, "row")[1]
    begin = _of_rows(_slowest_before(found, columns, producer.interval_cycles), needed, stage, spacing)
    if words is not None and _waits_within_rows(design, edge, words, spacing):
        rows = np.arange(edge.tensor.rows)
        return Gate(begin, Admission(np.minimum(np.searchsorted(needed, rows), stage.fired.rows - 1), 0 * rows))
    end = _of_rows(_slowest_within(found, columns, producer.interval_cycles), needed, stage, spacing)
    return Gate(begin, end)


def _behind(found: Admission, pixels: int, consumer: Stage) -> Admission:
    """`found` behind a queue of so many pixels."""
    frames, pixel = np.divmod(np.arange(found.firing.size) - pixels, found.firing.size)
    firing = found.firing[pixel]
    return Admission(np.where(firing == ALWAYS, ALWAYS, firing + frames * consumer.fired.pixels), found.after[pixel])


def _waits_within_rows(design: Design, edge: Edge, words: int, spacing: int) -> bool:
    """Whether a join and what it waits for stand still within a row for ever, for want of words on an edge.

    Raises `NotModelled` where they take turns, which rows say nothing of: where a word's way round, through the other
    operand and back, takes longer than the words to spare last, of which a pixel's go in `spacing` cycles.
    """
    turns, registers = turns_of(design, edge, spacing), registers_of(design, edge)
    if turns is None:
        return False
    if turns.least <= words < turns.enough + registers.words - registers.fewest_words:
        raise NotModelled(
            f"{edge.name} has {words} words, and below {turns.enough} {edge.producer} and {edge.consumer} take turns "
            "within a row, which rows cannot follow; use granularity pixel"
        )
    return words < turns.least


def _of_rows(found: Admission, needed: Ints, consumer: Stage, spacing: int) -> Admission:
    """Admissions of rows by the consumer's pixels as those by its rows, whose pixels come in `spacing` cycles.

    A row cannot hang on one of the consumer that needs it (`needed`): that is then as long after the one before as it
    takes.
    """
    across = consumer.fired.row_pixels
    row, column = np.divmod(found.firing, across)
    before = np.searchsorted(needed, np.arange(row.size), side="left") - 1
    late = np.maximum(row - before, 0)
    early = (across - 1 - column) * spacing
    pace = spacing if len(consumer.group.operands) > 1 else consumer.interval_cycles
    since = (late * across - (across - 1 - column)) * pace
    after = found.after + np.where(late > 0, since, -early)
    free = found.firing == ALWAYS
    return Admission(np.where(free, ALWAYS, row - late), np.where(free, 0, after))


def _slowest_before(of_pixels: Admission, columns: int, pixel_cycles: int) -> Admission:
    """For each row's first pixel what holds it up last: its own admission, or one in the row before and those since."""
    firing, after = (values.reshape(-1, columns) for values in of_pixels)
    since = np.arange(columns, 0, -1) * pixel_cycles
    nothing = np.full((1, columns), ALWAYS)
    return _latest(
        np.hstack([np.vstack([nothing, firing[:-1]]), firing[:, :1]]),
        np.hstack([np.vstack([nothing, after[:-1] + since]), after[:, :1]]),
    )


def _slowest_within(of_pixels: Admission, columns: int, pixel_cycles: int) -> Admission:
    """For each row's end what holds it up last of its pixels and those since."""
    firing, after = (values.reshape(-1, columns) for values in of_pixels)
    return _latest(firing, after + np.arange(columns, 0, -1) * pixel_cycles)


def _latest(firing: Ints, after: Ints) -> Admission:
    """Of each line the admission by the last firing, of several by one the longest after."""
    last = firing.max(axis=1, keepdims=True)
    return Admission(last[:, 0], np.where(firing == last, after, ALWAYS).max(axis=1))


def _has_window(layer: object) -> bool:
    return isinstance(layer, Convolution) and (prod(layer.kernel) > 1 or prod(layer.stride) > 1)


def _at_once(stage: Stage, layer: Convolution) -> bool:
    taps = prod(layer.kernel)
    return stage.unroll is not None and stage.unroll.window == taps


def _register_cycles(stage: Stage) -> int:
    """Cycles in which what moves words only has them in its register, where they may wait."""
    return stage.latency_cycles if stage.unroll is None else 0


def _unit(design: Design, edge: Edge, stage: Stage) -> _Unit:
    layer, unroll, channels = stage.group.node.layer, stage.unroll, edge.tensor.channels
    if unroll is None:
        return _Unit(stage, stage.interval_cycles, stage.interval_cycles)
    by_channel = isinstance(layer, Convolution) and layer.groups > 1
    fold = channels // (unroll.outputs if by_channel else unroll.inputs)
    taps = prod(layer.kernel) // unroll.window if isinstance(layer, Convolution) else 1
    length = fold * taps
    if by_channel or stage.tensor.channels == unroll.outputs:
        return _Unit(stage, fold, length)
    matrix = blocks_of(design).matrix
    words = max(length, matrix.replay_least_words)
    held = 1 << (words - 1).bit_length() if matrix.replay_power_of_two else words
    return _Unit(stage, fold, length, held, matrix.replay_latency_cycles)


def _into_room(design: Design, edge: Edge, unit: _Unit, elements: int, pixels: Ints) -> Admission:
    """Pixels that may come when what was `elements` before their last element has been taken.

    What waits for the words of another operand is taken with those. Behind a fork the other readers have a pixel's
    last word when the one before it has found room. Where wider words are taken than given, room is made for all that
    are one of them at once, and where another reader takes narrower ones, words follow as it takes them: there an
    earlier word of the pixel may be what the last is waiting for.
    """
    channels, arriving = edge.tensor.channels, edge.tensor.pixels
    given = given_channels(design.stage_by_name[edge.producer])
    joins = len(unit.stage.group.operands) > 1 and len(readers_of(design, edge.producer)) > 1
    fold = max(channels // given, _fold_of_others(design, edge) if joins else 0)
    several = fold > channels // given or channels // unit.fold > given
    behind = np.arange(channels // given if several else 1)
    early = channels // unit.fold if joins else 0
    last = (pixels[:, None] + 1) * channels - 1 - behind * given
    frames, element = np.divmod(last - elements - early, arriving * channels)
    pixel, within = np.divmod(element, channels)
    firing, word = _releases(design, edge, arriving)[pixel], within * unit.length // channels
    found = unit.taken(firing, word)
    own = np.any(firing + frames * unit.stage.fired.pixels >= pixels[:, None])
    if joins and (not own or needed_through(design, edge, "pixel").whole):
        others = [other.producer for other in design.edges_to[edge.consumer] if other.producer != edge.producer]
        left = np.minimum.reduce([_before_last(design, name, unit.fold) for name in others])
        found = Admission(firing, 1 - left[word])
    return _latest(
        found.firing + frames * unit.stage.fired.pixels, found.after + 1 + behind * fold // (channels // given)
    )


def _fold_of_others(design: Design, edge: Edge) -> int:
    """Most words in which others take a pixel that the producer of an edge gives."""
    others = [other for other in readers_of(design, edge.producer) if other.consumer != edge.consumer]
    return max((_unit(design, other, design.stage_by_name[other.consumer]).fold for other in others), default=0)


def _before_last(design: Design, name: str, fold: int) -> Ints:
    """Cycles from each of the `fold` words that a stage's pixel is sent in to the last of them.

    A unit gives groups of channels one after the other, which go on in narrower words one a cycle; what moves words
    gives them as they come.
    """
    stage, word = design.stage_by_name[name], fold - 1 - np.arange(fold)
    if stage.unroll is None:
        ways = [_before_last(design, edge.producer, fold) for edge in design.edges_to[name]]
        return np.maximum(word, np.minimum.reduce(ways)) if ways else word
    groups = _groups(stage, fold)
    cycles = stage.interval_cycles // groups
    together = max(1, fold // groups)
    return word // together * max(cycles * max(1, groups // fold), together) + word % together


def _groups(stage: Stage, fold: int) -> int:
    """Groups of channels in which a stage's pixel comes to what takes `fold` words of it.

    Words of which neither width divides the other are made by way of the least that both do.
    """
    channels, given = stage.tensor.channels, given_channels(stage)
    taken = max(1, channels // fold)
    return max(1, channels // (given if given % taken == 0 or taken % given == 0 else lcm(given, taken)))


def _releases(design: Design, edge: Edge, arriving: int) -> Ints:
    """The consumer's firing that lets go of each pixel."""
    held = _oldest_held(design, edge)
    return np.searchsorted(held, np.arange(arriving), side="right") - 1


def _oldest_held(design: Design, edge: Edge) -> Ints:
    return np.minimum.accumulate(reach_of(design, edge)[0][::-1])[::-1]


def _into_window(design: Design, edge: Edge, unit: _Unit, layer: Convolution, pixels: Ints) -> Admission:
    first, last = _oldest_held(design, edge), reach_of(design, edge)[1]
    if _at_once(unit.stage, layer):
        window = np.searchsorted(last, pixels, side="left") - 1
        firing, after = unit.sent(window, np.full(pixels.size, unit.fold - 1))
        after = after + unit.fold - 1
    else:
        overwritten = pixels - _window_pixels(layer, edge, blocks_of(design).window)
        window = np.searchsorted(first, overwritten, side="right") - 1
        words = _words_sent(layer, edge, unit, overwritten - first[window])
        firing, after = unit.sent(window, words - 1)
    firing = np.where(window < 0, ALWAYS, firing)
    begin = unit.sent(np.array([first.size - 1]), np.array([unit.length - 1]))
    firing[0], after[0] = begin.firing[0] - first.size, begin.after[0] + unit.fold
    return Admission(firing, after)


def _window_pixels(layer: Convolution, edge: Edge, block: WindowBlock) -> int:
    """Pixels that a window made tap by tap has room for."""
    offsets, taps = _tap_offsets(layer, edge), prod(layer.kernel)
    across = layer.stride[-1] - 1
    below = (layer.stride[-2] - 1) * edge.tensor.row_pixels if len(layer.stride) > 1 else 0
    beside = max(0, across - taps) + max(0, below - taps) if block.stride_room else 0
    return int(offsets[-1]) + 1 + beside


def _tap_offsets(layer: Convolution, edge: Edge) -> Ints:
    """Pixels from a window's first tap to each of them, in raster order."""
    offsets, step = np.zeros(1, np.int64), 1
    for size, kernel, dilation in zip(edge.tensor.spatial[::-1], layer.kernel[::-1], layer.dilation[::-1], strict=True):
        offsets = np.add.outer(np.arange(kernel) * dilation * step, offsets).ravel()
        step *= size
    return offsets


def _words_sent(layer: Convolution, edge: Edge, unit: _Unit, behind: Ints) -> Ints:
    """Words of a window that are sent when a pixel so far behind its first tap is done with."""
    taps = np.searchsorted(_tap_offsets(layer, edge), behind, side="right")
    if layer.groups > 1 and unit.fold > 1:
        return (unit.fold - 1) * prod(layer.kernel) + taps
    return taps * unit.fold
