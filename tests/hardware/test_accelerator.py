"""Machine files: settings, schema, and everything a file can get wrong."""

from typing import get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

from accelsim.errors import InputError
from accelsim.hardware.accelerator import PRESETS, Accelerator, load_accelerator
from accelsim.hardware.memory import Memory, MemoryPort
from accelsim.yaml_file import Document, validated

GOOD = """\
name: mine
clock: 400 MHz
engine:
  kind: spatial
  multipliers: 64
  lanes: 8
  mac_latency_cycles: 3
  lane_latency_cycles: 0
"""

LEVELS = """\
memories:
  sram:
    size: 64 KiB
    port: {read_bits: 64, write_bits: 32, shared: false}
  dram:
    size: 1 GiB
    port:
      read_bits: 16
      write_bits: 16
    latency_cycles: 50
    burst: 32 B
    efficiency: 0.8
"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path, settings=None):
    """Lines of the error a machine file causes, without its folder."""
    with pytest.raises(InputError) as caught:
        load_accelerator(path, settings)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def faults(path, settings=None):
    """The same lines without what fields mean."""
    return [line.partition("; ")[0] for line in problems(path, settings)]


def test_a_file_is_read(file):
    machine = load_accelerator(file(GOOD))
    assert (machine.name, machine.clock_hz) == ("mine", 400 * 10**6)
    assert machine.engine.model_dump() == {
        "kind": "spatial", "multipliers": 64, "lanes": 8, "mac_latency_cycles": 3, "lane_latency_cycles": 0,
        "window_frames": "overlap", "stripe": 1,
    }  # fmt: skip
    assert (machine.activation_bits, machine.fork, machine.source) == (8, "shared", "paced")


def test_settings_replace_and_add(file):
    machine = load_accelerator(file(GOOD), {"engine.lanes": 16, "clock": "1 GHz", "fork": "copy"})
    assert (machine.engine.lanes, machine.clock_hz, machine.fork) == (16, 10**9, "copy")
    assert machine.engine.multipliers == 64


def test_machines_are_frozen(file):
    machine = load_accelerator(file(GOOD))
    with pytest.raises(ValueError, match="frozen"):
        machine.name = "other"


def models(kind):
    """All pydantic models that a type is made of, itself included."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(kind):
        yield from models(part)


