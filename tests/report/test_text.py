"""The text of a report: what it must say, in every state a simulation ends in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.report.facts import LEAST_KNOWN, TRAFFIC_KINDS, TURNS, segment_title
from accelsim.report.report import Choice
from accelsim.report.tables import quantity
from accelsim.report.text import MOST_BUFFERS, MOST_TURNS, report_text


def test_printing_a_report_is_its_text(report):
    text = str(report)
    for title in ("Throughput", "Latency", "Buffering by role", "Waiting", "Largest buffers", "Not modelled"):
        assert title in text
    assert report.body.network in text.splitlines()[0]
    assert all(part in text for part in report.body.not_modelled)


def test_the_same_design_gives_the_same_text(design, report):
    assert str(simulate(design)) == str(report)


def test_bounded_buffers_show_what_they_hold(sized):
    report = simulate(sized)
    text = str(report)
    assert "capacity" in text
    assert report.body.critical.kind == "buffers"
    assert f"The pace is set by a cycle through {len(report.body.critical.edges)} buffers" in text


def test_unbounded_buffers_have_no_capacity(report):
    assert "capacity" not in str(report)


def test_what_does_not_exist_is_a_dash(design):
    growing = simulate(design, source="greedy")
    assert growing.throughput.latency_cycles is None
    line = next(line for line in str(growing).splitlines() if line.strip().startswith("steady state"))
    assert line.split() == ["steady", "state", "-"]


def test_a_frame_alone_is_no_steady_state(design):
    text = str(simulate(design, frames=1))
    assert "no steady state" in text
    assert "Warnings" in text


def test_only_so_many_buffers_and_in_order(report):
    lines = str(report).splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("Largest buffers"))
    rows = [line for line in lines[begin + 2 :] if " -> " in line][:MOST_BUFFERS]
    shown = [int(row.split()[-2].replace(",", "")) for row in rows]
    expected = sorted((row.peak_elements for row in report.body.buffers), reverse=True)[:MOST_BUFFERS]
    assert shown == expected


def section(text, title):
    """The lines below the title that begins so."""
    lines = text.splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith(title))
    end = next((k for k in range(begin, len(lines)) if not lines[k]), len(lines))
    return lines[begin + 1 : end]


def figures(line):
    """The numbers in a line, in order."""
    return [float(word.replace(",", "")) for word in line.split() if word.replace(",", "").replace(".", "").isdigit()]


def named(lines, name):
    return next(line for line in lines if line.strip().startswith(f"{name} "))


def rounded(value):
    return float(quantity(value).replace(",", ""))


def test_segments_are_told_as_turns(turns):
    text = str(turns)
    count = len(turns.body.segments)
    assert f"{count} segments in turn, 2 frames a visit" in " ".join(text.split())
    assert figures(named(section(text, "Turns on the engine"), "segments")) == [count]
    for misleading in ("steady", "source", "busiest stage", "what sets the pace", "longest at a gate"):
        assert misleading not in text.replace("resources", "")
    assert max(len(line) for line in text.splitlines()) <= 100


def test_the_longest_turns_come_first(turns):
    lines = section(str(turns), "Longest turns")
    longest = sorted((segment.cycles for segment in turns.body.segments), reverse=True)[:MOST_TURNS]
    names = {segment_title(segment): segment for segment in turns.body.segments}
    rows = [line for line in lines[1:] if line.split()[0] in names and figures(line)]
    assert [figures(row)[0] for row in rows] == longest
    segment = names[rows[0].split()[0]]
    share = 100 * segment.cycles / turns.body.throughput.latency_cycles
    assert figures(rows[0])[1] == pytest.approx(share, abs=0.051)
    assert figures(rows[0])[2] == segment.tiles


@pytest.mark.parametrize("which", ["turns", "streamed", "report"])
def test_bytes_off_the_chip_with_and_without_weights(which, request):
    body = request.getfixturevalue(which).body
    off_chip = next(name for name, row in body.memories.items() if row.off_chip)
    moved = {
        kind: sum(r.read_bytes + r.written_bytes for r in body.traffic if r.memory == off_chip and r.kind == kind)
        for kind in TRAFFIC_KINDS
    }
    lines = section(report_text(body), "Traffic off the chip")
    assert figures(named(lines, "in all"))[0] == rounded(sum(moved.values()) / 1e6)
    assert figures(named(lines, "without weights"))[0] == rounded((sum(moved.values()) - moved["weight"]) / 1e6)
    by_kind = section(report_text(body), "Traffic by kind")
    column = (by_kind[0].split().index(off_chip) - 1) // 4
    for kind, size in moved.items():
        if size:
            read, written = figures(named(by_kind, kind))[2 * column : 2 * column + 2]
            assert read + written == pytest.approx(size / 1e6, rel=0.01)


def test_memories_beside_each_other(turns):
    body = turns.body
    lines = section(str(turns), "Memories")
    assert lines[0].split() == list(body.memories)
    rows = list(body.memories.values())
    assert figures(named(lines, "size")) == [rounded(row.size_bytes / 2**20) for row in rows]
    assert figures(named(lines, "used")) == [rounded(row.used_bytes / 2**20) for row in rows]
    assert figures(named(lines, "read")) == [rounded(row.read_bytes / 1e6) for row in rows]
    assert figures(named(lines, "sustained")) == [rounded(row.sustained_bytes_per_second / 1e9) for row in rows]
    peaks = [row.peak_window_bytes / row.peak_window_cycles * body.clock_hz / 1e9 for row in rows]
    assert figures(named(lines, "peak")) == [rounded(peak) for peak in peaks]
    assert all(f"{row.peak_window_bytes:,} B in {row.peak_window_cycles:,} cycles" in " ".join(lines) for row in rows)


def test_ports_that_are_waited_for_are_named(streamed):
    waited = {}
    for row in streamed.body.stages:
        if row.port and row.waiting_port_cycles:
            waited[row.port] = waited.get(row.port, 0) + row.waiting_port_cycles
    assert waited
    lines = section(str(streamed), "Waiting for ports")[1:]
    assert {line.split()[0]: figures(line)[1] for line in lines if line.split()[0] in waited} == {
        port: rounded(cycles) for port, cycles in waited.items()
    }
    assert figures(named(section(str(streamed), "Waiting"), "for a port")) == [rounded(sum(waited.values()))]


def test_waiting_is_that_on_the_engine(turns):
    own = sum(row.waiting_input_cycles - row.waiting_turn_cycles for row in turns.body.stages)
    assert figures(named(section(str(turns), "Waiting"), "for input"))[0] == rounded(own)


def test_a_machine_without_memories_says_nothing_of_them(bare):
    text = str(bare)
    for absent in ("Memories", "MB", "GB/s", "Turns", "segment", "for a port", "lies in"):
        assert absent not in text
    assert named(text.splitlines(), "steady state")
    assert text.rstrip().endswith("traffic, memories, roofline, energy, resources")


def test_no_requests_are_no_peak(report):
    assert report.body.memories["dram"].peak_window_bytes == 0
    assert report.body.memories["dram"].read_bytes > 0
    assert named(section(str(report), "Memories"), "peak").split()[2] == "-"


@given(st.floats(1, 1e15), st.floats(0, 1), st.booleans())
def test_how_good_a_choice_is_said_to_be_is_true(turns, value, share, exact):
    choice = Choice(objective="bytes", value=value, bound=value * share, exact=exact)
    body = turns.body.model_copy(update={"choice": choice})
    told = next(fact for fact in TURNS.facts if fact.name == "choice of segments").text(body)
    if exact or choice.bound == value:
        assert "optimal" in told
    elif value <= LEAST_KNOWN * choice.bound:
        percent = float(told.partition("within ")[2].split()[0].replace(",", ""))
        assert value <= choice.bound * (1 + percent / 100) * (1 + 1e-12)
        assert value >= choice.bound * (1 + (percent - 0.11) / 100)
    else:
        assert "not known" in told
