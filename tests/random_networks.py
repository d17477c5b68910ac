"""Small networks, machines and mappings drawn at random, every kind of layer and every option among them."""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field, replace
from math import prod
from random import Random
from types import MappingProxyType

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import bind
from accelsim.mapping.mapping import Mapping, Measured
from accelsim.mapping.unrolling import Unroll
from accelsim.network import layers as kinds
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Layer
from accelsim.network.tensor import Tensor

MOST_PIXELS = 40
MOST_CHANNELS = 8


@dataclass(frozen=True)
class Case:
    """A network on a machine; `pace` None for a greedy source, `ports` a port and cycles it is held by stage."""

    net: Network
    accelerator: Accelerator
    mapping: Mapping
    granularity: str
    pace: int | None
    frames: int
    ports: ReadOnly[str, tuple[str, int]] = field(default_factory=dict)


class Draft:
    """A network being drawn: every layer takes tensors that are there already."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        axes = rng.choices((1, 2, 3), (3, 10, 1))[0]
        most = {1: 9, 2: 5, 3: 3}[axes]
        for _ in range(rng.choices((1, 2, 3), (12, 3, 1))[0]):
            spatial = tuple(rng.randint(max(1, most - 3), most) for _ in range(axes))
            self.add(kinds.Input(rng.randint(1, 4), spatial))

    def add(self, layer: Layer, *sources: str) -> str | None:
        """The new layer's name; None where it does not fit or is too large."""
        try:
            tensor = layer.output(tuple(self.tensors[name] for name in sources))
        except InputError:
            return None
        if tensor.pixels > MOST_PIXELS or tensor.channels > 4 * MOST_CHANNELS:
            return None
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, layer, sources))
        self.tensors[name] = tensor
        return name

    def any(self) -> str:
        """A tensor, the latest ones more often."""
        names = list(self.tensors)
        return self.rng.choice(names[-self.rng.randint(1, len(names)) :])

    def partner(self, name: str) -> str:
        """A tensor of the same shape."""
        return self.rng.choice([n for n, t in self.tensors.items() if t == self.tensors[name]])


def window_fields(rng: Random, axes: int, kernels=(1, 2, 3), dilations=(1, 1, 1, 2)) -> dict:
    kernel = tuple(rng.choice(kernels) for _ in range(axes))
    return {
        "kernel": kernel,
        "stride": tuple(rng.choice((1, 1, 2, 3)) for _ in range(axes)),
        "padding": tuple((rng.randint(0, k), rng.randint(0, k)) for k in kernel),
        "dilation": tuple(rng.choice(dilations) for _ in range(axes)),
    }


