"""Specs of random chains of blocks, in the form of `specs.jsonl`, for properties."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from accelsim.units import divisors
from accelsim.validation.rtl.specs import read_specs

CORES = ("mvu_4sx4u_dsp48e2", "mvu_8sx8u_dsp48", "mvu_vvu_8sx9_dsp58")
MOST_WORDS = 160


class Builder:
    """Appends blocks; a stream of any number of words is a map of any rows, columns and words a pixel that make it."""

    def __init__(self, draw):
        self.draw = draw
        self.modules = []

    def add(self, kind, ins, params, outs=1):
        name = f"{kind}{len(self.modules) + 1}"
        links = [f"{name}_o{k}" for k in range(outs)]
        self.modules.append({"name": name, "kind": kind, "ins": ins, "outs": links, "params": params})
        return links

    def factors(self, words):
        rows = self.draw(st.sampled_from(divisors(words)))
        columns = self.draw(st.sampled_from(divisors(words // rows)))
        return rows, columns, words // rows // columns

    def window(self, link, words):
        rows, columns, fold = self.factors(words)
        high = self.draw(st.integers(1, min(rows, 3)))
        wide = self.draw(st.integers(1, min(columns, 3)))
        stride, simd = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
        flag = st.integers(0, 1)
        p = {"H": rows, "W": columns, "C": fold * simd, "KH": high, "KW": wide, "S": stride, "SIMD": simd}
        p |= {"dw": self.draw(flag), "par": self.draw(flag)}
        outputs = ((rows - high) // stride + 1) * ((columns - wide) // stride + 1) * fold
        at_once = p["par"] or high * wide == 1
        return self.add("swg", [link], p)[0], outputs * (1 if at_once else high * wide)

    def matrix(self, link, words):
        length = self.draw(st.sampled_from(divisors(words)[:6]))
        groups, simd, pe = (self.draw(st.integers(1, 4)) for _ in range(3))
        seglen = self.draw(st.integers(0, 2))
        p = {"MW": length * simd, "MH": groups * pe, "SIMD": simd, "PE": pe, "core": self.draw(st.sampled_from(CORES))}
        p |= {"nvec": words // length, "seglen": seglen}
        return self.add("mvu", [link], p)[0], words // length * groups

    def vector(self, link, words):
        length = self.draw(st.sampled_from(divisors(words)[:4]))
        groups = self.draw(st.sampled_from(divisors(words // length)[:4]))
        p = {"MW": length, "MH": groups, "SIMD": 1, "PE": 1, "core": CORES[2], "nvec": words // length // groups}
        return self.add("vvu", [link], p)[0], words // length

    def threshold(self, link, words):
        p = {"C": 1, "PE": 1, "N": self.draw(st.integers(1, 8)), "npix": words}
        return self.add("thresholding", [link], p)[0], words

    def padding(self, link, words):
        rows, columns, fold = self.factors(words)
        pads = [self.draw(st.integers(0, 2)) for _ in range(4)]
        p = {"H": rows, "W": columns, "C": fold, "SIMD": 1, "pads": pads}
        return self.add("fmpadding", [link], p)[0], (rows + pads[0] + pads[2]) * (columns + pads[1] + pads[3]) * fold

    def fifo(self, link, words):
        return self.add("fifo", [link], {"depth": self.draw(st.integers(1, 12))})[0], words

    def converter(self, link, words):
        ratio = self.draw(st.integers(1, 4))
        if words % ratio == 0 and self.draw(st.booleans()):
            return self.add("dwc", [link], {"ibits": 8, "obits": 8 * ratio})[0], words // ratio
        return self.add("dwc", [link], {"ibits": 8 * ratio, "obits": 8})[0], words * ratio

    def same_words(self, link, words):
        """A convolution that gives as many words as it takes."""
        rows, columns, fold = self.factors(words)
        p = {"H": rows, "W": columns, "C": fold, "SIMD": 1, "pads": [1, 1, 1, 1]}
        link = self.add("fmpadding", [link], p)[0]
        p = {"H": rows + 2, "W": columns + 2, "C": fold, "KH": 3, "KW": 3, "S": 1, "SIMD": 1}
        link = self.add("swg", [link], p | {"dw": 0, "par": 0})[0]
        p = {"MW": 9 * fold, "MH": fold, "SIMD": 1, "PE": 1, "core": CORES[0], "nvec": rows * columns}
        return self.add("mvu", [link], p)[0], words

    def branches(self, link, words):
        if self.draw(st.booleans()):
            links = self.add("tap_fork", [link], {}, 2)
        else:
            links = self.add("fork", [link], {}, self.draw(st.integers(2, 3)))
        ends = []
        for branch in links:
            for step in self.draw(st.lists(st.sampled_from(("fifo", "threshold", "same_words")), max_size=2)):
                branch, _ = getattr(self, step)(branch, words)
            ends.append(branch)
        return self.add("join", ends, {})[0], words


STEPS = ("window", "matrix", "vector", "threshold", "padding", "fifo", "converter", "branches")


@st.composite
def specs(draw):
    """A random chain with random ends: up to five blocks, forks and joins among them."""
    builder = Builder(draw)
    words = first_words = draw(st.integers(1, 48))
    link = "src"
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)):
        before = len(builder.modules), link, words
        link, words = getattr(builder, step)(link, words)
        if words > MOST_WORDS:
            del builder.modules[before[0] :]
            _, link, words = before
    chances = st.sampled_from((256, 256, 192, 128, 40))
    end = {"p256": draw(chances), "seed": draw(st.integers(0, 2**32 - 1))}
    source = {"link": "src", "words_per_frame": first_words, **end}
    if not builder.modules:
        link, words = builder.fifo(link, words)
    sink = {"link": link, "words_per_frame": words, "p256": draw(chances), "seed": draw(st.integers(0, 2**32 - 1))}
    return {
        "key": "random/run",
        "frames": draw(st.integers(1, 3)),
        "source": source,
        "sink": sink,
        "modules": builder.modules,
    }


def read(spec, folder):
    """The spec through the reader of files."""
    path = folder / "specs.jsonl"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return read_specs(path)[spec["key"]]
