"""Run folders: read back what was written, and refuse what is none."""

import json

import numpy as np
import pytest

from accelsim import InputError, load_accelerator, map_network, simulate
from accelsim.network.graph import Node, network
from accelsim.network.layers import Dense, Input
from accelsim.report.folder import ACCELERATOR, MARK, NETWORK, REPORT, read_design, read_report, saved_runs, write_run


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
    assert read_report(folder).model_dump() == report.body.model_dump()


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
