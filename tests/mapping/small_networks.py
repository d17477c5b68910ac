"""Small networks and machines drawn at random, of layers that can be cut, tiled and fused."""

from __future__ import annotations

from random import Random

from accelsim.hardware.accelerator import Accelerator
from accelsim.network.graph import Network, Node, network
from accelsim.network.layers import Combine, Concat, Convolution, Dense, Input, Layer, Pool, Reduce
from accelsim.network.tensor import Tensor

FORMS = ("chain", "series-parallel", "general")


class Draft:
    """A network being drawn."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.add(Input(rng.choice((2, 3, 4)), (rng.randint(5, 9), rng.randint(5, 9))))

    def add(self, layer: Layer, *sources: str) -> str:
        name = f"n{len(self.nodes)}"
        self.tensors[name] = layer.output(tuple(self.tensors[s] for s in sources))
        self.nodes.append(Node(name, layer, sources))
        return name

    def convolved(self, source: str, channels: int | None = None, stride: int | None = None) -> str:
        tensor = self.tensors[source]
        if not tensor.spatial:
            return self.add(Dense(channels or self.rng.choice((2, 3, 6))), source)
        kernel, stride = self.rng.choice((1, 2, 3)), stride or self.rng.choice((1, 1, 2))
        before = kernel // 2
        padding = ((before, kernel - 1 - before),) * 2
        groups = tensor.channels if channels is None and self.rng.random() < 0.2 else 1
        made = tensor.channels if groups > 1 else channels or self.rng.choice((2, 4, 6))
        return self.add(Convolution(made, (kernel,) * 2, (stride,) * 2, padding, (1, 1), groups, True), source)

    def pooled(self, source: str) -> str:
        if min(self.tensors[source].spatial, default=0) < 2:
            return self.convolved(source)
        return self.add(Pool("maximum", (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)), source)

    def squeezed(self, source: str) -> str:
        if not self.tensors[source].spatial:
            return self.convolved(source)
        gate = self.add(Reduce("mean"), source)
        return self.add(Combine("multiply"), source, gate)

    def branched(self, source: str) -> str:
        left, right = (self.convolved(source, channels=4, stride=1) for _ in range(2))
        return self.add(Combine("add") if self.rng.random() < 0.5 else Concat(), left, right)

    def joined(self, source: str) -> str:
        """`source` added to an earlier map of its shape, if there is one."""
        others = [name for name, tensor in self.tensors.items() if tensor == self.tensors[source] and name != source]
        return self.add(Combine("add"), source, self.rng.choice(others)) if others else self.convolved(source)


def small_network(seed: int, form: str, stages: int) -> Network:
    """A network of about so many layers, never more; what nothing reads leaves it."""
    rng = Random(seed)
    draft = Draft(rng)
    latest = "n0"
    steps = {
        "chain": (draft.convolved, draft.convolved, draft.pooled),
        "series-parallel": (draft.convolved, draft.branched, draft.squeezed),
        "general": (draft.convolved, draft.joined, draft.pooled, draft.squeezed),
    }[form]
    while len(draft.nodes) <= stages - 2:
        source = rng.choice(list(draft.tensors)) if form == "general" and rng.random() < 0.4 else latest
        latest = rng.choice(steps)(source)
    read = {source for node in draft.nodes for source in node.inputs}
    return network(f"{form}-{seed}", draft.nodes, [node.name for node in draft.nodes if node.name not in read])


def small_machine(seed: int, sizes: tuple[int, ...] | None = None, **fields: object) -> Accelerator:
    """A machine with two or three memories, the on-chip ones of `sizes` or of a few hundred bytes."""
    rng = Random(seed)
    sizes = sizes or tuple(rng.choice((120, 200, 320, 520, 900)) for _ in range(rng.choice((1, 1, 2))))
    port = {"read_bits": 64, "write_bits": 64}
    on_chip = {f"level{k}": {"size": size, "port": port, "energy_pj_per_byte": 1 + k} for k, size in enumerate(sizes)}
    given = {
        "name": "small",
        "clock": 10**6,
        "engine": {"multipliers": 64, "lanes": 4, "mac_latency_cycles": 2, "lane_latency_cycles": 1},
        "memories": {**on_chip, "dram": {"size": 10**6, "port": port, "energy_pj_per_byte": 100}},
        "weights": rng.choice(("tile", "tile", "frame")),
        "fork": rng.choice(("shared", "copy")),
        "interface": "memory",
        "activation_bits": rng.choice((8, 8, 5)),
    }
    return Accelerator.model_validate(given | fields)
