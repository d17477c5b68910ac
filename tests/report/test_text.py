"""The text of a report: what it must say, in every state a simulation ends in."""

from accelsim import simulate
from accelsim.report.text import MOST_BUFFERS


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
