"""Whether what rows or pixels say of a chain hangs on a pixel of room before its joins.

A fork of the source and a join at the end that takes what it gives are known: a queue beside layers. Of others pixels
know how many words all branches hold but for parts of a pixel, and not how far gaps between results fill in a pipeline
that stands still. Where a pixel more or less would decide, that is said instead; rows pass over forks behind layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, NotModelled, NotTimed
from accelsim.mapping.design import Design, Stage, bind
from accelsim.network.layers import Convolution, Input
from accelsim.network.reach import Granularity
from accelsim.timing.reads import given_channels, readers_of
from accelsim.timing.simulate import schedule
from accelsim.timing.taking import has_window, leaves_whole

Ints = NDArray[np.int64]

#: Shares by which a pixel of room may change the interval and the first frame of what is told.
INTERVAL_SHARE, FIRST_FRAME_SHARE = 0.02, 0.05


def undecided(design: Design, granularity: Granularity, frames: int, ends: Ints | None) -> NotModelled | None:
    """What is not told of a design whose frames end at `ends`, None for never; None where all is."""
    joins = [stage for stage in design.stages if len(stage.group.operands) > 1]
    if not joins or _is_known(design, joins):
        return None
    held_back = any(_ways_through_layers(design, join) > 1 for join in joins)
    if granularity == "row" and (held_back or not _forks_the_source_alone(design)):
        return NotModelled(f"{_names(joins)}: of joins of layers, and forks behind layers, rows tell too little")
    return _by_a_pixel(design, joins, granularity, frames, ends, held_back)


def _by_a_pixel(
    design: Design, joins: Sequence[Stage], granularity: Granularity, frames: int, ends: Ints | None, held_back: bool
) -> NotModelled | None:
    """What a pixel more or less before joins decides; None for nothing."""
    if ends is None and not held_back:
        return None
    more = _ends(_with_pixels(design, joins, 1), granularity, frames)
    less = _ends(_with_pixels(design, joins, -1), granularity, frames) if held_back else ends
    if held_back and len({found is None for found in (less, ends, more)}) > 1:
        return _stands_still(joins)
    if ends is None or more is None or less is None:
        return None
    if not (_is_near(ends, more) and _is_near(ends, less)):
        return NotTimed(f"a pixel of room before {_names(joins)} changes when frames end; use a finer granularity")
    return None


def _forks_the_source_alone(design: Design) -> bool:
    forks = [stage for stage in design.stages if len(readers_of(design, stage.name)) > 1]
    return all(isinstance(fork.group.node.layer, Input) for fork in forks)


def _is_known(design: Design, joins: Sequence[Stage]) -> bool:
    """Whether a fork of the source, and a join at the end, are all there is beside layers in a row."""
    forks = [stage for stage in design.stages if len(readers_of(design, stage.name)) > 1]
    if len(forks) != 1 or len(joins) != 1 or len(joins[0].group.operands) != 2:
        return False
    entering = {edge.producer for edge in design.edges_to[joins[0].name]}
    return (
        isinstance(forks[0].group.node.layer, Input)
        and forks[0].name in entering
        and joins[0].name in design.output_stages
        and not any(_sends_groups(stage) for stage in design.stages)
    )


def _sends_groups(stage: Stage) -> bool:
    """Whether a window sends one group of channels after the other, tap by tap."""
    layer = stage.group.node.layer
    if not isinstance(layer, Convolution) or not has_window(layer) or layer.groups == 1 or stage.unroll is None:
        return False
    return not leaves_whole(stage, layer) and stage.unroll.outputs < stage.tensor.channels


def _ways_through_layers(design: Design, join: Stage) -> int:
    """Operands of a join that come to it by way of other stages than a fork."""
    return sum(len(readers_of(design, edge.producer)) == 1 for edge in design.edges_to[join.name])


def _with_pixels(design: Design, joins: Sequence[Stage], pixels: int) -> Design:
    """`design` with so many pixels more before its joins; where less, pipelines that stand still hold nothing."""
    mapping, capacities = design.mapping, dict(design.mapping.capacities)
    for edge in (edge for join in joins for edge in design.edges_to[join.name]):
        words = edge.tensor.channels // given_channels(design.stage_by_name[edge.producer])
        capacities[edge.name] = max(1, capacities[edge.name] + pixels * words)
    measured = dict(mapping.measured)
    if pixels < 0:
        measured = {
            name: entry if entry.pipeline_cycles is None else replace(entry, pipeline_cycles=0)
            for name, entry in measured.items()
        }
    varied = replace(mapping, capacities=MappingProxyType(capacities), measured=MappingProxyType(measured))
    return bind(design.network, design.accelerator, varied)


def _ends(design: Design, granularity: Granularity, frames: int) -> Ints | None:
    """When frames end; None where the design stands still, empty where that they do is all that is told."""
    try:
        return schedule(design, granularity, "greedy", frames).completions
    except DeadlockError:
        return None
    except NotModelled:
        return np.zeros(0, np.int64)


def _is_near(ends: Ints, others: Ints) -> bool:
    if not others.size:
        return False
    first = abs(int(others[0]) - int(ends[0])) <= FIRST_FRAME_SHARE * int(ends[0])
    intervals, changed = np.diff(ends)[-1:], np.diff(others)[-1:]
    return first and bool((np.abs(changed - intervals) <= INTERVAL_SHARE * intervals).all())


def _stands_still(joins: Sequence[Stage]) -> NotModelled:
    return NotModelled(
        f"a pixel of room before {_names(joins)} decides whether it stands still for ever; use a finer granularity"
    )


def _names(joins: Sequence[Stage]) -> str:
    return ", ".join(join.name for join in joins)
