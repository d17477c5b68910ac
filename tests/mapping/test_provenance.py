"""What a mapping file says of its choice holds for what it was made for, and nothing else."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from accelsim import bind, load_accelerator, load_network, map_network, read_mapping
from accelsim.errors import InputError
from accelsim.mapping.mapping import Choice, Mapping, mapping_text
from accelsim.mapping.segments.segment import Segment, Tile

SHAPE = (1, 3, 32, 32)
MACHINE = load_accelerator("feature-map-npu")


@pytest.fixture(scope="module")
def net():
    return load_network("resnet18", input_shape=SHAPE)


@pytest.fixture(scope="module")
def chosen(net):
    """A layer a segment, chosen by whoever says so."""
    pipeline = map_network(net, MACHINE)
    segments = tuple(Segment((stage.name,)) for stage in pipeline.stages if not stage.is_source)
    choice = Choice("bytes", 123456.0, 123000.5, False)
    return bind(net, MACHINE, Mapping(pipeline.mapping.unroll, segments=segments, choice=choice))


@pytest.fixture
def file(chosen, tmp_path):
    (tmp_path / "m.yaml").write_text(mapping_text(chosen.mapping))
    return tmp_path / "m.yaml"


def test_it_comes_back(chosen, net, file):
    back = bind(net, MACHINE, read_mapping(file))
    assert back.mapping == chosen.mapping
    assert back.mapping.choice == chosen.mapping.choice
    assert replace(back.mapping.choice, made_for="") == Choice("bytes", 123456.0, 123000.5, False)
    assert mapping_text(back.mapping) == file.read_text()


def test_it_is_of_one_machine_whatever_its_name(net, file):
    renamed = MACHINE.model_copy(update={"name": "another"})
    assert bind(net, renamed, read_mapping(file)).mapping.choice is not None
    other = load_accelerator("feature-map-npu", {"memories.buffer.size": "600 KiB"})
    assert bind(net, other, read_mapping(file)).mapping.choice is None


def test_it_is_of_one_network(file):
    larger = load_network("resnet18", input_shape=(1, 3, 64, 64))
    assert bind(larger, MACHINE, read_mapping(file)).mapping.choice is None


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: replace(m, segments=(replace(m.segments[0], tile=Tile(rows=2)), *m.segments[1:])),
        lambda m: replace(m, segments=(replace(m.segments[0], weights="frame"), *m.segments[1:])),
        lambda m: replace(m, frames_per_visit=2),
        lambda m: replace(m, homes=MappingProxyType({m.segments[0].layers[0]: "dram"})),
        lambda m: replace(m, unroll=MappingProxyType({k: replace(u, outputs=1) for k, u in m.unroll.items()})),
    ],
)
def test_it_is_of_the_segments_as_they_were(chosen, net, edit):
    edited = edit(chosen.mapping)
    assert edited != chosen.mapping
    assert bind(net, MACHINE, edited).mapping.choice is None


@pytest.mark.parametrize(
    ("line", "wrong"),
    [("  value: 123456.0", "  value: .nan"), ("  bound: 123000.5", "  bound: .inf"), ("  made_for", "  made_to")],
)
def test_what_cannot_be_is_refused_where_it_stands(file, line, wrong):
    text = file.read_text()
    assert line in text
    file.write_text(text.replace(line, wrong))
    with pytest.raises(InputError, match=r"m\.yaml:\d+: choice\."):
        read_mapping(file)
