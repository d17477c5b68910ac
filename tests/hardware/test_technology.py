"""Technologies: figures of the tables exactly, and between them on the line that is stated."""

from fractions import Fraction
from math import exp, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.hardware.technology import load_technology, technologies

#: Figures as published: 64 bits of memories, operations by bits.
PUBLISHED = {
    "45nm-horowitz": {
        ("add", 8): "0.03", ("add", 32): "0.1", ("multiply", 8): "0.2", ("multiply", 32): "3.1",
        "sram": {8: 10, 32: 20, 1024: 100}, "dram": {"ddr3": 1300},
    },
    "7nm-jouppi": {
        ("add", 8): "0.007", ("add", 32): "0.03", ("multiply", 8): "0.07", ("multiply", 32): "1.48",
        "sram": {8: 7.5, 32: 8.5, 1024: 14}, "dram": {"ddr4": 1300, "hbm2": 250, "gddr6": 350},
    },
}  # fmt: skip


@pytest.fixture(params=technologies())
def technology(request):
    return load_technology(request.param)


def test_there_are_several_processes():
    assert {load_technology(name).node for name in technologies()} >= {"45nm", "7nm"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_exact(name):
    technology, published = load_technology(name), PUBLISHED[name]
    for kind in ("add", "multiply"):
        for bits in (8, 32):
            assert technology.operation_pj(kind, bits, bits).value == Fraction(published[kind, bits])
    for kibibytes, picojoules in published["sram"].items():
        assert technology.sram_pj_per_byte(kibibytes * 1024).value == Fraction(str(picojoules)) / 8
    for kind, picojoules in published["dram"].items():
        assert technology.dram_pj_per_byte(kind).value == Fraction(picojoules, 8)
    assert technology.dram_pj_per_byte().value == technology.dram_pj_per_byte(next(iter(published["dram"]))).value


def test_every_figure_says_where_it_is_from(technology):
    assert technology.name.startswith(technology.node)
    taken = technology.operation_pj("multiply", 8, 8), technology.sram_pj_per_byte(32 * 1024)
    derived = technology.operation_pj("multiply", 4, 4), technology.sram_pj_per_byte(48 * 1024)
    for figure in (*taken, *derived, technology.dram_pj_per_byte(), technology.operation_um2("add", 8, 8)):
        assert len(figure.source) > 10
    assert not any("derived" in figure.source for figure in taken)
    assert all("derived" in figure.source for figure in derived)


def test_between_two_figures_lies_their_geometric_mean(technology):
    """On log-log paper the middle of a line is at the geometric means of both axes."""
    low, high = technology.sram_pj_per_byte(32 * 1024), technology.sram_pj_per_byte(2**20)
    middle = technology.sram_pj_per_byte(round(sqrt(2**15 * 2**20)))
    assert float(middle.value) == pytest.approx(sqrt(low.value * high.value), rel=1e-3)
    low, high = technology.operation_pj("multiply", 8, 8), technology.operation_pj("multiply", 32, 32)
    assert float(technology.operation_pj("multiply", 16, 16).value) == pytest.approx(sqrt(low.value * high.value), 1e-4)


def test_beyond_the_last_figures_their_line_goes_on():
    technology = load_technology("45nm-horowitz")
    slope = log(20 / 10) / log(4)
    assert float(technology.sram_pj_per_byte(1024).value) == pytest.approx(10 / 8 * exp(slope * log(1 / 8)), rel=1e-5)
    slope = log(100 / 20) / log(32)
    assert float(technology.sram_pj_per_byte(2**24).value) == pytest.approx(100 / 8 * 16**slope, rel=1e-5)


def test_a_multiplier_counts_by_its_bit_products(technology):
    assert technology.operation_pj("multiply", 4, 16) == technology.operation_pj("multiply", 8, 8)
    assert technology.operation_pj("add", 4, 16) == technology.operation_pj("add", 16, 4)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from(technologies()))
def test_wider_or_larger_is_never_cheaper(small, more, name):
    technology = load_technology(name)
    for kind in ("add", "multiply"):
        narrow, wide = (technology.operation_pj(kind, bits, bits).value for bits in (small, small + more))
        assert 0 < narrow < wide
    near, far = (technology.sram_pj_per_byte(size * 1024).value for size in (small, small + more))
    assert 0 < near <= far


def test_areas_in_7nm_are_those_of_the_cells():
    """m n ANDs and (m - 1)(n - 1) full adders; the cells of ASAP7 are 0.27 um high, 0.324 and 0.756 um wide."""
    and_gate, full_adder = Fraction("0.27") * Fraction("0.324"), Fraction("0.27") * Fraction("0.756")
    technology = load_technology("7nm-jouppi")
    for bits in (8, 32):
        expected = bits * bits * and_gate + (bits - 1) ** 2 * full_adder
        assert technology.operation_um2("multiply", bits, bits).value == expected
        assert technology.operation_um2("add", bits, bits).value == bits * full_adder
    assert technology.sram_um2(1000).value == 8000 * Fraction("0.027")


def test_floating_point_has_figures_of_its_own(technology):
    assert technology.operation_pj("add", 16, 16, "float").value > technology.operation_pj("add", 16, 16).value


def test_an_unknown_technology_is_told_of_those_there_are():
    with pytest.raises(InputError, match=r"unknown technology \(did you mean 45nm-horowitz\?\)"):
        load_technology("45nm-horowits")
    with pytest.raises(InputError, match=r"unknown technology \(known: 45nm-horowitz, 7nm-jouppi\)"):
        load_technology("../presets/streaming-asic")
