"""Everything wrong with a study is told before anything runs: where it is, and what was meant."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.network.writers.yaml import write_yaml_network
from accelsim.sweeps.plan import read_plan

PRESET = Path(acs.__file__).parent / "hardware/presets/fpga-stream.yaml"


def refusal(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(acs.InputError) as caught:
        acs.sweep(path)
    return str(caught.value).replace(f"{path}:", "line ")


AXES = "network: resnet18\naxes:\n  "
FAULTS = {
    "engine.multiplers: [8]": "3: axes.engine.multiplers: unknown name engine.multiplers (did you mean multipliers?)",
    "tile_attention.row: [8]": "unknown path tile_attention.row (did you mean tile_attention.rows?)",
    "memories.dram2.size: [8]": "3: axes.memories.dram2.size: unknown name memories.dram2 (did you mean dram?)",
    "engine.lanes: []": "3: axes.engine.lanes is empty; list its values, or leave it out",
    "memories.sram.size:\n  - 1 MiB\n  - 64 QB": '5: axes.memories.sram.size: memories.sram.size = "64 QB"',
    "clock: [64 QHz]": "unknown unit 'QHz' (use Hz, kHz, MHz, GHz)",
    "engine.lanes: [8, 8]": "3: axes.engine.lanes: 8 is listed twice",
    "engine.lanes: [8]\n  engine.lanes: [16]": "4: axes.engine.lanes is given twice",
    "engine.lanes: [8]\n  accelerator.engine.lanes: [16]": "axes.accelerator.engine.lanes: engine.lanes is given twice",
    "engine.lanes: [8]\nfixed: {engine.lanes: 4}": "4: fixed.engine.lanes: engine.lanes is given twice",
    "engine.lanes: {linear: [1, 9], count: 1000000}\n  activation_bits: {linear: [1, 8], count: 1000000}": (
        "2: 1,000,000,000,000 points; the most is 10,000,000"
    ),
    "engine.lanes: {linear: [1, 8]}": "3: axes.engine.lanes.linear: count is missing",
    "tile_attention.rows: {log: [0, 8], count: 2}": "tile_attention.rows = 0: Input should be a whole number from 1",
    "memories.dram.latency_cycles: {log: [0, 8], count: 2}": "both ends must be above 0",
    "fork: {linear: [shared, copy], count: 2}": "fork has no numbers between shared and copy; list its values",
    "engine.lanes: [1]\nzip:\n- {activation_bits: [4, 8], weight_bits: [2, 4, 8]}": (
        "5: zip[0]: axes that go together are of one length; activation_bits has 2, weight_bits has 3"
    ),
    "engine.lanes: [1]\nwhere: [engine.lane < 3]": "4: where[0]: 'engine.lane < 3': unknown name engine.lane (did you",
    "engine.lanes: [1]\nwhere: [__import__('os').system('x') == 0]": "is no condition",
    "engine.lanes: [1]\nwhere: [network < 3]": "4: where[0]: 'network < 3': text and numbers do not compare",
    "fork: [copy]\nwhere: [1 == 1 or fork == 1]": "4: where[0]: '1 == 1 or fork == 1': text and numbers do not compare",
    "engine.lanes: [1]\nscreen: {keep: [bounds.interval_cycles < 'x']}": "4: screen.keep[0]: 'bounds.interval_cycles",
    "engine.lanes: [1]\nsample: {method: sobol, points: 1000000000000}": "4: sample.points = 1000000000000: Input",
    f"target_fps: [1{'0' * 400}]": "Input should be a number above 0, or null",
    "target_fps: [.inf]": "target_fps = inf: Input should be a number above 0, or null",
    f"tile_attention.rows: [1{'0' * 30}]": "Input should be a whole number from 1 to 1,000,000,000, or null",
    "fork: [copy]\nmetrics: [fork]": "4: metrics[0]: fork is an axis of the study, and in the table already",
    "fork: [copy]\nmetrics: [network]": "4: metrics[0]: network is an axis of the study, and in the table already",
    "fork: [copy]\nmetrics: [inputs.sram]": "4: metrics[0]: unknown figure inputs.sram",
    "engine.lanes: [1]\nwhere: [engine.lanes + 1]": "is neither true nor false",
    "engine.lanes: [1]\nmetrics: [throughput.intervalcycles]": "intervalcycles (did you mean interval_cycles?)",
    "engine.lanes: [1]\nmetrics: [throughput]": "throughput has figures below it",
    "engine.lanes: [1]\nobjectives: {throughput.fps: maximise}": "4: objectives.throughput.fps: the study has no such",
    "engine.lanes: [1]\naxis: {}": "4: unknown name axis (did you mean axes?)",
    "network: [resnet50]": "3: axes.network: network is given twice; it is network already",
    "accelerator: [streamin-asic]": "'streamin-asic' is neither a preset",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_wrong_is_told_with_its_place(tmp_path, text):
    assert FAULTS[text] in refusal(tmp_path, AXES + text)


@pytest.mark.parametrize(
    ("text", "told"),
    [("network: resnet1", "did you mean resnet18"), ("axes: {engine.lanes: [1]}", "network is missing")],
)
def test_a_study_is_of_networks(tmp_path, text, told):
    assert told in refusal(tmp_path, text)


def test_all_problems_are_told_at_once(tmp_path):
    text = AXES + "engine.lanes: []\n  engine.multipliers: [0]\n  clok: [1 GHz]\n"
    assert [line.split()[1][0] for line in refusal(tmp_path, text).splitlines()] == ["3", "4", "5"]


def test_nothing_runs_where_something_is_wrong(tmp_path, study):
    with pytest.raises(acs.InputError):
        acs.sweep(study | {"where": ["nothing > 1"]}, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_count_is_computed_and_not_enumerated(study):
    axes = {
        f"memories.{level}.{name}": list(range(1, 100))
        for level in ("sram", "dram")
        for name in ("banks", "outstanding")
    }
    with pytest.raises(acs.InputError, match="96,059,601 points"):
        read_plan({"network": "resnet18", "axes": axes})


def test_values_are_those_of_the_machine(study):
    plan = read_plan(study)
    columns = plan.space.columns(np.arange(12))
    assert sorted(set(columns["memories.sram.size"].tolist())) == [64 * 1024, 1024**2]
    assert sorted(set(columns["engine.multipliers"].tolist())) == [8, 181, 4096]


def test_paths_and_whatever_counts_go_in_python(tmp_path):
    write_yaml_network(acs.load_network("resnet18", (1, 3, 32, 32)), tmp_path / "net.yaml")
    plan = read_plan(
        {
            "network": [tmp_path / "net.yaml"],
            "axes": {"engine.lanes": iter((1, np.int64(2))), "target_fps": (np.float32(0.5), None)},
        }
    )
    columns = plan.space.columns(np.arange(4))
    assert columns["network"].tolist() == [str(tmp_path / "net.yaml")] * 4
    assert columns["engine.lanes"].tolist() == [1, 1, 2, 2]
    assert columns["target_fps"].tolist() == [0.5, None, 0.5, None]


@pytest.mark.parametrize("name", ["network", "accelerator"])
def test_one_path_stands_for_a_list_of_one(tmp_path, name):
    write_yaml_network(acs.load_network("resnet18", (1, 3, 32, 32)), tmp_path / "x.yaml")
    given = {"network": "resnet18", "accelerator": PRESET, name: tmp_path / "x.yaml" if name == "network" else PRESET}
    assert read_plan(given).space.points == 1


@pytest.fixture
def open_network(tmp_path):
    """A convolution of maps whose height and width its file leaves open."""
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "H", "W"]) for name in ("x", "y")]
    weights = numpy_helper.from_array(np.zeros((3, 3, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    path = tmp_path / "open.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", maps[:1], maps[1:], [weights])), path)
    return path


@pytest.mark.parametrize("part", ["fixed", "axes", "zip"])
def test_a_network_that_leaves_sizes_open_is_read_with_the_shapes_of_the_study(open_network, part):
    shapes = [[1, 3, 8, 8], [1, 3, 16, 16]]
    given = {"fixed": {"input_shape": shapes[0]}, "axes": {"input_shape": shapes}, "zip": [{"input_shape": shapes}]}
    table = acs.sweep({"network": open_network, "speed": "bounds", part: given[part]}, workers=1)
    assert table["error"].null_count() == table.height == (1 if part == "fixed" else 2)
    with pytest.raises(acs.InputError, match=r"study: network: network = .*leaves H, W open; give every size"):
        read_plan({"network": open_network})


def test_all_files_of_a_study_are_in_its_fingerprint(open_network, tmp_path):
    for name in ("machine", "machine.yaml"):
        text = PRESET.read_text(encoding="utf-8")
        (tmp_path / name).write_text(text, encoding="utf-8")
        study = {"network": open_network, "fixed": {"input_shape": [1, 3, 8, 8], "accelerator": tmp_path / name}}
        before = read_plan(study)
        assert set(before.files) == {str(open_network), str(tmp_path / name)}
        assert before.fingerprint == read_plan(study).fingerprint
        (tmp_path / name).write_text(text + "# one more line\n", encoding="utf-8")
        assert before.fingerprint != read_plan(study).fingerprint
