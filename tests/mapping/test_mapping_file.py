"""Mapping files: written, read back, and everything they can get wrong."""

from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.errors import AccelsimError, InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.design import bind
from accelsim.mapping.mapper import map_network
from accelsim.mapping.mapping import Mapping, Measured, mapping_text, read_mapping
from accelsim.mapping.unrolling import Unroll
from accelsim.network.graph import Node, network
from accelsim.network.layers import Activation, Combine, Convolution, Input, Reduce

NET = network(
    "net",
    [
        Node("x", Input(4, (6, 6))),
        Node("a", Convolution(8, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)), ("x",)),
        Node("relu", Activation("relu"), ("a",)),
        Node("mean", Reduce("mean"), ("relu",)),
        Node("y", Combine("multiply"), ("relu", "mean")),
        Node("z", Combine("multiply"), ("y", "y")),
    ],
    ["z"],
)
MACHINE = Accelerator.model_validate(
    {
        "name": "machine",
        "clock": 10**6,
        "engine": {"multipliers": 64, "lanes": 8, "mac_latency_cycles": 1, "lane_latency_cycles": 1},
    }
)
GOOD = """\
granularity: row
interval_cycles: 5000
segments:
- unroll:
    a: {inputs: 4, outputs: 2}
  measured:
    y: {latency_cycles: 7}
  buffers:
    a -> mean: 2
    a -> y: 6
"""

counts = st.integers(1, 2**40)
layer_names = st.one_of(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    st.sampled_from(
        ["1", "true", "null", "~", "-", "a: b", "#", "{", "x" * 500, "/model.0/conv/Conv", " ", "a\nb", "<<"]
    ),
)
entries = {
    "unroll": st.dictionaries(layer_names, st.builds(Unroll, counts, counts, counts, counts), max_size=4),
    "capacities": st.dictionaries(layer_names, counts, max_size=4),
    "measured": st.dictionaries(
        layer_names,
        st.builds(
            Measured,
            st.none() | counts,
            st.none() | st.integers(0, 2**40),
            st.none() | st.integers(0, 2**16),
            st.none() | st.integers(0, 2**40),
        ),
        max_size=3,
    ),
}
mappings = st.builds(
    Mapping,
    **{name: entry.map(MappingProxyType) for name, entry in entries.items()},
    granularity=st.sampled_from(["row", "pixel"]),
    interval_cycles=st.none() | counts,
)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mapping=mappings)
def test_what_is_written_is_read_back(file, mapping):
    assert read_mapping(file(mapping_text(mapping))) == mapping


def test_a_mapping_that_was_chosen_binds_again(file):
    design = map_network(NET, MACHINE)
    again = map_network(NET, MACHINE, mapping=file(mapping_text(design.mapping)))
    assert again.mapping == design.mapping
    assert again.stages == design.stages
    assert again.edges == design.edges


