"""Random networks of other structures than those in `chains`: blocks in series, nested, with projections, and so on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType

from accelsim.units import divisors
from tests.validation.chains import CORES, DEPTHS, _Drawn, _spec

HALVES = ((1, 1), (1, 1), (1, 1), (2, 2), (0, 0), (0, 1), (1, 0))


class _Graph(_Drawn):
    """A network so far, its forks all of one kind; `least` is how far the windows of a branch reach, in pixels."""

    def __init__(self, seed: int, registered: bool = False) -> None:
        super().__init__(seed)
        self.height, self.width = self.draw.randint(4, 14), self.draw.randint(4, 14)
        self.channels = self.draw.choice((1, 2, 4, 4, 6, 8))
        self.given = self.given_first = self.draw.choice(divisors(self.channels))
        self.words = self.height * self.width * self.channels // self.given
        self.fork_kind = "tap_fork" if registered else "fork"
        self.least = 0

    def fork(self, outputs: int) -> list[str]:
        name = f"fork{len(self.modules) + 1}"
        links = [f"{name}_o{k}" for k in range(outputs)]
        kind = "fork" if outputs > 2 else self.fork_kind
        self.modules.append({"name": name, "kind": kind, "ins": [self.link], "outs": links, "params": {}})
        return links

    def join(self, links: list[str]) -> None:
        name = f"join{len(self.modules) + 1}"
        self.modules.append({"name": name, "kind": "join", "ins": links, "outs": [f"{name}_o"], "params": {}})
        self.link = f"{name}_o"

    def convert(self, simd: int) -> None:
        super().convert(simd)
        self.given = simd

    def queue(self, depth: int | None = None) -> None:
        self.add("fifo", depth=max(2, self.draw.choice(DEPTHS) if depth is None else depth))

    def same_layer(self, rows: int | None = None) -> None:
        half = self.draw.choice(HALVES)
        if 2 * half[0] + 1 > self.height or 2 * half[1] + 1 > self.width:
            half = (0, 0)
        self.same(half, rows or self.channels)
        self.least += half[0] * self.width + half[1]

    def strided(self, rows: int, kernel: int) -> None:
        """A convolution of stride 2."""
        simd = self.draw.choice(divisors(self.channels))
        self.convert(simd)
        sizes = {"C": self.channels, "SIMD": simd}
        if kernel > 1:
            self.add("fmpadding", H=self.height, W=self.width, **sizes, pads=[kernel // 2] * 4)
        height, width = self.height + 2 * (kernel // 2), self.width + 2 * (kernel // 2)
        par = int(self.draw.random() < 0.3)
        self.add("swg", H=height, W=width, **sizes, KH=kernel, KW=kernel, S=2, dw=0, par=par)
        self.height, self.width = (height - kernel) // 2 + 1, (width - kernel) // 2 + 1
        columns = simd * (kernel * kernel if par else 1)
        pe = self.draw.choice(divisors(rows))
        self.multiply("mvu", kernel * kernel * self.channels, rows, columns, pe, self.draw.choice(CORES))
        self.least += (kernel // 2) * (width + 1)

    def depthwise(self) -> None:
        kernel = 3 if min(self.height, self.width) >= 3 else 1
        simd = self.draw.choice(divisors(self.channels))
        self.convert(simd)
        sizes = {"C": self.channels, "SIMD": simd}
        if kernel > 1:
            self.add("fmpadding", H=self.height, W=self.width, **sizes, pads=[1] * 4)
        height, width = self.height + 2 * (kernel // 2), self.width + 2 * (kernel // 2)
        par = int(self.draw.random() < 0.3)
        self.add("swg", H=height, W=width, **sizes, KH=kernel, KW=kernel, S=1, dw=1, par=par)
        taps = kernel * kernel
        self.multiply("vvu", taps, self.channels, taps if par else 1, simd, "mvu_vvu_8sx9_dsp58")
        self.least += (kernel // 2) * (width + 1)

    def pointwise(self, rows: int) -> None:
        simd = self.draw.choice(divisors(self.channels))
        self.convert(simd)
        self.multiply("mvu", self.channels, rows, simd, self.draw.choice(divisors(rows)), self.draw.choice(CORES))

    def some_layer(self) -> None:
        self.layer()
        if self.draw.random() < 0.5:
            self.queue()

    def branches(self, ways: list[Callable[[], None]], width: int | None = None) -> None:
        """A fork, what is on each of its branches, and a join; the first goes where the others' room is drawn by."""
        shape, channels, given, before = (self.height, self.width), self.channels, self.given, self.least
        ends, reach = [], 0
        for link, way in zip(self.fork(len(ways)), ways, strict=True):
            (self.height, self.width), self.channels, self.given = shape, channels, given
            self.link, self.least = link, reach
            way()
            reach = max(reach, self.least)
            self.convert(width or given)
            ends.append(self.link)
        self.join(ends)
        self.least = before + reach

    def skip(self) -> None:
        """A queue of about as many words as the branches before it take."""
        draw = self.draw
        words, room = self.height * self.width * self.channels // self.given, self.least * self.channels // self.given
        self.queue(draw.choice((room, room + 1, room + 2, room + 4, room + 8, 2 * room, 2 * room + 8, words + 64)))

    def way(self) -> None:
        for layer in range(self.draw.choice((1, 1, 2))):
            if layer and self.draw.random() < 0.7:
                self.queue()
            self.same_layer()

    def ended(self, name: str) -> dict:
        words = self.height * self.width * self.channels // self.given
        return _spec(name, self, self.words, words)