def test_every_field_says_what_it_means():
    seen = set(models(Accelerator))
    assert {model.__name__ for model in seen} == {
        "Accelerator", "SpatialEngine", "SystolicEngine", "Memory", "MemoryPort", "StreamBlocks", "WindowBlock",
        "MatrixBlock", "ThresholdBlock", "PaddingBlock", "FifoBlock", "TapBlock", "Leakage", "Device",
    }  # fmt: skip
    for model in seen:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lanes: 8", "lanes: 0", "m.yaml:6: engine.lanes = 0: Input should be greater than 0"),
        ("lanes: 8", "lanes: -3", "m.yaml:6: engine.lanes = -3: Input should be greater than 0"),
        ("lanes: 8", "lanes: 1.5", "m.yaml:6: engine.lanes = 1.5: Input should be a valid integer"),
        ("lanes: 8", "lanes: .nan", "m.yaml:6: engine.lanes = nan: Input should be a finite number"),
        ("lanes: 8", "lanes: many", 'm.yaml:6: engine.lanes = "many": Input should be a valid integer'),
        ("lanes: 8", "lanes:", "m.yaml:6: engine.lanes = None: Input should be a valid integer"),
        ("lanes: 8", "lanes: true", "m.yaml:6: engine.lanes = True: Input should be a valid integer"),
        ("clock: 400 MHz", "clock: true", "m.yaml:2: clock = True: Input should be a valid integer"),
        ("name: mine", "name: true", "m.yaml:1: name = True: Input should be a valid string"),
        ("lanes: 8", "lanes: [8]", "m.yaml:6: engine.lanes = [8]: Input should be a valid integer"),
        ("multipliers: 64", "multipliers: 1000000001", "m.yaml:5: engine.multipliers = 1000000001: "),
        ("mac_latency_cycles: 3", "mac_latency_cycles: -1", "m.yaml:7: engine.mac_latency_cycles = -1: "),
        ("kind: spatial", "kind: quantum", 'm.yaml:4: engine.kind = "quantum": Input should be'),
        ("clock: 400 MHz", "clock: 400 QHz", 'm.yaml:2: clock = "400 QHz": "400 QHz": unknown unit'),
        ("clock: 400 MHz", "clock: 0.5 Hz", 'm.yaml:2: clock = "0.5 Hz": "0.5 Hz" is not a whole number of Hz'),
        ("clock: 400 MHz", "clock: 0", "m.yaml:2: clock = 0: Input should be greater than 0"),
        ("clock: 400 MHz", "clock: 9999999 GHz", 'm.yaml:2: clock = "9999999 GHz": Input should be less than'),
        ("name: mine", "name: ''", 'm.yaml:1: name = "": String should have at least 1 character'),
        ("name: mine", "name: [a]", "m.yaml:1: name = ['a']: Input should be a valid string"),
        ("name: mine", "name: mine\nfork: both", 'm.yaml:2: fork = "both": Input should be'),
        ("name: mine", "name: mine\nsource: fast", 'm.yaml:2: source = "fast": Input should be'),
        ("name: mine", "name: mine\nactivation_bits: 65", "m.yaml:2: activation_bits = 65: Input should be less"),
        ("name: mine", "name: mine\nname: other", "m.yaml:2: name is given twice"),
        ("name: mine", "name: !!python/name:os.system", "m.yaml:1: tags"),
        ("  lanes: 8\n", "", "m.yaml:3: engine.lanes is missing"),
    ],
)
def test_a_fault_is_told_with_line_path_value_and_rule(file, old, new, told):
    assert GOOD.count(old) == 1
    (line,) = problems(file(GOOD.replace(old, new)))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("burst: 32 B", "bursts: 32 B", "m.yaml:19: unknown name memories.dram.bursts (did you mean burst?)"),
        ("burst: 32 B", "zzz: 1", "m.yaml:19: unknown name memories.dram.zzz (known: size, port, banks, "),
        ("64 KiB", "64 QB", """m.yaml:11: memories.sram.size = "64 QB": "64 QB": unknown unit 'QB' (use B, """),
        ("64 KiB", "64 MHz", """m.yaml:11: memories.sram.size = "64 MHz": "64 MHz": unknown unit 'MHz' (use B, """),
        ("64 KiB", "0", "m.yaml:11: memories.sram.size = 0: Input should be greater than 0"),
        ("64 KiB", "0 B", 'm.yaml:11: memories.sram.size = "0 B": Input should be greater than 0'),
        ("64 KiB", "-1 KiB", 'm.yaml:11: memories.sram.size = "-1 KiB": "-1 KiB" is not a number followed by a unit'),
        ("64 KiB", "0.3 B", 'm.yaml:11: memories.sram.size = "0.3 B": "0.3 B" is not a whole number of B'),
        (
            "64 KiB",
            "9" * 5000 + " B",
            'm.yaml:11: memories.sram.size = "' + "9" * 56 + "...: 5,002 characters are no num",
        ),
        ("64 KiB", "9999999 GiB", 'm.yaml:11: memories.sram.size = "9999999 GiB": Input should be less than'),
        ("64 KiB", "", "m.yaml:11: memories.sram.size = None: Input should be a valid integer"),
        ("    size: 64 KiB\n", "", "m.yaml:10: memories.sram.size is missing"),
        ("efficiency: 0.8", "efficiency: 0", "m.yaml:20: memories.dram.efficiency = 0: Input should be greater than"),
        ("efficiency: 0.8", "efficiency: 1e-30", "m.yaml:20: memories.dram.efficiency = 1e-30: Input should be great"),
        ("efficiency: 0.8", "efficiency: 80", "m.yaml:20: memories.dram.efficiency = 80: Input should be less than"),
        ("efficiency: 0.8", "efficiency: 80%", 'm.yaml:20: memories.dram.efficiency = "80%": Input should be a valid'),
        ("efficiency: 0.8", "efficiency: .nan", "m.yaml:20: memories.dram.efficiency = nan: Input should be a finite"),
        ("efficiency: 0.8", "efficiency: true", "m.yaml:20: memories.dram.efficiency = True: Input should be a valid"),
        ("efficiency: 0.8", "banks: 0", "m.yaml:20: memories.dram.banks = 0: Input should be greater than 0"),
        ("efficiency: 0.8", "outstanding: 0", "m.yaml:20: memories.dram.outstanding = 0: Input should be greater"),
        ("efficiency: 0.8", "arbitration: luck", 'm.yaml:20: memories.dram.arbitration = "luck": Input should be \'fi'),
        ("efficiency: 0.8", "energy_pj_per_byte: -1", "m.yaml:20: memories.dram.energy_pj_per_byte = -1: Input should"),
        ("efficiency: 0.8", "energy_pj_per_byte: .inf", "m.yaml:20: memories.dram.energy_pj_per_byte = inf: Input sho"),
        ("latency_cycles: 50", "latency_cycles: -1", "m.yaml:18: memories.dram.latency_cycles = -1: Input should be"),
        ("burst: 32 B", "burst: 2 MiB", 'm.yaml:19: memories.dram.burst = "2 MiB": Input should be less than or equal'),
        ("1 GiB", "16 B", 'm.yaml:19: memories.dram.burst = "32 B": Input should be at most the size of the memory'),
        ("    port: {read_bits: 64, write_bits: 32, shared: false}\n", "", "m.yaml:10: memories.sram.port is missing"),
        (
            "{read_bits: 64, write_bits: 32, shared: false}",
            "64",
            "m.yaml:12: memories.sram.port = 64: Input should be a",
        ),
        ("read_bits: 16", "read_bits: 0", "m.yaml:16: memories.dram.port.read_bits = 0: Input should be greater than"),
        (", shared: false", ", share: 1", "m.yaml:12: unknown name memories.sram.port.share (did you mean shared?)"),
        ("  dram:", "  sram:", "m.yaml:13: memories.sram is given twice"),
        ("1 GiB", "1 GiB\n    size: 2 GiB", "m.yaml:15: memories.dram.size is given twice"),
        ("  sram:", "  s.ram:", 'm.yaml:10: memories.s.ram = "s.ram": String should match pattern'),
        ("  sram:", "  '':", 'm.yaml:10: memories. = "": String should match pattern'),
        ("  sram:", "  '[key]':", 'm.yaml:10: memories.[key] = "[key]": String should match pattern'),
    ],
)
def test_a_fault_in_a_memory_is_told_with_line_path_value_and_rule(file, old, new, told):
    assert LEVELS.count(old) == 1
    (line,) = problems(file(GOOD + LEVELS.replace(old, new)))
    assert line.startswith(told)