def _same(rng: Random, axes: int, channels: int) -> Layer:
    kernel = tuple(rng.choice((1, 3)) for _ in range(axes))
    ones = (1,) * axes
    return kinds.Convolution(channels, kernel, ones, tuple((k // 2, k // 2) for k in kernel), ones)


def convolution(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    channels = rng.randint(1, 4)
    groups = rng.choice([g for g in (1, 1, 2, 3, 4) if source.channels % g == 0 and channels % g == 0])
    draft.add(kinds.Convolution(channels, groups=groups, **window_fields(rng, len(source.spatial))), x)


def transposed_convolution(draft: Draft, x: str) -> None:
    rng, axes = draft.rng, len(draft.tensors[x].spatial)
    fields = window_fields(rng, axes, kernels=(1, 2, 3, 4))
    extra = tuple(rng.randint(0, 1) for _ in range(axes))
    draft.add(kinds.TransposedConvolution(rng.randint(1, 3), output_padding=extra, **fields), x)


def pool(draft: Draft, x: str) -> None:
    rng = draft.rng
    fields = window_fields(rng, len(draft.tensors[x].spatial))
    draft.add(kinds.Pool(rng.choice(("maximum", "average")), ceil_mode=rng.random() < 0.5, **fields), x)


def reduce(draft: Draft, x: str) -> None:
    rng = draft.rng
    tile = tuple(rng.randint(1, n + 1) for n in draft.tensors[x].spatial)
    draft.add(kinds.Reduce("mean", tile if rng.random() < 0.7 else None), x)


def dense(draft: Draft, x: str) -> None:
    draft.add(kinds.Dense(draft.rng.randint(1, 5)), x)


def pointwise(draft: Draft, x: str) -> None:
    layers = (kinds.Activation("relu"), kinds.BatchNorm(), kinds.PRelu(), kinds.LocalNorm(3), kinds.Softmax())
    draft.add(draft.rng.choice(layers), x)


def with_constant(draft: Draft, x: str) -> None:
    rng, tensor = draft.rng, draft.tensors[x]
    constant = draft.add(kinds.Constant(rng.choice((1, tensor.channels)), rng.choice(((), tensor.spatial))))
    if rng.random() < 0.3:
        constant = draft.add(kinds.Activation("relu"), constant)
    operands = [x, constant] if rng.random() < 0.5 else [constant, x]
    draft.add(kinds.Combine("add"), *operands)


def whole_map(draft: Draft, x: str) -> None:
    layers = (kinds.Normalise("space"), kinds.Normalise("all"), kinds.Softmax(over="space"))
    draft.add(draft.rng.choice(layers), x)


def add(draft: Draft, x: str) -> None:
    others = [draft.partner(x) for _ in range(draft.rng.randint(1, 2))]
    draft.add(kinds.Combine("add"), x, *others)


def residual(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    y = draft.add(_same(rng, len(source.spatial), source.channels), x)
    if rng.random() < 0.5:
        y = draft.add(_same(rng, len(source.spatial), source.channels), y)
    short = x if rng.random() < 0.7 else draft.add(_same(rng, len(source.spatial), source.channels), x)
    draft.add(kinds.Combine("add"), *rng.sample((y, short), 2))


def squeeze_excite(draft: Draft, x: str) -> None:
    """A map times what a reduction, global or tiled, makes of it."""
    rng, source = draft.rng, draft.tensors[x]
    tile = tuple(rng.randint(1, n) for n in source.spatial) if source.spatial and rng.random() < 0.7 else None
    gate = draft.add(kinds.Reduce("mean", tile), x)
    if rng.random() < 0.6:
        gate = draft.add(kinds.Dense(source.channels), gate)
    repeat = ((), tile) if tile else ()
    draft.add(kinds.Combine("multiply", repeat), x, gate)


def broadcast(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    other = rng.choice([n for n, t in draft.tensors.items() if t.channels in (1, source.channels)])
    if rng.random() < 0.5:
        inner = tuple(rng.choice((1, n)) for n in source.spatial[rng.randint(0, len(source.spatial)) :])
        other = draft.add(kinds.Input(rng.choice((1, source.channels)), inner))
    draft.add(kinds.Combine("multiply"), *rng.sample((x, other), 2))


def concat(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    axis = rng.randint(-1, len(source.spatial) - 1)
    fits = [n for n, t in draft.tensors.items() if len(t.spatial) == len(source.spatial)]
    draft.add(kinds.Concat(axis), x, *(rng.choice(fits) for _ in range(rng.randint(1, 2))))


def cut(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    axis = rng.randint(-1, len(source.spatial) - 1)
    total = source.channels if axis < 0 else source.spatial[axis]
    step = rng.choice((1, 1, 2, -1))
    size = rng.randint(1, -(-total // abs(step)))
    room = total - (size - 1) * abs(step)
    start = rng.randint(0, room - 1)
    draft.add(kinds.Slice(axis, start if step > 0 else total - 1 - start, size, step), x)


def pad(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    mode = rng.choice(("constant", "edge", "reflect", "wrap"))
    # what is reflected where the other end is cropped is not the same everywhere
    least = -1 if mode == "constant" else 0
    most = 2 if mode == "constant" else min((2, *(n - 1 for n in source.spatial)))
    padding = tuple((rng.randint(least, most), rng.randint(least, most)) for _ in source.spatial)
    draft.add(kinds.Pad(padding, (0, rng.randint(0, 1)), mode), x)


def resize(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    mode = rng.choice(("nearest", "linear", "cubic"))
    coordinates = rng.choice(("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"))
    enlarged = tuple(n * rng.randint(1, 2) for n in source.spatial)
    other = tuple(rng.randint(1, 7) for _ in source.spatial)
    draft.add(kinds.Resize(rng.choice((enlarged, other)), mode, coordinates), x)


def flatten(draft: Draft, x: str) -> None:
    source = draft.tensors[x]
    axes = (*source.spatial, source.channels)
    draft.add(kinds.Rearrange(axes, tuple(range(len(axes))), (), source.elements), x)


def rearrange(draft: Draft, x: str) -> None:
    """Factors of all axes in any order: shuffles of channels and pixels, transpositions, window partitions."""
    rng, source = draft.rng, draft.tensors[x]
    split: list[int] = []
    for size in (*source.spatial, source.channels):
        factor = rng.choice([d for d in range(1, size + 1) if size % d == 0])
        split += [factor, size // factor] if rng.random() < 0.6 else [size]
    order = list(range(len(split)))
    rng.shuffle(order)
    moved = [split[axis] for axis in order]
    cuts = sorted(rng.randint(0, len(moved)) for _ in range(rng.randint(1, 3)))
    spatial = tuple(prod(moved[a:b]) for a, b in zip([0, *cuts], cuts, strict=False))
    draft.add(kinds.Rearrange(tuple(split), tuple(order), spatial, prod(moved[cuts[-1] :])), x)


def pixel_shuffle(draft: Draft, x: str) -> None:
    source = draft.tensors[x]
    if len(source.spatial) != 2:
        return
    wide = draft.add(kinds.Dense(4), x)
    height, width = source.spatial
    draft.add(kinds.Rearrange((height, width, 2, 2, 1), (0, 2, 1, 3, 4), (2 * height, 2 * width), 1), wide)


def channel_shuffle(draft: Draft, x: str) -> None:
    source = draft.tensors[x]
    wide = draft.add(kinds.Dense(4), x)
    axes = len(source.spatial)
    order = (*range(axes), axes + 1, axes)
    draft.add(kinds.Rearrange((*source.spatial, 2, 2), order, source.spatial, 4), wide)


def attention(draft: Draft, x: str) -> None:
    rng, source = draft.rng, draft.tensors[x]
    if not source.spatial:
        return
    heads = rng.randint(1, 2)
    queries, keys, values = (draft.add(kinds.Dense(2 * heads), x) for _ in range(3))
    scores = draft.add(kinds.Product(heads, transposed=True), queries, keys)
    if scores is not None and rng.random() < 0.7:
        scores = draft.add(kinds.Softmax(heads), scores)
    if scores is not None:
        draft.add(kinds.Product(heads), scores, values)


def embedding(draft: Draft, x: str) -> None:
    draft.add(kinds.Embedding(7, 3), draft.add(kinds.Dense(1), x))


def product(draft: Draft, x: str) -> None:
    draft.add(kinds.Product(1, transposed=draft.rng.random() < 0.5), x, draft.any())


def channel_pool(draft: Draft, x: str) -> None:
    draft.add(kinds.ChannelPool("maximum", draft.rng.randint(1, 3)), x)


STEPS = {
    convolution: 8, transposed_convolution: 2, pool: 3, reduce: 2, dense: 2, pointwise: 3, with_constant: 2,
    whole_map: 1, add: 3, residual: 3, squeeze_excite: 4, broadcast: 2, concat: 3, cut: 2, pad: 2, resize: 2,
    flatten: 1, rearrange: 2, pixel_shuffle: 1, channel_shuffle: 1, attention: 1, product: 1, channel_pool: 1,
    embedding: 1,
}  # fmt: skip


def random_network(rng: Random) -> Network:
    draft = Draft(rng)
    for step in rng.choices(list(STEPS), list(STEPS.values()), k=rng.randint(1, 8)):
        step(draft, draft.any())
    read = {name for node in draft.nodes for name in node.inputs}
    moving = _moving(draft.nodes)
    outputs = [name for name in moving if name not in read or rng.random() < 0.1]
    if len(outputs) > 2 and rng.random() < 0.3:
        outputs = rng.sample(outputs, 2)
    return network("random", draft.nodes, outputs)


def _moving(nodes: list[Node]) -> list[str]:
    moving: list[str] = []
    for node in nodes:
        if isinstance(node.layer, kinds.Input) or any(name in moving for name in node.inputs):
            moving.append(node.name)
    return moving


def random_unroll(rng: Random, net: Network, node: Node) -> Unroll | None:
    """Divisors of a layer's loops, taken from its fields; large ones more often, to keep the frames short."""
    layer, output = node.layer, net.tensors[node.name]
    source = net.sources(node)[0] if node.inputs else output
    row = output.spatial[-1] if len(output.spatial) > 1 else 1
    if isinstance(layer, kinds.Convolution):
        loops = (source.channels // layer.groups, layer.channels, prod(layer.kernel))
    elif isinstance(layer, kinds.TransposedConvolution):
        taps = prod(-(-k // s) for k, s in zip(layer.kernel, layer.stride, strict=True))
        loops = (source.channels // layer.groups, layer.channels, taps)
    elif isinstance(layer, kinds.Dense | kinds.Product):
        loops = (source.channels // getattr(layer, "groups", 1), output.channels, 1)
    else:
        return None
    chosen = [_divisor(rng, size) for size in loops]
    while prod(loops) // prod(chosen) > 12:
        chosen = [_divisor(rng, size) for size in loops]
    return Unroll(*chosen, pixels=_divisor(rng, row) if rng.random() < 0.5 else 1)


def _divisor(rng: Random, number: int) -> int:
    return rng.choice([d for d in range(1, number + 1) if number % d == 0])


def random_accelerator(rng: Random) -> Accelerator:
    engine = {
        "multipliers": 10**9,
        "lanes": rng.choice((1, 2, 4, 8)),
        "mac_latency_cycles": rng.choice((0, 0, 1, 3, 8)),
        "lane_latency_cycles": rng.choice((0, 0, 1, 4)),
    }
    fork = rng.choice(("shared", "copy"))
    return Accelerator.model_validate({"name": "random", "clock": 10**6, "engine": engine, "fork": fork})


def random_case(rng: Random, granularity: str) -> Case:
    """All of it; a paced source offers frames up to twice as fast as the slowest stage can take them."""
    net, accelerator = random_network(rng), random_accelerator(rng)
    free = bind(net, accelerator, Mapping(MappingProxyType(random_unrolling(rng, net))))
    mapping = replace(
        free.mapping,
        capacities=MappingProxyType(random_capacities(rng, [edge.name for edge in free.edges])),
        measured=MappingProxyType(random_measurements(rng, [stage.name for stage in free.stages])),
        granularity=granularity,
    )
    slowest = free.bottleneck_cycles
    pace = rng.choice((None, slowest, rng.randint(max(1, slowest // 2), slowest), rng.randint(slowest, 2 * slowest)))
    frames = rng.randint(1, 4)
    if rng.random() < 0.25:
        engine = accelerator.engine.model_copy(update={"window_frames": "apart"})
        accelerator = accelerator.model_copy(update={"engine": engine})
    return Case(net, accelerator, mapping, granularity, pace, frames)


def with_ports(rng: Random, case: Case) -> Case:
    """`case` with some of its stages at a few ports, which are held for less or more than a firing takes."""
    stages = bind(case.net, case.accelerator, case.mapping).stages
    ports, share, most = rng.choice((1, 1, 2, 3)), rng.choice((0.3, 0.6, 1)), rng.choice((1, 3, 9))
    users = [stage for stage in stages if rng.random() < share]
    held = {
        stage.name: (f"port {rng.randrange(ports)}", rng.choice((stage.interval_cycles, rng.randint(1, most))))
        for stage in users
    }
    return replace(case, ports=MappingProxyType(held))


def random_unrolling(rng: Random, net: Network) -> dict[str, Unroll]:
    moving = _moving(list(net.nodes))
    return {node.name: u for node in net.nodes if node.name in moving and (u := random_unroll(rng, net, node))}


def random_capacities(rng: Random, edges: list[str]) -> dict[str, int]:
    """Tokens of some edges, often too few."""
    if rng.random() < 0.3:
        return {}
    most, share = rng.choice((2, 4, 12, 40)), rng.random()
    return {name: rng.randint(1, most) for name in edges if rng.random() < share}


def random_measurements(rng: Random, stages: list[str]) -> dict[str, Measured]:
    if rng.random() < 0.85:
        return {}
    return {rng.choice(stages): Measured(rng.choice((None, rng.randint(1, 9))), rng.choice((None, rng.randint(0, 20))))}
