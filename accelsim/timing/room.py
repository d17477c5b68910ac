"""Room counted in words: when a pixel may come, as words of those before it have been taken.

A pixel is given word by word and each waits for room of its own, so that an early word may be what the last hangs on.
What a matrix unit has under way is room too: results in its pipeline, which stands still while those at its end wait.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.layers import Convolution
from accelsim.timing.forks import delay_cycles, needed_through
from accelsim.timing.kernels.pipeline import ALWAYS
from accelsim.timing.leads import lead_of_pixel
from accelsim.timing.reads import blocks_of, given_channels, reach_of, readers_of
from accelsim.timing.taking import Admission, Unit, groups_of, has_window, leaves_whole, unit_of, window_pixels
from accelsim.units import ceil_div

Ints = NDArray[np.int64]


def into_room(design: Design, edge: Edge, unit: Unit, elements: int, pixels: Ints) -> Admission:
    """Pixels that may come when what was `elements` before each of their words has been taken.

    Of all that a pixel hangs on, the one by the latest firing is told. What waits for the words of another operand is
    taken with those. Behind a fork the other readers have a pixel's last word when the one before it has found room.
    """
    channels, each = edge.tensor.channels, edge.tensor.pixels * edge.tensor.channels
    joins = len(unit.stage.group.operands) > 1 and len(readers_of(design, edge.producer)) > 1
    under_way, later = _words_given(design, edge, unit, joins)
    early = channels // unit.fold if joins else 0
    behind = (np.arange(later.size) + under_way) * given_channels(design.stage_by_name[edge.producer])
    frames, element = np.divmod((pixels[:, None] + 1) * channels - 1 - behind - elements - early, each)
    pixel, within = np.divmod(element, channels)
    firing, word = releases_of(design, edge)[pixel], within * unit.length // channels
    passed = frames * unit.stage.fired.pixels
    found = unit.taken(firing, word)
    if joins:
        own = np.any(firing + passed >= pixels[:, None])
        if not own or needed_through(design, edge, "pixel").whole:
            found = Admission(firing, 1 - _left_to_join(design, edge, unit)[word])
    elif not unit.held:
        since = pixels[:, None] - reach_of(design, edge)[1][firing] - frames * edge.tensor.pixels
        known = (since > 0) & (word >= _words_ahead(design, unit))
        ended = _taken_before_end(design, edge, unit, firing, word, since, later)
        found = Admission(np.where(known, firing, found.firing), np.where(known, -ended, found.after))
    return latest(found.firing + passed, found.after + later)


def _taken_before_end(
    design: Design, edge: Edge, unit: Unit, firing: Ints, word: Ints, since: Ints, later: Ints
) -> Ints:
    """Cycles before a firing's end at which a word of it has been taken.

    A firing that waits for room of its own takes its words as it finds room, up to its end. One that waits for words
    has taken each when it came, no earlier than as slowly as they are given, and must not hold up a producer that goes
    on as fast as it can: `later` after the word, the pixel ends that comes `since` pixels after the last that the
    firing needs.
    """
    producer = design.stage_by_name[edge.producer]
    arrival = delay_cycles(design, edge) + (producer.latency_cycles if producer.unroll is not None else 0)
    busy = unit.stage.interval_cycles - lead_of_pixel(design, edge, unit.stage)
    unhurried = since * producer.interval_cycles - arrival - busy - later
    words, room = unit.length - 1 - word, _cycles_of_room(design, unit.stage)[firing]
    slowest = words * np.maximum(room, ceil_div(producer.interval_cycles, unit.fold))
    before: Ints = np.minimum(np.maximum(words * room, -unhurried), slowest)
    return before


def _cycles_of_room(design: Design, stage: Stage) -> Ints:
    """For each firing the cycles in which room for a word is made.

    A depthwise window tap by tap, once it is full, is done with one group of channels after the other.
    """
    cycles = np.ones(stage.fired.pixels, np.int64)
    for edge in design.edges_from[stage.name] if stage.unroll is None else ():
        reader = design.stage_by_name[edge.consumer]
        layer = reader.group.node.layer
        if not isinstance(layer, Convolution) or not has_window(layer):
            continue
        if layer.groups > 1 and not leaves_whole(reader, layer):
            cycles[window_pixels(layer, edge, blocks_of(design).window) :] = prod(layer.kernel)
    return cycles


def _words_ahead(design: Design, unit: Unit) -> int:
    """Words of its next pixel that what only moves words takes while it waits: those of no whole pixel behind it."""
    return _elements_ahead(design, unit.stage) * unit.fold // unit.stage.tensor.channels


def _elements_ahead(design: Design, stage: Stage) -> int:
    """Elements of a stage's next pixel that there is room for while a window behind it, which takes whole ones, waits.

    0 for a matrix unit.
    """
    if stage.unroll is not None:
        return 0
    ahead = 0
    for edge in design.edges_from[stage.name]:
        reader = design.stage_by_name[edge.consumer]
        if reader.unroll is None or has_window(reader.group.node.layer):
            room = (edge.capacity or 0) * given_channels(stage)
            ahead = max(ahead, room + _elements_ahead(design, reader))
    return ahead % stage.tensor.channels


def part_of_pixel(design: Design, edge: Edge) -> int:
    """Words of an edge to a window that are no whole pixel, 0 for others: a window takes whole ones."""
    if not edge.capacity or not has_window(design.stage_by_name[edge.consumer].group.node.layer):
        return 0
    given = given_channels(design.stage_by_name[edge.producer])
    return edge.capacity * given % edge.tensor.channels // given


def _words_given(design: Design, edge: Edge, unit: Unit, joins: bool) -> tuple[Ints, Ints]:
    """Of a pixel's words, the last one first: words under way before each, and cycles from its room to the pixel's end.

    What only moves words gives one a cycle, and only the last is of interest; but where wider words are taken than
    given, room is made for all that are one of them at once, and where another reader takes narrower ones, words
    follow as it takes them.
    """
    producer = design.stage_by_name[edge.producer]
    words = edge.tensor.channels // given_channels(producer)
    behind = np.arange(words)
    if producer.unroll is not None:
        under_way, left = _in_pipeline(design, producer, words)
        return under_way, behind * (producer.interval_cycles // words) + left
    fold = max(words, _fold_of_others(design, edge) if joins else 0)
    if fold == words and unit.fold >= words:
        behind = behind[:1]
    return np.zeros_like(behind), 1 + behind * fold // words


def _in_pipeline(design: Design, producer: Stage, words: int) -> tuple[Ints, Ints]:
    """For a unit's words of a pixel, the last first: results in its pipeline before each, and cycles of its work left.

    That is when the unit stands still. A result that has left the pipeline for the last free place at its end stops all
    that comes after it: the work on a later one goes on when there is room again, from where it was.
    """
    measured = design.mapping.measured.get(producer.name)
    if measured is None or measured.pipeline_cycles is None:
        return np.zeros(words, np.int64), np.ones(words, np.int64)
    pipeline = measured.pipeline_cycles
    work, place = producer.interval_cycles // words, words - 1 - np.arange(words)
    under_way, left = np.full(words, -1), np.zeros(words, np.int64)
    for before in range(1, pipeline // work + 2):
        pixels, word = np.divmod(place - before, words)
        since = (place - word) * work - pixels * _spacing(design, producer)
        stops = (under_way < 0) & (since > pipeline)
        under_way[stops], left[stops] = before - 1, np.minimum(work, since - pipeline)[stops]
    return under_way, left


def _spacing(design: Design, stage: Stage) -> int:
    """Least cycles from pixel to pixel of a row: windows that leave whole need as many pixels as their stride each."""
    layer = stage.group.node.layer
    if not isinstance(layer, Convolution) or not has_window(layer) or not leaves_whole(stage, layer):
        return stage.interval_cycles
    (edge,) = design.edges_to[stage.name]
    return max(stage.interval_cycles, unit_of(design, edge, stage).fold * layer.stride[-1])


def _left_to_join(design: Design, edge: Edge, unit: Unit) -> Ints:
    """Cycles from each word of the other operands' pixels to their last; one a word where all are of one fork."""
    others = [other.producer for other in design.edges_to[edge.consumer] if other.producer != edge.producer]
    if not others:
        return np.arange(unit.fold)[::-1]
    left: Ints = np.minimum.reduce([_before_last(design, name, unit.fold) for name in others])
    return left


