"""Run folders: read back what was written, and refuse what is none."""

import json

import numpy as np
import polars as pl
import pytest

from accelsim import InputError, load_accelerator, map_network, simulate
from accelsim.network.graph import Node, network
from accelsim.network.layers import Dense, Input
from accelsim.report import folder as folders
from accelsim.report.bandwidth import MOST_BINS
from accelsim.report.folder import (
    ACCELERATOR,
    ACTIVITY,
    MARK,
    NETWORK,
    OCCUPANCY,
    REPORT,
    TABLES,
    read_design,
    read_rates,
    read_report,
    saved_runs,
    write_run,
)


@pytest.fixture
def folder(tmp_path, design, report):
    write_run(tmp_path / "run", design, report, frames=3)
    return tmp_path / "run"


def test_design_and_report_come_back(folder, design, report):
    back, options = read_design(folder)
    assert (options.granularity, options.frames) == ("row", 3)
    assert back.accelerator == design.accelerator
    assert back.mapping.unroll == design.mapping.unroll
    assert back.network.nodes == design.network.nodes
    assert simulate(back).to_json() == report.to_json()
    assert read_report(folder).body.model_dump() == report.body.model_dump()


def test_what_happened_over_time_comes_back(folder, report):
    back = read_report(folder)
    assert back.occupancy.equals(report.occupancy)
    assert back.activity.equals(report.activity)
    assert back.bandwidth.equals(report.bandwidth)


def test_what_is_too_long_to_keep_is_simulated_again(tmp_path, design, report, monkeypatch):
    monkeypatch.setattr(folders, "MOST_FIRINGS_KEPT", 10)
    write_run(tmp_path / "run", design, report)
    assert not (tmp_path / "run" / OCCUPANCY).exists()
    back = read_report(tmp_path / "run")
    assert back.occupancy.equals(report.occupancy)
    assert back.activity.equals(report.activity)


@pytest.mark.parametrize("name", [OCCUPANCY, ACTIVITY])
def test_damaged_times_are_named(folder, name):
    pl.DataFrame({"stage": ["a"]}).write_parquet(folder / name)
    with pytest.raises(InputError, match=r"activity\.parquet: not readable as activity over time"):
        _ = read_report(folder).history
    (folder / name).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not readable"):
        _ = read_report(folder).history


def test_capacities_come_back(tmp_path, sized):
    write_run(tmp_path / "run", sized, simulate(sized))
    back, _ = read_design(tmp_path / "run")
    assert back.mapping.capacities == sized.mapping.capacities
    assert simulate(back).to_json() == simulate(sized).to_json()


@pytest.mark.parametrize(
    "damage",
    [
        (MARK, "{"),
        (MARK, "[]"),
        (MARK, '{"kind": "run", "granularity": "column"}'),
        (MARK, '{"kind": "comparison", "runs": []}'),
        (MARK, '{"kind": "comparison", "runs": ["../elsewhere"]}'),
        (MARK, '{"kind": "comparison", "runs": ["missing"]}'),
        (MARK, '{"kind": "diary"}'),
        (MARK, "[" * 100_000),
        (REPORT, "{}"),
        (REPORT, '{"network": 3}'),
        (NETWORK, ""),
        (ACCELERATOR, "name: x"),
    ],
    ids=str,
)
def test_damage_is_named(folder, damage):
    name, text = damage
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=str(folder)):  # noqa: PT012 - whichever step meets the damage first
        for run in saved_runs(folder):
            read_report(run.folder)
            read_design(run.folder)


def test_what_is_no_utf8_is_named(folder):
    (folder / REPORT).write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"report\.json"):
        read_report(folder)


def test_a_report_of_another_shape_is_named_by_its_field(folder):
    told = json.loads((folder / REPORT).read_text())
    told["throughput"]["interval_cycles"] = "soon"
    (folder / REPORT).write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"throughput\.interval_cycles"):
        read_report(folder)


