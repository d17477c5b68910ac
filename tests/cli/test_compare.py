"""`compare`: several reports side by side, and what changes between two."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.cli.conftest import SMALL

TILED = ("compare", "efficientnet_b0", *SMALL, "--tile-attention", "2")
NAMES = (
    ("edge",), ("stage",), ("block",), ("name",), ("layer", "tensor", "memory", "kind"),
    ("layer", "part", "memory"), ("layer",),
)  # fmt: skip


@pytest.fixture
def compared(done):
    return done(*TILED, "--json").json


def numbers(tree: Any, path: tuple = ()) -> Iterator[tuple[tuple, float]]:
    """Every number of a report, with where it is; rows by their name."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, (*path, key))
    elif isinstance(tree, list) and all(isinstance(row, dict) for row in tree):
        for row in tree:
            name = next(fields for fields in NAMES if row.keys() >= {*fields})
            yield from numbers(row, (*path, *(row[field] for field in name)))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield path, tree


def test_json_is_of_the_published_schema(done, compared):
    jsonschema.validate(compared, done("schema", "comparison").json)
    assert compared.keys() == {"runs", "baseline", "tiled", "change"}
    assert [compared["baseline"], compared["tiled"]] == compared["runs"]


def test_every_ratio_is_tiled_over_baseline(compared):
    baseline, tiled = dict(numbers(compared["baseline"])), dict(numbers(compared["tiled"]))
    expected = {path: tiled[path] / before for path, before in baseline.items() if before and path in tiled}
    assert expected
    assert dict(numbers(compared["change"])) == expected


def test_no_ratio_where_the_baseline_is_zero_or_no_number(compared):
    change = compared["change"]
    assert compared["baseline"]["buffering"]["pyramid"]["peak_elements"] == 0
    assert change["buffering"]["pyramid"]["peak_elements"] is None
    assert change["network"] is None
    assert change["throughput"]["steady"] is None
    assert change["warnings"] is None or change["warnings"] == []


def test_the_tree_is_that_of_the_baseline(compared):
    baseline, change = compared["baseline"], compared["change"]
    assert change.keys() == baseline.keys()
    assert change["throughput"].keys() == baseline["throughput"].keys()
    edges = {row["edge"] for row in compared["tiled"]["buffers"]}
    assert [row["edge"] for row in change["buffers"]] == [r["edge"] for r in baseline["buffers"] if r["edge"] in edges]
    assert all(row.keys() == baseline["stages"][0].keys() for row in change["stages"])


@pytest.mark.parametrize(
    ("network", "elements"),
    [("efficientnet_b0", (2_516_640, 832_608)), ("efficientdet_d0", (13_148_160, 1_903_104))],
)
def test_the_published_accounting(done, network, elements):
    told = done("compare", network, "--tile-attention", "7", "--json").json
    assert tuple(run["attention_buffering"]["total_elements"] for run in told["runs"]) == elements


def test_shared_layers_keep_their_unrolling(compared):
    before, after = ({row["stage"]: row for row in run["stages"]} for run in compared["runs"])
    same = [
        name for name, row in before.items() if name in after and row["macs"] == after[name]["macs"] and row["macs"]
    ]
    assert same
    assert all(before[name]["unroll"] == after[name]["unroll"] for name in same)


def test_a_network_without_squeeze_excite_is_a_warning(done):
    outcome = done("compare", "resnet18", *SMALL, "--tile-attention", "7", "--json")
    assert "squeeze-excite" in outcome.err
    assert any("squeeze-excite" in warning for warning in outcome.json["tiled"]["warnings"])
    assert outcome.json["change"]["throughput"]["interval_cycles"] == 1


def test_several_tile_rows_are_columns(done):
    command = ("compare", "efficientnet_b0", *SMALL, "--tile-attention", "1,2,4")
    told = done(*command, "--json").json
    totals = [run["attention_buffering"]["total_elements"] for run in told["runs"]]
    assert totals == sorted(totals, reverse=True)[:1] + sorted(totals[1:])
    assert told["tiled"] == told["runs"][1]
    text = done(*command).out
    assert "untiled" in text
    line = next(line for line in text.splitlines() if line.split()[:2] == ["total", "elements"])
    assert [int(number.replace(",", "")) for number in line.split()[2:]] == totals


