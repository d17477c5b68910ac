"""Forks of streaming blocks: what their registers hold, and when a join has to wait for its own words to come round.

Behind a fork a branch with room for few words stops the others, which the join at its end waits for: below a least
number of words for ever; above it by turns, as long as words need to come round through the other branch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NotModelled, NotTimed
from accelsim.mapping.design import Design, Edge
from accelsim.network.reach import Granularity
from accelsim.timing.reads import blocks_of, given_channels, reach_of, readers_of
from accelsim.units import ceil_div

Ints = NDArray[np.int64]


class Registers(NamedTuple):
    """What a fork does to one of its branches.

    It holds `words`, or as few as `fewest_words` where words come apart; they come `delay_cycles` later, and room is
    known `late_cycles` later.
    """

    words: int = 0
    fewest_words: int = 0
    delay_cycles: int = 0
    late_cycles: int = 0


WIRES = Registers()


def registers_of(design: Design, edge: Edge) -> Registers:
    """The registers of a fork on an edge behind it; none where forks are wires, or more than two read."""
    blocks, readers = blocks_of(design), readers_of(design, edge.producer)
    if blocks.fork == "combinational" or len(readers) != 2:
        return WIRES
    tap = blocks.tap
    if edge.name == readers[0].name:
        return Registers(1, 1, tap.first_cycles)
    return Registers(tap.words, tap.words - 1, tap.second_cycles, tap.late_cycles)


def delay_cycles(design: Design, edge: Edge) -> int:
    """Cycles after which what is given has come to an edge's consumer, if nothing is before it."""
    return edge.delay_cycles + registers_of(design, edge).delay_cycles


class Needed(NamedTuple):
    """The last token of an edge's producer that each firing of its consumer needs, on whatever way.

    `cycles` are those of the longest other way between them; on a `whole` one a pixel comes in all before any of it
    leaves.
    """

    token: Ints
    cycles: int
    whole: bool


def needed_through(design: Design, edge: Edge, granularity: Granularity) -> Needed:
    """What an edge's consumer needs of its producer, by way of all other stages too."""
    found: dict[str, Needed] = {}
    for stage in design.stages:
        ways = []
        for entering in design.edges_to[stage.name]:
            last = reach_of(design, entering, granularity)[1]
            if entering.producer == edge.producer:
                delay = 0 if entering is edge else delay_cycles(design, entering)
                ways.append(Needed(last, delay, whole=False))
            elif entering.producer in found:
                way = found[entering.producer]
                token, cycles = np.where(last < 0, -1, way.token[last]), way.cycles + entering.delay_cycles
                ways.append(way._replace(token=token, cycles=cycles))
        if ways:
            own = 0 if stage.name == edge.consumer else stage.interval_cycles + stage.latency_cycles
            token = np.maximum.reduce([way.token for way in ways])
            whole = stage.unroll is not None or any(way.whole for way in ways)
            found[stage.name] = Needed(token, max(way.cycles for way in ways) + own, whole)
        if stage.name == edge.consumer:
            break
    return found[edge.consumer]


class Turns(NamedTuple):
    """Words of an edge with fewer than which its join stands still for ever, and from which on it waits for none."""

    least: int
    enough: int


def turns_of(design: Design, edge: Edge, spacing: int) -> Turns | None:
    """Of an edge from a fork to a join, whose pixels take `spacing` cycles; None for others."""
    if len(design.stage_by_name[edge.consumer].group.operands) < 2:
        return None
    needed, own = needed_through(design, edge, "pixel"), reach_of(design, edge)[1]
    fold = edge.tensor.channels // given_channels(design.stage_by_name[edge.producer])
    first = fold if needed.whole else 1
    least = int((needed.token - own).max()) * fold + first - int(len(readers_of(design, edge.producer)) > 1)
    cycles = needed.cycles + (registers_of(design, edge).late_cycles if needed.cycles else 0)
    return Turns(least, least + ceil_div(cycles * fold, spacing) - 1)


def undecided(design: Design, edge: Edge, spacing: int) -> NotModelled | None:
    """What pixels do not tell of an edge behind a fork, its turns or whether it stands still; None for nothing."""
    registers, turns = registers_of(design, edge), turns_of(design, edge, spacing)
    if turns is None or edge.capacity is None or registers.words == registers.fewest_words:
        return None
    fewest, most = edge.capacity + registers.fewest_words, edge.capacity + registers.words
    if most < turns.least or fewest >= turns.enough:
        return None
    what = "it stands still for ever or not" if fewest < turns.least else "its turns hang on it"
    refused = NotModelled if fewest < turns.least else NotTimed
    return refused(
        f"{edge.name} has {edge.capacity} words, and below {turns.enough - registers.fewest_words} {what}, as the "
        f"registers of the fork hold {registers.fewest_words} words that come apart or {registers.words} that come "
        "back to back, which pixels do not tell; use granularity word"
    )
