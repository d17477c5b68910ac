"""The study of tiles on trained networks in the README: `python -m tests.tiles_study` prints its tables.

    python -m tests.tiles_study --record

executes a text detector and a text-direction classifier, in single precision and in 8-bit integers, on more than 500
images each with every tile, and writes what came out of every image to `tests/fixtures/tiles_study`; the tables are
made from that. Nothing is trained. Integers are calibrated on images of their own, once for every tile.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import accelsim as acs
from accelsim.arithmetic.agreement import Estimate, mean, overlap, share
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.graph import Network
from accelsim.network.writers.onnx import write_onnx
from tests.materials import material
from tests.text_images import LINE_HEIGHT, LINE_WIDTH, SIDE, Page, Pixels, as_input, line, page, photographed

RECORDS = Path(__file__).parent / "fixtures" / "tiles_study"
PRECISIONS = ("float", "int8")
#: Above this a point of the detector's map is text: what the package of the networks uses.
THRESHOLD = 0.3
#: A line is found where text covers this part of the middle third of its height.
COVERED = 0.5
CALIBRATION = range(10_000, 10_008)
PAGES, PHOTOGRAPHS, LINES = 448, 64, 600


class Tile(NamedTuple):
    """Rows and columns of a tile; None for all there are."""

    rows: int | None = None
    columns: int | None = None

    @property
    def label(self) -> str:
        if self.rows is None:
            return "whole map"
        return f"{self.rows} x {self.columns}" if self.columns else f"{self.rows} row{'s' * (self.rows > 1)}"

    def of(self, net: Network) -> Network:
        return net if self.rows is None else acs.tile_attention(net, rows=self.rows, columns=self.columns)


WHOLE = Tile()
DETECTOR_TILES = (
    WHOLE, *(Tile(rows) for rows in (40, 28, 20, 14, 10, 8, 7, 6, 5, 4, 3, 2, 1)),
    *(Tile(size, size) for size in (20, 10, 7, 5)),
)  # fmt: skip
CLASSIFIER_TILES = (
    WHOLE, *(Tile(rows) for rows in range(11, 0, -1)),
    Tile(12, 48), Tile(12, 24), Tile(12, 12), Tile(3, 24), Tile(1, 24), Tile(1, 8),
)  # fmt: skip


class Subject(NamedTuple):
    """A trained network, its tiles, and its images."""

    name: str
    file: str
    shape: tuple[int, ...]
    tiles: tuple[Tile, ...]
    pixels: Callable[[int], Pixels]
    count: int


def detector_page(index: int) -> Page:
    return photographed(index - PAGES) if PAGES <= index < PAGES + PHOTOGRAPHS else page(index)


DETECTOR = Subject(
    "detector", "ch_PP-OCRv4_det_infer.onnx", (1, 3, SIDE, SIDE), DETECTOR_TILES,
    lambda index: detector_page(index).pixels, PAGES + PHOTOGRAPHS,
)  # fmt: skip
CLASSIFIER = Subject(
    "classifier", "ch_ppocr_mobile_v2.0_cls_infer.onnx", (1, 3, LINE_HEIGHT, LINE_WIDTH), CLASSIFIER_TILES, line, LINES
)  # fmt: skip
SUBJECTS = {subject.name: subject for subject in (DETECTOR, CLASSIFIER)}


@cache
def trained(name: str) -> Network:
    subject = SUBJECTS[name]
    return acs.load_network(material(subject.file), input_shape=subject.shape)


def images(subject: Subject, indices: Sequence[int]) -> NDArray[np.float32]:
    return np.concatenate([as_input(subject.pixels(index)) for index in indices])


def in_runtime(net: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The only output for every frame, as ONNX Runtime computes the network as it is written to a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(net, Path(folder) / "net.onnx")
        session = onnxruntime.InferenceSession(str(Path(folder) / "net.onnx"), options)
    (port,) = net.inputs
    return np.concatenate([session.run(None, {port.name: frame[None]})[0] for frame in x])


def in_integers(subject: Subject, net: Network, x: NDArray[np.float32]) -> NDArray[np.float32]:
    (made,) = acs.execute(acs.quantise(net, images(subject, CALIBRATION)), x).values()
    return made


def executed(subject: Subject, tile: Tile, precision: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
    net = tile.of(trained(subject.name))
    return in_runtime(net, x) if precision == "float" else in_integers(subject, net, x)


def found_lines(text: NDArray[np.bool_], lines: Sequence[tuple[int, int, int, int]]) -> int:
    """How many lines the map of text covers."""
    third = [
        (left, top + (bottom - top) // 3, right, bottom - (bottom - top) // 3) for left, top, right, bottom in lines
    ]
    return sum(text[top:bottom, left:right].mean() >= COVERED for left, top, right, bottom in third)


Columns = dict[str, NDArray[np.generic]]


def detector_columns(indices: Sequence[int], tiles: Sequence[Tile]) -> tuple[Columns, Columns]:
    """For every tile and precision: overlap with maps without tiles, and lines found.

    Overlaps are with the map of the same precision, and of integers with that of single precision.
    """
    x = images(DETECTOR, indices)
    whole = {precision: texts(WHOLE, precision, x) for precision in PRECISIONS}
    overlaps: Columns = {}
    found: Columns = {"lines": np.array([len(detector_page(index).lines) for index in indices])}
    for tile, precision in ((t, p) for t in tiles for p in PRECISIONS):
        made, key = whole[precision] if tile == WHOLE else texts(tile, precision, x), f"{tile.label} {precision}"
        overlaps[key] = overlap(made, whole[precision]).round(4)
        if precision == "int8":
            overlaps[f"{key} to float"] = overlap(made, whole["float"]).round(4)
        counts = [found_lines(own, detector_page(index).lines) for own, index in zip(made, indices, strict=True)]
        found[key] = np.array(counts)
    return overlaps, found


def texts(tile: Tile, precision: str, x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Maps of what is text."""
    return executed(DETECTOR, tile, precision, x)[:, 0] > THRESHOLD


