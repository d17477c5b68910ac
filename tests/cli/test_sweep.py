import signal

import jsonschema
import pytest

import accelsim as acs
from accelsim.yaml_file import read_document

STUDY = """
name: widths
network: resnet18
fixed: {input_shape: [1, 3, 32, 32]}
axes:
  engine.multipliers: [16, 256, 4096]
objectives: {multipliers: minimise, throughput.interval_cycles: minimise}
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_a_sweep_tells_its_front_and_its_errors(done, study, tmp_path):
    said = done("sweep", study, "-o", tmp_path / "out", "--workers", 1, "--json").json
    assert (said["study"], said["points"], said["rows"], said["errors"]) == ("widths", 3, 3, 1)
    assert "21 layers need a multiplier each" in said["most_errors"][0]["error"]
    assert [row["engine.multipliers"] for row in said["front"]] == [256, 4096]


def test_a_sweep_is_of_its_schemas(done, study, tmp_path):
    said = done("sweep", study, "-o", tmp_path / "out", "--workers", 1, "--json").json
    jsonschema.validate(said, done("schema", "sweep").json)
    schema = done("schema", "study").json
    for path in (study, *acs.registered_studies().values()):
        jsonschema.validate(read_document(path).data, schema)
    with pytest.raises(jsonschema.ValidationError, match="sped"):
        jsonschema.validate({"network": "resnet18", "sped": "row"}, schema)


def test_a_ready_study_goes_by_its_name(done, study, tmp_path, monkeypatch):
    monkeypatch.setattr("accelsim.sweeps.ready.registered_studies", lambda: {"widths_of_mine": study})
    assert done("sweep", "widths_of_mine", "-o", tmp_path / "out", "--workers", 1, "--json").json["rows"] == 3


def test_a_name_of_no_study_tells_the_one_meant(run, tmp_path):
    outcome = run("sweep", "multiplier", "-o", tmp_path / "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert "study 'multiplier' is neither registered nor a file (did you mean multipliers?)" in outcome.err
    assert "missing.yaml: No such file" in run("sweep", "missing.yaml", "-o", tmp_path / "out").err


def test_a_sweep_in_text(done, study, tmp_path):
    out = done("sweep", study, "-o", tmp_path / "out", "--workers", 1).out
    assert "front: minimise multipliers, minimise throughput.interval_cycles" in out
    assert "21 layers need a multiplier each" in out


def test_a_wrong_study_is_bad_input(run, study, tmp_path):
    study.write_text(STUDY.replace("multipliers: [16", "multiplers: [16"), encoding="utf-8")
    outcome = run("sweep", study, "-o", tmp_path / "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert f"{study}:6: axes.engine.multiplers: unknown name" in outcome.err


def test_an_interrupt_ends_it_and_says_how_to_go_on(run, study, tmp_path, monkeypatch):
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in parallel
    monkeypatch.setattr("accelsim.sweeps.store.Store.finish", interrupted)
    outcome = run("sweep", study, "-o", tmp_path / "out", "--workers", 1)
    signal.signal(signal.SIGINT, before)
    assert outcome.status == 130
    assert "the same command goes on from there" in outcome.err
    monkeypatch.undo()
    assert run("sweep", study, "-o", tmp_path / "out", "--workers", 1).status == 0


def test_a_search_tells_the_front_of_what_it_tried(done, run, study, tmp_path):
    said = done("sweep", study, "-o", tmp_path / "out", "--search", 4, "--json").json
    assert said["rows"] == 4
    assert said["front"]
    outcome = run("sweep", study, "-o", tmp_path / "out", "--search", 4, "--workers", 2)
    assert (outcome.status, "leave --workers and --cluster out" in outcome.err) == (2, True)
