"""Tables are the same however they were come by, and what was done is not done again."""

import errno
import json
import resource

import polars as pl
import pytest

import accelsim as acs
from accelsim.sweeps import store
from accelsim.sweeps.chunks import POINTS
from accelsim.sweeps.pareto import pareto_front


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setitem(POINTS, "row", 2)


def parts(folder):
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted((folder / "parts").rglob("*.parquet"))
    }


def test_every_row_is_what_the_design_says_alone(study):
    table = acs.sweep(study | {"metrics": ["throughput.interval_cycles", "multipliers"]}, workers=1)
    net = acs.load_network("resnet18", (1, 3, 32, 32))
    assert table.height == 12
    for row in table.filter(pl.col("error").is_null()).iter_rows(named=True):
        paths = ("engine.multipliers", "engine.lanes", "memories.sram.size")
        machine = acs.load_accelerator("streaming-asic", {path: row[path] for path in paths})
        design = acs.map_network(net, machine)
        assert row["throughput.interval_cycles"] == acs.simulate(design).throughput.interval_cycles
        assert row["multipliers"] == design.multipliers


def test_a_design_that_cannot_be_is_a_row_with_its_error(study):
    table = acs.sweep(study, workers=1)
    failed = table.filter(pl.col("engine.multipliers") == 8)
    assert failed["error"].str.contains("InfeasibleError: 21 layers need a multiplier each, the engine has 8").all()
    assert failed.select("multipliers").null_count().item() == failed.height == 4
    assert table.filter(pl.col("engine.multipliers") > 8)["error"].null_count() == 8


def test_two_processes_and_one_write_the_same_bytes(study, tmp_path):
    one, two = (acs.sweep(study, workers=n, folder=tmp_path / str(n)) for n in (1, 2))
    assert one.equals(two)
    assert (tmp_path / "1/table.parquet").read_bytes() == (tmp_path / "2/table.parquet").read_bytes()


def test_a_sweep_goes_on_where_it_was(study, tmp_path, monkeypatch):
    whole = acs.sweep(study, workers=1, folder=tmp_path / "whole")
    folder = tmp_path / "killed"
    seen = []

    def until_the_third(speed, done, points, before):
        seen.append((done, before))
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        acs.sweep(study, workers=1, folder=folder, progress=until_the_third)
    kept = parts(folder)
    assert len(kept) == 3
    again = []
    resumed = acs.sweep(study, workers=1, folder=folder, progress=lambda *told: again.append(told))
    assert again[0] == ("row", 6, 12, 6)
    assert {name: part for name, part in parts(folder).items() if name in kept} == kept
    assert resumed.equals(whole)
    assert (folder / "table.parquet").read_bytes() == (tmp_path / "whole/table.parquet").read_bytes()


def test_another_study_does_not_go_on_in_its_folder(study, tmp_path):
    acs.sweep(study, workers=1, folder=tmp_path)
    with pytest.raises(acs.InputError, match="holds a sweep or search of another study"):
        acs.sweep(study | {"seed": 1}, workers=1, folder=tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(acs.InputError, match="neither empty nor an earlier sweep"):
        acs.sweep(study, workers=1, folder=tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]


def test_a_full_disk_loses_nothing_that_was_done(study, tmp_path, monkeypatch):
    whole = acs.sweep(study, workers=1)
    real, calls = store.os.fsync, []

    def full_at_the_fourth(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(store.os, "fsync", full_at_the_fourth)
    with pytest.raises(OSError, match="No space left"):
        acs.sweep(study, workers=1, folder=tmp_path)
    assert len(parts(tmp_path)) == 3
    assert not list(tmp_path.rglob("*.unfinished"))
    assert acs.sweep(study, workers=1, folder=tmp_path).equals(whole)


def test_a_disk_that_takes_no_more_is_told_by_its_file(study, tmp_path):
    whole = acs.sweep(study, workers=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            acs.sweep(study, workers=1, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "parts/row/000000.parquet")
    assert acs.sweep(study, workers=1, folder=tmp_path).equals(whole)


@pytest.mark.parametrize("length", [0, 4, 300])
def test_a_part_that_is_cut_short_is_made_again(study, tmp_path, length):
    whole = acs.sweep(study, workers=1, folder=tmp_path)
    bytes_of_whole = (tmp_path / "table.parquet").read_bytes()
    part = tmp_path / "parts/row/000002.parquet"
    part.write_bytes(part.read_bytes()[:length])
    (tmp_path / "table.parquet").unlink()
    told = []
    assert acs.sweep(study, workers=1, folder=tmp_path, progress=lambda *p: told.append(p)).equals(whole)
    assert told[0] == ("row", 10, 12, 10)
    assert (tmp_path / "table.parquet").read_bytes() == bytes_of_whole


def test_a_folder_has_one_sweep_at_a_time(study, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ENDING_SECONDS", 0)
    refused = []

    def another(speed, done, points, before):
        with pytest.raises(acs.InputError, match="another sweep is writing there"):
            acs.sweep(study, workers=1, folder=tmp_path)
        refused.append(done)

    acs.sweep(study, workers=1, folder=tmp_path, progress=another)
    assert refused == [0, 2, 4, 6, 8, 10, 12]
    acs.sweep(study, workers=1, folder=tmp_path)


def test_a_sweep_killed_before_its_first_part_goes_on(study, tmp_path):
    (tmp_path / store.UNFINISHED).write_text("{", encoding="utf-8")
    assert acs.sweep(study, workers=1, folder=tmp_path).height == 12
    assert not (tmp_path / store.UNFINISHED).exists()


MANIFESTS = (
    {"study": 3},
    {"points": "12"},
    {"kind": "song"},
    {"study": {"name": "x"}},
    {"study": {"name": 1, "objectives": {}}},
    {"study": {"name": "x", "objectives": {"multipliers": "up"}}},
)


@pytest.mark.parametrize("changed", MANIFESTS, ids=str)
def test_what_is_no_manifest_is_told(study, tmp_path, changed):
    acs.sweep(study, workers=1, folder=tmp_path)
    path = tmp_path / store.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    with pytest.raises(acs.InputError, match="is no manifest of a sweep"):
        store.read_table(tmp_path)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_workers_are_counted(study, workers):
    with pytest.raises(acs.InputError, match="must be a whole number from 1"):
        acs.sweep(study, workers=workers)


def test_a_table_that_is_not_there_is_told(tmp_path):
    with pytest.raises(acs.InputError, match=r"expected a sweep's folder"):
        store.read_table(tmp_path)


def test_the_front_is_what_nothing_is_better_than(study):
    rows = pl.DataFrame({"a": [1, 2, 2, 3, None, 3], "b": [3.0, 2.0, 2.0, 2.5, 9.0, 9.0]})
    front = pareto_front(rows, {"a": "minimise", "b": "minimise"})
    assert front.rows() == [(1, 3.0), (2, 2.0), (2, 2.0)]
    apart = rows.with_columns(pl.Series("network", ["x", "x", "y", "y", "y", "y"]))
    assert pareto_front(apart, {"a": "minimise", "b": "minimise"}, ["network"])["a"].to_list() == [1, 2, 2]
    assert pareto_front(rows, {"a": "minimise", "b": "maximise"}).rows() == [(1, 3.0), (3, 9.0)]
