"""Figures: what is drawn is what was simulated."""

from io import BytesIO

import numpy as np
import pytest

from accelsim import InputError
from accelsim.report.plots import costs, drawing, figures, layer_bars
from accelsim.timing.simulate import schedule


@pytest.fixture
def figure(monkeypatch):
    """The figure that a plot function would have saved."""
    drawn = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: drawn.append(figure))

    def figure(plot, *arguments):
        plot(*arguments, "unused.svg")
        return drawn.pop()

    return figure


def bars(panel):
    return [patch for patch in panel.patches if patch.get_width()]


def test_bars_hold_all_that_buffers_hold(figure, report, tiled):
    runs = [("one", report.body), ("two", tiled.body)]
    for panel, (_, body) in zip(figure(figures.plot_buffers, runs).axes, runs, strict=True):
        expected = sum(row.peak_bytes for row in body.buffers) / 2**10
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(expected)
        colours = {row.role for row in body.buffers if row.peak_bytes}
        assert len({bar.get_facecolor() for bar in bars(panel)}) == len(colours)


def test_the_largest_layer_is_on_top(figure, report):
    panel = figure(figures.plot_buffers, [("one", report.body)]).axes[0]
    held = {}
    for row in report.body.buffers:
        held[row.consumer] = held.get(row.consumer, 0) + row.peak_bytes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels[0] == max(held, key=held.__getitem__)
    assert len(labels) == layer_bars.MOST_LAYERS + 1
    assert labels[-1] == f"{len(held) - layer_bars.MOST_LAYERS} other layers"
    top, bottom = panel.get_ylim()[::-1]
    assert top < bottom


def test_an_axis_says_its_unit(figure, report):
    panel = figure(figures.plot_buffers, [("one", report.body)]).axes[0]
    assert "KiB" in panel.get_xlabel()


