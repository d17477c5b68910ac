"""Energy, area and roofline in reports."""

from fractions import Fraction

import pytest
from polars.testing import assert_frame_equal

from accelsim import load_accelerator, map_network, simulate
from accelsim.cost.roofline import Roof, Work
from accelsim.report.compare import Run, comparison_text
from accelsim.report.cost_tables import PARTS


@pytest.mark.parametrize("which", ["report", "turns", "streamed"])
def test_energy_rows_add_up_to_everything_that_is_said(which, request):
    energy = request.getfixturevalue(which).body.energy
    rows = energy.rows
    assert sum(int(row.energy_fj) for row in rows) == energy.total_fj > 0
    assert energy.total_pj == energy.total_fj / 1000
    by_part = {part: value for part, value in energy.by_part if value}
    assert sum(by_part.values()) == pytest.approx(energy.total_pj)
    for memory, picojoules in energy.by_memory.items():
        assert picojoules == pytest.approx(sum(row.energy_pj for row in rows if row.memory == memory))
    assert {row.node for row in rows} == {energy.node}
    assert all(row.source and row.energy_fj == pytest.approx(1000 * row.count * row.pj_each, abs=1) for row in rows)
    told = {part for parts, _ in PARTS.values() for part in parts}
    assert set(by_part) <= told | {"memory_read", "memory_write"}
    assert {row.part for row in rows} == set(by_part)


@pytest.mark.parametrize("which", ["report", "turns", "streamed"])
def test_energy_follows_work_and_traffic(which, request):
    body = request.getfixturevalue(which).body
    counts = {}
    for row in body.energy.rows:
        key = row.memory or row.part, row.part
        counts[key] = counts.get(key, 0) + row.count
    assert counts["mac", "mac"] == sum(stage.macs for stage in body.stages)
    for name, memory in body.memories.items():
        assert counts.get((name, "memory_read"), 0) == pytest.approx(memory.read_bytes)
        assert counts.get((name, "memory_write"), 0) == pytest.approx(memory.written_bytes)


@pytest.mark.parametrize("memory", ["sram", "dram"])
def test_twice_the_energy_of_a_memory_moves_its_rows_alone(design, memory):
    def rows(figure):
        machine = load_accelerator("streaming-asic", {f"memories.{memory}.energy_pj_per_byte": figure})
        report = simulate(map_network(design.network, machine))
        return report.body.energy

    once, twice = rows(4), rows(8)
    for before, after in zip(once.rows, twice.rows, strict=True):
        assert after.energy_fj == before.energy_fj * (2 if before.memory == memory else 1)
    assert twice.total_fj - once.total_fj == sum(row.energy_fj for row in once.rows if row.memory == memory)


def test_another_technology_moves_every_row(design):
    old, new = (
        simulate(map_network(design.network, load_accelerator("streaming-asic", {"technology": name}))).body.energy
        for name in ("45nm-horowitz", "7nm-jouppi")
    )
    assert (old.node, new.node) == ("45nm", "7nm")
    for before, after in zip(old.rows, new.rows, strict=True):
        assert (before.count, before.layer, before.part) == (after.count, after.layer, after.part)
        assert after.energy_fj <= before.energy_fj
    assert new.total_fj < old.total_fj / 2


def test_leakage_is_in_the_rows_where_the_machine_has_it(design):
    leakage = {"power_mw": 250, "source": "a data sheet"}
    body = simulate(map_network(design.network, load_accelerator("streaming-asic", {"leakage": leakage}))).body
    (row,) = [row for row in body.energy.rows if row.part == "leakage"]
    seconds = body.throughput.interval_cycles / body.clock_hz
    assert row.energy_fj == pytest.approx(0.25 * seconds * 1e15)
    assert "leakage" not in body.not_modelled


def test_what_is_missing_is_null_and_said(design, bare):
    assert (bare.body.energy, bare.body.roofline) == (None, None)
    assert {"energy", "roofline"} <= set(bare.body.not_modelled)
    assert bare.energy.height == bare.roofline.height == 0
    plain = load_accelerator("streaming-asic", {"technology": None})
    body = simulate(map_network(design.network, plain)).body
    assert (body.energy, body.area) == (None, None)
    assert {"energy", "area"} <= set(body.not_modelled)
    assert body.roofline
    assert "Energy" not in str(simulate(map_network(design.network, plain)))


