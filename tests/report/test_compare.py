"""What changes between two reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import Report
from accelsim.report.compare import Run, change, comparison_tables, comparison_text
from accelsim.report.tables import plain, quantity

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
    assert f"busiest stage: {report.throughput.bottleneck} (one); elsewhere (two)" in text


ROW = st.fixed_dictionaries(
    {
        "layer": st.sampled_from("ab"),
        "tensor": st.sampled_from("xy"),
        "memory": st.sampled_from(["sram", "dram"]),
        "kind": st.sampled_from(["input", "output"]),
        "read_bytes": st.integers(0, 9),
    }
)
KEYS = ("layer", "tensor", "memory", "kind")


def keyed(rows):
    """Rows by name, those of one name in order."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in KEYS), []).append(row["read_bytes"])
    return found


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12))
def test_traffic_is_matched_by_layer_tensor_memory_and_kind(before, after):
    changed, first, second = keyed(change(before, after)), keyed(before), keyed(after)
    expected = {
        name: [b / a if a else None for a, b in zip(first[name], second[name], strict=False)]
        for name in first
        if name in second
    }
    assert changed == expected


def test_memories_are_matched_by_name(turns, streamed):
    ratios = change(turns.to_dict(), streamed.to_dict())["memories"]
    before, after = turns.to_dict()["memories"]["dram"], streamed.to_dict()["memories"]["dram"]
    assert ratios["dram"]["read_bytes"] == after["read_bytes"] / before["read_bytes"]
    assert ratios["dram"]["off_chip"] is None
    assert set(ratios["buffer"].values()) == {None}


def test_without_memories_there_is_no_ratio(turns, bare):
    assert change(bare.to_dict(), turns.to_dict())["memories"] is None
    without = change(turns.to_dict(), bare.to_dict())
    assert set(without["memories"]["dram"].values()) == {None}
    assert without["traffic"] == []


@pytest.mark.parametrize("width", [100, 160])
def test_pipelines_and_segments_side_by_side(turns, streamed, report, width):
    runs = [Run(name, r.body) for name, r in (("pipeline", report), ("layer-by-layer", turns), ("fused", streamed))]
    text = plain(comparison_tables(runs), width)
    assert max(len(line) for line in text.splitlines()) <= width
    lines = {" ".join(line.split()[:2]): line.split() for line in text.splitlines() if line.strip()}
    for measure in ("read", "written", "used"):
        value = [getattr(run.body.memories["dram"], f"{measure}_bytes") for run in runs]
        unit = 2**20 if measure == "used" else 10**6
        assert lines[f"dram {measure}"][3:] == [quantity(number / unit) for number in value]
    assert lines["buffer read"][3] == lines["buffer read"][5] == "-"
    assert lines["segments 1"] == ["segments", "1", str(len(turns.body.segments)), "1"]
    assert lines["in all"][0:3] == ["in", "all", "MB"]
    assert lines["a round"][-3:] == ["-", quantity(turns.throughput.latency_cycles), "-"]
    assert "longest turn: " in text
    assert "- (pipeline)" not in text


def test_pipelines_without_memories_are_compared_as_ever(bare):
    text = comparison_text([Run("one", bare.body), Run("two", Report(bare.body).body)])
    for absent in ("Memories", "MB", "Turns", "segments", "port"):
        assert absent not in text
