"""The attention study: rows that are what the public path simulates, and the same network where they say so."""

import json

import pytest

import accelsim as acs
from accelsim.errors import InfeasibleError, InputError
from accelsim.report.attention_study import AttentionStudy, study_of
from accelsim.report.ways_out import RECIPES, Question, ways_out

NETWORK, SHAPE, FPS = "efficientnet_b0", (1, 3, 96, 96), 200.0
NAMES = ["se", "tse-3", "spill", "recompute", "deep", "segments", "tse-3+deep", "spill+deep", "recompute+deep"]


@pytest.fixture(scope="module")
def question():
    net = acs.load_network(NETWORK, input_shape=SHAPE)
    return Question(net, acs.load_accelerator("streaming-asic"), FPS, 3, 1.75)


@pytest.fixture(scope="module")
def ways(question):
    told = []
    found = ways_out(question, told.append)
    assert told == NAMES
    return {way.row.variant: way for way in found}


def test_every_way_is_there(ways):
    assert list(ways) == NAMES
    assert all(way.row.note is None for way in ways.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_what_its_design_simulates(ways, name):
    row, report = ways[name].row, acs.simulate(ways[name].design)
    sram, dram = report.body.memories.values()
    assert row.on_chip_bytes == sram.used_bytes == row.buffer_bytes + row.weight_bytes
    assert row.off_chip_bytes == dram.read_bytes + dram.written_bytes == sum(row.off_chip.values())
    assert (row.interval_cycles, row.latency_cycles) == (
        report.throughput.interval_cycles,
        report.throughput.latency_cycles,
    )
    assert row.macs == report.body.work.macs
    assert row.energy_pj == report.body.energy.total_pj > 0
    assert row.multipliers == ways[name].design.multipliers <= 16384


@pytest.mark.parametrize("name", NAMES)
def test_every_way_reaches_the_rate(ways, question, name):
    assert ways[name].row.frames_per_second >= FPS


@pytest.mark.parametrize("name", NAMES)
def test_every_pipeline_has_sizes_for_all_its_buffers_on_chip(ways, name):
    if name != "segments":
        spilled = ways[name].design.mapping.homes
        assert all((edge.capacity is None) == (edge.name in spilled) for edge in ways[name].design.edges)


def test_weights_are_those_of_the_layers(ways, question):
    net = question.network
    constants = sum(net.tensors[name].elements for name in net.constant_nodes)
    assert net.parameter_count <= ways["se"].row.weight_bytes <= net.parameter_count + constants
    again = ways["recompute"].design.network
    copies = sum(again.parameters_of(node) for node in again.nodes if node.name.endswith(".again"))
    assert ways["recompute"].row.weight_bytes == ways["se"].row.weight_bytes + copies
    assert ways["recompute"].row.parameters == ways["se"].row.parameters == net.parameter_count


def test_tiles_alone_change_values(ways):
    assert [name for name, way in ways.items() if way.row.changes_values] == ["tse-3", "tse-3+deep"]


def test_the_rows_that_change_no_values_are_the_same_network(ways, question):
    """The same graph, or one that becomes it when every copy is taken for its original."""
    nodes = {(node.name, node.layer, node.inputs) for node in question.network.nodes}
    for name, way in ways.items():
        made = way.design.network
        plain = {
            (n.name.removesuffix(".again"), n.layer, tuple(s.removesuffix(".again") for s in n.inputs))
            for n in made.nodes
        }
        assert (plain == nodes) == (not way.row.changes_values), name


def test_what_the_ways_are_for(ways):
    rows = {name: way.row for name, way in ways.items()}
    assert rows["tse-3"].buffer_bytes < rows["se"].buffer_bytes
    assert rows["spill"].buffer_bytes < rows["se"].buffer_bytes
    assert rows["recompute"].on_chip_bytes < rows["se"].on_chip_bytes
    assert rows["recompute"].macs > rows["se"].macs == rows["spill"].macs
    assert rows["spill"].off_chip["spill"] > 0
    assert {name for name, row in rows.items() if row.off_chip.get("spill")} == {"spill", "spill+deep"}
    assert rows["se"].multipliers < rows["deep"].multipliers <= 1.75 * rows["se"].multipliers
    assert rows["deep"].latency_cycles < rows["se"].latency_cycles
    assert rows["segments"].on_chip_bytes <= rows["tse-3"].on_chip_bytes


def test_recomputing_pays_on_large_maps():
    net = acs.load_network(NETWORK)
    whole = acs.map_network(net, machine(), target_fps=30)
    again = acs.map_network(acs.recompute_attention(net), machine(), target_fps=30, like=whole)
    buffers = [_buffer_bytes(acs.size_for_rate(design)) for design in (whole, again)]
    assert buffers[1] < 0.85 * buffers[0]


def _buffer_bytes(design):
    """Elements of all buffers, one that several edges share counted once; of eight bits each."""
    rooms = {}
    for edge in design.edges:
        elements = edge.capacity * edge.tensor.elements // edge.tensor.rows
        rooms[edge.producer] = max(rooms.get(edge.producer, 0), elements)
    return sum(rooms.values())


def test_the_function_is_the_ways(ways, question):
    """Over and above that, the tables and JSON say what the ways do."""
    small = acs.load_network("resnet18", input_shape=(1, 3, 32, 32))
    asked = Question(small, question.accelerator, FPS, 2, 1.5)
    assert acs.attention_study(small, question.accelerator, FPS, 2, 1.5) == study_of(asked, ways_out(asked))
    study = study_of(question, tuple(ways.values()))
    assert AttentionStudy.model_validate(json.loads(study.model_dump_json())) == study
    assert study.table["variant"].to_list() == NAMES
    assert study.table["on_chip_bytes"].to_list() == [way.row.on_chip_bytes for way in ways.values()]
    assert study.table["off_chip_spill_bytes"].sum() == sum(w.row.off_chip.get("spill", 0) for w in ways.values())


def test_the_text_has_every_row_and_what_it_rests_on(ways, question):
    text = str(study_of(question, tuple(ways.values())))
    for name in NAMES:
        assert f"{ways[name].row.on_chip_bytes / 10**6:,.1f}" in next(
            line for line in text.splitlines() if line.strip().startswith(f"{name} ")
        )
    assert "sized" in text
    assert "Not modelled" in text


def test_a_network_without_gates_says_so():
    study = acs.attention_study(acs.load_network("resnet18", input_shape=(1, 3, 64, 64)), machine())
    assert [row.variant for row in study.rows] == ["se", "deep", "segments"]
    assert study.gates == study.blocks == 0
    assert "no map that waits for a gate" in study.warnings[0]


def machine(settings=None):
    return acs.load_accelerator("streaming-asic", settings)


def test_a_way_that_cannot_be_had_says_why(question):
    """Tiles as high as the map, no multipliers to spare, and a port on which bursts wait too long for each other."""
    narrow = machine({"memories.dram.port.read_bits": 1, "memories.dram.port.write_bits": 1, "memories.dram.banks": 1})
    pipelines = [recipe for recipe in RECIPES if not recipe.cut]
    asked = Question(question.network, narrow, FPS, 100, 1.0)
    rows = {way.row.variant: way.row for way in ways_out(asked, recipes=pipelines)}
    assert rows["tse-100"].note == rows["deep"].note == "changes nothing here"
    assert not any(rows[name].changes_values for name in ("tse-100", "tse-100+deep"))
    assert rows["tse-100"].on_chip_bytes == rows["se"].on_chip_bytes
    assert "a frame every 5,000,000 cycles" in rows["spill"].note
    assert rows["spill"].on_chip_bytes is None


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        ({}, {"multiplier_budget": 0.5}, "multiplier_budget"),
        ({}, {"rows": 0}, "rows"),
        ({}, {"target_fps": 0}, "target_fps"),
    ],
)
def test_questions_that_are_none(question, settings, more, said):
    with pytest.raises(InputError, match=said):
        acs.attention_study(question.network, machine(settings), **more)


def test_machines_that_a_study_is_not_for(question):
    with pytest.raises(InputError, match="no memories"):
        acs.attention_study(question.network, machine().model_copy(update={"memories": {}}))
    with pytest.raises(InputError, match="array"):
        acs.attention_study(question.network, acs.load_accelerator("systolic-npu"))


def test_a_rate_that_is_out_of_reach_is_an_error(question):
    with pytest.raises(InfeasibleError):
        acs.attention_study(question.network, machine(), target_fps=10**7)