def test_areas_add_up(report):
    area = report.body.area
    assert sum(row.area_um2 for row in area.rows) == area.total_um2
    assert area.total_mm2 == area.total_um2 / 10**6
    assert {row.node for row in area.rows} == {area.node}
    assert "no budget" if area.budget_mm2 is None else area.budget_mm2 > area.total_mm2


def test_the_text_says_what_the_report_says(report, turns):
    for one in (report, turns):
        lines = {" ".join(line.split()[:1]): line.split() for line in str(one).splitlines() if "uJ" in line}
        assert lines["energy"][1].replace(",", "") == f"{one.body.energy.total_pj / 1e6:.2f}"
        assert lines["energy"][-1] == one.body.energy.technology
    text = comparison_text([Run("a", report.body), Run("b", turns.body)])
    assert any(line.split()[:2] == ["energy", "uJ"] for line in text.splitlines())


def test_a_comparison_of_two_technologies_says_so(report):
    other = report.body.energy.model_copy(update={"technology": "7nm-other"})
    runs = [Run("a", report.body), Run("b", report.body.model_copy(update={"energy": other}))]
    named = f"energy and area differ by technology too: a of {report.body.energy.technology}, b of 7nm-other"
    assert named in " ".join(comparison_text(runs).split())
    assert "by technology too" not in comparison_text(runs[:1] * 2)


@pytest.mark.parametrize("which", ["report", "turns", "streamed"])
def test_no_layer_is_above_its_roof(which, request):
    body = request.getfixturevalue(which).body
    assert {row.layer for row in body.roofline} == {stage.stage for stage in body.stages if stage.macs}
    for row in body.roofline:
        assert 0 < row.attained_macs_per_second <= row.attainable_macs_per_second
        assert row.attainable_macs_per_second <= row.peak_macs_per_second
        assert (row.bound == "compute") == (row.attainable_macs_per_second == row.peak_macs_per_second)
        assert (row.macs_per_byte is None) == (row.off_chip_bytes == 0)


@pytest.mark.parametrize(("cycles", "attained"), [(10, Fraction(5, 2)), (50, Fraction(2))])
def test_what_a_layer_attains_takes_its_turn_or_the_port_before(cycles, attained):
    """100 products on 10 multipliers; 40 cycles of the port for their weights, some of them in turns before."""
    roof = Roof(Work("conv", 100, 10, Fraction(cycles)), Fraction(80), {"compute": Fraction(10), "dram": Fraction(40)})
    assert roof.attained_macs_per_cycle == attained


def test_a_roof_is_the_lower_of_multipliers_and_memory(turns):
    body = turns.body
    stages = {stage.stage: stage for stage in body.stages}
    for row in body.roofline:
        assert row.peak_macs_per_second == stages[row.layer].multipliers * body.clock_hz
        traffic = [t for t in body.traffic if t.layer == row.layer and t.memory == "dram"]
        moved = sum(t.read_bytes + t.written_bytes for t in traffic)
        assert row.off_chip_bytes == pytest.approx(moved)
        if row.bound == "dram":  # a shared port
            roof = row.macs_per_byte * body.memories["dram"].available_bytes_per_second
            assert row.attainable_macs_per_second == pytest.approx(roof)
    assert {row.bound for row in body.roofline} >= {"dram", "compute"}


def test_tables_are_the_rows(report):
    for table, rows in ((report.energy, report.body.energy.rows), (report.roofline, report.body.roofline)):
        assert_frame_equal(table, type(table)([row.model_dump() for row in rows], schema=table.schema))
        assert table.height == len(rows) > 0


def test_links_of_their_own_need_no_port(design):
    """Outputs that leave over a link count as bytes, but a slow port holds nobody back."""
    slow = {"memories.dram.efficiency": 0.001, "interface": "stream"}
    rows = simulate(map_network(design.network, load_accelerator("streaming-asic", slow))).body.roofline
    assert rows[-1].off_chip_bytes == 1000
    assert {row.bound for row in rows} == {"compute"}
    through = simulate(map_network(design.network, load_accelerator("streaming-asic", slow | {"interface": "memory"})))
    assert through.body.roofline[-1].bound == "dram"
