"""What waits for gates in memory: which edges, how many, and what passes the port for them."""

import pytest

import accelsim as acs
from accelsim.errors import InputError
from accelsim.mapping.spilling import gate_waits
from accelsim.network.attention import find_attention
from accelsim.units import ceil_div

NETWORK = "efficientnet_b0"


def design(settings=None, name=NETWORK, fps=30):
    return acs.map_network(acs.load_network(name), acs.load_accelerator("streaming-asic", settings), target_fps=fps)


@pytest.mark.parametrize("name", [NETWORK, "mobilenet_v3_large"])
def test_the_waits_are_those_of_the_papers_accounting(name):
    """Maps at gates, and the identity skips round them: as many elements as whole maps have, rows or not."""
    found = design(name=name)
    net = found.network
    blocks = find_attention(net)
    waits = gate_waits(found)
    gates = sorted(edge.tensor.elements for edge in waits if edge.role == "gate")
    skips = sorted(edge.tensor.elements for edge in waits if edge.role == "skip")
    assert gates == sorted(net.tensors[block.map].elements for block in blocks)
    assert skips == sorted(net.tensors[block.skip].elements for block in blocks if block.skip)


def test_nothing_waits_for_a_gate_without_one():
    resnet = design(name="resnet50")
    assert gate_waits(resnet) == ()
    assert acs.spill_waits(resnet).mapping.homes == {}


def test_every_map_is_written_and_read_once():
    spilled = acs.spill_waits(design())
    report = acs.simulate(acs.size_for_rate(spilled))
    moved = report.traffic.filter(report.traffic["kind"] == "spill")
    size = sum(edge.tensor.elements for edge in gate_waits(spilled))
    assert moved["written_bytes"].sum() == moved["read_bytes"].sum() == size
    assert set(spilled.mapping.homes.values()) == {"dram"}


@pytest.mark.parametrize("read_bits", [2, 3, 4])
def test_the_largest_go_first_as_long_as_the_port_keeps_up(read_bits):
    narrow = {"memories.dram.port.read_bits": read_bits, "memories.dram.port.write_bits": read_bits}
    whole = design(narrow | {"memories.dram.banks": 1, "memories.dram.efficiency": 1.0}, fps=100)
    spilled = acs.spill_waits(whole)
    waits = {edge.name: edge for edge in gate_waits(whole)}
    homes = spilled.mapping.homes
    assert 0 < len(homes) < len(waits)
    kept = [edge.tensor.elements for name, edge in waits.items() if name not in homes]
    assert min(waits[name].tensor.elements for name in homes) >= max(kept)

    def cycles(names):
        """Of one port that moves `read_bits` a cycle, in bursts of 32 bytes a row, both ways."""
        rows = ((waits[name].tensor.rows, waits[name].tensor.elements // waits[name].tensor.rows) for name in names)
        return sum(2 * count * ceil_div(ceil_div(row, 32) * 32 * 8, read_bits) for count, row in rows)

    following = min(set(waits) - set(homes), key=lambda name: (-waits[name].tensor.elements, name))
    assert cycles(homes) <= whole.pace_cycles < cycles([*homes, following])


def test_homes_that_are_there_stay():
    whole = design()
    edge = gate_waits(whole)[0]
    mapping = acs.Mapping(whole.mapping.unroll, interval_cycles=whole.pace_cycles, homes={edge.name: "sram"})
    spilled = acs.spill_waits(acs.bind(whole.network, whole.accelerator, mapping))
    assert spilled.mapping.homes[edge.name] == "sram"
    assert len(spilled.mapping.homes) == len(gate_waits(whole))


@pytest.mark.parametrize("memory", ["sram", "flash"])
def test_memories_that_are_none(memory):
    with pytest.raises(InputError, match="use dram"):
        acs.spill_waits(design(), memory)


def test_a_machine_without_memories_has_nowhere_to_spill():
    machine = acs.load_accelerator("streaming-asic").model_copy(update={"memories": {}})
    whole = acs.map_network(acs.load_network(NETWORK), machine)
    with pytest.raises(InputError, match="no memories"):
        acs.spill_waits(whole)
