"""Images with text on them, rendered here: pages whose lines are known, lines either way up, and photographs of pages.

Everything follows from seeds; nothing is stored. Pixels are 0 to 255; networks take (pixel / 255 - 0.5) / 0.5.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Box = tuple[int, int, int, int]

WORDS = (
    "pixel", "row", "buffer", "gate", "tile", "skip", "pyramid", "window", "stream", "frame", "cycle", "memory",
    "Engine", "Network", "2107", "pipeline", "layer", "mean", "weight", "30.5", "fps", "burst", "port",
    "Tensor", "depth", "edge", "1024", "fork", "join", "deadlock", "queue", "word", "(a)", "[7]", "A-1",
    "total:", "48", "kB", "read/write",
)  # fmt: skip
SIDE = 320
LINE_HEIGHT, LINE_WIDTH = 48, 192
#: Photographs of scikit-image behind text, and those of text.
BACKGROUNDS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "coins")
PHOTOGRAPHS = ("page", "text")


class Page(NamedTuple):
    """A square image and the boxes (left, top, right, bottom) of its lines; no boxes where they are not known."""

    pixels: Pixels
    lines: tuple[Box, ...]


@cache
def photograph(name: str) -> Pixels:
    """A sample photograph, three channels."""
    from skimage import data

    return np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB"))


def cut_out(name: str, rng: np.random.Generator, least: int) -> Pixels:
    """A square of a photograph, at least `least` pixels wide, brought to the size of a page."""
    source = photograph(name)
    size = int(rng.integers(least, min(source.shape[:2]) + 1))
    top, left = (int(rng.integers(0, n - size + 1)) for n in source.shape[:2])
    square = Image.fromarray(source[top : top + size, left : left + size])
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(rng.choice(WORDS, words))


def colours(rng: np.random.Generator) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """A background and an ink that differ in brightness, either one the darker."""
    dark, light = rng.integers(0, 90, 3), rng.integers(165, 256, 3)
    paper, ink = (dark, light) if rng.random() < 0.25 else (light, dark)
    return paper, tuple(int(c) for c in ink)


def page(seed: int) -> Page:
    """Lines of text of several sizes; every fourth page on a photograph, all of them with noise."""
    rng = np.random.default_rng((1, seed))
    paper, ink = colours(rng)
    canvas = np.broadcast_to(paper, (SIDE, SIDE, 3)).astype(np.uint8)
    if seed % 4 == 3:
        canvas = (canvas // 2 + cut_out(BACKGROUNDS[seed // 4 % len(BACKGROUNDS)], rng, 200) // 2).astype(np.uint8)
    picture = Image.fromarray(canvas)
    draw, boxes, top = ImageDraw.Draw(picture), [], int(rng.integers(4, 40))
    while True:
        font = ImageFont.load_default(int(rng.integers(11, 36)))
        text, left = sentence(rng, int(rng.integers(1, 5))), int(rng.integers(4, 60))
        box = draw.textbbox((left, top), text, font=font)
        if box[3] > SIDE - 4:
            return Page(noisy(np.asarray(picture), rng), tuple(boxes))
        draw.text((left, top), text, fill=ink, font=font)
        boxes.append((int(box[0]), int(box[1]), min(int(box[2]), SIDE), int(box[3])))
        top = int(box[3]) + int(rng.integers(6, 40))


def noisy(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    spread = rng.uniform(0, 12)
    return np.clip(pixels + rng.normal(0, spread, pixels.shape), 0, 255).astype(np.uint8)


def photographed(seed: int) -> Page:
    """A part of a photograph of text."""
    rng = np.random.default_rng((2, seed))
    return Page(noisy(cut_out(PHOTOGRAPHS[seed % 2], rng, 100), rng), ())


def line(seed: int) -> Pixels:
    """One line of text, a little askew; upside down where the seed is odd."""
    rng = np.random.default_rng((3, seed))
    paper, ink = colours(rng)
    text, font = sentence(rng, int(rng.integers(1, 4))), ImageFont.load_default(int(rng.integers(24, 40)))
    picture = Image.new("RGB", (LINE_WIDTH * 4, LINE_HEIGHT * 2), tuple(int(c) for c in paper))
    draw = ImageDraw.Draw(picture)
    draw.text((LINE_WIDTH, LINE_HEIGHT // 2), text, fill=ink, font=font)
    left, top, right, bottom = (int(side) for side in draw.textbbox((LINE_WIDTH, LINE_HEIGHT // 2), text, font=font))
    centre = ((left + right) / 2, (top + bottom) / 2)
    picture = picture.rotate(rng.uniform(-3, 3), center=centre, fillcolor=tuple(int(c) for c in paper))
    edge = int(rng.integers(2, 7))
    cut = picture.crop((left - edge, top - edge, right + edge, bottom + edge))
    whole = noisy(np.asarray(cut.resize((LINE_WIDTH, LINE_HEIGHT), Image.Resampling.BILINEAR)), rng)
    return whole[::-1, ::-1] if seed % 2 else whole


def as_input(pixels: Pixels) -> NDArray[np.float32]:
    """An image as the networks take it: (1, channels, height, width), blue first."""
    scaled = (pixels[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(np.moveaxis(scaled, -1, 0)[None])
