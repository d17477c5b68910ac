"""Machine files: presets, settings, and everything a file can get wrong."""

import pytest

from accelsim.errors import InputError
from accelsim.hardware.accelerator import PRESETS, Accelerator, load_accelerator

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


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_machines_of_their_name(preset):
    assert load_accelerator(preset).name == preset


def test_a_file_is_read(file):
    machine = load_accelerator(file(GOOD))
    assert (machine.name, machine.clock_hz) == ("mine", 400 * 10**6)
    assert machine.engine.model_dump() == {
        "kind": "spatial", "multipliers": 64, "lanes": 8, "mac_latency_cycles": 3, "lane_latency_cycles": 0,
        "window_frames": "overlap",
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


def test_every_field_says_what_it_means():
    engine = Accelerator.model_fields["engine"].annotation
    for model in (Accelerator, engine):
        for name, field in model.model_fields.items():
            assert field.description or name in ("engine", "kind"), name


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


def test_a_name_that_is_misspelt(file):
    assert problems(file(GOOD.replace("lanes: 8", "lane: 8"))) == [
        "m.yaml:3: engine.lanes is missing",
        "m.yaml:6: unknown name engine.lane (did you mean lanes?)",
    ]


def test_all_faults_come_at_once(file):
    text = GOOD.replace("lanes: 8", "lanes: 0").replace("name: mine", "nam: mine").replace("400 MHz", "fast")
    assert len(problems(file(text))) == 4


def test_a_machine_without_an_engine(file):
    assert problems(file("name: mine\nclock: 1 GHz\n")) == ["m.yaml:1: engine is missing"]
    assert problems(file("name: mine\nclock: 1 GHz\nengine: 3\n"))[0].startswith("m.yaml:3: engine = 3: ")


def test_a_setting_that_is_wrong_is_named(file):
    path = file(GOOD)
    assert problems(path, {"engine.lanes": 0})[0].endswith("engine.lanes = 0: Input should be greater than 0")
    assert "unknown name engine.width" in problems(path, {"engine.width": 1})[0]
    assert problems(path, {"clock.rate": 1}) == ["clock.rate: 'clock' has no fields below it"]


def test_a_name_that_is_neither_preset_nor_file(tmp_path):
    with pytest.raises(InputError, match=f"accelerator 'nothing' is neither a preset \\({PRESETS[0]}.*\\) nor a file"):
        load_accelerator("nothing")
    with pytest.raises(InputError, match="is neither a preset"):
        load_accelerator(tmp_path)