def test_a_file_means_what_it_says(file):
    design = bind(NET, MACHINE, read_mapping(file(GOOD)))
    a, y = design.stage_by_name["a"], design.stage_by_name["y"]
    assert (a.multipliers, a.interval_cycles) == (8, 4 * 8 * 9 // 8)
    assert (y.interval_cycles, y.latency_cycles) == (1, 7)
    assert design.pace_cycles == 5000
    # a fork that shares one buffer has one capacity, the least that is given
    assert {edge.name: edge.capacity for edge in design.edges} == {
        "x -> a": None, "a -> mean": 2, "a -> y": 2, "mean -> y": None, "y -> z (operand 0)": None,
        "y -> z (operand 1)": None,
    }  # fmt: skip


def problems(path):
    """Lines of the error that reading and binding a file causes, without its folder."""
    with pytest.raises(AccelsimError) as caught:
        bind(NET, MACHINE, read_mapping(path))
    assert isinstance(caught.value, InputError)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("row", "column", "m.yaml:1: granularity = \"column\": Input should be 'row', 'pixel' or 'word'"),
        ("5000", "0", "m.yaml:2: interval_cycles = 0: Input should be greater than 0"),
        ("5000", "soon", 'm.yaml:2: interval_cycles = "soon": Input should be a valid integer'),
        ("interval_cycles", "interval", "m.yaml:2: unknown name interval (did you mean interval_cycles?)"),
        ("unroll:", "unrol:", "m.yaml:4: unknown name segments[0].unrol"),
        ("inputs: 4", "inputs: 0", "m.yaml:5: segments[0].unroll.a.inputs = 0: Input should be greater than 0"),
        ("inputs: 4", "inputs: 1.5", "m.yaml:5: segments[0].unroll.a.inputs = 1.5: Input should be a valid integer"),
        ("inputs: 4", "inputs: true", "m.yaml:5: segments[0].unroll.a.inputs = True: Input should be a valid integer"),
        ("inputs: 4", "input: 4", "m.yaml:5: unknown name segments[0].unroll.a.input"),
        ("{inputs: 4, outputs: 2}", "8", "m.yaml:5: segments[0].unroll.a = 8: Input should be"),
        ("inputs: 4", "inputs: 3", "m.yaml:5: segments[0].unroll.a.inputs = 3 does not divide 4; divisors: 1, 2, 4"),
        ("outputs: 2", "pixels: 4", "m.yaml:5: segments[0].unroll.a.pixels = 4 does not divide 6; divisors: 1, 2, 3"),
        ("outputs: 2", "outputs: 4, window: 9", "m.yaml:4: the unrolling takes 144 multipliers, engine.multipliers"),
        ("    a: {inputs: 4, outputs: 2}", "    {}", "m.yaml:4: no unrolling for a"),
        ("outputs: 2}", "outputs: 2}\n    relu: {}", "m.yaml:6: 'relu' is no layer of net with multiplications"),
        ("latency_cycles: 7", "latency_cycles: -1", "m.yaml:7: segments[0].measured.y.latency_cycles = -1: "),
        ("latency_cycles: 7", "pipeline_cycles: 65537", "m.yaml:7: segments[0].measured.y.pipeline_cycles = 65537: "),
        ("latency_cycles: 7", "gap_cycles: -1", "m.yaml:7: segments[0].measured.y.gap_cycles = -1: "),
        ("y: {latency", "a -> y: {gap_cycles: 2, latency", "m.yaml:7: 'a -> y' is an edge and has no gap_cycles"),
        ("y: {latency", "w: {latency", "m.yaml:7: 'w' is no stage of net, and no edge"),
        ("y: {latency", "a -> y: {interval_cycles: 2, latency", "m.yaml:7: 'a -> y' is an edge and has no interval_"),
        ("a -> mean: 2", "a -> mean: many", 'm.yaml:9: segments[0].buffers.a -> mean = "many": Input should be'),
        ("a -> mean: 2", "a -> mean: 0", "m.yaml:9: "),
        ("a -> mean: 2", "a -> z: 2", "m.yaml:9: 'a -> z' is no edge of net"),
        ("a -> mean: 2", "y -> z: 2", "m.yaml:9: 'y -> z' is no edge of net"),
        ("a -> mean: 2", "a -> y: 2", "m.yaml:10: segments[0].buffers.a -> y is given twice"),
        ("    a -> y: 6\n", "    a -> y: 6\n- unroll: {}\n", "m.yaml:4: segments[0], segments[1] without"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_line_path_value_and_rule(file, old, new, told):
    assert GOOD.count(old) == 1
    (line,) = problems(file(GOOD.replace(old, new)))
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("granularity: row\n", "m.yaml:1: segments is missing"),
        ("segments: []\n", "m.yaml:1: segments = []: List should have at least 1 item"),
        ("segments: {}\n", "m.yaml:1: segments = {}: Input should be a valid list"),
        ("segments:\n- 3\n", "m.yaml:2: segments[0] = 3: Input should be"),
        ("segments:\n-\n", "m.yaml:2: segments[0] = None: Input should be"),
        ("segments:\n- unroll: []\n", "m.yaml:2: segments[0].unroll = []: Input should be a mapping"),
    ],
)
def test_a_file_of_another_form(file, text, told):
    (line,) = problems(file(text))
    assert line.startswith(told)


def test_all_faults_of_a_kind_come_at_once(file):
    assert len(problems(file(GOOD.replace("row", "column").replace("5000", "0").replace("7", "-7")))) == 3
    assert len(problems(file(GOOD.replace("inputs: 4", "inputs: 3").replace("a -> ", "b -> ")))) == 3


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        map_network(NET, MACHINE, mapping=tmp_path / "none.yaml")


def test_a_mapping_made_in_python_is_told_by_name():
    with pytest.raises(InputError, match=r"^mapping: segments\[0\]\.unroll\.a\.outputs = 3 does not divide 8"):
        bind(NET, MACHINE, Mapping(MappingProxyType({"a": Unroll(outputs=3)})))
