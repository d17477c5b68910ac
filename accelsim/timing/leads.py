"""How long a firing is at work before its last word has come: streaming blocks take words as they come."""

from __future__ import annotations

from math import prod

import numpy as np

from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.layers import Convolution, Pad
from accelsim.network.reach import Granularity
from accelsim.timing.reads import blocks_of, reach_of
from accelsim.timing.taking import groups_of, has_window, is_block, leaves_whole, unit_of


def lead_cycles(design: Design, edge: Edge, granularity: Granularity) -> int:
    """Cycles for which a firing of the consumer is at work before the last word of the first pixel that it needs."""
    stage = design.stage_by_name[edge.consumer]
    if not is_block(design, edge, stage):
        return 0
    lead = lead_of_pixel(design, edge, stage)
    if granularity == "row":
        last = reach_of(design, edge)[2][: stage.fired.pixels].reshape(-1, stage.fired.row_pixels)
        without = np.cumprod(last < 0, axis=1).sum(axis=1)
        lead += (
            int(without[without < stage.fired.row_pixels].min(initial=stage.fired.row_pixels)) * stage.interval_cycles
        )
    return lead


def lead_of_pixel(design: Design, edge: Edge, stage: Stage) -> int:
    """Cycles of a firing before the last word that it needs, and after the first has come.

    Those of the producer's last wider word come with it.
    """
    unit, layer = unit_of(design, edge, stage), stage.group.node.layer
    producer = design.stage_by_name[edge.producer]
    groups = groups_of(producer, unit.fold)
    behind = max(0, unit.fold // groups - 1)
    if not has_window(layer):
        first = (groups - 1) * (producer.interval_cycles // groups) + 1 if behind and producer.unroll else unit.length
        return min(unit.length - behind, first)
    assert isinstance(layer, Convolution)
    if leaves_whole(stage, layer):
        return unit.fold - 1 - behind
    words = unit.length
    if layer.groups > 1:
        words = min(words, prod(layer.kernel) + _from_first_word(design, edge, unit.fold))
    return words - 1 - blocks_of(design).window.store_cycles - behind


def _from_first_word(design: Design, edge: Edge, fold: int) -> int:
    """Cycles from the first of the `fold` words of a pixel to its last, where nothing is in their way.

    What only moves words gives them as it gets them, padding behind them one a cycle.
    """
    maker = design.stage_by_name[edge.producer]
    layer = maker.group.node.layer
    if isinstance(layer, Pad) and not any(after for _, after in layer.padding):
        (before,) = design.edges_to[maker.name]
        return max(fold - 1, _from_first_word(design, before, fold))
    if maker.unroll is None:
        return fold - 1
    groups = groups_of(maker, fold)
    return max(fold - 1, (groups - 1) * (maker.interval_cycles // groups) + fold // groups - 1)


def early_cycles(design: Design, edge: Edge, pixel_cycles: int) -> int:
    """Cycles for which a row's last firing is at work, or done, before the row's last word is there."""
    if not is_block(design, edge, design.stage_by_name[edge.consumer]):
        return 0
    columns = edge.tensor.row_pixels
    unused = columns - 1 - int((reach_of(design, edge)[1] % columns).max())
    return lead_of_pixel(design, edge, design.stage_by_name[edge.consumer]) + unused * pixel_cycles