def _before(graph: _Graph) -> None:
    """Sometimes convolutions before what follows."""
    for _ in range(graph.draw.choice((0, 1, 1))):
        graph.same_layer(graph.draw.choice((2, 4, 6, 8)))
        if graph.draw.random() < 0.5:
            graph.queue()


def _after(graph: _Graph) -> None:
    if graph.draw.random() < 0.5:
        if graph.draw.random() < 0.5:
            graph.queue()
        graph.layer()


def _series(graph: _Graph) -> None:
    """Two or three residual blocks, one after the other."""
    for _ in range(graph.draw.choice((2, 2, 3))):
        graph.branches([graph.way, graph.skip])
        if graph.draw.random() < 0.5:
            graph.queue()


def _nested(graph: _Graph) -> None:
    """A residual block in the longer branch of another, or two: a skip over two blocks."""

    def inner() -> None:
        if graph.draw.random() < 0.5:
            graph.same_layer()
        for _ in range(graph.draw.choice((1, 1, 2))):
            graph.branches([graph.way, graph.skip])
        if graph.draw.random() < 0.5:
            graph.same_layer()

    graph.branches([inner, graph.skip])


def _projected(graph: _Graph) -> None:
    """Strides on both branches, the shorter a 1x1 or 3x3."""
    draw, rows = graph.draw, graph.draw.choice((2, 4, 8))
    given = draw.choice(divisors(rows))

    def way() -> None:
        graph.strided(rows, 3)
        if draw.random() < 0.6:
            if draw.random() < 0.5:
                graph.queue()
            graph.same_layer(rows)

    def short() -> None:
        if draw.random() < 0.4:
            graph.skip()
        graph.strided(rows, draw.choice((1, 1, 3)))
        if draw.random() < 0.7:
            graph.skip()

    graph.branches([way, short], given)


def _crowded(graph: _Graph) -> None:
    """Queues on both branches, thresholds and width converters on them."""
    draw = graph.draw

    def extras() -> None:
        for _ in range(draw.choice((0, 1, 2))):
            kind = draw.choice(("queue", "threshold", "convert"))
            if kind == "queue":
                graph.queue()
            elif kind == "convert":
                graph.convert(draw.choice(divisors(graph.channels)))
            else:
                pixels = graph.height * graph.width
                graph.add("thresholding", C=graph.channels, PE=graph.given, N=graph.bits, npix=pixels)

    def way() -> None:
        extras()
        graph.way()
        extras()

    def short() -> None:
        extras()
        graph.skip()
        extras()

    graph.branches([way, short])


def _threefold(graph: _Graph) -> None:
    """A fork of three outputs and a join of three inputs."""
    draw = graph.draw

    def middle() -> None:
        if draw.random() < 0.5:
            graph.pointwise(graph.channels)
        graph.skip()

    graph.branches([graph.way, middle, graph.skip])


