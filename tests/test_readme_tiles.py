"""The README's section on tiles of trained networks: its tables are of the record, and the record is what comes out."""

from functools import cache

import numpy as np
import pytest

from accelsim.arithmetic.calibrate import RealProgram
from tests.pages import section
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

SECTION = section("Tiles on trained networks")

PROSE = " ".join(SECTION.split())

#: Points of a text map, of 102,400, that may fall on the other side of the threshold on another processor.
OVERLAP_TOLERANCE = 0.01


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_of_the_record_and_the_simulation(name):
    head = list(TABLES[name][0])
    expected = [head, *([title, *cells] for title, cells in table(name).items())]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in SECTION.splitlines() if row.startswith("|")]
    first = rows.index(head)
    assert [rows[first], *rows[first + 2 : first + 1 + len(expected)]] == expected


def test_the_record_is_of_as_many_images_as_it_says():
    assert len(recorded("overlap")["whole map float"]) == DETECTOR.count >= 500
    assert len(recorded("answers")["whole map float"]) == CLASSIFIER.count >= 500


@cache
def table(name):
    return dict(lines_of(name))


def shown(name, tile, column):
    """The figure of a cell, its interval left out."""
    return table(name)[tile.label][column - 1].split()[0]


def test_the_text_says_what_the_tables_say():
    simulated = [int(shown("detector", tile, 3).replace(",", "")) for tile in (Tile(7), WHOLE)]
    assert "leave {:.2f} M of the {:.2f} M elements".format(*(count / 10**6 for count in simulated)) in PROSE
    whole, seven, one = WHOLE, Tile(7), Tile(1)
    pages, photographs = (100 * part.mean() for part in np.split(recorded("overlap")["7 rows float"], [PAGES]))
    for words in (
        f"overlap those without tiles by {shown('detector', seven, 4)} % ({pages:.1f} % on pages, "
        f"{photographs:.1f} % on photographs)",
        f"integers alone leave of them ({shown('detector', whole, 6)} %)",
        f"finds as many lines, {shown('detector', seven, 7)} %",
        f"tiles of one row it still finds {shown('detector', one, 7)} %, where maps overlap by "
        f"{shown('detector', one, 4)} %",
    ):
        assert words in PROSE
    assert shown("detector", whole, 7) == shown("detector", seven, 7)
    changed = [100 - float(shown("classifier", Tile(rows), 4)) for rows in range(3, 12)]
    assert f"change {min(changed):.1f} to {max(changed):.1f} % of the answers" in PROSE
    assert f"all blocks and {100 - float(shown('classifier', one, 4)):.1f} % of the answers" in PROSE
    least, most = (int(shown("classifier", tile, 3).replace(",", "")) for tile in (Tile(3), whole))
    assert f"save {100 * (1 - least / most):.0f} %" in PROSE
    answers, truth = recorded("answers"), np.arange(CLASSIFIER.count) % 2
    changed_answers = answers["whole map float"] != answers["1 row float"]
    assert (answers["whole map float"] == truth)[changed_answers].mean() == pytest.approx(4 / 5, abs=0.05)
    right = [float(shown("classifier", Tile(rows), 5)) for rows in range(3, 12)]
    assert min(right) >= float(shown("classifier", whole, 5))


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