def test_one_memory_is_no_hierarchy(file):
    (line,) = problems(file(GOOD + LEVELS[: LEVELS.index("  dram:")]))
    assert line.startswith("m.yaml:9: memories = {sram: ...}: one level is no hierarchy")


def test_memories_that_are_none(file):
    for text in ("", "memories: {}\n"):
        machine = load_accelerator(file(GOOD + text))
        assert (machine.local_memory, machine.off_chip_memory) == (None, None)
    assert faults(file(GOOD + "memories: [a, b]\n")) == [
        "m.yaml:9: memories = ['a', 'b']: Input should be a mapping of names to values"
    ]


@pytest.mark.parametrize("choice", ["interface: memory", "weights: frame", "weights: tile"])
def test_what_needs_memories(file, choice):
    field, value = choice.split(": ")
    (line,) = problems(file(f"{GOOD}{choice}\n"))
    assert line == f'm.yaml:9: {field} = "{value}": needs memories, and the machine describes none'
    assert load_accelerator(file(GOOD + LEVELS + choice)).model_dump()[field] == value


def test_memories_are_read_from_the_engine_outwards(file):
    machine = load_accelerator(file(GOOD + LEVELS))
    assert (machine.local_memory, machine.off_chip_memory) == ("sram", "dram")
    assert machine.memories["sram"].model_dump() == {
        "size": 64 * 1024, "port": {"read_bits": 64, "write_bits": 32, "shared": False}, "banks": 1,
        "latency_cycles": 0, "burst": 1, "outstanding": 64, "efficiency": 1.0, "arbitration": "first-come",
        "kind": None, "macro": None, "energy_pj_per_byte": None, "source": None, "node": None,
    }  # fmt: skip
    assert machine.memories["dram"].efficiency == 0.8


def test_settings_reach_memories(file):
    path = file(GOOD + LEVELS)
    machine = load_accelerator(path, {"memories.sram.size": "1MiB", "memories.dram.port.read_bits": 256})
    assert machine.memories["sram"].size == 2**20
    assert machine.memories["dram"].port.read_bits == 256
    assert machine.memories["dram"].port.write_bits == 16


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("memories.sram.size", 0, "settings: memories.sram.size = 0: Input should be greater than 0"),
        ("memories.sram.sizes", 1, "settings: unknown name memories.sram.sizes (did you mean size?)"),
        ("memories.nosuch.size", "1 MiB", "settings: unknown name memories.nosuch (known: sram, dram)"),
        ("memories.srm.size", "1 MiB", "settings: unknown name memories.srm (did you mean sram?)"),
        ("memories.sram", 1, "settings: memories.sram = 1: Input should be a mapping of names to values"),
        ("memories", 1, "settings: memories = 1: Input should be a mapping of names to values"),
        ("memory.sram.size", 1, "settings: unknown name memory (did you mean memories?)"),
    ],
)
def test_settings_that_are_wrong_below_memories(file, setting, value, told):
    assert faults(file(GOOD + LEVELS), {setting: value}) == [told]


def test_a_setting_adds_no_memory_to_a_machine_without(file):
    assert problems(file(GOOD), {"memories.sram.size": 1}) == [
        "settings: unknown name memories.sram (the machine describes none)"
    ]


