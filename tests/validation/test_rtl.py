"""Every figure measured on RTL, every transfer of the traces, and what is said of folders that are not in order."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.hardware.accelerator import load_accelerator
from accelsim.timing.words.run import run
from accelsim.validation.measured import read_figures
from accelsim.validation.rtl.predict import compare_rtl
from accelsim.validation.rtl.specs import read_specs
from tests.validation.chains import LIMITS

GIVEN = Path(str(resources.files("accelsim.validation") / "data" / "rtl"))
TRACES = Path(__file__).parent.parent / "fixtures" / "rtl" / "traces"
MACHINE = load_accelerator("fpga-stream")
LINES = [json.loads(line) for line in (GIVEN / "specs.jsonl").read_text(encoding="utf-8").splitlines()]
TRACED = {line["key"]: Path(line["trace"]).name for line in LINES if "trace" in line}

#: Cycles for which the test bench went on after a run's last word.
DRAIN = 50


@pytest.fixture(scope="module")
def specs():
    return read_specs(GIVEN / "specs.jsonl")


@pytest.fixture(scope="module")
def words():
    return compare_rtl(GIVEN, MACHINE)


def test_every_figure_is_predicted_to_the_cycle(words):
    figures = read_figures(GIVEN / "measured.csv")
    assert [(row.key, row.quantity, row.measured) for row in words.rows] == [figure[1:] for figure in figures]
    assert [row for row in words.rows if row.predicted != row.measured] == []


@pytest.mark.parametrize("key", TRACED)
def test_every_transfer_of_the_traces(key, specs):
    spec = specs[key]
    found = run(spec.chain, MACHINE.blocks, spec.frames, DRAIN, traced=True)
    with np.load(TRACES / TRACED[key]) as measured:
        assert set(measured.files) == set(found.trace)
        for link in measured.files:
            np.testing.assert_array_equal(found.trace[link], measured[link], err_msg=f"{key} {link}")


def test_all_traces_are_looked_at():
    assert {path.name for path in TRACES.iterdir()} == set(TRACED.values())


@pytest.fixture(scope="module")
def by_tokens():
    return {granularity: compare_rtl(GIVEN, MACHINE, granularity) for granularity in LIMITS}


@pytest.mark.parametrize("granularity", LIMITS)
def test_rows_and_pixels_are_near(granularity, by_tokens):
    limits = dict(zip(("steady_interval", "frame0_cycles"), LIMITS[granularity], strict=True))
    told = [row for row in by_tokens[granularity].rows if row.quantity in limits and row.predicted is not None]
    assert {row.key for row in told if abs(row.error) > limits[row.quantity]} == set()
    compared = [row for row in told if row.by == granularity]
    assert len({row.key for row in compared}) >= {"pixel": 176, "row": 133}[granularity]


@pytest.mark.parametrize("granularity", LIMITS)
def test_rows_and_pixels_say_nothing_wrong_of_deadlock(granularity, by_tokens):
    said = [row for row in by_tokens[granularity].rows if row.quantity == "deadlock"]
    assert sum(row.by == granularity for row in said) >= {"pixel": 260, "row": 200}[granularity]
    assert [row for row in said if row.predicted != row.measured] == []


#: Skips behind a registered fork, whose least depths hang on how its words come.
TAPPED_SKIPS = {"res1_16x16c4_k3_tap:fifo6", "res1_8x8c4_k3_tap:fifo6"}


def test_pixels_give_first_words_and_least_depths_of_skips(by_tokens):
    rows = by_tokens["pixel"].rows
    assert all(row.difference == 0 for row in rows if row.quantity == "first_out" and row.why is None)
    assert all(row.difference == 0 for row in rows if row.quantity == "min_depth_no_deadlock" and row.why is None)
    assert {row.key for row in rows if row.quantity == "min_depth_no_deadlock" and row.why} == TAPPED_SKIPS


@pytest.mark.parametrize("granularity", LIMITS)
def test_depths_of_full_throughput_are_told_by_words(granularity, by_tokens):
    rows = [row for row in by_tokens[granularity].rows if row.quantity == "min_depth_full_throughput"]
    assert {(row.by, row.difference) for row in rows} == {("word", 0)}


@pytest.mark.parametrize("granularity", LIMITS)
def test_words_tell_what_tokens_do_not(granularity, by_tokens):
    rows = [row for row in by_tokens[granularity].rows if row.by == "word"]
    assert len(rows) > 100
    assert all(row.predicted == row.measured for row in rows)


@pytest.mark.parametrize("granularity", LIMITS)
def test_what_finer_granularities_tell_says_why(granularity, by_tokens):
    found = by_tokens[granularity]
    assert len(found.rows) == 1017
    stuck = {row.key for row in found.rows if row.quantity == "deadlock" and row.predicted == 1}
    assert {row.key for row in found.rows if row.predicted is None} <= stuck
    assert {row.by for row in found.rows if row.why is None} == {granularity}
    assert all(row.by != granularity for row in found.rows if row.why is not None)
    assert {row.by for row in found.rows if row.quantity.startswith("fifo_max")} == {"word"}
    said = found.to_dict()["summary"]["by_finer"]
    assert sum(each["rows"] for each in said) == sum(row.why is not None for row in found.rows)
    assert any("take turns within a row" in each["why"] for each in said) == (granularity == "row")
    assert any("registers of the fork" in each["why"] for each in said) == (granularity == "pixel")


def test_predictions_do_not_look_at_what_was_measured(tmp_path, words):
    (tmp_path / "specs.jsonl").write_bytes((GIVEN / "specs.jsonl").read_bytes())
    lines = (GIVEN / "measured.csv").read_text(encoding="utf-8").splitlines()
    blank = [lines[0], *(line.rpartition(",")[0] + ",1" for line in lines[1:])]
    (tmp_path / "measured.csv").write_text("\n".join(blank), encoding="utf-8")
    assert [row.predicted for row in compare_rtl(tmp_path, MACHINE).rows] == [row.predicted for row in words.rows]


def folder(path, specs=None, measured="key,quantity,measured\n"):
    """A folder of that form: the first given run, changed."""
    path.mkdir(exist_ok=True)
    text = "\n".join(spec if isinstance(spec, str) else json.dumps(spec) for spec in (specs or [LINES[0]]))
    (path / "specs.jsonl").write_text(text, encoding="utf-8")
    (path / "measured.csv").write_text(measured, encoding="utf-8")
    return path


def changed(path, value, of=0):
    """A copy of a given run with one value replaced."""
    spec = json.loads(json.dumps(LINES[of]))
    *parents, last = path
    level = spec
    for name in parents:
        level = level[name]
    if value is None:
        del level[last]
    else:
        level[last] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["frames"], None, "frames is missing"),
        (["frames"], 0, "frames = 0"),
        (["frames"], True, "frames = True"),
        (["frames"], "many", 'frames = "many"'),
        (["frames"], 2**21, "frames = 2097152"),
        (["source", "p256"], 257, "source.p256 = 257"),
        (["source", "seed"], -1, "source.seed = -1"),
        (["source", "link"], "nowhere", "link nowhere: nothing takes words from it"),
        (["source", "words_per_frame"], 127, "swg1: takes 128 words a frame"),
        (["sink", "words_per_frame"], 7, "sink.words_per_frame = 7, the blocks make it 648"),
        (["links", "src", "words_per_frame"], 7, "links.src.words_per_frame = 7, the blocks make it 128"),
        (["links", "other"], {"words_per_frame": 7}, "links.other is no link"),
        (["modules"], [], "modules"),
        (["modules", 0, "kind"], "swirl", "kind = 'swirl' is not known; kinds are swg"),
        (["modules", 0, "ins"], [], "0 ins, it has 1"),
        (["modules", 0, "outs"], ["src"], "more than one block"),
        (["modules", 0, "params", "SIMD"], 3, "3 does not divide 4"),
        (["modules", 0, "params", "SIMD"], 0, "SIMD = 0"),
        (["modules", 0, "params", "KH"], 9, "does not fit 8x8"),
        (["modules", 0, "params", "H"], None, "H is missing"),
        (["modules", 0, "params", "dilation"], 2, "unknown name dilation"),
        (["modules", 0, "params", "OH"], 5, "OH = 5, but the other parameters make it 6"),
        (["modules", 0, "params", "buffer_depth"], 3, "less than a window"),
        (["skip_fifos"], ["fifo9"], "fifo9 is no fifo"),
    ],
)
def test_a_spec_that_is_not_in_order(tmp_path, path, value, said):
    broken = folder(tmp_path, [changed(path, value)])
    with pytest.raises(InputError) as refused:
        compare_rtl(broken, MACHINE)
    assert said in str(refused.value)
    assert f"{broken / 'specs.jsonl'}:1: {LINES[0]['key']}" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not readable as JSON"),
        ("[]", "one JSON object a line"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"key": "a", "key": "b"}', "'key' is given twice"),
        ('{"key": NaN}', "NaN is no number of JSON"),
        ('{"key": 3}', "key = 3"),
        ('{"key": "\\ud800"}', "frames is missing"),
    ],
)
def test_a_line_that_is_no_spec(tmp_path, line, said):
    with pytest.raises(InputError, match=r"specs\.jsonl:2: ") as refused:
        compare_rtl(folder(tmp_path, [LINES[0], line]), MACHINE)
    assert said in str(refused.value)


def test_what_takes_too_long_is_refused(tmp_path):
    of = next(k for k, line in enumerate(LINES) if line["key"] == "swg_16x16c8_k3s1_simd1/full")
    with pytest.raises(InputError, match=r"262,144 frames are more than 2,147,483,648 words; ask for fewer frames"):
        read_specs(folder(tmp_path, [changed(["frames"], 2**18, of)]) / "specs.jsonl")


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    wrong = [changed(["frames"], 0), changed(["modules", 0, "kind"], "swirl", of=1)]
    with pytest.raises(InputError) as refused:
        read_specs(folder(tmp_path, wrong) / "specs.jsonl")
    assert [line.split(": ")[0][-2:] for line in str(refused.value).splitlines()] == [":1", ":2"]


def test_a_key_is_one_run(tmp_path):
    with pytest.raises(InputError, match=r":2: .* is the key of an earlier run \(.*:1: "):
        read_specs(folder(tmp_path, [LINES[0], LINES[0]]) / "specs.jsonl")


def test_a_circle_of_blocks(tmp_path):
    spec = changed(["modules", 0, "ins"], ["loop_o"])
    modules = [
        {"name": "join", "kind": "join", "ins": ["src", "back"], "outs": ["both"], "params": {}},
        {"name": "fork", "kind": "fork", "ins": ["both"], "outs": ["back", "swg1_o"], "params": {}},
    ]
    with pytest.raises(InputError, match="words go in a circle through join, fork"):
        read_specs(folder(tmp_path, [spec | {"modules": modules, "links": {}}]) / "specs.jsonl")


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ("", "no column key, quantity, measured"),
        ("key,quantity\n", "no column measured"),
        ("key,measured,quantity,measured\n{key},1,deadlock,0\n", "more than one column measured"),
        ("key,quantity,measured\na,deadlock\n", "2 values for 3 columns"),
        ("key,quantity,measured\n{key},deadlock,no\n", "measured = 'no' is no finite number"),
        ("key,quantity,measured\n{key},deadlock,nan\n", "measured = 'nan' is no finite number"),
        ("key,quantity,measured\n{key},deadlock,1_0\n", "measured = '1_0' is no finite number"),
        ("key,quantity,measured\n{key},deadlock,7\n", "deadlock of {key} = 7 is neither 0 nor 1"),
        ("key,quantity,measured\nother,deadlock,0\n", "other (deadlock) is the key of no run"),
        ("key,quantity,measured\n{key},speed,0\n", "quantity 'speed' is not known"),
        ("key,quantity,measured\n{key},fifo_max:fifo1,0\n", "it has no fifo fifo1; it has none"),
        ("key,quantity,measured\n{key},min_depth_no_deadlock,0\n", "is no <case>:<skip fifo>"),
        ("key,quantity,measured\n{key},deadlock,0\n{key},deadlock,0\n", ":3: deadlock of {key} is given twice"),
        ('key,quantity,measured\n"{key},deadlock,0\n', "unexpected end of data"),
    ],
)
def test_figures_that_are_not_in_order(tmp_path, measured, said):
    key = LINES[0]["key"]
    with pytest.raises(InputError) as refused:
        compare_rtl(folder(tmp_path, measured=measured.replace("{key}", key)), MACHINE)
    assert said.replace("{key}", key) in str(refused.value)
    assert "measured.csv:" in str(refused.value)


def test_an_interval_needs_two_frames(tmp_path):
    measured = f"key,quantity,measured\n{LINES[0]['key']},steady_interval,670\n"
    with pytest.raises(InputError, match="needs two frames, the run has 1"):
        compare_rtl(folder(tmp_path, [changed(["frames"], 1)], measured), MACHINE)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"specs\.jsonl: No such file .* --data takes a folder"):
        compare_rtl(tmp_path, MACHINE)
    (folder(tmp_path) / "measured.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        compare_rtl(tmp_path, MACHINE)


def test_a_machine_without_blocks(tmp_path):
    with pytest.raises(InputError, match="streaming-asic describes no blocks; use fpga-stream"):
        compare_rtl(folder(tmp_path), load_accelerator("streaming-asic"))


def test_a_deadlock_leaves_nothing_else_to_predict(tmp_path):
    stuck = next(line for line in LINES if line["key"] == "res1_8x8c4_k3_d8/full")
    measured = "".join(f"{stuck['key']},{q},1\n" for q in ("deadlock", "steady_interval", "frame0_cycles"))
    rows = compare_rtl(folder(tmp_path, [stuck], f"key,quantity,measured\n{measured}"), MACHINE).rows
    assert [row.predicted for row in rows] == [1, None, None]
    assert [row.error for row in rows] == [0.0, None, None]


def test_depths_are_those_of_a_case_with_steady_ends(tmp_path):
    """In whatever order the runs of a case stand; with random ends this skip would want another depth."""
    steady = next(line for line in LINES if line.get("case") == "res1_8x8c4_k3")
    often = {"p256": 192}
    drawn = steady | {"key": "drawn", "source": steady["source"] | often, "sink": steady["sink"] | often}
    quantity = "min_depth_full_throughput"
    measured = f"key,quantity,measured\nres1_8x8c4_k3:fifo6,{quantity},10\n"
    for place, runs, depth in (("steady", [steady], 10), ("both", [drawn, steady], 10), ("drawn", [drawn], 11)):
        (row,) = compare_rtl(folder(tmp_path / place, runs, measured), MACHINE).rows
        assert (row.quantity, row.predicted) == (quantity, depth), place
