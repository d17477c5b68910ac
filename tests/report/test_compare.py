"""What changes between two reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.compare import Run, change, comparison_text

NUMBERS = st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12)
LEAVES = NUMBERS | st.none() | st.booleans() | st.text(max_size=3)


@given(LEAVES, LEAVES)
def test_a_ratio_where_there_is_one(baseline, other):
    def number(value):
        return type(value) in (int, float)

    ratio = change(baseline, other)
    if number(baseline) and number(other) and baseline != 0:
        assert ratio == other / baseline
    else:
        assert ratio is None


@given(st.dictionaries(st.text(max_size=3), LEAVES), st.dictionaries(st.text(max_size=3), LEAVES))
def test_the_keys_are_those_of_the_baseline(baseline, other):
    changed = change(baseline, other)
    assert changed.keys() == baseline.keys()
    assert all(changed[key] is None for key in baseline.keys() - other.keys())


def test_rows_are_matched_by_name_in_any_order():
    baseline = [{"edge": "a", "n": 2}, {"edge": "b", "n": 4}, {"edge": "only here", "n": 1}]
    other = [{"edge": "b", "n": 2}, {"edge": "only there", "n": 9}, {"edge": "a", "n": 6}]
    assert change(baseline, other) == [{"edge": "a", "n": 3}, {"edge": "b", "n": 0.5}]


@pytest.mark.parametrize("other", [None, "text", 3, ["text"], {"a": 1}])
def test_trees_of_another_shape_have_no_ratio(other):
    assert change({"a": {"b": 2}}, {"a": other}) == {"a": {"b": None}}
    assert change(["one"], other) in (None, [])


def test_a_report_beside_itself_does_not_change(report):
    text = comparison_text([Run("one", report.body), Run("two", report.body)])
    line = next(line for line in text.splitlines() if line.split()[:2] == ["interval", "cycles"])
    assert line.split()[-1] == "1"


def test_different_machines_are_told_apart(report, tiled):
    bodies = [report.body, tiled.body.model_copy(update={"accelerator": "another"})]
    text = comparison_text([Run(name, body) for name, body in zip("ab", bodies, strict=True)])
    assert "a: efficientnet_b0 (3x64x64) on streaming-asic" in text
    assert "b: efficientnet_b0 (3x64x64) on another" in text


def test_text_that_differs_is_told_for_each(report, tiled):
    told = tiled.body.throughput.model_copy(update={"bottleneck": "elsewhere"})
    bodies = [report.body, tiled.body.model_copy(update={"throughput": told})]
    text = comparison_text([Run(name, body) for name, body in zip(("one", "two"), bodies, strict=True)])
    assert f"busiest stage: {report.throughput.bottleneck} (one), elsewhere (two)" in text
