"""`inspect`: what is in a network or a machine, and what cannot be read."""

import jsonschema
import pytest
from ruamel.yaml import YAML

from accelsim import load_network
from accelsim.hardware.accelerator import PRESETS, Accelerator, load_accelerator
from accelsim.hardware.memory import Memory, MemoryPort
from tests.cli.conftest import SMALL

ENGINE = "engine: {multipliers: 4, lanes: 1, mac_latency_cycles: 1, lane_latency_cycles: 1}\n"


def test_layers_add_up_to_the_totals(done):
    told = done("inspect", "efficientnet_b0", *SMALL, "--json").json
    jsonschema.validate(told, done("schema", "network-inspection").json)
    net = load_network("efficientnet_b0", input_shape=(1, 3, 64, 64))
    assert [layer["layer"] for layer in told["layers"]] == [node.name for node in net.nodes]
    assert told["totals"]["macs"] == net.macs == sum(layer["macs"] for layer in told["layers"])
    assert told["totals"]["macs"] == sum(kind["macs"] for kind in told["kinds"])
    assert told["totals"]["layers"] == sum(kind["layers"] for kind in told["kinds"])
    assert told["totals"]["parameters"] == net.parameter_count
    assert told["totals"]["gate_elements"] == sum(block["gate_elements"] for block in told["attention"])
    assert len(told["attention"]) == 16


def test_text_names_every_layer(done):
    told = done("inspect", "resnet18", "--json").json
    text = done("inspect", "resnet18").out
    for layer in told["layers"]:
        assert layer["layer"] in text
    assert f"{told['totals']['macs']:,}" in text


@pytest.mark.parametrize("options", [(), ("--set", "engine.lanes=7", "--set", "source=greedy")])
def test_a_machine_is_shown_field_by_field(done, options):
    told = done("inspect", "streaming-asic", *options, "--json").json
    jsonschema.validate(told, done("schema", "accelerator-inspection").json)
    values = {row["field"]: row["value"] for row in told["fields"]}
    assert values["engine.lanes"] == (7 if options else 64)
    assert {name.split(".")[0] for name in values} == set(Accelerator.model_fields)
    text = done("inspect", "streaming-asic").out
    assert all(name in text for name in values if not name.startswith("memories."))


@pytest.mark.parametrize("preset", PRESETS)
def test_memories_are_a_table_of_fields_by_levels(done, preset):
    machine = load_accelerator(preset)
    lines = done("inspect", preset).out.splitlines()
    table = [line.split() for line in lines[lines.index("Memories, from the engine outwards") + 1 :]]
    count = len(machine.memories)
    assert table[0] == ["field", *machine.memories, "unit", "meaning"]
    cells = {row[0]: row[1 : 1 + count] for row in table[1:]}
    for field in set(Memory.model_fields) - {"port"} | {f"port.{name}" for name in MemoryPort.model_fields}:
        assert len(cells[field]) == count, field
    assert cells["size"] == [f"{memory.size:,}" for memory in machine.memories.values()]
    assert cells["port.shared"] == [str(memory.port.shared) for memory in machine.memories.values()]


def test_a_memory_comes_with_its_rates(done):
    options = ("--set", "memories.dram.port.read_bits=80", "--set", "memories.dram.efficiency=0.5")
    told = done("inspect", "feature-map-npu", "--set", "memories.dram.outstanding=1", *options, "--json").json
    jsonschema.validate(told, done("schema", "accelerator-inspection").json)
    values = {row["field"]: (row["value"], row["unit"]) for row in told["fields"]}
    assert values["memories.dram.port.read_bits"] == (80, "bits/cycle")
    assert values["memories.buffer.size"] == (512 * 1024, "bytes")
    buffer, dram = told["memories"]
    assert (buffer["memory"], dram["memory"]) == ("buffer", "dram")
    bytes_per_cycle, burst, latency = 80 / 8 * 0.5, 64, 100
    assert dram["read_bytes_per_second"] == bytes_per_cycle * 10**9
    assert dram["write_bytes_per_second"] == 160 / 8 * 0.5 * 10**9
    alone = burst / (latency + burst / bytes_per_cycle) * 10**9
    assert dram["requester_read_bytes_per_second"] == pytest.approx(alone)


def test_a_machine_without_memories_has_no_table_of_them(done, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("name: m\nclock: 1 MHz\n" + ENGINE, encoding="utf-8")
    assert "Memories" not in done("inspect", path).out
    assert done("inspect", path, "--json").json["memories"] == []


def test_a_machine_without_an_engine_is_told_as_a_machine(run, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("name: m\nclock: 1 MHz\n", encoding="utf-8")
    outcome = run("inspect", path)
    assert outcome.status == 2
    assert "engine is missing" in outcome.err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("memories.sram.size=0", "memories.sram.size = 0: Input should be greater than 0"),
        ("memories.nosuch.size=1MiB", "unknown name memories.nosuch (known: sram, dram)"),
        ("memories.sram.size=1 QB", "unknown unit 'QB'"),
    ],
)
def test_a_setting_below_memories_that_is_wrong(run, setting, told):
    outcome = run("inspect", "streaming-asic", "--set", setting)
    assert (outcome.status, outcome.out) == (2, "")
    assert told in outcome.err


def test_the_schema_of_machines_takes_the_machine_in_a_run_folder(done, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "run")
    machine = YAML(typ="safe").load(tmp_path / "run/accelerator.yaml")
    jsonschema.validate(machine, done("schema", "accelerator").json)
    assert list(machine["memories"]) == list(load_accelerator("streaming-asic").memories)


def test_a_file_says_itself_whether_it_is_a_network(done, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "run")
    assert done("inspect", tmp_path / "run/network.yaml", "--json").json["network"] == "mobilenet_v3_small"
    assert done("inspect", tmp_path / "run/accelerator.yaml", "--json").json["accelerator"] == "streaming-asic"


def test_all_unsupported_operators_at_once(run, tmp_path):
    from onnx import TensorProto, helper, save_model

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["y"], name="first", domain="nowhere"),
        helper.make_node("Conjure", ["y"], ["z"], name="second", domain="nowhere"),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    save_model(
        helper.make_model(helper.make_graph(nodes, "odd", [value], [result]), opset_imports=opsets),
        tmp_path / "odd.onnx",
    )
    outcome = run("inspect", tmp_path / "odd.onnx")
    assert (outcome.status, outcome.out) == (2, "")
    assert "Frobnicate" in outcome.err
    assert "Conjure" in outcome.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("streaming-asic", *SMALL), "--input-shape"),
        (("resnet18", "--set", "fork=copy"), "--set"),
        (("no_such_network",), "no_such_network"),
        (("missing.yaml",), "missing.yaml"),
    ],
)
def test_options_of_the_other_kind_are_refused(run, argv, said):
    outcome = run("inspect", *argv)
    assert outcome.status == 2
    assert said in outcome.err


def test_energy_and_area_of_a_machine_are_told_with_their_sources(done):
    told = done("inspect", "systolic-npu", "--set", "technology=7nm-jouppi", "--json").json
    assert [row["pj_per_byte"] for row in told["memories"]][-1] == 1300 / 8
    assert all("Jouppi" in row["pj_source"] for row in told["memories"])
    assert told["area"]["total_um2"] == sum(row["area_um2"] for row in told["area"]["rows"])
    text = done("inspect", "systolic-npu").out
    assert "Area in 45nm, at the least" in text
    assert "Horowitz" in " ".join(text.split())
    bare = done("inspect", "fpga-stream", "--json").json
    assert bare["area"] is None
    assert {row["pj_per_byte"] for row in bare["memories"]} == {None}
