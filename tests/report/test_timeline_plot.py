"""The timeline's strips hold the time that stages spend."""

import numpy as np
import pytest

from accelsim.report.plots import drawing
from accelsim.report.plots import timeline as strips
from accelsim.timing.timeline import BUSY, STATES, timeline


@pytest.fixture(scope="module")
def drawn(sized):
    return timeline(sized)


@pytest.fixture
def panels(monkeypatch):
    """The panels of the figure that would have been saved."""

    def panels(*runs):
        figures = []
        monkeypatch.setattr(drawing, "save", lambda figure, path: figures.append(figure))
        strips.plot_timeline([(str(k), run) for k, run in enumerate(runs)], "unused.svg")
        return figures[0].axes

    return panels


def test_shares_add_up_to_the_time_of_each_state(drawn):
    edges = np.array([0, drawn.cycles // 7, drawn.cycles // 2, drawn.cycles])
    for spans in drawn.tracks.values():
        found = [strips.shares(spans, state, edges) for state in range(len(STATES))]
        assert np.sum(found, axis=0) == pytest.approx(np.ones(3))
        for state, share in enumerate(found):
            assert share @ np.diff(edges) == pytest.approx(spans.cycles_in(state))


def test_strips_are_filled_with_work_as_long_as_it_takes(drawn, panels):
    (panel,) = panels(drawn)
    work = sum(
        float(((patch.get_data().values - patch.get_data().baseline) * np.diff(patch.get_data().edges)).sum())
        for patch in panel.patches
        if patch.get_facecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    )
    busy = sorted((spans.cycles_in(BUSY) for spans in drawn.tracks.values()), reverse=True)
    most = strips.MOST_STAGES
    expected = sum(busy[:most]) + sum(busy[most:]) / len(busy[most:])
    assert abs(work) / strips.FILLED == pytest.approx(expected)


def test_the_rest_of_a_large_network_is_one_strip(drawn, panels):
    (panel,) = panels(drawn)
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert len(labels) == strips.MOST_STAGES + 1
    assert labels[-1] == f"mean of {len(drawn.tracks) - strips.MOST_STAGES} others"
    assert [name for name in drawn.tracks if name in labels] == labels[:-1]


def test_axes_say_their_units(drawn, turns_design, panels):
    for panel, blank in zip(panels(timeline(turns_design), drawn), (True, False), strict=True):
        assert "cycles at" in panel.get_xlabel()
        assert ("a round" if blank else "a period") in panel.get_title(loc="left")
    assert "share of the time" in panels(drawn)[0].get_ylabel()
