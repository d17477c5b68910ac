"""The timeline's strips hold the time that stages spend."""

import numpy as np
import pytest

from accelsim import plots, simulate
from accelsim.report.plots.timeline import FILLED, MOST_STAGES


@pytest.fixture(scope="module")
def drawn(sized):
    return simulate(sized)


def busy(report):
    return {name: spent[-1].sum() for name, spent in report.history.activity.stages.items()}


def test_strips_are_filled_with_work_as_long_as_it_takes(drawn):
    (panel,) = plots.timeline(drawn).axes
    work = sum(
        float(((patch.get_data().values - patch.get_data().baseline) * np.diff(patch.get_data().edges)).sum())
        for patch in panel.patches
        if patch.get_facecolor()[:3] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    )
    longest = sorted(busy(drawn).values(), reverse=True)
    expected = sum(longest[:MOST_STAGES]) + sum(longest[MOST_STAGES:]) / len(longest[MOST_STAGES:])
    assert abs(work) / FILLED == pytest.approx(expected)


def test_the_rest_of_a_large_network_is_one_strip(drawn):
    (panel,) = plots.timeline(drawn).axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert len(labels) == MOST_STAGES + 1
    assert labels[-1] == f"mean of {len(busy(drawn)) - MOST_STAGES} others"
    assert [name for name in busy(drawn) if name in labels] == labels[:-1]


def test_axes_say_their_units(drawn, turns):
    panels = plots.timeline({"turns": turns, "pipeline": drawn}).axes
    for panel, blank in zip(panels, (True, False), strict=True):
        assert "cycles at" in panel.get_xlabel()
        assert ("a round" if blank else "a period") in panel.get_title(loc="left")
    assert "share of the time; blank: not its turn" in panels[0].get_ylabel()
