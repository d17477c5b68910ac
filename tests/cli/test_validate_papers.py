"""`accelsim validate papers`: the table, the JSON object and the exit status."""

import pytest

HEAD = "key,network,multipliers,buffer_kib,gb_per_s,clock_ghz,frames_per_second,status,source,assumption"
FIELDS = {"key", "quantity", "measured", "predicted", "error", "status", "assumption", "source", "bound_by"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("papers")
    line = "chip/one,resnet18,256,128,5,1,100,assumed,a data sheet,The clock is a guess."
    (path / "machines.csv").write_text(f"{HEAD}\n{line}\n", encoding="utf-8")
    return path


def test_machines_of_a_folder_are_predicted(done, folder):
    found = done("validate", "papers", "--data", folder, "--json").json
    assert {row["quantity"] for row in found["rows"]} >= {"frames_per_second", "frames_per_second_closed_form"}
    for row in found["rows"]:
        assert set(row) >= FIELDS
        assert (row["key"], row["measured"], row["status"], row["source"]) == (
            "chip/one", 100, "assumed", "a data sheet",
        )  # fmt: skip
        assert row["error"] == pytest.approx((row["predicted"] - 100) / 100)
        assert row["assumption"].endswith("The clock is a guess.")
    assert found["summary"]["rows"] == len(found["rows"]) == found["summary"]["statuses"]["assumed"]


def test_the_same_is_printed_with_its_assumptions(done, folder):
    out = done("validate", "papers", "--data", folder).out
    assert any(line.split()[:3] == ["chip/one", "frames_per_second", "100"] for line in out.splitlines())
    assert "The clock is a guess." in " ".join(out.split())
    assert "chip: a data sheet" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accelerator", "systolic-npu"], "validate papers: --accelerator: every figure has a machine of its own"),
        (["--granularity", "row", "--set", "clock=1"], "validate papers: --granularity, --set: every figure"),
        (["--data", "nowhere"], "nowhere/machines.csv: no such file; --data takes a folder with machines.csv"),
    ],
)
def test_what_cannot_be_compared(run, options, said):
    outcome = run("validate", "papers", *options)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("a,resnet,256,128,5,1,100,,,", 2, "machines.csv:2: network = 'resnet': "),
        ("a,resnet18,256,1,5,1,100,,,", 3, "machines.csv:2: a: "),
    ],
)
def test_what_cannot_be_predicted_is_named_with_its_line(run, tmp_path, line, status, said):
    (tmp_path / "machines.csv").write_text(f"{HEAD}\n{line}\n", encoding="utf-8")
    outcome = run("validate", "papers", "--data", tmp_path)
    assert outcome.status == status
    assert said in outcome.err
    assert outcome.out == ""
