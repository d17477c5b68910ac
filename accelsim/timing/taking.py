"""What takes words of an edge on a machine of streaming blocks, and when it has taken them.

A matrix unit takes words as it works on them; where it repeats a vector, as its buffer is read for the last time.
"""

from __future__ import annotations

from math import lcm, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.engine import SpatialEngine
from accelsim.hardware.streaming import WindowBlock
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.network.layers import Activation, BatchNorm, Combine, Convolution, Dense, Pad, PRelu
from accelsim.timing.reads import blocks_of, given_channels

Ints = NDArray[np.int64]

#: Layers that hand on words without multiplying.
MOVING = (Activation, BatchNorm, Combine, Pad, PRelu)


class Admission(NamedTuple):
    """Per token: the consumer's firing that its coming hangs on (`admit` of a pipeline), and how long after its end."""

    firing: Ints
    after: Ints


class Unit(NamedTuple):
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


def is_block(design: Design, edge: Edge, stage: Stage) -> bool:
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


def has_window(layer: object) -> bool:
    """Whether a layer is one whose pixels a window arranges."""
    return isinstance(layer, Convolution) and (prod(layer.kernel) > 1 or prod(layer.stride) > 1)


def leaves_whole(stage: Stage, layer: Convolution) -> bool:
    """Whether a window leaves as one word."""
    taps = prod(layer.kernel)
    return stage.unroll is not None and stage.unroll.window == taps


def unit_of(design: Design, edge: Edge, stage: Stage) -> Unit:
    """What takes the words of an edge."""
    layer, unroll, channels = stage.group.node.layer, stage.unroll, edge.tensor.channels
    if unroll is None:
        return Unit(stage, stage.interval_cycles, stage.interval_cycles)
    by_channel = isinstance(layer, Convolution) and layer.groups > 1
    fold = channels // (unroll.outputs if by_channel else unroll.inputs)
    taps = prod(layer.kernel) // unroll.window if isinstance(layer, Convolution) else 1
    length = fold * taps
    if by_channel or stage.tensor.channels == unroll.outputs:
        return Unit(stage, fold, length)
    matrix = blocks_of(design).matrix
    words = max(length, matrix.replay_least_words)
    held = 1 << (words - 1).bit_length() if matrix.replay_power_of_two else words
    return Unit(stage, fold, length, held, matrix.replay_latency_cycles)


def groups_of(stage: Stage, fold: int) -> int:
    """Groups of channels in which a stage's pixel comes to what takes `fold` words of it.

    Words of which neither width divides the other are made by way of the least that both do.
    """
    channels, given = stage.tensor.channels, given_channels(stage)
    taken = max(1, channels // fold)
    return max(1, channels // (given if given % taken == 0 or taken % given == 0 else lcm(given, taken)))


def window_pixels(layer: Convolution, edge: Edge, block: WindowBlock) -> int:
    """Pixels that a window made tap by tap has room for."""
    offsets, taps = tap_offsets(layer, edge), prod(layer.kernel)
    across = layer.stride[-1] - 1
    below = (layer.stride[-2] - 1) * edge.tensor.row_pixels if len(layer.stride) > 1 else 0
    beside = max(0, across - taps) + max(0, below - taps) if block.stride_room else 0
    return int(offsets[-1]) + 1 + beside


def tap_offsets(layer: Convolution, edge: Edge) -> Ints:
    """Pixels from a window's first tap to each of them, in raster order."""
    offsets, step = np.zeros(1, np.int64), 1
    for size, kernel, dilation in zip(edge.tensor.spatial[::-1], layer.kernel[::-1], layer.dilation[::-1], strict=True):
        offsets = np.add.outer(np.arange(kernel) * dilation * step, offsets).ravel()
        step *= size
    return offsets