def test_text_has_the_ratio(done, compared):
    text = done(*TILED).out
    line = next(line for line in text.splitlines() if line.split()[:2] == ["total", "elements"])
    before, after, ratio = (float(number.replace(",", "")) for number in line.split()[2:])
    assert (before, after) == tuple(run["attention_buffering"]["total_elements"] for run in compared["runs"])
    assert ratio == pytest.approx(after / before, rel=0.01)
    for name in ("frames in flight", "of these, excitation", "longest in a pyramid", "idle: stalls"):
        assert name in text


def test_mappings_side_by_side(done, tmp_path):
    done("map", "mobilenet_v3_small", *SMALL, "--target-fps", "1000", "-o", tmp_path / "slow.yaml")
    command = ("compare", "mobilenet_v3_small", *SMALL, "--mapping", "pipeline", "--mapping", tmp_path / "slow.yaml")
    told = done(*command, "--json").json
    assert told.keys() == {"runs"}
    fast, slow = told["runs"]
    assert fast["throughput"]["frames_per_second"] > slow["throughput"]["frames_per_second"] >= 1000


def test_a_mapping_of_its_own_is_kept_by_both(done, tmp_path):
    done("map", "mobilenet_v3_small", *SMALL, "--target-fps", "1000", "-o", tmp_path / "slow.yaml")
    command = ("compare", "mobilenet_v3_small", *SMALL, "--mapping", tmp_path / "slow.yaml", "--tile-attention", "2")
    before, after = done(*command, "--json").json["runs"]
    assert before["pace_cycles"] == after["pace_cycles"] == 10**6


def test_run_folders_side_by_side(done, tmp_path):
    told = done(*TILED, "--json", "-o", tmp_path / "both").json
    untiled, tiled = tmp_path / "both/untiled", tmp_path / "both/tile-2"
    assert done("compare", untiled, tiled, "--json").json == {"runs": told["runs"]}
    assert done("compare", tmp_path / "both", "--json").json == {"runs": told["runs"]}
    assert json.loads((tiled / "report.json").read_text()) == told["tiled"]


def test_a_comparison_folder_is_the_same_twice(done, tmp_path):
    for name in ("a", "b"):
        done(*TILED, "-o", tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "nothing to compare"),
        (("--tile-attention", "7,x"), "7,x"),
        (("--tile-attention", ""), "--tile-attention"),
        (("--tile-attention", "0"), "--tile-attention"),
        (("--tile-attention", "7", "--mapping", "pipeline", "--mapping", "pipeline"), "--mapping"),
        (("--tile-count", "3", "--mapping", "pipeline", "--mapping", "pipeline"), "--tile-count"),
    ],
)
def test_what_cannot_be_compared(run, options, said):
    outcome = run("compare", "efficientnet_b0", *SMALL, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err


def test_saved_runs_cannot_be_changed(run, done, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "run")
    for options in (("--tile-attention", "7"), ("--set", "fork=copy"), ("--frames", "3"), ("--source", "greedy")):
        outcome = run("compare", tmp_path / "run", tmp_path / "run", *options)
        assert outcome.status == 2
        assert options[0] in outcome.err
    assert run("compare", tmp_path / "run").status == 2
    assert run("compare", tmp_path / "run", "resnet18").status == 2


def test_an_edited_unrolling_is_kept_by_both(done, tmp_path):
    done("map", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "edited.yaml")
    lines = (tmp_path / "edited.yaml").read_text().splitlines()
    stem = next(position for position, line in enumerate(lines) if line.startswith("    stem: {inputs: 3"))
    lines[stem] = "    stem: {inputs: 1, outputs: 8, window: 3, pixels: 1}"
    (tmp_path / "edited.yaml").write_text("\n".join(lines))
    command = ("compare", "mobilenet_v3_small", *SMALL, "--mapping", tmp_path / "edited.yaml", "--tile-attention", "2")
    unrolled = [
        next(row["unroll"] for row in run["stages"] if row["stage"] == "stem")
        for run in done(*command, "--json").json["runs"]
    ]
    assert unrolled == [{"inputs": 1, "outputs": 8, "window": 3, "pixels": 1}] * 2
