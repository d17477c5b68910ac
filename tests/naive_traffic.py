"""What the tiles of segments move, point by point in nested loops: shares no code with the package.

Of a design it takes what was given (stages, segments, tiles, widths) and where tensors lie; windows come from the
layers' own fields (`naive_reads`). Maps pass in raster order, so a tile takes a stretch of each axis: from the
first point that it needs to the last. What a segment reads from memory passes whole: a point that no window
needs comes with the next tile, or the last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod

from accelsim.network.layers import (
    BatchNorm,
    Constant,
    Convolution,
    Dense,
    Embedding,
    Normalise,
    PRelu,
    TransposedConvolution,
)
from tests.naive_reads import _axes

#: (tensor, memory, kind) -> bytes a frame, read and written.
Rows = dict[tuple[str, str, str], list[Fraction]]


@dataclass
class Tile:
    """One tile of one segment: stretches [begin, end) of every axis of what it loads, makes and stores."""

    made: dict[str, tuple[range, ...]]
    stored: dict[str, tuple[range, ...]]
    loaded: dict[str, tuple[range, ...]]
    place: int
    outputs: range | None = None
    inputs: range | None = None


@dataclass
class Moved:
    """All that a design moves in a frame, and how often each element is stored and loaded."""

    rows: Rows = field(default_factory=lambda: defaultdict(lambda: [Fraction(0), Fraction(0)]))
    stored: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    loaded: dict[tuple[int, str], Counter] = field(default_factory=lambda: defaultdict(Counter))
    pixels: Counter = field(default_factory=Counter)

    def read(self, tensor: str, memory: str, kind: str, size: Fraction | int) -> None:
        self.rows[tensor, memory, kind][0] += size

    def write(self, tensor: str, memory: str, kind: str, size: Fraction | int) -> None:
        self.rows[tensor, memory, kind][1] += size


def naive_traffic(design, homes, inputs_stay=(), sums_stay=()) -> Moved:
    """`homes` are the memories of tensors; in the segments numbered in the other two, what is named stays near."""
    moved, machine = Moved(), design.accelerator
    near, *_, far = machine.memories
    for k, segment in enumerate(design.mapping.segments):
        stages = [stage for stage in design.stages if stage.name in segment.layers]
        tiles = tiles_of(design, segment)
        for tile in tiles:
            moved.pixels.update({name: prod(map(len, part)) for name, part in tile.made.items()})
            for name, part in tile.loaded.items():
                channels = _channels_read(design, stages, tile, name)
                again = tile.outputs is not None and tile.outputs[0] > 0 and _groups(stages[0]) == 1
                if k in inputs_stay and again:
                    continue
                moved.read(name, homes[name], "input", _bytes(part, len(channels), machine.activation_bits))
                moved.loaded[k, name].update(product(*part, channels))
            for name, part in tile.stored.items():
                channels = _channels_made(design, stages, tile, name)
                if tile.inputs is not None and tile.inputs[-1] + 1 < _channels_in(design, stages[0]):
                    continue
                moved.write(name, homes[name], "output", _bytes(part, len(channels), machine.activation_bits))
                moved.stored[name].update(product(*part, channels))
            _partial_sums(moved, design, stages, tile, near if k in sums_stay else far)
        _weights(moved, design, segment, stages, tiles, far)
    return moved


def _bytes(part, channels: int, bits: int) -> int:
    elements = channels * prod(len(axis) for axis in part)
    return -(-elements * bits // 8)


def _partial_sums(moved: Moved, design, stages, tile: Tile, memory: str) -> None:
    if tile.inputs is None:
        return
    (stage,) = stages
    size = _bytes(tile.made[stage.name], len(tile.outputs), design.accelerator.accumulator_bits)
    name = f"partial sums of {stage.name}"
    if tile.inputs[0] > 0:
        moved.read(name, memory, "partial", size)
    if tile.inputs[-1] + 1 < _channels_in(design, stage):
        moved.write(name, memory, "partial", size)


def _weights(moved: Moved, design, segment, stages, tiles, far: str) -> None:
    policy = segment.weights or design.accelerator.weights
    places = len({tile.place for tile in tiles})
    loads = {"resident": 0, "frame": 1, "tile": places}[policy]
    for stage in stages:
        size = -(-weights_held(design, stage) * design.accelerator.weight_bits // 8)
        if size and loads:
            frames = design.mapping.frames_per_visit
            moved.read(f"weights of {stage.name}", far, "weight", Fraction(size * loads, frames))


def weights_held(design, stage) -> int:
    """Values that a stage holds beside what streams: trained ones, and constant operands of more than one value."""
    net = design.network
    total, constants = 0, set()
    for node in (net.by_name[name] for name in stage.group.layers):
        total += _trained(node.layer, [net.tensors[name] for name in node.inputs])
        constants |= {name for name in node.inputs if _is_constant(net, name)}
    return total + sum(net.tensors[name].elements for name in constants if _counts(net, name))


def _trained(layer, sources) -> int:
    if isinstance(layer, Convolution):
        size = layer.channels * sources[0].channels // layer.groups * prod(layer.kernel)
    elif isinstance(layer, TransposedConvolution):
        size = sources[0].channels * layer.channels // layer.groups * prod(layer.kernel)
    elif isinstance(layer, Dense):
        size = layer.channels * sources[0].channels
    elif isinstance(layer, Embedding):
        return layer.count * layer.channels
    elif isinstance(layer, PRelu):
        return 1 if layer.shared else sources[0].channels
    elif isinstance(layer, BatchNorm):
        return 2 * sources[0].channels
    elif isinstance(layer, Normalise):
        return sources[0].channels * layer.affine * (1 + layer.centred)
    else:
        return 0
    return size + layer.channels * layer.bias


def _is_constant(net, name) -> bool:
    node = net.by_name[name]
    return isinstance(node.layer, Constant) or (bool(node.inputs) and all(_is_constant(net, n) for n in node.inputs))


def _counts(net, name) -> bool:
    """Untrained single values are part of the instruction."""
    return net.tensors[name].elements > 1 or _any_trained(net, name)


def _any_trained(net, name) -> bool:
    node = net.by_name[name]
    own = node.layer.trained if isinstance(node.layer, Constant) else _trained(node.layer, _sources(net, node)) > 0
    return own or any(_any_trained(net, source) for source in node.inputs)


def _sources(net, node):
    return [net.tensors[name] for name in node.inputs]


def _groups(stage) -> int:
    return getattr(stage.group.node.layer, "groups", 1)


def _channels_in(design, stage) -> int:
    """Input channels of a channel group."""
    return design.network.tensors[stage.group.node.inputs[0]].channels // _groups(stage)


def _channels_read(design, stages, tile: Tile, name: str) -> range:
    """Channels of a map from memory that a tile reads."""
    total = next(edge.tensor.channels for edge in design.edges if edge.producer == name)
    if tile.outputs is None:
        return range(total)
    (stage,) = stages
    if _groups(stage) == 1:
        return tile.inputs
    per_group = stage.group.node.layer.channels // _groups(stage)
    taken = total // _groups(stage)
    return range(tile.outputs[0] // per_group * taken, (tile.outputs[-1] // per_group + 1) * taken)


def _channels_made(design, stages, tile: Tile, name: str) -> range:
    stage = design.stage_by_name[name]
    if tile.outputs is None:
        return range(stage.tensor.channels)
    pooled = stage.group.node.layer.channels // stage.tensor.channels
    return range(tile.outputs[0] // pooled, tile.outputs[-1] // pooled + 1)


def tiles_of(design, segment) -> list[Tile]:
    """Every tile of a segment, in the order in which they run: rows, columns, outputs, inputs from the outside in."""
    stages = [stage for stage in design.stages if stage.name in segment.layers]
    outside = {name: design.stage_by_name[name] for s in stages for _, name in s.group.operands}
    outside = {name: stage for name, stage in outside.items() if name not in segment.layers}
    sizes = {stage.name: stage.tensor.spatial for stage in (*outside.values(), *stages)}
    sinks = [s.name for s in stages if s.name in design.output_stages or _leaves(design, segment, s.name)]
    limits = (segment.tile.rows, segment.tile.columns)
    whole = all(size is None or size >= n for size, n in zip(limits, sizes[stages[-1].name], strict=False))
    if whole:
        everything = {name: tuple(map(range, size)) for name, size in sizes.items()}
        places = [({n: everything[n] for n in segment.layers}, {n: everything[n] for n in sinks}, everything)]
    else:
        axes = [
            _along(design, segment, stages, sizes, sinks, axis, limits[axis])
            for axis in range(len(sizes[stages[-1].name]))
        ]
        places = [_crossed(parts, segment, sinks) for parts in product(*axes)]
    return [
        Tile(made, stored, {n: part for n, part in loaded.items() if n in outside}, place, outputs, inputs)
        for place, (made, stored, loaded) in enumerate(places)
        for outputs, inputs in _channel_loops(design, segment, stages[0])
    ]


def _leaves(design, segment, name: str) -> bool:
    return any(edge.producer == name and edge.consumer not in segment.layers for edge in design.edges)


def _crossed(parts, segment, sinks):
    """A tile from a stretch an axis; where one is empty there is nothing to do."""
    names = set.intersection(*(set(made) for made, _ in parts))
    boxes = {name: tuple(made[name] for made, _ in parts) for name in names}
    kept = {name for name in sinks if all(name in stored for _, stored in parts)}
    stored = {name: tuple(stored[name] for _, stored in parts) for name in kept & names}
    return {n: box for n, box in boxes.items() if n in segment.layers}, stored, boxes


def _channel_loops(design, segment, stage) -> list[tuple[range | None, range | None]]:
    tile = segment.tile
    if tile.outputs is None and tile.inputs is None:
        return [(None, None)]
    outputs, inputs = stage.group.node.layer.channels, _channels_in(design, stage)
    return list(product(_pieces(outputs, tile.outputs), _pieces(inputs, tile.inputs)))


def _pieces(size: int, tile: int | None) -> list[range]:
    tile = tile or size
    return [range(begin, min(begin + tile, size)) for begin in range(0, size, tile)]


def _along(design, segment, stages, sizes, sinks, axis: int, limit: int | None):
    """Of every tile along an axis, the stretch made or loaded of each map, and that stored; empty ones left out."""
    net, last = design.network, stages[-1].name
    if limit is None or limit >= sizes[last][axis]:
        return [({n: range(s[axis]) for n, s in sizes.items()}, {n: range(sizes[n][axis]) for n in sinks})]
    extent, cached = sizes[last][axis], segment.halo == "cache"
    done, passed, tiles = dict.fromkeys(sizes, 0), dict.fromkeys(sizes, 0), []
    for begin in range(0, extent, limit):
        end = min(begin + limit, extent)
        needed = {n: range(begin * sizes[n][axis] // extent, end * sizes[n][axis] // extent) for n in sinks}
        stored = {n: part for n, part in needed.items() if part}
        points = {name: set(needed.get(name, ())) for name in sizes}
        for stage in reversed(stages):
            mine = _stretch(points[stage.name], done[stage.name] if cached else None)
            node = stage.group.node
            for operand, name in stage.group.operands:
                axes = _axes(node.layer, operand, [net.tensors[n] for n in node.inputs], net.tensors[node.name])
                points[name] |= {x for y in mine for x in axes[axis][y]}
        made = {}
        for name, wanted in points.items():
            part = _stretch(wanted, done[name] if cached else None)
            if wanted and name not in segment.layers:
                close = sizes[name][axis] if end == extent else max(wanted) + 1
                part = range(min(min(wanted), passed[name]), close) if not cached else range(done[name], close)
                passed[name] = max(passed[name], close)
            if part:
                made[name] = part
                done[name] = max(done[name], part.stop)
        tiles.append((made, {n: part for n, part in stored.items() if n in made}))
        if cached:
            tiles[-1] = (made, {n: made[n] for n in stored if n in made})
    return tiles


def _stretch(points: set[int], done: int | None) -> range:
    """From the first point to the last, or from the first that has not been made before."""
    if not points:
        return range(0)
    return range(min(points) if done is None else done, max(points) + 1)
