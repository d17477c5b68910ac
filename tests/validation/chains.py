"""Random chains, residual and single blocks, in the form of `specs.jsonl`: how far rows and pixels are from words.

    python -m tests.validation.chains [COUNT]    the table of the first COUNT seeds of each, 300 in the README

Nothing in them was measured: the truth is the model word by word, which agrees with every measured run and, on random
chains, with the clock-stepped model in plain Python.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import lcm, prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from accelsim.errors import NotModelled
from accelsim.hardware.accelerator import load_accelerator
from accelsim.units import divisors
from accelsim.validation.rtl.outcome import ByTokens, ByWords, Outcome
from accelsim.validation.rtl.specs import Spec, read_specs

MACHINE = load_accelerator("fpga-stream")
KERNELS = {
    "padded": ((3, 3), (3, 3), (5, 5), (7, 7), (2, 2), (1, 3), (3, 1), (4, 2)),
    "valid": ((3, 3), (3, 3), (5, 5), (7, 7), (2, 2), (1, 3), (3, 1), (4, 2)),
    "depthwise": ((3, 3), (5, 5), (2, 2), (1, 3), (3, 1)),
    "pointwise": ((1, 1),),
    "strided pointwise": ((1, 1),),
}
STRIDES = {"pointwise": (1,), "strided pointwise": (2, 3)}
CORES = ("mvu_4sx4u_dsp48e1", "mvu_4sx4u_dsp48e2", "mvu_8sx8u_dsp48")
DEPTHS = (2, 2, 3, 4, 8, 16, 32, 64, 128, 512)
#: Largest errors of the steady interval and of the first frame.
LIMITS = {"pixel": (0.02, 0.05), "row": (0.03, 0.10)}


class _Drawn:
    """A chain so far: a map of `height` x `width` pixels of `channels`, `given` of them a word."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.modules: list[dict] = []
        self.height, self.width = self.draw.randint(4, 24), self.draw.randint(4, 24)
        self.channels = self.draw.choice((1, 2, 3, 4, 6, 8, 12, 16))
        self.bits = self.draw.choice((4, 8))
        self.given = 0
        self.link = "src"

    def add(self, kind: str, **params) -> None:
        name = f"{kind}{len(self.modules) + 1}"
        out = f"{name}_o"
        self.modules.append({"name": name, "kind": kind, "ins": [self.link], "outs": [out], "params": params})
        self.link = out

    def layer(self) -> None:
        """A convolution, dense or depthwise; nothing where its window does not fit."""
        draw = self.draw
        kind = draw.choice(("padded", "padded", "padded", *KERNELS))
        kernel, stride = draw.choice(KERNELS[kind]), draw.choice(STRIDES.get(kind, (1, 1, 1, 2, 2, 3)))
        half = [draw.randint(0, k // 2) if kind in ("padded", "depthwise") else 0 for k in kernel]
        pads = [*half, *half]
        height, width = self.height + pads[0] + pads[2], self.width + pads[1] + pads[3]
        if height < kernel[0] or width < kernel[1]:
            return
        simd = draw.choice(divisors(self.channels))
        self.convert(simd)
        at_once = draw.random() < 0.25 and kind != "pointwise"
        if any(pads):
            self.add("fmpadding", H=self.height, W=self.width, C=self.channels, SIMD=simd, pads=pads)
        if kind != "pointwise":
            sizes = {"H": height, "W": width, "C": self.channels, "KH": kernel[0], "KW": kernel[1], "S": stride}
            self.add("swg", **sizes, SIMD=simd, dw=int(kind == "depthwise"), par=int(at_once))
        self.height, self.width = (height - kernel[0]) // stride + 1, (width - kernel[1]) // stride + 1
        taps = prod(kernel)
        if kind == "depthwise":
            self.multiply("vvu", taps, self.channels, taps if at_once else 1, simd, "mvu_vvu_8sx9_dsp58")
        else:
            rows = draw.choice((1, 2, 4, 6, 8, 12, 16, 24))
            columns = simd * (taps if at_once else 1)
            self.multiply("mvu", taps * self.channels, rows, columns, draw.choice(divisors(rows)), draw.choice(CORES))

    def same(self, half: tuple[int, int], rows: int) -> None:
        """A convolution of `rows` filters to a map of the same size, its window reaching `half` to each side."""
        kernel, simd = [2 * h + 1 for h in half], self.draw.choice(divisors(self.channels))
        self.convert(simd)
        at_once, taps = self.draw.random() < 0.3, prod(kernel)
        sizes = {"C": self.channels, "SIMD": simd}
        if taps > 1:
            self.add("fmpadding", H=self.height, W=self.width, **sizes, pads=[*half, *half])
            across, down = self.width + 2 * half[1], self.height + 2 * half[0]
            self.add("swg", H=down, W=across, **sizes, KH=kernel[0], KW=kernel[1], S=1, dw=0, par=int(at_once))
        columns, pe = simd * (taps if at_once else 1), self.draw.choice(divisors(rows))
        self.multiply("mvu", taps * self.channels, rows, columns, pe, self.draw.choice(CORES))

    def convert(self, simd: int) -> None:
        """Words of another width, by way of the least that both divide."""
        given = self.given or simd
        for width in (lcm(given, simd), simd):
            if width != given:
                self.add("dwc", ibits=given * self.bits, obits=width * self.bits)
                given = width

    def multiply(self, kind: str, columns: int, rows: int, simd: int, pe: int, core: str) -> None:
        pixels, seglen = self.height * self.width, self.draw.choice((0, 1, 3)) if kind == "vvu" else 0
        self.add(kind, MW=columns, MH=rows, SIMD=simd, PE=pe, nvec=pixels, core=core, seglen=seglen)
        self.add("thresholding", C=rows, PE=pe, N=self.bits, npix=pixels)
        self.channels, self.given = rows, pe


def random_chain(seed: int) -> dict | None:
    """A spec of one to four layers; None where none fitted."""
    drawn = _Drawn(seed)
    elements = drawn.height * drawn.width * drawn.channels
    for layer in range(drawn.draw.choice((1, 1, 2, 2, 3, 4))):
        if layer and drawn.modules and drawn.draw.random() < 0.8:
            drawn.add("fifo", depth=drawn.draw.choice(DEPTHS))
        drawn.layer()
    if not drawn.given:
        return None
    words = elements // drawn.modules[0]["params"]["SIMD"]
    return _spec(f"random{seed}", drawn, words, drawn.height * drawn.width * drawn.channels // drawn.given)


def random_residual(seed: int) -> dict:
    """A spec of one or two layers of the map's shape beside a queue, from a fork or a tap to a join."""
    drawn = _Drawn(seed)
    draw = drawn.draw
    channels, given = drawn.channels, draw.choice(divisors(drawn.channels))
    drawn.given, kind = given, draw.choice(("fork", "fork", "tap_fork"))
    drawn.modules.append({"name": kind, "kind": kind, "ins": ["src"], "outs": ["way", "skip"], "params": {}})
    drawn.link = "way"
    for layer in range(draw.choice((1, 1, 2))):
        if layer and draw.random() < 0.7:
            drawn.add("fifo", depth=draw.choice(DEPTHS))
        half = draw.choice(((1, 1), (1, 1), (2, 2), (3, 3), (0, 0), (0, 1), (1, 0)))
        if max(2 * h + 1 - size for h, size in zip(half, (drawn.height, drawn.width), strict=True)) > 0:
            half = (0, 0)
        drawn.same(half, channels)
    drawn.convert(given)
    least = sum(
        m["params"]["KH"] // 2 * drawn.width + m["params"]["KW"] // 2 for m in drawn.modules if m["kind"] == "swg"
    )
    words, room = drawn.height * drawn.width * channels // given, least * channels // given
    depth = draw.choice((room, room + 1, room + 2, room + 4, room + 8, 2 * room, words + 64))
    skip = {"name": "skip", "kind": "fifo", "ins": ["skip"], "outs": ["skip_o"], "params": {"depth": max(2, depth)}}
    join = {"name": "join", "kind": "join", "ins": [drawn.link, "skip_o"], "outs": ["sum"], "params": {}}
    drawn.modules += [skip, join]
    drawn.link = "sum"
    return _spec(f"residual{seed}", drawn, words, words)


def random_block(seed: int) -> dict:
    """A spec of one block alone."""
    drawn = _Drawn(seed)
    draw, channels = drawn.draw, drawn.channels
    simd = draw.choice(divisors(channels))
    pixels, fold = drawn.height * drawn.width, channels // simd
    words = given = pixels * fold
    kind = draw.choice(("swg", "swg", "swg", "mvu", "mvu", "vvu", "fmpadding", "thresholding", "dwc", "fifo"))
    if kind == "swg":
        kernel = [draw.randint(1, min(7, size)) for size in (drawn.height, drawn.width)]
        stride, depthwise, at_once = draw.choice((1, 1, 2, 3)), draw.random() < 0.3, draw.random() < 0.3
        sizes = {"H": drawn.height, "W": drawn.width, "C": channels, "KH": kernel[0], "KW": kernel[1], "S": stride}
        drawn.add("swg", **sizes, SIMD=simd, dw=int(depthwise), par=int(at_once))
        taps = 1 if at_once else prod(kernel)
        given = prod((n - k) // stride + 1 for n, k in zip((drawn.height, drawn.width), kernel, strict=True))
        given *= taps * fold
    elif kind in ("mvu", "vvu"):
        columns, rows = draw.choice((4, 9, 12, 36)), draw.choice((1, 4, 6, 16))
        inputs, pe = draw.choice(divisors(columns)), draw.choice(divisors(rows))
        core = draw.choice(CORES) if kind == "mvu" else "mvu_vvu_8sx9_dsp58"
        seglen = draw.choice((0, 1, 3)) if kind == "vvu" else 0
        drawn.add(kind, MW=columns, MH=rows, SIMD=inputs, PE=pe, nvec=pixels, core=core, seglen=seglen)
        given = pixels * rows // pe
        words = pixels * columns // inputs * (rows // pe if kind == "vvu" else 1)
    elif kind == "fmpadding":
        pads = [draw.randint(0, 3) for _ in range(4)]
        drawn.add("fmpadding", H=drawn.height, W=drawn.width, C=channels, SIMD=simd, pads=pads)
        given = (drawn.height + pads[0] + pads[2]) * (drawn.width + pads[1] + pads[3]) * fold
    elif kind == "thresholding":
        drawn.add("thresholding", C=channels, PE=simd, N=draw.choice((1, 2, 4, 8)), npix=pixels)
    elif kind == "dwc":
        ratio = draw.choice((2, 3, 4, 8))
        wider = draw.random() < 0.5
        drawn.add("dwc", ibits=8 if wider else 8 * ratio, obits=8 * ratio if wider else 8)
        words, given = (pixels * ratio, pixels) if wider else (pixels, pixels * ratio)
    else:
        drawn.add("fifo", depth=draw.choice(DEPTHS))
    return _spec(f"block{seed}", drawn, words, given)


def _spec(name: str, drawn: _Drawn, taken: int, given: int) -> dict:
    return {
        "key": f"{name}/full",
        "frames": 5,
        "source": {"link": "src", "words_per_frame": taken, "p256": 256, "seed": 1},
        "sink": {"link": drawn.link, "words_per_frame": given, "p256": 256, "seed": 2},
        "modules": drawn.modules,
    }


#: Random specs by what they are of.
UNSEEN = {"chains": random_chain, "residual blocks": random_residual, "single blocks": random_block}


class Scored(NamedTuple):
    """How rows or pixels do on specs that nobody has measured.

    `errors`, float[figures, 2], of the steady interval and of the first frame, are of those that come to figures by
    both, by `keys`; `wrong` are those that only one says deadlock of, `refused` those that it says nothing of, and why.
    """

    keys: tuple[str, ...]
    errors: np.ndarray
    wrong: tuple[str, ...]
    refused: dict[str, str]
    deadlocks: int

    def beyond(self, granularity: str) -> tuple[str, ...]:
        far = (self.errors > LIMITS[granularity]).any(axis=1)
        return tuple(key for key, is_far in zip(self.keys, far, strict=True) if is_far)


@lru_cache
def unseen(kind: str, count: int) -> dict[str, Spec]:
    """Random specs of the first seeds."""
    specs = [spec for spec in map(UNSEEN[kind], range(count)) if spec]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "specs.jsonl"
        path.write_text("\n".join(map(json.dumps, specs)), encoding="utf-8")
        return read_specs(path)


@lru_cache
def truths(kind: str, count: int) -> dict[str, Outcome]:
    """What becomes of them word by word."""
    by_words = ByWords(MACHINE.blocks)
    return {key: by_words(spec.chain, spec.frames) for key, spec in unseen(kind, count).items()}


@lru_cache
def scored(kind: str, count: int, granularity: str) -> Scored:
    """Random specs by rows or pixels against words."""
    by_tokens = ByTokens(MACHINE, MACHINE.blocks, granularity)
    keys, errors, wrong, refused, deadlocks = [], [], [], {}, 0
    for spec in unseen(kind, count).values():
        truth = truths(kind, count)[spec.key]
        deadlocks += truth.deadlock
        try:
            found = by_tokens(spec.chain, spec.frames)
        except NotModelled as error:
            refused[spec.key] = str(error)
            continue
        if found.deadlock != truth.deadlock:
            wrong.append(spec.key)
        elif not found.deadlock and found.times is None:
            refused[spec.key] = found.why
        elif not found.deadlock:
            keys.append(spec.key)
            ours, theirs = found.times, truth.times
            errors.append((ours.intervals[-1] / theirs.intervals[-1] - 1, ours.ends[0] / theirs.ends[0] - 1))
    return Scored(tuple(keys), np.abs(np.array(errors)), tuple(wrong), refused, deadlocks)


#: Random specs of each kind in the README's table.
TOLD = 300


def table(count: int = TOLD) -> Iterator[tuple[str, ...]]:
    """Lines of the README's table: what of, figure, granularity, compared, beyond the limits, median, p95, worst."""
    for kind, granularity in product(UNSEEN, LIMITS):
        found = scored(kind, count, granularity)
        limits = zip(("steady_interval", "frame0_cycles"), found.errors.T, LIMITS[granularity], strict=True)
        for quantity, errors, limit in limits:
            sizes = (np.median(errors), np.percentile(errors, 95), errors.max())
            counts = (str(errors.size), str(int((errors > limit).sum())))
            yield (kind, f"`{quantity}`", granularity, *counts, *(f"{100 * share:.2f}" for share in sizes))


if __name__ == "__main__":
    for cells in table(*map(int, sys.argv[1:])):
        print("| " + " | ".join(cells) + " |")
