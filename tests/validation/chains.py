"""Random chains of layers as blocks, in the form of `specs.jsonl`, and how far rows and pixels are from words on them.

Nothing in them was measured: the truth is the model word by word, which agrees with every measured run and, on random
chains, with the clock-stepped model in plain Python.
"""

from __future__ import annotations

import json
from functools import lru_cache
from math import lcm, prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from accelsim.hardware.accelerator import load_accelerator
from accelsim.timing.words.run import run
from accelsim.units import divisors
from accelsim.validation.rtl.predict import token_completions
from accelsim.validation.rtl.specs import read_specs

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
    out = drawn.height * drawn.width * drawn.channels // drawn.given
    return {
        "key": f"random{seed}/full",
        "frames": 5,
        "source": {"link": "src", "words_per_frame": words, "p256": 256, "seed": 1},
        "sink": {"link": drawn.link, "words_per_frame": out, "p256": 256, "seed": 2},
        "modules": drawn.modules,
    }


class Scored(NamedTuple):
    """Errors of the chains that came to figures, float[chains, 2]: of the steady interval and of the first frame."""

    keys: tuple[str, ...]
    errors: np.ndarray


@lru_cache
def scored(chains: int, granularity: str) -> Scored:
    """Random chains of the first seeds by rows or pixels against words."""
    specs = [spec for spec in map(random_chain, range(chains)) if spec]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "specs.jsonl"
        path.write_text("\n".join(map(json.dumps, specs)), encoding="utf-8")
        read = read_specs(path)
    errors = []
    for spec in read.values():
        ends = token_completions(spec, MACHINE, granularity)
        truth = run(spec.chain, MACHINE.blocks, spec.frames)
        assert ends is not None, spec.key
        errors.append(((ends[-1] - ends[-2]) / truth.intervals[-1] - 1, ends[0] / (truth.completions[0] + 1) - 1))
    return Scored(tuple(read), np.abs(np.array(errors)))
