"""Figures of a machine: from its technology or its own file, of one process node, within the area it may take."""

from fractions import Fraction

import pytest

from accelsim import InputError, load_accelerator
from accelsim.hardware.figures import areas, mac_pj, memory_pj_per_byte

GOOD = """\
name: mine
clock: 400 MHz
technology: 45nm-horowitz
engine: {kind: spatial, multipliers: 64, lanes: 8, mac_latency_cycles: 3, lane_latency_cycles: 0}
memories:
  sram:
    size: 64 KiB
    banks: 2
    port: {read_bits: 64, write_bits: 32}
  dram:
    size: 1 GiB
    port: {read_bits: 16, write_bits: 16}
"""


@pytest.fixture
def load(tmp_path):
    def load(text=GOOD, **settings):
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return load_accelerator(path, {name.replace("__", "."): value for name, value in settings.items()})

    return load


@pytest.fixture
def problems(load, tmp_path):
    def problems(text, **settings):
        with pytest.raises(InputError) as caught:
            load(text, **settings)
        return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]

    return problems


def test_a_memory_takes_what_its_macro_takes(load):
    machine = load()
    assert memory_pj_per_byte(machine, "sram").value == Fraction(20, 8)  # two banks of 32 KiB
    assert memory_pj_per_byte(machine, "dram").value == Fraction(1300, 8)
    assert memory_pj_per_byte(load(memories__sram__macro="8 KiB"), "sram").value == Fraction(10, 8)
    assert memory_pj_per_byte(load(memories__sram__macro="1 MiB", memories__sram__size="8 KiB"), "sram").value == 1.25
    assert memory_pj_per_byte(load(memories__sram__kind="ddr3"), "sram").value == Fraction(1300, 8)
    assert memory_pj_per_byte(load(memories__dram__kind="sram", memories__dram__macro=2**20), "dram").value == 12.5


def test_a_figure_of_the_file_comes_first_and_says_so(load):
    machine = load(memories__sram__energy_pj_per_byte=0.7)
    assert memory_pj_per_byte(machine, "sram").value == Fraction("0.7")
    assert "mine" in memory_pj_per_byte(machine, "sram").source
    told = load(GOOD.replace("    banks: 2\n", "    energy_pj_per_byte: 1\n    source: data sheet\n    node: 45 nm\n"))
    assert memory_pj_per_byte(told, "sram").source == "data sheet"


def test_without_a_technology_there_is_what_the_file_gives(load):
    bare = load(GOOD.replace("technology: 45nm-horowitz\n", ""), memories__dram__energy_pj_per_byte=100)
    assert memory_pj_per_byte(bare, "dram").value == 100
    assert memory_pj_per_byte(bare, "sram") is None
    assert mac_pj(bare, 8) is None
    assert areas(bare) is None


def test_a_mac_is_a_product_and_a_sum_as_wide_as_the_accumulator(load):
    assert mac_pj(load(), 8).value == Fraction("0.2") + Fraction("0.1")
    assert mac_pj(load(accumulator_bits=8), 8).value == Fraction("0.2") + Fraction("0.03")
    wide = load(activation_bits=32, weight_bits=32)
    assert mac_pj(wide, 32).value == Fraction("3.1") + Fraction("0.1")


def test_areas_are_multipliers_adders_and_cells(load):
    found = {area.part: area for area in areas(load())}
    assert list(found) == ["multipliers", "accumulating adders", "sram"]
    assert found["multipliers"].mm2 == Fraction(64 * 282, 10**6)
    assert found["accumulating adders"].mm2 == Fraction(64 * 137, 10**6)
    assert found["sram"].mm2 == 64 * 1024 * 8 * Fraction("0.346") / 10**6


def test_a_budget_is_kept_or_told_what_takes_most(load, problems):
    total = sum(area.mm2 for area in areas(load()))
    assert load(area_budget=float(total) + 1e-9).area_budget == pytest.approx(float(total))
    assert load(area_budget="0.25 mm2").area_budget == 0.25
    (line,) = problems(GOOD.replace("engine:", "area_budget: 0.1 mm2\nengine:"))
    assert line.startswith('m.yaml:4: area_budget = "0.1 mm2": the machine takes 0.2082 mm2 at the least (sram 0.1814')
    assert line.endswith("raise the budget, or lower memories.sram.size")
    (line,) = problems(GOOD, area_budget=0.3, engine__multipliers=4096)
    assert line.startswith('settings: area_budget = "0.3 mm2": the machine takes')
    assert line.endswith("lower engine.multipliers")