@pytest.mark.parametrize("tied", [False, True])
def test_weights_are_kept_only_where_a_figure_depends_on_them(tmp_path, tied):
    weights = np.ones((4, 4), np.float32)
    arrays = {"first.weight": weights, "second.weight": weights if tied else weights.copy()}
    nodes = [Node("x", Input(4, (2, 2))), Node("first", Dense(4), ("x",)), Node("second", Dense(4), ("first",))]
    design = map_network(network("tied", nodes, ["second"], parameters=arrays), load_accelerator("streaming-asic"))
    report = simulate(design)
    assert report.body.work.parameters == (16 if tied else 32)
    write_run(tmp_path / "run", design, report)
    assert (tmp_path / "run/network.npz").exists() == tied
    assert simulate(read_design(tmp_path / "run")[0]).to_json() == report.to_json()


def test_writing_over_a_run_leaves_no_arrays_behind(folder, design, report):
    (folder / "network.npz").write_bytes(b"of an earlier network")
    write_run(folder, design, report)
    assert not (folder / "network.npz").exists()


@pytest.fixture
def in_turns(tmp_path, turns_design, turns):
    write_run(tmp_path / "turns", turns_design, turns)
    return tmp_path / "turns"


def test_segments_come_back(in_turns, turns_design, turns):
    back, _ = read_design(in_turns)
    assert back.mapping == turns_design.mapping
    assert back.mapping.choice == turns_design.mapping.choice
    assert simulate(back).to_json() == turns.to_json()
    assert read_report(in_turns).body.model_dump() == turns.body.model_dump()


def test_tables_are_those_of_the_report(in_turns, turns):
    tables = {name: pl.read_parquet(in_turns / f"{name}.parquet") for name in TABLES}
    body = turns.body
    assert tables["traffic"].to_dicts() == [row.model_dump() for row in body.traffic]
    assert tables["memories"]["memory"].to_list() == list(body.memories)
    assert tables["memories"]["off_chip"].to_list() == [row.off_chip for row in body.memories.values()]
    assert tables["segments"]["cycles"].to_list() == [segment.cycles for segment in body.segments]
    assert tables["segments"]["total_bytes"].to_list() == [segment.demand.total_bytes for segment in body.segments]
    assert tables["segments"]["layers"].to_list() == [", ".join(segment.layers) for segment in body.segments]


@pytest.mark.parametrize("which", ["turns", "streamed"])
def test_what_passes_over_time_is_all_that_passes(which, request):
    report = request.getfixturevalue(which)
    table = report.bandwidth
    spans = table.with_columns(bytes=pl.col("bytes_per_cycle") * (pl.col("end_cycle") - pl.col("begin_cycle")))
    assert set(spans["memory"]) == {name for name, row in report.body.memories.items() if row.read_bytes}
    for (name,), part in spans.group_by("memory"):
        row = report.body.memories[name]
        assert part.height <= MOST_BINS
        frames = part["end_cycle"][-1] / report.throughput.interval_cycles
        assert frames == pytest.approx(round(frames), abs=1e-6)
        assert part["bytes"].sum() == pytest.approx(frames * (row.read_bytes + row.written_bytes), rel=1e-9)
        assert part["begin_cycle"][0] == 0


def test_rates_come_back(in_turns, turns):
    for one, back in zip(turns.rates, read_rates(in_turns), strict=True):
        assert one.memory == back.memory
        assert one.cycles.tolist() == back.cycles.tolist()
        assert one.bytes_per_cycle.tolist() == back.bytes_per_cycle.tolist()


def test_a_machine_without_memories_leaves_empty_tables(tmp_path, design, bare):
    write_run(tmp_path / "run", design, bare)
    assert read_rates(tmp_path / "run") == ()
    assert pl.read_parquet(tmp_path / "run/traffic.parquet").height == 0
    assert pl.read_parquet(tmp_path / "run/segments.parquet").height == 1


@pytest.mark.parametrize("damage", [b"", b"PAR1 is not enough", None])
def test_damaged_rates_are_named(in_turns, damage):
    path = in_turns / "bandwidth.parquet"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with pytest.raises(InputError, match="bandwidth"):
        read_rates(in_turns)


def test_rates_of_another_shape_are_named(in_turns):
    pl.DataFrame({"memory": ["dram"], "begin_cycle": ["soon"]}).write_parquet(in_turns / "bandwidth.parquet")
    with pytest.raises(InputError, match="bandwidth"):
        read_rates(in_turns)
