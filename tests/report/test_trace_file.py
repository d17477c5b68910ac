"""Trace files keep the rules of the Trace Event Format, and say what was simulated."""

import gzip
import json
from collections import defaultdict
from itertools import pairwise

import pytest

from accelsim import InputError
from accelsim.report import trace_file
from accelsim.report.trace_file import trace_size, write_trace
from accelsim.timing.simulate import schedule
from accelsim.timing.timeline import timeline, trace_timeline


@pytest.fixture(scope="module")
def traced(sized):
    return timeline(sized)


@pytest.fixture
def events(tmp_path):
    def events(drawn, window=None):
        path = tmp_path / "trace.json.gz"
        size = write_trace(drawn, path, window)
        text = gzip.decompress(path.read_bytes())
        found = json.loads(text)["traceEvents"]
        assert len(found) == size.events
        assert 0.5 < size.text_bytes / len(text) < 2
        return found

    return events


def by_track(found, phase):
    tracks = defaultdict(list)
    for event in found:
        if event["ph"] == phase:
            tracks[event["pid"], event["tid"]].append(event)
    return tracks


def keeps_the_rules(found):
    """Every event has the fields of its kind, times ascend, and the slices of a thread nest: here, none overlap."""
    named = {(e["pid"], e["tid"]) for e in found if e["name"] == "thread_name"}
    grouped = {e["pid"] for e in found if e["name"] == "process_name"}
    for event in found:
        assert event["ph"] in "XCM"
        assert isinstance(event["name"], str)
        assert event["pid"] in grouped
        assert all(isinstance(event[key], int) for key in ("ts", "pid", "tid"))
        if event["ph"] == "X":
            assert isinstance(event["dur"], int)
            assert event["dur"] > 0
            assert (event["pid"], event["tid"]) in named
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
    times = [event["ts"] for event in found if event["ph"] != "M"]
    assert times == sorted(times)
    assert times[0] >= 0
    for slices in by_track(found, "X").values():
        assert all(one["ts"] + one["dur"] <= two["ts"] for one, two in pairwise(slices))


def test_a_pipeline_keeps_the_rules(events, traced):
    keeps_the_rules(events(traced))


def test_turns_keep_the_rules(events, turns_design):
    found = events(timeline(turns_design))
    keeps_the_rules(found)
    assert any(event["ph"] == "X" and event["cat"] == "turn" for event in found)


def test_times_are_those_of_the_simulation(events, traced, sized):
    trace, found = schedule(sized), events(traced)
    names = {e["args"]["name"]: e["tid"] for e in found if e["name"] == "thread_name"}
    slices = by_track(found, "X")
    for position, stage in enumerate(sized.stages):
        starts = trace.starts(position, trace.first).ravel() % trace.period_cycles
        busy = [e["ts"] for e in slices[trace_file.STAGES, names[stage.name]] if e["name"] == "busy"]
        assert set(starts.tolist()) <= set(busy) <= {0, *starts.tolist()}


def test_busy_time_is_the_reports(events, traced, design):
    found, busy = events(traced), defaultdict(int)
    names = {e["tid"]: e["args"]["name"] for e in found if e["name"] == "thread_name"}
    for event in found:
        if event["name"] == "busy":
            busy[names[event["tid"]]] += event["dur"]
    assert busy == {stage.name: stage.work_cycles * traced.frames for stage in design.stages}


def test_counters_stay_within_capacities(events, traced):
    rooms = {level.edge: level.capacity_elements for level in traced.levels}
    counters = [e for e in events(traced) if e["ph"] == "C" and e["pid"] == trace_file.BUFFERS]
    assert {e["name"] for e in counters} == set(rooms)
    assert all(0 <= e["args"]["elements"] <= rooms[e["name"]] for e in counters)


def test_ports_pass_no_more_than_they_can(events, streamed_design, streamed):
    drawn = timeline(streamed_design)
    rates = [e for e in events(drawn) if e["ph"] == "C" and e["pid"] == trace_file.PORTS]
    most = {
        name: row.available_bytes_per_second / streamed.body.clock_hz for name, row in streamed.body.memories.items()
    }
    assert rates
    assert all(0 <= event["args"]["bytes_per_cycle"] <= most[event["name"]] for event in rates)
    passed = sum(one.moved_bytes[-1] for one in drawn.passed.values())
    summed = sum(one["args"]["bytes_per_cycle"] * (two["ts"] - one["ts"]) for one, two in pairwise(rates))
    assert summed == pytest.approx(passed)


def test_a_window_holds_what_the_whole_has_in_it(events, traced):
    begin, end = traced.cycles // 3, traced.cycles // 2
    part = events(traced, (begin, end))
    keeps_the_rules(part)
    for slices in by_track(part, "X").values():
        assert slices[0]["ts"] == begin
        assert sum(e["dur"] for e in slices) == end - begin
    counters = [e for e in part if e["ph"] == "C"]
    assert {e["name"] for e in counters if e["ts"] == begin} >= {level.edge for level in traced.levels}


@pytest.mark.parametrize("window", [(5, 5), (-1, 4), (0, 2**40)])
def test_windows_outside_are_refused(traced, window):
    with pytest.raises(InputError, match="window"):
        trace_size(traced, window)


def test_what_is_too_large_is_refused_before_it_is_written(traced, tmp_path, monkeypatch):
    monkeypatch.setattr(trace_file, "MOST_EVENTS", 10)
    with pytest.raises(InputError, match="the most is 10"):
        write_trace(traced, tmp_path / "trace.json.gz")
    assert not (tmp_path / "trace.json.gz").exists()


def test_the_same_bytes_every_time_and_plain_text_too(traced, tmp_path):
    for name in ("a.json.gz", "b.json.gz", "c.json"):
        write_trace(traced, tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.json.gz", "b.json.gz", "c.json"))
    assert a == b
    assert gzip.decompress(a) == c
    with pytest.raises(InputError, match=r"\.json"):
        write_trace(traced, tmp_path / "trace.txt")


def test_it_says_that_a_microsecond_is_a_cycle(traced, tmp_path):
    write_trace(traced, tmp_path / "a.json")
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["displayTimeUnit"] in ("ms", "ns")
    assert written["otherData"]["time"] == "1 us is 1 cycle"
    groups = [e["args"]["name"] for e in written["traceEvents"] if e["name"] == "process_name"]
    assert all("1 us = 1 cycle" in name for name in groups)


def test_a_run_from_rest_too(events, sized):
    keeps_the_rules(events(trace_timeline(schedule(sized, frames=2))))
