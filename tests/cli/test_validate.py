"""`accelsim validate`: the table, the JSON object and the exit status."""

import json

import pytest

from accelsim.cli.main import main


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with one run of the measurements that come along."""
    from importlib import resources

    given = resources.files("accelsim.validation") / "data" / "rtl"
    folder = tmp_path_factory.mktemp("rtl")
    line = (given / "specs.jsonl").read_text(encoding="utf-8").splitlines()[0]
    key = json.loads(line)["key"]
    (folder / "specs.jsonl").write_text(line + "\n", encoding="utf-8")
    figures = (given / "measured.csv").read_text(encoding="utf-8").splitlines()
    kept = [figures[0], *(figure for figure in figures if figure.startswith(f"{key},"))]
    (folder / "measured.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder


def test_figures_and_errors_are_printed(small, capsys):
    assert main(["validate", "rtl", "--data", str(small)]) == 0
    out = capsys.readouterr().out
    assert "steady_interval       670        670     0.00" in out
    assert out.splitlines()[-1].split() == ["all", "all", "4", "4", "0.00", "0.00", "0.00", "0", "0"]


def test_json_is_one_object(small, capsys):
    assert main(["validate", "--data", str(small), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"rows", "summary"}
    assert {"key", "quantity", "measured", "predicted", "error"} <= set(found["rows"][0])
    assert found["summary"]["rows"] == found["summary"]["equal"] == len(found["rows"]) == 4


def test_another_library_has_other_cycles(small, capsys):
    assert main(["validate", "--data", str(small), "--json", "--set", "blocks.window.store_cycles=2"]) == 0
    rows = {row["quantity"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["first_out"]["difference"] == 1


def test_a_single_block_is_predicted_by_rows(small, capsys):
    assert main(["validate", "rtl", "--data", str(small), "--granularity", "row"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["all", "all", "4", "4", "0.00", "0.00", "0.00", "0", "0"]


def test_what_pixels_do_not_tell_words_do_and_it_is_said(small, tmp_path, capsys):
    key = json.loads((small / "specs.jsonl").read_text(encoding="utf-8"))["key"]
    spec = json.loads((small / "specs.jsonl").read_text(encoding="utf-8"))
    spec["source"]["p256"] = 128
    (tmp_path / "specs.jsonl").write_text(json.dumps(spec), encoding="utf-8")
    measured = f"key,quantity,measured\n{key},deadlock,0\n{key},mean_interval,1340\n"
    (tmp_path / "measured.csv").write_text(measured, encoding="utf-8")
    assert main(["validate", "rtl", "--data", str(tmp_path), "--granularity", "pixel"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "draws when it moves a word" in last
    assert last.split()[-1] == key
    assert main(["validate", "rtl", "--data", str(tmp_path), "--granularity", "pixel", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["by"] for row in found["rows"]] == ["pixel", "word"]
    assert set(found["summary"]["granularities"]) == {"pixel", "word"}
    assert found["summary"]["by_finer"][0]["figures"] == [f"{key} mean_interval"]
    assert main(["validate", "rtl", "--data", str(tmp_path), "--json"]) == 0
    by_words = json.loads(capsys.readouterr().out)["rows"]
    assert [row["predicted"] for row in found["rows"]] == [row["predicted"] for row in by_words]


def test_systolic_arrays_have_a_row_a_layer(capsys):
    assert main(["validate", "systolic", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"rows", "summary", "details"}
    assert len(found["rows"]) == found["summary"]["rows"] == found["summary"]["equal"] == 84
    assert found["summary"]["quantities"]["ofmap_sram_writes"]["equal"] == 84
    assert found["rows"][0] == {
        "key": "resnet18_os_16x16/0", "name": "conv1_Conv", "quantity": "compute_cycles",
        "measured": 555072, "predicted": 555072, "error": 0.0, "difference": 0,
    }  # fmt: skip


def test_systolic_tables_are_printed(capsys):
    assert main(["validate", "systolic"]) == 0
    out = capsys.readouterr().out
    assert "resnet18_ws_32x32/20  compute_cycles    48,640     48,640     0.00" in out
    assert out.splitlines()[-1].split()[:3] == ["all", "1,092", "1,092"]


def test_sheets_that_are_no_tables_are_named(tmp_path, capsys):
    (tmp_path / "topology_net.csv").write_text("Layer,M,N,K,\na,3,4,5,\n", encoding="utf-8")
    (tmp_path / "net_ws_8x8.csv").write_text("layer,compute_cycles\n0,25\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("", encoding="utf-8")
    assert main(["validate", "systolic", "--data", str(tmp_path)]) == 0
    assert "Not compared: other.csv." in capsys.readouterr().out


def test_folds_may_overlap(capsys):
    assert main(["validate", "systolic", "--json", "--set", "engine.folds=overlap"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(row["difference"] < 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["validate", "rtx"], "validate rtx: measurements are of rtl, systolic, papers"),
        (
            ["validate", "systolic", "--data", "nowhere"],
            "nowhere: No such file or directory; --data takes a",
        ),
        (["validate", "systolic", "--accelerator", "fpga-stream"], "fpga-stream has no systolic array"),
        (["validate", "systolic", "--granularity", "pixel"], "cycles of folds have no pixels; leave --granularity out"),
        (["validate", "systolic", "--set", "engine.folds=never"], 'engine.folds = "never"'),
        (["validate", "--data", "nowhere"], "nowhere/specs.jsonl: No such file or directory"),
        (["validate", "--accelerator", "streaming-asic"], "streaming-asic describes no blocks; use fpga-stream"),
        (["validate", "--set", "blocks.matrix.latency=3"], "unknown name blocks.matrix.latency"),
        (["validate", "--set", "blocks.matrix.output_words=0"], "blocks.matrix.output_words = 0"),
        (["validate", "--granularity", "bit"], "--granularity bit: use row, pixel, word"),
    ],
)
def test_what_cannot_be_compared(arguments, said, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
