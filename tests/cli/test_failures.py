"""How commands fail: one line a problem on standard error, the promised status, no traceback."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.cli import main as command_line
from accelsim.cli.main import main
from tests.cli.conftest import SMALL

SIMULATE = ("simulate", "resnet18", *SMALL)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "accelsim --help"),
        (("frobnicate",), "frobnicate"),
        (("simulate",), "NETWORK"),
        (("simulate", "resnet"), "resnet18"),
        (("simulate", "resnet18", "--no-such-option"), "--no-such-option"),
        ((*SIMULATE, "--frames", "many"), "--frames"),
        ((*SIMULATE, "--frames", "0"), "frames"),
        ((*SIMULATE, "--granularity", "word"), "describes none; use fpga-stream"),
        ((*SIMULATE, "--granularity", "frame"), "frame"),
        ((*SIMULATE, "--mapping", "missing"), "fused"),
        ((*SIMULATE, "--mapping", "missing.yaml"), "missing.yaml"),
        ((*SIMULATE, "--accelerator", "tpu"), "tpu"),
        ((*SIMULATE, "--source", "eager"), "source"),
        ((*SIMULATE, "--tile-attention", "0"), "rows"),
        ((*SIMULATE, "--tile-count", "1"), "--tile-attention"),
        ((*SIMULATE, "--tile-columns", "1"), "--tile-attention"),
        ((*SIMULATE, "--target-fps", "-1"), "target_fps"),
        ((*SIMULATE, "--target-fps", "nan"), "target_fps"),
        ((*SIMULATE, "--target-fps", "1e-300"), "target_fps"),
        ((*SIMULATE, "--set", "engine.lanes"), "engine.lanes"),
        ((*SIMULATE, "--set", "=1"), "--set"),
        ((*SIMULATE, "--set", "engine..lanes=1"), "--set"),
        ((*SIMULATE, "--set", "engine.lanes=[1, 2]"), "single value"),
        ((*SIMULATE, "--set", "engine.lanes=1\nclock: 2"), "one line"),
        ((*SIMULATE, "--set", "engine.lanes=!!python/object 1"), "tags"),
        ((*SIMULATE, "--set", "clock=8 lightyears"), "lightyears"),
        ((*SIMULATE, "--set", "clock.speed=1"), "clock"),
        (("simulate", "resnet18", "--input-shape", "1,3,0,64"), "1,3,0,64"),
        (("simulate", "resnet18", "--input-shape", "1,3,-8,64"), "1,3,-8,64"),
        (("simulate", "resnet18", "--input-shape", "large"), "large"),
        (("simulate", "resnet18", "--input-shape", "=1,3,8,8"), "=1,3,8,8"),
        (("simulate", "resnet18", *SMALL, *SMALL), "--input-shape"),
        (("simulate", "resnet18", "--input-shape", "1,3,10000000,10000000"), "2^40"),
        (("simulate", "resnet18", "--input-shape", "picture=1,3,64,64"), "image"),
        (("schema", "everything"), "everything"),
        (("map", "resnet18", "-o", "missing/mapping.yaml"), "missing/mapping.yaml"),
        (("compare", "missing-a", "missing-b"), "missing-a"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run, tmp_path, monkeypatch, argv, said):
    monkeypatch.chdir(tmp_path)
    outcome = run(*argv)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("setting", "known"), [("engine.lanez=1", "lanes"), ("enginee=1", "engine"), ("zzz=1", "activation_bits")]
)
def test_unknown_fields_name_the_known_ones(run, setting, known):
    outcome = run(*SIMULATE, "--set", setting)
    assert outcome.status == 2
    assert known in outcome.err
    assert "settings" in outcome.err


def test_problems_get_a_line_each(run):
    outcome = run(*SIMULATE, "--set", "engine.lanes=0", "--set", "fork=spoon", "--set", "colour=red")
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 3


@pytest.mark.parametrize("options", [("--target-fps", "1e9"), ("--set", "engine.multipliers=3")])
def test_infeasible_is_status_3(run, options):
    outcome = run(*SIMULATE, *options)
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err.startswith("infeasible: ")
    assert len(outcome.err.splitlines()) == 1


def test_deadlock_is_status_3(run, done, tmp_path):
    done("size", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "mapping.yaml")
    lines = (tmp_path / "mapping.yaml").read_text().splitlines()
    largest = max((line for line in lines if " -> " in line), key=lambda line: int(line.rpartition(":")[2]))
    name, _, tokens = largest.rpartition(":")
    lines[lines.index(largest)] = f"{name}: {int(tokens) - 1}"
    (tmp_path / "mapping.yaml").write_text("\n".join(lines))
    outcome = run("simulate", "mobilenet_v3_small", *SMALL, "--mapping", tmp_path / "mapping.yaml", "--json")
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err.startswith("deadlock at cycle ")


def _raising(error):
    def load(request):
        raise error

    return load


@pytest.mark.parametrize(("argv", "lines"), [((*SIMULATE,), 1), (("--debug", *SIMULATE), 2)], ids=["plain", "debug"])
def test_our_own_bugs_ask_to_be_reported(run, monkeypatch, argv, lines):
    monkeypatch.setattr("accelsim.cli.request.load", _raising(RuntimeError("first line\nsecond line")))
    outcome = run(*argv)
    assert (outcome.status, outcome.out) == (1, "")
    assert "report" in outcome.err
    assert ("Traceback" in outcome.err) == (lines > 1)
    assert len(outcome.err.splitlines()) == 1 or lines > 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), 3),
        (PermissionError(13, "Permission denied", "locked.onnx"), 2),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
    ],
)
def test_what_the_computer_refuses(run, monkeypatch, error, status):
    monkeypatch.setattr("accelsim.cli.request.load", _raising(error))
    monkeypatch.setattr(command_line, "_abandon_output", lambda: None)
    outcome = run(*SIMULATE)
    assert outcome.status == status
    assert "Traceback" not in outcome.err


def test_names_from_files_do_not_steer_the_terminal(run, tmp_path):
    file = tmp_path / "evil.yaml"
    file.write_text('name: "\\e[31mred\\e]0;title\\a"\nlayers: {}\n')
    outcome = run("inspect", file)
    assert outcome.status == 2
    assert "\x1b" not in outcome.out + outcome.err


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    option=st.sampled_from(
        ["--set", "--input-shape", "--mapping", "--accelerator", "--granularity", "--source", "--objective"]
    ),
    value=TEXT,
)
def test_no_value_of_an_option_is_our_bug(capsys, tmp_path, monkeypatch, option, value):
    monkeypatch.chdir(tmp_path)
    status = main(["map" if option not in ("--granularity", "--source") else "simulate", "resnet18", option, value])
    captured = capsys.readouterr()
    assert status in (0, 2, 3), captured.err
    assert "Traceback" not in captured.err


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(argv=st.lists(TEXT | st.sampled_from(["inspect", "schema", "report", "-o", "--json", "--", "-"]), max_size=4))
def test_no_command_line_is_our_bug(capsys, tmp_path, monkeypatch, argv):
    monkeypatch.chdir(tmp_path)
    status = main(argv)
    captured = capsys.readouterr()
    assert status in (0, 2, 3), captured.err
