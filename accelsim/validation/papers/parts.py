"""How NVDLA runs a layer, as a mapping: maps go through memory off chip, and of the weights two parts have room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from accelsim.mapping.design import Design, Stage
from accelsim.mapping.mapper import map_network
from accelsim.mapping.movers import map_bytes, weight_bytes
from accelsim.mapping.segments.segment import Segment, Tile
from accelsim.network.layers import Convolution, Dense
from accelsim.units import ceil_div, divisors
from accelsim.validation.papers.hardware_layers import KERNELS


class _Part(NamedTuple):
    """A tile of `outputs` channels: cycles in which its maps and weights come, and passes over the input."""

    cycles: Fraction
    passes: int
    outputs: int


def in_parts(design: Design) -> Design:
    """A layer-by-layer `design` as a machine runs it that stores every map off chip and loads weights as it computes.

    A convolution or dense layer makes its outputs in equal parts, at least 32 at a time: the weights of two parts, the
    rows that a window needs and, where that saves reading it for each part, the whole input have room. Of these parts
    those whose maps and weights come in fewest cycles are taken, then the fewest. What has none (depthwise layers, 32
    kernels or a window that fill the buffer) keeps the tiles it has.
    """
    away = design.accelerator.off_chip_memory
    assert away is not None
    homes = {name: away for segment in design.mapping.segments for name in segment.layers}
    segments = tuple(_cut(design, segment) for segment in design.mapping.segments)
    mapping = replace(design.mapping, segments=segments, homes=MappingProxyType(homes), choice=None)
    return map_network(design.network, design.accelerator, mapping=mapping)


def _cut(design: Design, segment: Segment) -> Segment:
    (name,) = segment.layers
    best = min(_parts(design, design.stage_by_name[name]), default=None)
    if best is None:
        return segment
    return Segment(segment.layers, Tile(outputs=best.outputs if best.passes > 1 else None))


def _parts(design: Design, stage: Stage) -> Iterator[_Part]:
    """Every equal part that has room."""
    layer, net, machine = stage.group.node.layer, design.network, design.accelerator
    if not isinstance(layer, Convolution | Dense) or (isinstance(layer, Convolution) and layer.groups > 1):
        return
    local, away = (machine.memories[name or ""] for name in (machine.local_memory, machine.off_chip_memory))
    source, made = (net.tensors[name] for name in (stage.group.node.inputs[0], stage.name))
    read, stored = (map_bytes(tensor, machine.activation_bits) for tensor in (source, made))
    window = layer.dilation[0] * (layer.kernel[0] - 1) + 1 if isinstance(layer, Convolution) else 1
    strip = ceil_div(read, source.rows) * min(source.rows, window + 1)
    for outputs in divisors(layer.channels):
        passes = layer.channels // outputs
        weights = weight_bytes(design, stage)
        needed = strip + ceil_div(2 * stored, passes * made.rows) + ceil_div(weights, passes) * min(passes, 2)
        if needed > local.size or outputs < min(KERNELS, layer.channels):
            continue
        stays = passes > 1 and needed + read <= local.size
        moved = weights + stored + read * (1 if stays else passes)
        again = Fraction(read * passes, machine.engine.lanes) if stays else 0
        yield _Part(max(moved / away.bytes_per_cycle(write=False), Fraction(again)), passes, outputs)