def _separable(graph: _Graph) -> None:
    """Inverted residuals: to more channels, depthwise, and back."""
    draw = graph.draw

    def way() -> None:
        channels = graph.channels
        graph.pointwise(channels * draw.choice((1, 2, 3)))
        if draw.random() < 0.5:
            graph.queue()
        graph.depthwise()
        if draw.random() < 0.5:
            graph.queue()
        graph.pointwise(channels)

    for _ in range(draw.choice((1, 1, 2))):
        graph.branches([way, graph.skip])


def _long(graph: _Graph) -> None:
    """Five to eight convolutions, some of stride 2."""
    for _ in range(graph.draw.randint(5, 8)):
        if graph.draw.random() < 0.3 and min(graph.height, graph.width) > 4:
            graph.strided(graph.draw.choice((2, 4, 8)), graph.draw.choice((1, 3)))
        else:
            graph.same_layer(graph.draw.choice((2, 4, 8)))
        if graph.draw.random() < 0.5:
            graph.queue()


def _classifier(graph: _Graph) -> None:
    """Convolutions and, behind them, matrix units alone that take a whole map as one vector."""
    for _ in range(graph.draw.choice((0, 1, 2))):
        graph.some_layer()
    columns = graph.height * graph.width * graph.channels
    for rows in (graph.draw.choice((4, 10, 16)), graph.draw.choice((1, 4, 10)))[: graph.draw.choice((1, 2))]:
        simd = graph.draw.choice(divisors(columns))
        if (simd > graph.given and simd % graph.given) or simd > 64:
            simd = graph.given
        graph.convert(simd)
        graph.height = graph.width = 1
        graph.multiply("mvu", columns, rows, simd, graph.draw.choice(divisors(rows)), graph.draw.choice(CORES))
        columns = rows


def _odd(graph: _Graph) -> None:
    """Maps a pixel wide or high, one channel, all channels and rows at once, asymmetric padding, long strides."""
    draw = graph.draw
    for _ in range(draw.choice((1, 2, 3))):
        pads = [draw.randint(0, 3) for _ in range(4)] if draw.random() < 0.7 else [0] * 4
        height, width = graph.height + pads[0] + pads[2], graph.width + pads[1] + pads[3]
        kernel = [draw.randint(1, min(4, size)) for size in (height, width)]
        stride = draw.choice((1, 2, 3, 4, 5))
        simd = draw.choice((1, graph.channels))
        graph.convert(simd)
        sizes = {"C": graph.channels, "SIMD": simd}
        if any(pads):
            graph.add("fmpadding", H=graph.height, W=graph.width, **sizes, pads=pads)
        par = int(draw.random() < 0.3)
        graph.add("swg", H=height, W=width, **sizes, KH=kernel[0], KW=kernel[1], S=stride, dw=0, par=par)
        graph.height, graph.width = ((n - k) // stride + 1 for n, k in zip((height, width), kernel, strict=True))
        taps, rows = prod(kernel), draw.choice((1, 2, 5, 8))
        columns = simd * (taps if par else 1)
        graph.multiply("mvu", taps * graph.channels, rows, columns, draw.choice((1, rows)), draw.choice(CORES))
        if draw.random() < 0.5:
            graph.add("fifo", depth=draw.choice((1, 1, 2, 3)))


STRUCTURES: Mapping[str, Callable[[_Graph], None]] = MappingProxyType(
    {
        "in series": _series,
        "nested": _nested,
        "projected": _projected,
        "crowded": _crowded,
        "threefold": _threefold,
        "separable": _separable,
        "long": _long,
        "classifiers": _classifier,
        "odd": _odd,
    }
)
ALONE = ("long", "classifiers", "odd")


def drawn(structure: str, seed: int, registered: bool = False, frames: int | None = None) -> dict:
    """A spec of a structure; its ends are steady."""
    graph = _Graph(seed, registered)
    if structure == "odd":
        height, width, channels = (graph.draw.choice(sizes) for sizes in ((1, 2, 5, 9), (1, 3, 8, 12), (1, 1, 3, 8)))
        graph.height, graph.width, graph.channels = height, width, channels
        graph.given = graph.draw.choice(divisors(channels))
        graph.words = height * width * channels // graph.given
    if structure not in ALONE:
        _before(graph)
    STRUCTURES[structure](graph)
    if structure not in ALONE:
        _after(graph)
    spec = graph.ended(f"{structure} {seed}{' tap' if registered else ''}")
    return spec | {"frames": frames or graph.draw.choice((5, 5, 2, 20))}
