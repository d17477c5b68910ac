import pytest

import accelsim as acs
from accelsim.sweeps.pareto import pareto_front

optuna = pytest.importorskip("optuna", reason="the extra [search] is not installed")

OBJECTIVES = {"bounds.multipliers": "minimise", "bounds.interval_cycles": "minimise"}
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def wide(study):
    axes = study["axes"] | {"engine.multipliers": {"log": [8, 4096]}, "engine.lanes": {"linear": [1, 64]}}
    sample = {"method": "random", "points": 1}
    return study | {"axes": axes, "speed": "bounds", "objectives": OBJECTIVES, "sample": sample}


def test_a_search_tries_as_many_as_asked_and_goes_on(wide, tmp_path):
    first = acs.search(wide, trials=8, folder=tmp_path)
    told = []
    both = acs.search(wide, trials=12, folder=tmp_path, progress=lambda *t: told.append(t))
    assert (first.height, both.height) == (8, 12)
    assert both.head(8).equals(first)
    assert told[0] == ("bounds", 8, 12, 8)
    assert acs.search(wide, trials=12, folder=tmp_path).equals(both)


def test_a_search_killed_while_it_writes_goes_on(wide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = acs.search(wide, trials=4, folder="out")
    journal = tmp_path / "out/search.journal"
    (tmp_path / "out/search.journal.lock").symlink_to("out/search.journal")
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_')
    assert acs.search(wide, trials=6, folder="out").head(4).equals(first)


def test_what_is_tried_is_what_the_study_says_of_it(wide):
    table = acs.search(wide, trials=10)
    for row in table.iter_rows(named=True):
        axes = {path: [row[path]] for path in wide["axes"]}
        alone = acs.sweep({"network": "resnet18", "fixed": wide["fixed"], "axes": axes, "speed": "bounds"}, workers=1)
        assert alone["bounds.interval_cycles"].item() == row["bounds.interval_cycles"]
        assert alone["error"].item() == row["error"]


def test_a_search_comes_close_to_the_best(wide):
    one = wide | {"objectives": {"bounds.interval_cycles": "minimise"}}
    found = acs.search(one, trials=40)["bounds.interval_cycles"].min()
    everything = acs.sweep(study_of_all(wide), workers=1)["bounds.interval_cycles"].min()
    assert found <= 1.5 * everything


def study_of_all(wide):
    axes = wide["axes"] | {
        "engine.multipliers": {"log": [8, 4096], "count": 60},
        "engine.lanes": {"linear": [1, 64], "count": 64},
    }
    return {name: value for name, value in wide.items() if name != "sample"} | {"axes": axes}


def test_simulated_designs_have_a_front(study):
    wanted = {"multipliers": "minimise", "throughput.interval_cycles": "minimise"}
    table = acs.search(study | {"objectives": wanted}, trials=9)
    front = pareto_front(table, wanted)
    assert table["error"].null_count() < 9
    assert 0 < front.height < 9


def test_what_is_wrong_is_told(study, wide, tmp_path):
    with pytest.raises(acs.InputError, match="needs objectives"):
        acs.search(study, trials=3)
    with pytest.raises(acs.InputError, match="trials = 0 must be"):
        acs.search(wide, trials=0)
    acs.sweep(wide, workers=1, folder=tmp_path)
    with pytest.raises(acs.InputError, match="another kind"):
        acs.search(wide, trials=3, folder=tmp_path)
