"""Timelines: every cycle of a stage is accounted for, and levels stay within capacities."""

import numpy as np
import pytest

import accelsim as acs
from accelsim.errors import InputError, NotModelled
from accelsim.timing import timeline as timelines
from accelsim.timing.kernels.pipeline import INPUT, PORT, SOURCE, SPACE
from accelsim.timing.timeline import BUSY, timeline

SMALL = {"input_shape": (1, 3, 64, 64)}
WAITING = {
    INPUT: "waiting_input_cycles",
    SPACE: "waiting_space_cycles",
    PORT: "waiting_port_cycles",
    SOURCE: "waiting_source_cycles",
    BUSY: "busy_cycles",
}


@pytest.fixture(scope="module")
def free():
    return acs.map_network(acs.load_network("efficientnet_b0", **SMALL), acs.load_accelerator("streaming-asic"))


@pytest.fixture(scope="module")
def designs(free):
    ports = acs.load_accelerator("streaming-asic", {"weights": "frame", "interface": "memory"})
    return {"free": free, "sized": acs.size_buffers(free), "ports": acs.map_network(free.network, ports)}


@pytest.fixture(scope="module")
def turns():
    net = acs.load_network("mobilenet_v3_small", **SMALL)
    machine = acs.load_accelerator("feature-map-npu", {"memories.buffer.size": "640 KiB"})
    return acs.map_network(net, machine, mapping="layer-by-layer")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "granularity"),
    [("free", "row"), ("sized", "row"), ("ports", "row"), ("free", "pixel"), ("ports", "pixel")],
)
def test_a_period_is_what_the_report_says(designs, name, granularity):
    found, report = timeline(designs[name], granularity), acs.simulate(designs[name], granularity=granularity)
    assert found.repeats
    assert found.cycles == report.throughput.interval_cycles * found.frames
    for row in report.body.stages:
        spans = found.tracks[row.stage]
        assert np.array_equal(spans.begin, np.append(0, spans.end[:-1]))
        assert spans.end[-1] == found.cycles
        for state, field in WAITING.items():
            assert spans.cycles_in(state) == pytest.approx(getattr(row, field) * found.frames), (row.stage, field)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["free", "sized", "ports"])
def test_levels_reach_what_the_report_says_and_no_more(designs, name):
    found, report = timeline(designs[name]), acs.simulate(designs[name])
    for level, row in zip(found.levels, report.body.buffers, strict=True):
        assert (level.edge, level.capacity_elements) == (row.edge, row.capacity_elements)
        assert level.elements.max() == row.held_elements
        assert level.elements.min() >= 0
        assert level.elements.max() <= (row.capacity_elements or row.held_elements)
        assert level.cycles[0] == 0
        assert np.all(np.diff(level.cycles) > 0)


def test_a_run_that_is_not_steady_is_told_from_an_empty_machine_on(free):
    found, trace = timeline(free, frames=2), acs.schedule(free, frames=2)
    assert not found.repeats
    busy = {stage.name: 2 * stage.work_cycles for stage in free.stages}
    assert {name: spans.cycles_in(BUSY) for name, spans in found.tracks.items()} == busy
    assert max(int(spans.end[-1]) for spans in found.tracks.values()) <= trace.completions[-1] <= found.cycles
    assert all(set(spans.frame.tolist()) == {0, 1} for spans in found.tracks.values())


def test_a_round_of_turns_is_as_busy_as_its_report(turns):
    found, report = timeline(turns), acs.simulate(turns)
    assert found.cycles == report.throughput.interval_cycles * found.frames
    for row in report.body.stages:
        spans = found.tracks[row.stage]
        assert spans.cycles_in(BUSY) == row.busy_cycles * found.frames
        assert np.all(spans.begin[1:] >= spans.end[:-1])
        assert spans.end[-1] <= found.cycles
    ends = [one.end for one in found.visited]
    assert [one.begin for one in found.visited] == [0, *ends[:-1]]
    assert ends[-1] == found.cycles
    for level in found.levels:
        assert level.elements.min() >= 0
        assert np.all(np.diff(level.cycles) >= 0)
        assert level.elements.max() <= (level.capacity_elements or level.elements.max())


def test_what_is_too_much_is_refused(free, turns, monkeypatch):
    monkeypatch.setattr(timelines, "MOST_FIRINGS", 100)
    for design in (free, turns):
        with pytest.raises(InputError, match="the most is 100"):
            timeline(design)


def test_words_are_refused(free):
    with pytest.raises(NotModelled, match="granularity row or pixel"):
        timeline(free, "word")
