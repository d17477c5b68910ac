"""Errors and their spread, by hand."""

import pytest

from accelsim.validation.comparison import Row, comparison, spread


@pytest.mark.parametrize(
    ("measured", "predicted", "error", "difference"),
    [(200, 210, 0.05, 10), (200, 190, -0.05, -10), (0, 0, 0.0, 0), (0, 1, None, 1), (5, None, None, None)],
)
def test_an_error_is_relative_to_what_was_measured(measured, predicted, error, difference):
    row = Row("key", "quantity", measured, predicted)
    assert row.error == error
    assert row.difference == difference


def test_a_spread_is_of_sizes():
    rows = [Row("a", "q", 100, 90), Row("b", "q", 100, 100), Row("c", "q", 100, 105), Row("d", "q", 100, None)]
    found = spread(rows)
    assert (found.rows, found.equal, found.missing) == (4, 1, 1)
    assert (found.median, found.worst, found.worst_difference) == (0.05, 0.1, 10)


def test_nothing_predicted_has_no_spread():
    found = spread([Row("a", "q", 1, None)])
    assert (found.median, found.p95, found.worst, found.worst_difference) == (None, None, None, None)


def test_queues_of_all_names_are_one_quantity():
    found = comparison([Row("a", "fifo_max:x", 1, 1), Row("a", "fifo_max:y", 2, 2), Row("a", "deadlock", 0, 0)])
    assert {name: of.rows for name, of in found.quantities.items()} == {"fifo_max": 2, "deadlock": 1}


def test_counts_are_whole_numbers_in_plain_data():
    data = comparison([Row("a", "q", 4.0, 5.0), Row("b", "q", 1.5, None)]).to_dict()
    assert data["rows"][0] == {
        "key": "a", "quantity": "q", "measured": 4, "predicted": 5, "error": 0.25, "difference": 1,
    }  # fmt: skip
    assert isinstance(data["rows"][0]["predicted"], int)
    assert data["rows"][1]["predicted"] is None
    assert data["summary"]["rows"] == 2
    assert data["summary"]["quantities"]["q"]["worst_error"] == 0.25
