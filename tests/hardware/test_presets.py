"""Preset machines: complete, within their own bounds, and with a source beside every figure."""

import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

import accelsim
from accelsim.hardware.accelerator import PRESETS, Accelerator, load_accelerator
from accelsim.hardware.engine import SystolicEngine
from accelsim.hardware.memory import Memory

FOLDER = Path(accelsim.__file__).parent / "hardware" / "presets"

#: Fields of a memory that a preset may leave out: its technology has figures, or nobody has published them.
OPTIONAL = {"energy_pj_per_byte", "source", "node", "macro", "kind"}


@pytest.fixture(params=PRESETS)
def preset(request):
    return request.param


def text_of(preset):
    return (FOLDER / f"{preset}.yaml").read_text(encoding="utf-8")


def test_there_is_a_file_for_every_preset_and_no_other():
    assert {path.stem for path in FOLDER.iterdir()} == set(PRESETS)


def test_presets_are_machines_of_their_name(preset):
    assert load_accelerator(preset).name == preset


def test_the_schema_takes_them(preset):
    jsonschema.validate(YAML(typ="safe").load(text_of(preset)), Accelerator.model_json_schema(mode="validation"))


def test_no_memory_leaves_a_figure_to_a_default(preset):
    levels = YAML(typ="safe").load(text_of(preset))["memories"]
    for name, level in levels.items():
        assert set(level) | OPTIONAL == set(Memory.model_fields), name
        assert set(level["port"]) == {"read_bits", "write_bits", "shared"}, name


def test_every_figure_has_its_source_beside_it(preset):
    """A number has a comment on its line or right above it."""
    told = False
    for line in text_of(preset).splitlines():
        comment = "#" in line
        if comment and line.strip().startswith("#"):
            told = True
            continue
        if re.search(r":\s*[0-9]", line) and not re.match(r"(activation|weight)_bits", line):
            assert comment or told, line
        told = False


def test_a_machine_that_is_dumped_is_the_same_when_it_is_read(preset, tmp_path):
    machine = load_accelerator(preset)
    writer = YAML(typ="safe", pure=True)
    writer.sort_base_mapping_type_on_output = False
    with (tmp_path / "again.yaml").open("w") as stream:
        writer.dump(machine.model_dump(mode="json"), stream)
    again = load_accelerator(tmp_path / "again.yaml")
    assert again == machine
    assert list(again.memories) == list(machine.memories)


def gigabytes_per_second(preset, level):
    machine = load_accelerator(preset)
    return float(machine.memories[level].bytes_per_cycle(False) * machine.clock_hz / 10**9)


@pytest.mark.parametrize(
    ("preset", "level", "pins", "transfers_per_second", "efficiency"),
    [
        ("streaming-asic", "dram", 64, 4266.67e6, 0.8),
        ("fpga-stream", "dram", 4 * 64, 2400e6, 0.8),
        ("feature-map-npu", "dram", 160, 1e9, 1.0),
        ("systolic-npu", "dram", 128, 1e9, 0.8),
    ],
)
def test_bandwidth_is_that_of_the_pins(preset, level, pins, transfers_per_second, efficiency):
    expected = pins / 8 * transfers_per_second / 1e9 * efficiency
    assert gigabytes_per_second(preset, level) == pytest.approx(expected, rel=0.01)


def test_fpga_figures_are_those_of_its_blocks():
    machine = load_accelerator("fpga-stream")
    block_rams, ultra_rams, multipliers = 4 * 576, 4 * 320, 4 * 2880
    assert machine.memories["bram"].banks == block_rams + ultra_rams
    assert machine.memories["bram"].size == (block_rams * 36 + ultra_rams * 288) * 1024 // 8
    assert machine.engine.multipliers == 2 * multipliers


def test_the_engines_are_those_promised():
    asic, array = load_accelerator("streaming-asic"), load_accelerator("systolic-npu")
    assert asic.engine.model_dump() == {
        "kind": "spatial", "multipliers": 16384, "lanes": 64, "mac_latency_cycles": 8, "lane_latency_cycles": 4,
        "window_frames": "overlap", "stripe": 1,
    }  # fmt: skip
    assert isinstance(array.engine, SystolicEngine)
    assert [load_accelerator(preset).channel_pooling for preset in PRESETS] == [False, False, False, True]


@pytest.mark.parametrize("preset", ["streaming-asic", "fpga-stream"])
def test_one_stage_alone_gets_all_that_dram_can_give(preset):
    machine = load_accelerator(preset)
    memory = machine.memories[machine.off_chip_memory]
    assert memory.requester_bytes_per_cycle(False) == memory.bytes_per_cycle(False)


def test_resnet_on_the_feature_map_npu_is_no_slower_than_published():
    """Layer by layer, each limited by multipliers or memory: above the NVDLA Primer's 269 frames/s, but not far."""
    machine, net = load_accelerator("feature-map-npu"), accelsim.load_network("resnet50")
    bytes_per_cycle = machine.memories["dram"].bytes_per_cycle(False)
    cycles = 0.0
    for node in net.nodes:
        if macs := net.macs_of(node):
            maps = sum(tensor.elements for tensor in (*net.sources(node), net.tensors[node.name]))
            cycles += max(macs / machine.engine.multipliers, (maps + net.parameters_of(node)) / bytes_per_cycle)
    assert 269 <= machine.clock_hz / cycles <= 1.5 * 269