def test_bars_by_role_hold_the_sums_and_the_mark_is_the_accounting(figure, report, tiled):
    bodies = [report.body, tiled.body]
    panels = figure(figures.plot_roles, [("one", bodies[0]), ("two", bodies[1])]).axes
    for panel, field in zip(panels, figures.ROLE_FIGURES.values(), strict=True):
        heights = [0.0, 0.0]
        for bar in panel.patches:
            heights[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height() * 10**6
        assert heights == pytest.approx([sum(getattr(row, field) for row in b.buffering.values()) for b in bodies])
        marks = panel.lines[0].get_ydata() * 10**6
        assert marks == pytest.approx([body.attention_buffering.total_elements for body in bodies])


def test_lines_rise_to_the_peaks_of_the_report(figure, design, report):
    run = figures.occupancy(schedule(design))
    assert len(run.curves) == figures.MOST_EDGES
    peaks = {row.edge: row.peak_elements for row in report.body.buffers}
    assert (
        sorted((peaks[name] for name, _, _ in run.curves), reverse=True)
        == sorted(peaks.values())[: -figures.MOST_EDGES - 1 : -1]
    )
    panel = figure(figures.plot_occupancy, [("one", run)]).axes[0]
    for line, (name, times, held) in zip(panel.lines, run.curves, strict=True):
        assert held.max() == line.get_ydata().max() == peaks[name]
        assert held.min() >= 0
        assert np.all(np.diff(times) > 0)
        assert line.get_xdata()[-1] == run.period_cycles


def test_chosen_edges_keep_their_order(design):
    names = [edge.name for edge in design.edges][5:2:-1]
    run = figures.occupancy(schedule(design), names)
    assert [name for name, _, _ in run.curves] == names


def test_unknown_edges_are_named(design):
    with pytest.raises(InputError, match="nowhere"):
        figures.occupancy(schedule(design), ["nowhere"])


def test_a_growing_pipeline_has_no_period(design):
    with pytest.raises(InputError, match="period"):
        figures.occupancy(schedule(design, source="greedy"))


def test_names_are_never_mathematics(figure, report):
    evil = report.body.model_copy(
        update={"buffers": tuple(row.model_copy(update={"consumer": "a$\\frac$b"}) for row in report.body.buffers)}
    )
    figure(figures.plot_buffers, [("$\\frac$", evil)]).savefig(BytesIO())


def test_bars_of_traffic_hold_all_that_passes_off_the_chip(figure, turns, streamed):
    runs = [("one", turns.body), ("two", streamed.body)]
    for panel, (_, body) in zip(figure(figures.plot_traffic, runs).axes, runs, strict=True):
        rows = [row for row in body.traffic if row.memory == "dram"]
        expected = sum(row.read_bytes + row.written_bytes for row in rows) / 10**6
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(expected)
        assert len({bar.get_facecolor() for bar in bars(panel)}) == len({row.kind for row in rows})
        assert panel.get_xlabel() == "read and written a frame, dram (MB)"


def test_traffic_needs_memories(bare):
    with pytest.raises(InputError, match="one: the machine describes no memories"):
        figures.plot_traffic([("one", bare.body)], "unused.svg")


def test_the_area_of_bandwidth_is_what_passes(figure, turns, streamed):
    runs = [("one", turns.body, turns.rates), ("two", streamed.body, streamed.rates)]
    drawn = figure(figures.plot_bandwidth, runs)
    panels = np.array(drawn.axes).reshape(-1, len(runs))
    memories = list(dict.fromkeys(one.memory for _, _, rates in runs for one in rates))
    assert len(panels) == len(memories)
    for row, memory in zip(panels, memories, strict=True):
        for panel, (_, body, rates) in zip(row, runs, strict=True):
            steps = [patch.get_data() for patch in panel.patches]
            assert len(steps) == sum(one.memory == memory for one in rates)
            for values, edges, _ in steps:
                moved = body.memories[memory].read_bytes + body.memories[memory].written_bytes
                frames = edges[-1] / body.throughput.interval_cycles
                assert (values * np.diff(edges)).sum() == pytest.approx(moved * frames)
                assert panel.get_ylim()[1] >= values.max()
        assert row[0].get_ylabel() == "bytes a cycle"
    assert all("cycles at 1,000 MHz" in panel.get_xlabel() for panel in panels[-1])
    assert "dram, at most 20 bytes a cycle" in panels[memories.index("dram")][0].get_title(loc="left")


def test_no_bandwidth_without_requests(report, bare):
    with pytest.raises(InputError, match="nothing passes"):
        figures.plot_bandwidth([("one", report.body, report.rates), ("two", bare.body, bare.rates)], "unused.svg")


@pytest.mark.parametrize("which", ["turns", "report"])
def test_only_pipelines_have_a_steady_state(figure, which, request):
    runs = [("one", request.getfixturevalue(which).body)]
    titles = [panel.get_title(loc="left") for panel in figure(figures.plot_roles, runs).axes]
    axis = figure(figures.plot_buffers, runs).axes[0].get_xlabel()
    assert all(("steady" in text) == (which == "report") for text in (titles[-1], axis))


def test_bars_of_energy_hold_all_that_a_frame_takes(figure, turns, report):
    runs = [("one", turns.body), ("two", report.body)]
    for panel, (_, body) in zip(figure(costs.plot_energy, runs).axes, runs, strict=True):
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(body.energy.total_pj / 10**6)
        assert len({bar.get_facecolor() for bar in bars(panel)}) >= 4
        assert panel.get_xlabel() == "energy a frame, 45nm, 7nm (uJ)"


def test_marks_of_a_roofline_are_its_rows_and_lie_below_the_roof(figure, turns):
    panel = figure(costs.plot_roofline, [("one", turns.body)]).axes[0]
    placed = [row for row in turns.body.roofline if row.off_chip_bytes]
    marks = [tuple(mark) for drawn in panel.collections for mark in drawn.get_offsets()]
    expected = [(row.macs_per_byte, row.attained_macs_per_second / 10**9) for row in placed]
    assert np.allclose(sorted(marks), sorted(expected))
    (low, ridge, high), (start, peak, end) = panel.lines[0].get_data()
    assert peak == end == max(row.peak_macs_per_second for row in turns.body.roofline) / 10**9
    available = turns.body.memories["dram"].available_bytes_per_second / 10**9
    assert (start / low, peak / ridge) == pytest.approx((available, available))
    assert low < min(x for x, _ in marks)
    assert high > max(x for x, _ in marks)
    assert {text.get_text() for text in panel.figure.legends[0].get_texts()} >= {"roof", "bound by dram"}


def test_energy_and_rooflines_need_their_figures(bare, report):
    with pytest.raises(InputError, match="one: energy is not modelled; name a technology"):
        costs.plot_energy([("one", bare.body)], "unused.svg")
    with pytest.raises(InputError, match="one: the machine describes no memories"):
        costs.plot_roofline([("one", bare.body)], "unused.svg")
