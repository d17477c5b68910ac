"""Multipliers against memory: faster deep layers let early maps wait less.

While a frame is on its way through the deep layers its early maps wait for it, and so do those of the frames behind.
Deep layers have few pixels, and most of them the fewest multipliers there are, so that making all stages up to some
size of map faster costs little. Designs are tried for every such size and a series of speeds; of each the buffers
are sized together at the pace, and of the multipliers that buy nothing none are spent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.mapping.design import Design, bind
from accelsim.mapping.unrolling import multiplier_choices, unroll
from accelsim.mapping.work import loop_nest
from accelsim.timing.lower import lower
from accelsim.timing.size import fastest_cycles, paced
from accelsim.timing.sizing.buffers import Buffer, buffers_of, total_elements
from accelsim.timing.sizing.descent import lowered, peaks
from accelsim.timing.sizing.pacing import Pacing

Ints = NDArray[np.int64]

#: How many times faster than the pace stages are made.
SPEEDS = (2, 4, 8, 16, 32)


class Buffered(NamedTuple):
    """A design and its buffering by rows, in elements.

    `elements` is what its buffers come to when sized together at its pace, a shared one counted once; `stored` and
    `held` are what they hold at most if unbounded, once a buffer and once an edge.
    """

    design: Design
    elements: int
    stored: int
    held: int

    @property
    def multipliers(self) -> int:
        return self.design.multipliers


def buffering_curve(design: Design, usual: Design | None = None) -> tuple[Buffered, ...]:
    """Designs at the pace of `design` with ever more multipliers and ever less buffering, none beyond the engine's.

    `design` has the fewest multipliers, and `usual` is another of the same pace to compare with. None on the curve,
    `design` among them, holds more than that with unbounded buffers, and the last comes to no more when sized.
    """
    if design.accelerator.engine.kind != "spatial" or design.mapping.segments:
        raise InputError(
            f"objective buffering shares multipliers out over the layers of a pipeline; {design.network.name} is "
            "mapped otherwise: use a spatial engine and mapping pipeline"
        )
    pace = fastest_cycles(design, "row")
    most, *fewer = [Unbounded.of(known, pace) for known in (usual, design) if known is not None]
    given = [most, *(known for known in fewer if known.stored <= most.stored and known.held <= most.held)]
    stored, held = min(known.stored for known in given), min(known.held for known in given)
    found = [known.sized() for known in given]
    for known in (Unbounded.of(faster, pace) for faster in _faster(design, pace)):
        if known.stored <= stored and known.held <= held:
            stored, held = known.stored, known.held
            found.append(known.sized())
    return tuple(_front(found))


class Unbounded(NamedTuple):
    """What a design holds at most at a pace with unbounded buffers, in elements, once a buffer and once an edge."""

    design: Design
    pacing: Pacing
    buffers: Sequence[Buffer]
    most: Ints
    stored: int
    held: int

    @classmethod
    def of(cls, design: Design, pace: int) -> Unbounded:
        pacing, buffers = paced(design, lower(design, "row", "paced"), pace), buffers_of(design, "row")
        assert pacing.free is not None
        most, each = peaks(pacing, buffers, pacing.free), pacing.rooms(pacing.free)
        held = sum(buffer.elements * int(each[buffer.edges].sum()) for buffer in buffers)
        return cls(design, pacing, buffers, most, total_elements(buffers, most), held)

    def sized(self) -> Buffered:
        elements = total_elements(self.buffers, lowered(self.pacing, self.buffers, self.most))
        return Buffered(self.design, elements, self.stored, self.held)


def _faster(design: Design, pace: int) -> Iterator[Design]:
    """`design` with all stages up to some size of map faster, cheapest first, within the engine's multipliers."""
    budget = design.accelerator.engine.multipliers
    sizes = sorted({stage.fired.pixels for stage in design.stages if stage.unroll is not None})
    choices = {tuple(_raised(design, pace, *choice).items()) for choice in product(sizes, SPEEDS)}
    costs = {choice: sum(multipliers for _, multipliers in choice) for choice in choices}
    fewest = sum(stage.multipliers for stage in design.stages)
    for choice in sorted(choices, key=lambda c: (costs[c], c)):
        if fewest < costs[choice] <= budget:
            yield _with_multipliers(design, dict(choice), pace)


def _raised(design: Design, pace: int, pixels: int, speed: int) -> dict[str, int]:
    """Multipliers of every layer, those of stages of no more than `pixels` enough for `speed` frames a pace."""
    raised = {}
    for stage in design.stages:
        nest = loop_nest(design.network, stage.group.node)
        if nest is None or stage.unroll is None:
            continue
        raised[stage.name] = stage.multipliers
        if stage.fired.pixels <= pixels:
            choices, needed = multiplier_choices(nest), -(-nest.macs * stage.fired.pixels * speed // pace)
            enough = choices[min(bisect_left(choices, needed), len(choices) - 1)]
            raised[stage.name] = max(stage.multipliers, enough)
    return raised


def _with_multipliers(design: Design, multipliers: dict[str, int], pace: int) -> Design:
    """`design` with so many multipliers in each layer, its source paced as before."""
    unrolls = dict(design.mapping.unroll)
    for name, count in multipliers.items():
        stage = design.stage_by_name[name]
        nest = loop_nest(design.network, stage.group.node)
        if count != stage.multipliers and nest is not None:
            unrolls[name] = unroll(nest, count)
    mapping = replace(design.mapping, unroll=MappingProxyType(unrolls), interval_cycles=pace)
    return bind(design.network, design.accelerator, mapping)


def _front(found: Iterable[Buffered]) -> Iterator[Buffered]:
    """Those than which none with as few multipliers has less to buffer."""
    smallest = None
    for point in sorted(found, key=lambda b: (b.multipliers, b.elements, b.stored, b.held)):
        if smallest is None or point.elements < smallest:
            smallest = point.elements
            yield point