def test_an_engine_of_another_kind_has_other_fields(file):
    assert faults(file(GOOD.replace("spatial", "systolic"))) == [
        "m.yaml:3: engine.rows is missing",
        "m.yaml:3: engine.columns is missing",
        "m.yaml:3: engine.dataflow is missing",
        "m.yaml:5: unknown name engine.multipliers "
        "(known: kind, rows, columns, dataflow, folds, lanes, mac_latency_cycles, lane_latency_cycles)",
    ]


SYSTOLIC = "engine: {kind: systolic, rows: 4, columns: 8, dataflow: output-stationary, lanes: 8}"


def test_a_systolic_array_multiplies_with_all_it_has(file):
    text = GOOD[: GOOD.index("engine")]
    assert load_accelerator(file(text + SYSTOLIC)).engine.multipliers == 4 * 8
    assert problems(file(text + SYSTOLIC.replace("output-stationary", "still")))[0].startswith(
        "m.yaml:3: engine.dataflow = \"still\": Input should be 'output-stationary', "
    )


names = st.sampled_from([*Memory.model_fields, *MemoryPort.model_fields, "sram", "dram", "[key]", "", "x.y", "spatial"])
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=5),
        st.sampled_from(["64 KiB", "1 GiB", "0 B", "1e3 B", "9" * 5000 + " B", "٣ B", "slots"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=4)),
    max_leaves=10,
)  # fmt: skip


def told_of(data):
    """Lines of the error that `data` causes; none where it is a machine."""
    try:
        validated(Accelerator, Document("m.yaml", data, {(): 1}))
    except InputError as error:
        return str(error).splitlines()
    return []


@given(levels=values, engine=values, choice=values)
def test_whatever_stands_in_a_file_is_taken_or_refused_line_by_line(levels, engine, choice):
    told = told_of({"name": "m", "clock": 1, "engine": engine, "memories": levels, "interface": choice})
    assert all(line.startswith("m.yaml:1: ") for line in told)
    assert told or (isinstance(levels, dict) and len(levels) != 1)


def test_the_schema_takes_what_the_reader_takes(file):
    schema = Accelerator.model_json_schema(mode="validation")
    good = (GOOD, GOOD + LEVELS, GOOD[: GOOD.index("engine")] + SYSTOLIC)
    bad = (
        GOOD + LEVELS.replace("64 KiB", "64 QB"),
        GOOD + LEVELS.replace("burst: 32 B", "burst: 1048577"),
        GOOD + LEVELS.replace("efficiency: 0.8", "efficiency: 0"),
        GOOD + LEVELS.replace("read_bits: 16", "read_bits: 0"),
        GOOD + LEVELS.replace("  sram:", "  s.ram:"),
        GOOD + LEVELS.replace("burst: 32 B", "bursts: 32 B"),
        GOOD[: GOOD.index("engine")] + SYSTOLIC.replace("rows: 4, ", ""),
    )
    for text in good:
        load_accelerator(file(text))
        jsonschema.validate(YAML(typ="safe").load(text), schema)
    for text in bad:
        assert problems(file(text))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(YAML(typ="safe").load(text), schema)


def test_a_name_that_is_misspelt(file):
    assert faults(file(GOOD.replace("lanes: 8", "lane: 8"))) == [
        "m.yaml:3: engine.lanes is missing",
        "m.yaml:6: unknown name engine.lane (did you mean lanes?)",
    ]


def test_all_faults_come_at_once(file):
    text = GOOD.replace("lanes: 8", "lanes: 0").replace("name: mine", "nam: mine").replace("400 MHz", "fast")
    assert len(problems(file(text))) == 4


def test_a_machine_without_an_engine(file):
    assert faults(file("name: mine\nclock: 1 GHz\n")) == ["m.yaml:1: engine is missing"]
    assert problems(file("name: mine\nclock: 1 GHz\nengine: 3\n"))[0].startswith("m.yaml:3: engine = 3: ")


def test_a_setting_that_is_wrong_is_named(file):
    path = file(GOOD)
    assert faults(path, {"engine.lanes": 0})[0].endswith("engine.lanes = 0: Input should be greater than 0")
    assert "unknown name engine.width" in problems(path, {"engine.width": 1})[0]
    assert problems(path, {"clock.rate": 1}) == ["clock.rate: 'clock' has no fields below it"]


def test_a_name_that_is_neither_preset_nor_file(tmp_path):
    with pytest.raises(InputError, match=f"accelerator 'nothing' is neither a preset \\({PRESETS[0]}.*\\) nor a file"):
        load_accelerator("nothing")
    with pytest.raises(InputError, match="is neither a preset"):
        load_accelerator(tmp_path)
