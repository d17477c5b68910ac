"""The README's section on tiles of trained networks: its tables are of the record, and the record is what comes out."""

import re
from pathlib import Path

import numpy as np
import pytest

from accelsim.arithmetic.calibrate import RealProgram
from tests.text_images import as_input, line, page
from tests.tiles_study import (
    CLASSIFIER,
    DETECTOR,
    PAGES,
    TABLES,
    WHOLE,
    Tile,
    classifier_columns,
    detector_columns,
    in_runtime,
    lines_of,
    recorded,
    trained,
)

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = re.search(r"\n## Tiles on trained networks\n(.*?)\n## ", README, re.S).group(1)

#: Points of a text map, of 102,400, that may fall on the other side of the threshold on another processor.
OVERLAP_TOLERANCE = 0.01


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_of_the_record_and_the_simulation(name):
    head = list(TABLES[name][0])
    expected = [head, *([title, *cells] for title, cells in lines_of(name))]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in SECTION.splitlines() if row.startswith("|")]
    first = rows.index(head)
    assert [rows[first], *rows[first + 2 : first + 1 + len(expected)]] == expected


def test_the_record_is_of_as_many_images_as_it_says():
    assert len(recorded("overlap")["whole map float"]) == DETECTOR.count >= 500
    assert len(recorded("answers")["whole map float"]) == CLASSIFIER.count >= 500


@pytest.mark.slow
@pytest.mark.parametrize("tile", [WHOLE, Tile(7)])
def test_the_detector_gives_what_is_recorded(tile):
    """Two pages and a photograph, in single precision and in integers."""
    indices = [0, 3, PAGES]
    overlaps, found = detector_columns(indices, [tile])
    for name, columns in (("overlap", overlaps), ("found", found)):
        for key, column in columns.items():
            assert np.abs(column - recorded(name)[key][indices]).max() <= (
                OVERLAP_TOLERANCE if name == "overlap" else 1
            )


@pytest.mark.parametrize("tile", [Tile(3), Tile(1, 8)])
def test_the_classifier_gives_what_is_recorded(tile):
    indices = range(40)
    for key, column in classifier_columns(indices, [tile]).items():
        assert (column != recorded("answers")[key][list(indices)]).sum() <= 1


@pytest.mark.parametrize(
    ("name", "tile", "pixels"), [("classifier", Tile(2), line(5)), ("detector", Tile(7), page(3).pixels)]
)
def test_our_floating_executor_agrees_with_the_runtime(name, tile, pixels):
    """What is written to a file and run elsewhere is the tiled network as it is executed here for calibration."""
    net, x = tile.of(trained(name)), as_input(pixels)
    made = {node.name: value for node, value in RealProgram(net).steps({net.inputs[0].node: np.moveaxis(x[0], 0, -1)})}
    own = np.moveaxis(made[net.outputs[0].node], -1, 0)
    assert np.abs(own.reshape(-1) - in_runtime(net, x).reshape(-1)).max() < 1e-4
