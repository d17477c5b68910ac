"""The README's section on virtual feature maps, figure by figure."""

import pytest

from tests.pages import section
from tests.virtual_maps_study import NETWORKS, PRESET, TABLES, run

SECTION = section("Virtual feature maps")
PROSE = " ".join(SECTION.split())


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_say_what_is_simulated(table):
    lines, heads = TABLES[table]
    expected = [list(heads), *([title, *cells] for title, cells in lines())]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in SECTION.splitlines() if row.startswith("|")]
    first = rows.index(list(heads))
    assert [rows[first], *rows[first + 2 : first + 1 + len(expected)]] == expected


@pytest.mark.parametrize("title", ["f = 2", "f = 4"])
def test_the_range_of_savings(title):
    savings = [100 * row.saving for row in run(NETWORKS[title], PRESET).body.virtual_maps.layers]
    told = f"{min(savings):.0f} to {max(savings):.0f} % ({title})"
    assert told in PROSE


def test_registers_and_gates_are_below_what_is_said():
    units = [run(name, PRESET).body.virtual_maps.hardware for name in NETWORKS.values()]
    assert "less than 1 KiB of register and less than 4 % of the engine's gates" in PROSE
    assert max(unit.register_bits for unit in units) < 8 * 2**10
    assert max(unit.gate_share for unit in units) < 0.04


def test_weights_are_most_of_the_traffic():
    for name in NETWORKS.values():
        network = run(name, PRESET).body.virtual_maps.network
        assert network.weight_bytes > network.virtual_bytes
