"""`plot`: figures from run folders, the same bytes every time."""

import pytest

from accelsim.cli.plot import KINDS as ALL
from accelsim.cli.plot import OF_SWEEPS
from tests.cli.conftest import SMALL
from tests.cli.test_sweep import STUDY

KINDS = ("buffers", "roles", "occupancy", "timeline", "bandwidth", "traffic", "energy", "roofline")

#: A machine that moves weights and maps through its memory.
MEMORY = ("--set", "weights=frame", "--set", "interface=memory")


@pytest.fixture
def folder(done, tmp_path):
    done("compare", "efficientnet_b0", *SMALL, *MEMORY, "--tile-attention", "2", "-o", tmp_path / "both")
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


def test_a_greedy_run_is_drawn_from_its_start(done, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "--source", "greedy", "-o", tmp_path / "run")
    done("plot", tmp_path / "run", "--kind", "occupancy", "-o", tmp_path / "fig.svg")
    assert "<!-- run: the first" in (tmp_path / "fig.svg").read_text(encoding="utf-8")


def test_a_folder_of_another_kind_says_what_it_is_good_for(done, run, folder, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    done("sweep", study, "-o", tmp_path / "sweep")
    done("size", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "sizes")
    for place, kind, said in (
        (tmp_path / "sweep", "buffers", "holds a sweep; it has no --kind buffers but pareto and axis"),
        (folder, "pareto", "--kind pareto is of what accelsim sweep STUDY -o DIR writes"),
        (folder, "attention", "--kind attention is of what accelsim attention -o DIR writes"),
        (folder, "sizes", "--kind sizes is of what accelsim size NETWORK -o DIR writes"),
        (tmp_path / "sizes", "buffers", "holds sizes of buffers; it has no --kind buffers but sizes"),
        (tmp_path / "sizes", "trade", "holds sizes of buffers; it has no --kind trade but sizes"),
        (folder, "trade", "--kind trade is of what accelsim map --objective buffering --curve -o DIR writes"),
        (tmp_path, "buffers", "expected a run folder, as -o writes it"),
    ):
        outcome = run("plot", place, "--kind", kind, "-o", tmp_path / "fig.svg")
        assert outcome.status == 2
        assert said in outcome.err
    for kind in OF_SWEEPS:
        done("plot", tmp_path / "sweep", "--kind", kind, "-o", tmp_path / "fig.svg")
    assert {*KINDS, *OF_SWEEPS, "attention", "sizes", "trade"} == {*ALL}