def test_an_array_larger_than_its_budget_names_its_sides(problems):
    array = "engine: {kind: systolic, rows: 256, columns: 256, dataflow: weight-stationary, lanes: 16}\n"
    text = "".join(array if line.startswith("engine") else line for line in GOOD.splitlines(keepends=True))
    (line,) = problems(text, area_budget=2)
    assert line.endswith("lower engine.rows or engine.columns")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "technology: 45nm-horowitz",
            "technology: 45nm",
            'm.yaml:3: technology = "45nm": unknown technology (known: ',
        ),
        ("technology: 45nm-horowitz", "technology: 3", "m.yaml:3: technology = 3: Input should be a valid string"),
        ("technology: 45nm-horowitz", "area_budget: 0", "m.yaml:3: area_budget = 0: Input should be greater than 0"),
        ("technology: 45nm-horowitz", "area_budget: 3 cm2", 'm.yaml:3: area_budget = "3 cm2": "3 cm2" is not a number'),
        ("technology: 45nm-horowitz", "area_budget: 9", "m.yaml:3: area_budget = 9.0: needs a technology with areas; "),
        (
            "banks: 2",
            "kind: ddr9",
            'm.yaml:8: memories.sram.kind = "ddr9": technology 45nm-horowitz has no such memory',
        ),
        ("banks: 2", "node: 45nm", 'm.yaml:8: memories.sram.node = "45nm": tells of energy_pj_per_byte, which is not'),
        ("banks: 2", "source: me", 'm.yaml:8: memories.sram.source = "me": tells of energy_pj_per_byte, which is not'),
        (
            "banks: 2",
            "energy_pj_per_byte: 1\n    node: 28 nm",
            'm.yaml:9: memories.sram.node = "28nm": technology 45nm-horowitz is of 45nm, and energies of two process '
            "nodes do not add up; give a figure of 45nm, leave it out",
        ),
        ("banks: 2", "energy_pj_per_byte: 1\n    node: small", 'm.yaml:9: memories.sram.node = "small": String should'),
        (
            "clock: 400 MHz",
            "clock: 0",
            "m.yaml:2: clock = 0: Input should be greater than 0; clock: cycles a second; text with a unit (400 MHz)",
        ),
        (
            "    port: {read_bits: 64, write_bits: 32}\n",
            "",
            "m.yaml:6: memories.sram.port is missing; port: how wide it is, such as {read_bits: 64, write_bits: 64}",
        ),
        ("name: mine", "name: mine\nleakage: {power_mw: 1}", "m.yaml:2: leakage.source is missing"),
        (
            "name: mine",
            "name: mine\nleakage: {power_mw: 1, source: me, node: 7nm}",
            'm.yaml:2: leakage.node = "7nm": technology 45nm-horowitz is of 45nm',
        ),
    ],
)
def test_a_fault_is_told_with_place_rule_and_cure(problems, old, new, told):
    assert GOOD.count(old) == 1
    (line,) = problems(GOOD.replace(old, new))
    assert line.startswith(told)


def test_nodes_of_a_file_without_technology_must_agree_too(problems):
    text = GOOD.replace("technology: 45nm-horowitz\n", "").replace(
        "    banks: 2\n", "    energy_pj_per_byte: 1\n    node: 28nm\n"
    )
    (line,) = problems(text + "    energy_pj_per_byte: 1\n    node: 7nm\n")
    assert line.startswith('m.yaml:14: memories.dram.node = "7nm": another figure is of 28nm')


def test_faults_are_told_together(problems):
    text = GOOD.replace("    banks: 2\n", "    kind: rram\n    energy_pj_per_byte: 1\n    node: 7nm\n")
    assert len(problems(text, area_budget=0.001)) == 3


@pytest.mark.parametrize("technology", ["45nm-horowitz", "7nm-jouppi"])
@pytest.mark.parametrize("preset", ["streaming-asic", "feature-map-npu", "systolic-npu"])
def test_presets_have_figures_in_every_technology(preset, technology):
    machine = load_accelerator(preset, {"technology": technology})
    for name in machine.memories:
        assert memory_pj_per_byte(machine, name).value > 0
    assert sum(area.mm2 for area in areas(machine)) > 0