def classifier_columns(indices: Sequence[int], tiles: Sequence[Tile]) -> Columns:
    """For every tile and precision the answer: 1 for upside down."""
    x = images(CLASSIFIER, indices)
    pairs = [(tile, precision) for tile in tiles for precision in PRECISIONS]
    return {f"{t.label} {p}": executed(CLASSIFIER, t, p, x).argmax(axis=1) for t, p in pairs}


def write_columns(name: str, columns: Columns) -> None:
    RECORDS.mkdir(parents=True, exist_ok=True)
    with (RECORDS / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


@cache
def recorded(name: str) -> dict[str, NDArray[np.float64]]:
    with (RECORDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return dict(zip(head, np.array(rows, np.float64).T, strict=True))


def record() -> None:
    """Executes everything and writes what came out."""
    start = time.perf_counter()
    overlaps, found = detector_columns(range(DETECTOR.count), DETECTOR.tiles)
    write_columns("overlap", overlaps)
    write_columns("found", found)
    write_columns("answers", classifier_columns(range(CLASSIFIER.count), CLASSIFIER.tiles))
    print(f"executed in {time.perf_counter() - start:.0f} s")


class Buffering(NamedTuple):
    """Blocks that average tiles, elements by the paper's accounting, and simulated peaks with one frame at a time."""

    blocks: int
    accounted: int
    gates: int
    skips: int


@cache
def buffering(name: str, tile: Tile) -> Buffering:
    """On the default machine, as one pipeline."""
    net = tile.of(trained(name))
    report = acs.simulate(acs.map_network(net, acs.load_accelerator("streaming-asic")))
    blocks = sum(block.tile is not None for block in find_attention(net))
    peaks = [report.buffering[role].one_frame_peak_elements for role in ("gate", "skip")]
    return Buffering(blocks, attention_buffering(net).total_elements, *peaks)


def percent(estimate: Estimate) -> str:
    return " ".join((f"{100 * estimate.value:.1f}", f"({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"))


def sizes(name: str, tile: Tile) -> list[str]:
    own = buffering(name, tile)
    return [str(own.blocks), f"{own.accounted:,}", f"{own.gates + own.skips:,}"]


def of_detector(tile: Tile) -> list[str]:
    overlaps, found = recorded("overlap"), recorded("found")
    pages = found["lines"] > 0
    shares = [found[f"{tile.label} {own}"][pages] / found["lines"][pages] for own in PRECISIONS]
    keys = (f"{tile.label} {own}" for own in ("float", "int8", "int8 to float"))
    return [percent(mean(values)) for values in (*(overlaps[key] for key in keys), *shares)]


def of_classifier(tile: Tile) -> list[str]:
    answers = recorded("answers")
    reference, truth = answers[f"{WHOLE.label} float"], np.arange(CLASSIFIER.count) % 2
    cells = []
    for own in (answers[f"{tile.label} {precision}"] for precision in PRECISIONS):
        cells += [percent(share(int((own == other).sum()), own.size)) for other in (reference, truth)]
    return cells


HEAD = ("tile", "blocks", "accounting", "simulated")
TABLES = {
    "detector": ((*HEAD, "overlap, float", "int8", "int8 to float", "lines found, float", "int8"), of_detector),
    "classifier": ((*HEAD, "same, float", "right", "same, int8", "right"), of_classifier),
}


def lines_of(name: str) -> Iterator[tuple[str, list[str]]]:
    """A row a tile: its title and its cells."""
    for tile in SUBJECTS[name].tiles:
        yield tile.label, [*sizes(name, tile), *TABLES[name][1](tile)]


def print_tables() -> None:
    for name, (head, _) in TABLES.items():
        print("| " + " | ".join(head) + " |\n|" + "---|" + "---:|" * (len(head) - 1))
        for title, cells in lines_of(name):
            print("| " + " | ".join((title, *cells)) + " |")
        print()


if __name__ == "__main__":
    if "--record" in sys.argv[1:]:
        record()
    print_tables()
