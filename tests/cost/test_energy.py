"""Energy: rows are counts times figures, add up, and move with the figure they rest on alone."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import InputError, load_accelerator, load_network, map_network, simulate
from accelsim.cost.accesses import Access
from accelsim.cost.energy import energies, frame_energy, has_energy
from accelsim.report.costs import energy_part

COUNTS = [
    Access("a", "mac", None, Fraction(1000), 8),
    Access("a", "weight_read", "sram", Fraction(1000)),
    Access("b", "buffer_write", "sram", Fraction(7, 8)),
    Access("b", "memory_read", "dram", Fraction(640, 3)),
]


def machine(**settings):
    chosen = {"technology": "45nm-horowitz"} | {name.replace("__", "."): value for name, value in settings.items()}
    return load_accelerator("streaming-asic", chosen)


def test_rows_are_counts_times_figures():
    found = energies(machine(memories__sram__macro="32 KiB"), COUNTS)
    expected = [1000 * 300, 1000 * 2500, Fraction(7, 8) * 2500, Fraction(640, 3) * 162500]
    assert [one.femtojoules for one in found] == [round(value) for value in expected]


@given(st.lists(st.tuples(st.sampled_from(["mac", "buffer_read"]), st.fractions(0, 10**9)), max_size=20))
def test_rows_add_up_exactly(given_counts):
    accesses = [
        Access(f"layer{k}", part, None if part == "mac" else "sram", count, 8)
        for k, (part, count) in enumerate(given_counts)
    ]
    energy = energy_part(machine(leakage={"power_mw": 0.1, "source": "guess"}), lambda: accesses, Fraction(12345, 7))
    total = sum(int(row.energy_fj) for row in energy.rows)
    assert total == energy.total_fj
    assert sum(value for _, value in energy.by_part if value) == pytest.approx(energy.total_pj)
    assert energy.total_joules == pytest.approx(total * 1e-15)
    assert energy.power_watts == pytest.approx(energy.total_joules / (12345 / 7 / 10**9))


@pytest.mark.parametrize("memory", ["sram", "dram"])
@pytest.mark.parametrize("factor", [2, 10])
def test_a_memory_s_figure_moves_its_own_rows_alone(memory, factor):
    def rows(figure):
        return energies(machine(**{f"memories__{memory}__energy_pj_per_byte": figure}), COUNTS)

    for before, after in zip(rows(3), rows(3 * factor), strict=True):
        times = factor if before.access.memory == memory else 1
        assert after.access == before.access
        assert after.each.value == times * before.each.value


def test_leakage_is_power_times_the_time_of_a_frame():
    leaking = machine(leakage={"power_mw": 12.5, "source": "data sheet", "node": "45nm"})
    *_, leaked = energies(leaking, COUNTS, Fraction(2, 1000))
    assert leaked.femtojoules == 12.5e-3 * 2e-3 * 1e15
    assert leaked.each.source == "data sheet"
    assert len(energies(leaking, COUNTS)) == len(energies(machine(), COUNTS)) == len(COUNTS)


def test_no_energy_without_technology_or_memories():
    assert has_energy(machine())
    for bare in (machine(technology=None), machine().model_copy(update={"memories": {}})):
        assert not has_energy(bare)
        assert energy_part(bare, lambda: pytest.fail("nothing to count"), Fraction(1)) is None


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_mac_takes_more_the_wider_it_is(bits):
    narrow, wide = (
        energies(machine(activation_bits=b, weight_bits=b), [Access("a", "mac", None, Fraction(1), b)])[0].each.value
        for b in (bits, 2 * bits)
    )
    assert narrow < wide


def test_segments_chosen_for_energy_rest_on_the_same_figures():
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    npu = load_accelerator("feature-map-npu", {"memories.buffer.size": "640 KiB"})
    chosen = map_network(net, npu, mapping="layer-by-layer", objective="energy")
    assert chosen.mapping.choice.objective == "energy"
    same = load_accelerator(
        "feature-map-npu",
        {
            "memories.buffer.size": "640 KiB",
            "technology": None,
            "memories.buffer.energy_pj_per_byte": 2.5,
            "memories.dram.energy_pj_per_byte": 162.5,
        },
    )
    again = map_network(net, same, mapping="layer-by-layer", objective="energy")
    assert again.mapping.choice.value == chosen.mapping.choice.value


@pytest.mark.parametrize("mapping", ["pipeline", "fused"])
def test_the_closed_form_is_what_the_simulation_says(mapping):
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    design = map_network(net, load_accelerator("feature-map-npu"), mapping=mapping)
    rows = simulate(design).body.energy.rows
    found = frame_energy(design)
    assert [(one.access.layer, one.access.part, one.femtojoules) for one in found] == [
        (row.layer, row.part, row.energy_fj) for row in rows
    ]


def test_no_closed_form_without_a_technology():
    design = map_network(load_network("mobilenet_v3_small"), load_accelerator("fpga-stream"))
    with pytest.raises(InputError, match="the machine has no technology"):
        frame_energy(design)
