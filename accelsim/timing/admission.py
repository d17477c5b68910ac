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
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NotModelled, NotTimed
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.layers import Convolution, Pad
from accelsim.network.reach import Granularity
from accelsim.timing.forks import needed_through, registers_of, turns_of, undecided
from accelsim.timing.kernels.pipeline import ALWAYS
from accelsim.timing.reads import blocks_of, given_channels, reach_of
from accelsim.timing.room import into_room, latest, oldest_held, part_of_pixel
from accelsim.timing.taking import (
    Admission,
    Unit,
    hands_on_words,
    has_window,
    is_block,
    leaves_whole,
    tap_offsets,
    unit_of,
    window_pixels,
)
from accelsim.units import ceil_div

Ints = NDArray[np.int64]

#: Narrower words of the one before that may be left in a width converter when it takes a wider one.
SPLIT_WORDS = 2
#: Fewest rows of windows behind other layers of which one by one is told enough.
LEAST_ROWS = 7


class Gate(NamedTuple):
    """When tokens of an edge may begin to come, and, of rows, when they may have come."""

    begin: Admission
    end: Admission | None


def not_told(design: Design) -> NotModelled | None:
    """What pixels do not tell of a design that goes through by them, first whether it does; None for nothing."""
    if not hands_on_words(design) or design.mapping.granularity != "word":
        return None
    spacing = pixel_cycles(design)
    refused = [undecided(design, edge, spacing[edge.consumer]) for edge in design.edges]
    return min(filter(None, refused), key=lambda each: isinstance(each, NotTimed), default=None)


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
                if has_window(stage.group.node.layer) and stage.fired.rows < LEAST_ROWS:
                    raise NotModelled(
                        f"{stage.name} makes {stage.fired.rows} rows of windows, and of fewer than {LEAST_ROWS} behind "
                        "other layers what happens within one decides; use granularity pixel"
                    )
            changes = given_channels(producer) * unit_of(design, edge, stage).fold != edge.tensor.channels
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


def gap_cycles(design: Design, edge: Edge) -> int:
    """Cycles between frames in which a window takes nothing: it sends what its last pixel completes, then starts anew.

    Where what it takes is made of narrower words, the next one takes as long as these to come.
    """
    stage = design.stage_by_name[edge.consumer]
    measured = design.mapping.measured.get(stage.name)
    if measured is not None and measured.gap_cycles is not None:
        return measured.gap_cycles
    layer = stage.group.node.layer
    if not is_block(design, edge, stage) or not isinstance(layer, Convolution) or not has_window(layer):
        return 0
    sending = 1 if leaves_whole(stage, layer) else 1 + blocks_of(design).window.store_cycles
    unit = unit_of(design, edge, stage)
    made_of = ceil_div(edge.tensor.channels // unit.fold, given_channels(design.stage_by_name[edge.producer]))
    unread = (edge.tensor.pixels - 1 - int(reach_of(design, edge)[1][-1])) * unit.fold
    return max(0, sending - unread - (made_of - 1))


def admission(design: Design, edge: Edge, granularity: Granularity, pixel_cycles: Mapping[str, int]) -> Gate | None:
    """When the tokens of an edge may come; None where capacities in tokens say so."""
    stage = design.stage_by_name[edge.consumer]
    if not is_block(design, edge, stage):
        return None
    producer, layer = design.stage_by_name[edge.producer], stage.group.node.layer
    registers = registers_of(design, edge)
    words = edge.capacity if design.mapping.granularity == "word" else None
    if words is not None or (registers.words and has_window(layer)):
        words = (words or 0) + registers.words
    if words is None and not has_window(layer):
        return None
    found = _by_words(design, edge, words)
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


def _by_words(design: Design, edge: Edge, words: int | None) -> Admission:
    """What the end of each pixel's coming hangs on."""
    producer, stage = design.stage_by_name[edge.producer], design.stage_by_name[edge.consumer]
    unit, layer = unit_of(design, edge, stage), stage.group.node.layer
    pixels, given = np.arange(edge.tensor.pixels, dtype=np.int64), given_channels(producer)
    if not isinstance(layer, Convolution) or not has_window(layer):
        assert words is not None
        taken = edge.tensor.channels // unit.fold
        split = SPLIT_WORDS * taken if words and taken < given else 0
        return into_room(design, edge, unit, words * given + split, pixels)
    found = _behind(
        _into_window(design, edge, unit, layer, pixels), (words or 0) * given // edge.tensor.channels, stage
    )
    return found._replace(after=found.after + _widened(design, edge, unit))


def _widened(design: Design, edge: Edge, unit: Unit) -> Ints:
    """Cycles by which each pixel is later than its window lets it in, as wider words are made of what comes.

    While the window takes nothing, as many narrower words of the next pixel as there is room for are waiting. The
    first of the others comes when the window has taken the first wider word, and the rest after it one a cycle;
    a frame's first pixel has a cycle of these before it, in which the window begins anew.
    """
    producer, late = design.stage_by_name[edge.producer], np.zeros(edge.tensor.pixels, np.int64)
    words, waiting = edge.tensor.channels // given_channels(producer), part_of_pixel(design, edge)
    if producer.unroll is None and words > unit.fold and waiting:
        late[:] = max(0, words - waiting - unit.fold + 2)
        late[0] = max(0, late[0] - 1)
    return late


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
    return latest(
        np.hstack([np.vstack([nothing, firing[:-1]]), firing[:, :1]]),
        np.hstack([np.vstack([nothing, after[:-1] + since]), after[:, :1]]),
    )


def _slowest_within(of_pixels: Admission, columns: int, pixel_cycles: int) -> Admission:
    """For each row's end what holds it up last of its pixels and those since."""
    firing, after = (values.reshape(-1, columns) for values in of_pixels)
    return latest(firing, after + np.arange(columns, 0, -1) * pixel_cycles)


def _register_cycles(stage: Stage) -> int:
    """Cycles in which what moves words only has them in its register, where they may wait."""
    return stage.latency_cycles if stage.unroll is None else 0


def _into_window(design: Design, edge: Edge, unit: Unit, layer: Convolution, pixels: Ints) -> Admission:
    first, last = oldest_held(design, edge), reach_of(design, edge)[1]
    if leaves_whole(unit.stage, layer):
        window = np.searchsorted(last, pixels, side="left") - 1
        firing, after = unit.sent(window, np.full(pixels.size, unit.fold - 1))
        after = after + unit.fold - 1
    else:
        overwritten = pixels - window_pixels(layer, edge, blocks_of(design).window)
        window = np.searchsorted(first, overwritten, side="right") - 1
        words = _words_sent(layer, edge, unit, overwritten - first[window])
        firing, after = unit.sent(window, words - 1)
    firing = np.where(window < 0, ALWAYS, firing)
    begin = unit.sent(np.array([first.size - 1]), np.array([unit.length - 1]))
    firing[0], after[0] = begin.firing[0] - first.size, begin.after[0] + unit.fold
    return Admission(firing, after)


def _words_sent(layer: Convolution, edge: Edge, unit: Unit, behind: Ints) -> Ints:
    """Words of a window that are sent when a pixel so far behind its first tap is done with."""
    taps = np.searchsorted(tap_offsets(layer, edge), behind, side="right")
    if layer.groups > 1 and unit.fold > 1:
        return (unit.fold - 1) * prod(layer.kernel) + taps
    return taps * unit.fold
