"""The README's section about energy says what is computed today."""

from fractions import Fraction

import pytest

from accelsim.hardware.technology import load_technology
from tests.energy_study import TECHNOLOGIES, rows
from tests.pages import TEXT

LINES = {tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in TEXT.splitlines() if line.startswith("|")}


@pytest.fixture(scope="module")
def computed():
    return list(rows())


def test_the_table_of_machines_is_what_is_computed(computed):
    assert len(computed) == 6
    for row in computed:
        assert row in LINES


@pytest.mark.parametrize(
    ("title", "figure"),
    [
        ("8-bit product, pJ", lambda t: t.operation_pj("multiply", 8, 8)),
        ("32-bit sum, pJ", lambda t: t.operation_pj("add", 32, 32)),
        ("64 bits of an SRAM of 8 KiB, pJ", lambda t: t.sram_pj_per_byte(8 * 1024).times(Fraction(8))),
        ("64 bits of an SRAM of 1 MiB, pJ", lambda t: t.sram_pj_per_byte(2**20).times(Fraction(8))),
        ("64 bits of DDR3 or DDR4, pJ", lambda t: t.dram_pj_per_byte().times(Fraction(8))),
        ("8-bit multiplier, um2", lambda t: t.operation_um2("multiply", 8, 8)),
        ("bit of an SRAM, um2", lambda t: t.sram_um2(1).times(Fraction(1, 8))),
    ],
)
def test_the_table_of_technologies_is_theirs(title, figure):
    values = (float(figure(load_technology(name)).value) for name in TECHNOLOGIES)
    assert (title, *(f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in values)) in LINES


def test_what_a_designer_should_conclude_follows_from_the_table(computed):
    by_machine = {(row[0], row[1]): [float(cell) for cell in row[2:]] for row in computed}
    for total, arithmetic, *_ in by_machine.values():
        assert arithmetic < total / 5
    pipeline = (by_machine["`streaming-asic`", technology] for technology in TECHNOLOGIES)
    assert [round(weights / arithmetic) for _, arithmetic, weights, *_ in pipeline] == [12, 8]
    for name in {name for name, _ in by_machine}:
        old, new = (by_machine[name, technology] for technology in TECHNOLOGIES)
        assert new[6] / new[0] > old[6] / old[0]
