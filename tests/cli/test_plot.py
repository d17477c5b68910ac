"""`plot`: figures from run folders, the same bytes every time."""

import pytest

from tests.cli.conftest import SMALL

KINDS = ("buffers", "roles", "occupancy", "timeline")


@pytest.fixture
def folder(done, tmp_path):
    done("compare", "efficientnet_b0", *SMALL, "--tile-attention", "2", "-o", tmp_path / "both")
    return tmp_path / "both"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_the_same_folder_gives_the_same_bytes(done, folder, tmp_path, kind, suffix):
    figures = [tmp_path / f"{name}.{suffix}" for name in ("first", "second")]
    for figure in figures:
        outcome = done("plot", folder, "--kind", kind, "-o", figure)
        assert outcome.out == ""
    first, second = (figure.read_bytes() for figure in figures)
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_one_run_or_several(done, folder, tmp_path, kind):
    done("plot", folder, "--kind", kind, "-o", tmp_path / "both.svg")
    done("plot", folder / "untiled", "--kind", kind, "-o", tmp_path / "one.svg")
    assert "untiled" not in (tmp_path / "one.svg").read_text()[:200]
    assert (tmp_path / "one.svg").read_bytes() != (tmp_path / "both.svg").read_bytes()


def test_chosen_edges(done, folder, run, tmp_path):
    edge = "image -> stem"
    done("plot", folder, "--kind", "occupancy", "--edges", edge, "-o", tmp_path / "fig.svg")
    outcome = run("plot", folder, "--kind", "occupancy", "--edges", f"{edge},nowhere", "-o", tmp_path / "fig.svg")
    assert outcome.status == 2
    assert "nowhere" in outcome.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--kind", "pie", "-o", "x.svg"), "pie"),
        (("--kind", "buffers", "-o", "x.gif"), "x.gif"),
        (("--kind", "buffers", "-o", "missing/x.svg"), "missing/x.svg"),
        (("--kind", "buffers", "--edges", "a", "-o", "x.svg"), "--edges"),
        (("--kind", "buffers"), "--output"),
    ],
)
def test_what_cannot_be_drawn(run, folder, tmp_path, monkeypatch, argv, said):
    monkeypatch.chdir(tmp_path)
    outcome = run("plot", folder, *argv)
    assert outcome.status == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_greedy_run_without_bounds_has_no_period(done, run, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "--source", "greedy", "-o", tmp_path / "run")
    outcome = run("plot", tmp_path / "run", "--kind", "occupancy", "-o", tmp_path / "fig.svg")
    assert outcome.status == 2
    assert "period" in outcome.err
