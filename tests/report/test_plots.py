"""Figures: what is drawn is what was simulated."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from accelsim import InputError, NotModelled, Report, load_accelerator, map_network, plots, simulate
from accelsim.report.plots import layer_bars
from accelsim.report.plots.buffers import ROLE_FIGURES
from accelsim.report.plots.occupancy import MOST_EDGES, largest_edges
from accelsim.report.plots.runs import MOST_RUNS
from tests.report.hostile import SCRIPT, hostile_network

#: Figures of runs.
KINDS = ("buffers", "roles", "occupancy", "timeline", "traffic", "bandwidth", "energy", "roofline")


def bars(panel):
    return [patch for patch in panel.patches if patch.get_width()]


def test_bars_hold_all_that_buffers_hold(report, tiled):
    runs = {"one": report, "two": tiled}
    for panel, body in zip(plots.buffers(runs).axes, (report.body, tiled.body), strict=True):
        expected = sum(row.peak_bytes for row in body.buffers) / 2**10
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(expected)
        colours = {row.role for row in body.buffers if row.peak_bytes}
        assert len({bar.get_facecolor() for bar in bars(panel)}) == len(colours)


def test_the_largest_layer_is_on_top(report):
    panel = plots.buffers({"one": report}).axes[0]
    held = {}
    for row in report.body.buffers:
        held[row.consumer] = held.get(row.consumer, 0) + row.peak_bytes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels[0] == max(held, key=held.__getitem__)
    assert len(labels) == layer_bars.MOST_LAYERS + 1
    assert labels[-1] == f"{len(held) - layer_bars.MOST_LAYERS} other layers"
    top, bottom = panel.get_ylim()[::-1]
    assert top < bottom


def test_an_axis_says_its_unit(report):
    panel = plots.buffers({"one": report}).axes[0]
    assert "KiB" in panel.get_xlabel()


def test_bars_by_role_hold_the_sums_and_the_mark_is_the_accounting(report, tiled):
    bodies = [report.body, tiled.body]
    panels = plots.roles({"one": report, "two": tiled}).axes
    for panel, field in zip(panels, ROLE_FIGURES.values(), strict=True):
        heights = [0.0, 0.0]
        for bar in panel.patches:
            heights[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height() * 10**6
        assert heights == pytest.approx([sum(getattr(row, field) for row in b.buffering.values()) for b in bodies])
        marks = panel.lines[0].get_ydata() * 10**6
        assert marks == pytest.approx([body.attention_buffering.total_elements for body in bodies])


def test_lines_rise_to_the_peaks_of_the_report(report):
    shown = largest_edges(report.history)
    peaks = {row.edge: row.peak_elements for row in report.body.buffers}
    assert len(shown) == MOST_EDGES
    assert [peaks[name] for name in shown] == sorted(peaks.values())[: -MOST_EDGES - 1 : -1]
    panel = plots.occupancy({"one": report}).axes[0]
    drawn = {line.get_label(): line for line in panel.lines}
    period = report.history.activity.cycles[-1]
    for held in report.history.held:
        assert held.elements.max() == peaks[held.edge]
        assert held.elements.min() >= 0
        assert np.all(np.diff(held.cycles) > 0)
        if held.edge in shown:
            assert drawn[held.edge].get_ydata().max() == peaks[held.edge]
            assert drawn[held.edge].get_xdata()[-1] == period
    assert f"a period of {period:,} cycles" in panel.get_title(loc="left")


def test_chosen_edges_are_those_drawn(design, report):
    names = [edge.name for edge in design.edges][5:2:-1]
    assert [line.get_label() for line in plots.occupancy(report, names).axes[0].lines] == names


@pytest.mark.parametrize(("edges", "said"), [(["nowhere"], "named like 'image -> stem'"), ([], "0 edges")])
def test_edges_that_cannot_be_drawn_are_named(report, edges, said):
    with pytest.raises(InputError, match=said):
        plots.occupancy(report, edges)
    with pytest.raises(InputError, match="as many as can be told apart"):
        plots.occupancy(report, [held.edge for held in report.history.held])


def test_a_pipeline_that_fills_is_shown_from_its_start(design):
    growing = simulate(design, source="greedy", frames=3)
    assert not growing.throughput.steady
    panel = plots.occupancy(growing).axes[0]
    assert "the first" in panel.get_title(loc="left")
    assert all(held.cycles[0] == 0 for held in growing.history.held)
    assert sum(int(held.elements[0]) for held in growing.history.held) < 1000


@pytest.mark.parametrize("kind", KINDS)
def test_one_report_or_several_under_names(streamed, kind):
    draw = getattr(plots, kind)
    alone, both = draw(streamed), draw({"one": streamed, "other": streamed})
    memories = len({one.memory for one in streamed.rates})
    assert len(both.axes) == {"roles": 2, "bandwidth": 2 * memories}.get(kind, 2)
    assert len(alone.axes) == {"roles": 2, "bandwidth": memories}.get(kind, 1)
    assert all(panel.get_xlabel() or panel.get_xticklabels() for panel in both.axes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (3, "a int is no Report; simulate gives one"),
        ({"one": pl.DataFrame()}, "a DataFrame is no Report"),
        ({}, "0 reports in one figure"),
    ],
)
def test_what_is_no_report_is_told(kind, wrong, said):
    with pytest.raises(InputError, match=said):
        getattr(plots, kind)(wrong)


def test_too_many_reports_are_refused(report):
    with pytest.raises(InputError, match=f"takes 1 to {MOST_RUNS}"):
        plots.buffers({str(k): report for k in range(MOST_RUNS + 1)})


def test_studies_and_sweeps_have_figures_of_their_own(report):
    with pytest.raises(InputError, match="a Report is no AttentionStudy"):
        plots.attention(report)
    for draw in (lambda table: plots.pareto(table, {"a": "minimise", "b": "minimise"}), plots.axis):
        with pytest.raises(InputError, match="this Report is not one of a sweep"):
            draw(report)
        with pytest.raises(InputError, match="this table is not one of a sweep"):
            draw(report.buffers)


def test_words_and_saved_json_have_no_times(report):
    with pytest.raises(NotModelled, match="times of single firings"):
        plots.timeline(Report(report.body))


def test_matplotlib_is_loaded_by_the_first_figure_alone():
    code = "import sys, accelsim, accelsim.plots; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def hostile():
    """Reports of a network each of whose names is meant to do harm."""
    machine = load_accelerator("streaming-asic", {"weights": "frame", "interface": "memory"})
    net = hostile_network()
    pipeline = map_network(net, machine)
    return {
        SCRIPT: simulate(pipeline),
        "$x^{$" * 40: simulate(map_network(net, machine, mapping="layer-by-layer")),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_never_mathematics_nor_markup(hostile, tmp_path, kind):
    path = tmp_path / "figure.svg"
    plots.save(getattr(plots, kind)(hostile), path)
    assert "<script" not in path.read_text(encoding="utf-8")


def test_bars_of_traffic_hold_all_that_passes_off_the_chip(turns, streamed):
    runs = {"one": turns, "two": streamed}
    for panel, body in zip(plots.traffic(runs).axes, (turns.body, streamed.body), strict=True):
        rows = [row for row in body.traffic if row.memory == "dram"]
        expected = sum(row.read_bytes + row.written_bytes for row in rows) / 10**6
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(expected)
        assert len({bar.get_facecolor() for bar in bars(panel)}) == len({row.kind for row in rows})
        assert panel.get_xlabel() == "read and written a frame, dram (MB)"


def test_traffic_needs_memories(bare):
    with pytest.raises(InputError, match="one: the machine describes no memories"):
        plots.traffic({"one": bare})


def test_the_area_of_bandwidth_is_what_passes(turns, streamed):
    runs = {"one": turns, "two": streamed}
    drawn = plots.bandwidth(runs)
    panels = np.array(drawn.axes).reshape(-1, len(runs))
    memories = list(dict.fromkeys(one.memory for run in runs.values() for one in run.rates))
    assert len(panels) == len(memories)
    for row, memory in zip(panels, memories, strict=True):
        for panel, run in zip(row, runs.values(), strict=True):
            body, rates = run.body, run.rates
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
        plots.bandwidth({"one": report, "two": bare})


@pytest.mark.parametrize("which", ["turns", "report"])
def test_only_pipelines_have_a_steady_state(which, request):
    runs = {"one": request.getfixturevalue(which)}
    titles = [panel.get_title(loc="left") for panel in plots.roles(runs).axes]
    axis = plots.buffers(runs).axes[0].get_xlabel()
    assert all(("steady" in text) == (which == "report") for text in (titles[-1], axis))


def test_bars_of_energy_hold_all_that_a_frame_takes(turns, report):
    runs = {"one": turns, "two": report}
    for panel, body in zip(plots.energy(runs).axes, (turns.body, report.body), strict=True):
        assert sum(bar.get_width() for bar in bars(panel)) == pytest.approx(body.energy.total_pj / 10**6)
        assert len({bar.get_facecolor() for bar in bars(panel)}) >= 4
        assert panel.get_xlabel() == "energy a frame, 45nm, 7nm (uJ)"


def test_marks_of_a_roofline_are_its_rows_and_lie_below_the_roof(turns):
    panel = plots.roofline({"one": turns}).axes[0]
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
        plots.energy({"one": bare})
    with pytest.raises(InputError, match="one: the machine describes no memories"):
        plots.roofline({"one": bare})
