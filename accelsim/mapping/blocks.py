"""Unrollings that streaming blocks have: one tap of a window at a time or all of them, one pixel at a time."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from accelsim.mapping.design import Design, bind
from accelsim.mapping.unrolling import Unroll
from accelsim.mapping.work import LoopNest, loop_nest
from accelsim.units import divisors


def in_blocks(design: Design) -> Design:
    """`design` with every unrolling that no block has replaced by the largest of no more multipliers that one has.

    The source keeps the pace it was given; without one it is that of the stage that is slowest now.
    """
    unrolls = dict(design.mapping.unroll)
    for stage in design.stages:
        nest = loop_nest(design.network, stage.group.node)
        if nest is not None and stage.unroll is not None and not _has_block(stage.unroll, nest):
            unrolls[stage.name] = _largest(nest, stage.multipliers)
    mapping = replace(design.mapping, unroll=MappingProxyType(unrolls))
    return bind(design.network, design.accelerator, mapping)


def _has_block(unroll: Unroll, nest: LoopNest) -> bool:
    return unroll.pixels == 1 and unroll.window in (1, nest.window)


def block_unrolls(nest: LoopNest) -> tuple[Unroll, ...]:
    """Every unrolling that a block has, fewest multipliers first, of as many a window in parts and most inputs."""
    choices = [
        Unroll(inputs, outputs, window)
        for window in {1, nest.window}
        for inputs in divisors(nest.inputs)
        for outputs in divisors(nest.outputs)
    ]
    best: dict[int, Unroll] = {}
    for unroll in sorted(choices, key=_preference):
        best[unroll.multipliers] = unroll
    return tuple(best.values())


def _preference(unroll: Unroll) -> tuple[int, int, int]:
    return unroll.multipliers, -unroll.window, unroll.inputs


def _largest(nest: LoopNest, multipliers: int) -> Unroll:
    return [unroll for unroll in block_unrolls(nest) if unroll.multipliers <= multipliers][-1]