def _fold_of_others(design: Design, edge: Edge) -> int:
    """Most words in which others take a pixel that the producer of an edge gives."""
    others = [other for other in readers_of(design, edge.producer) if other.consumer != edge.consumer]
    return max((unit_of(design, other, design.stage_by_name[other.consumer]).fold for other in others), default=0)


def _before_last(design: Design, name: str, fold: int) -> Ints:
    """Cycles from each of the `fold` words that a stage's pixel is sent in to the last of them.

    A unit gives groups of channels one after the other, which go on in narrower words one a cycle; what moves words
    gives them as they come.
    """
    stage, word = design.stage_by_name[name], fold - 1 - np.arange(fold)
    if stage.unroll is None:
        ways = [_before_last(design, edge.producer, fold) for edge in design.edges_to[name]]
        return np.maximum(word, np.minimum.reduce(ways)) if ways else word
    groups = groups_of(stage, fold)
    cycles = stage.interval_cycles // groups
    together = max(1, fold // groups)
    return word // together * max(cycles * max(1, groups // fold), together) + word % together


def releases_of(design: Design, edge: Edge) -> Ints:
    """The consumer's firing that lets go of each pixel."""
    held = oldest_held(design, edge)
    return np.searchsorted(held, np.arange(edge.tensor.pixels), side="right") - 1


def oldest_held(design: Design, edge: Edge) -> Ints:
    """The first pixel that each firing of the consumer or a later one reads."""
    return np.minimum.accumulate(reach_of(design, edge)[0][::-1])[::-1]


def latest(firing: Ints, after: Ints) -> Admission:
    """Of each line the admission by the last firing, of several by one the longest after."""
    last = firing.max(axis=1, keepdims=True)
    return Admission(last[:, 0], np.where(firing == last, after, ALWAYS).max(axis=1))
