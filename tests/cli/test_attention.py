"""`attention`: one table, one figure, one command."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from accelsim.cli.main import main
from accelsim.network.writers.yaml import write_yaml_network
from tests.cli.conftest import Outcome
from tests.network.draft import block

RATE = ("--target-fps", "1000")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "ways"


@pytest.fixture(scope="module")
def written(folder):
    """The study of one block, run once."""
    draft, end = block(spatial=(60, 40))
    network = folder.parent / "block.yaml"
    write_yaml_network(draft.finished(end), network)
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["attention", str(network), *RATE, "--json", "-o", str(folder)])
    return Outcome(status, out.getvalue(), err.getvalue())


def test_table_json_folder_and_figure(done, written, folder, tmp_path):
    assert written.status == 0
    study = written.json
    names = [row["variant"] for row in study["rows"]]
    assert written.err.splitlines()[:-1] == [f"simulating {name}" for name in names]
    assert json.loads((folder / "attention.json").read_text()) == study
    assert json.loads((folder / "run.json").read_text())["runs"] == names
    report = json.loads((folder / "recompute" / "report.json").read_text())
    row = next(row for row in study["rows"] if row["variant"] == "recompute")
    assert report["memories"]["sram"]["used_bytes"] == row["on_chip_bytes"]
    done("plot", folder, "--kind", "attention", "-o", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (folder / "attention.svg").read_bytes()


def test_the_json_is_of_its_schema(done, written):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(written.json, done("schema", "attention").json)


def test_runs_can_be_compared_and_had_again(done, written, folder):
    out = done("compare", folder, "--json").json
    assert [run["throughput"]["steady"] for run in out["runs"]] == [True] * len(out["runs"])
    again = done(
        "simulate", folder / "spill" / "network.yaml", "--accelerator", folder / "spill" / "accelerator.yaml",
        "--mapping", folder / "spill" / "mapping.yaml", "--json",
    ).json  # fmt: skip
    saved = json.loads((folder / "spill" / "report.json").read_text())
    assert again["throughput"] == saved["throughput"]
    assert again["traffic"] == saved["traffic"]


def test_the_table_is_printed(done):
    outcome = done("attention", "resnet18", "--input-shape", "1,3,32,32")
    assert [line.split()[0] for line in outcome.out.splitlines()[2:5]] == ["se", "deep", "segments"]
    assert "no map that waits for a gate" in outcome.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--tile-attention", "0"), "--tile-attention 0"),
        (("--multiplier-budget", "nan"), "multiplier_budget"),
        (("--target-fps", "-1"), "target_fps"),
        (("--accelerator", "systolic-npu"), "array"),
    ],
)
def test_what_cannot_be_studied(run, argv, said):
    outcome = run("attention", "mobilenet_v3_large", *argv)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.out == ""


def test_a_folder_without_a_study(run, done, tmp_path):
    done("simulate", "resnet18", "--input-shape", "1,3,64,64", "-o", tmp_path / "one")
    outcome = run("plot", tmp_path / "one", "--kind", "attention", "-o", tmp_path / "x.svg")
    assert outcome.status == 2
    assert "accelsim attention" in outcome.err
