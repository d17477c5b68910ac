"""The ready studies can be run, each of them at its ends."""

from pathlib import Path

import numpy as np
import pytest

import accelsim as acs
from accelsim.sweeps.plan import read_plan
from accelsim.sweeps.screen import passed
from accelsim.sweeps.table import evaluated, framed

STUDIES = sorted((Path(__file__).parents[2] / "workloads/studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_first_and_last_design_are_what_the_study_asks_for(path):
    plan = read_plan(path)
    for point in (0, plan.space.points - 1):
        rows = framed(plan, plan.speeds[-1], evaluated(plan, plan.speeds[-1], np.array([point])))
        assert rows["error"].to_list() == [None]
        assert rows.select(plan.metrics).null_count().sum_horizontal().item() == 0


def test_every_study_goes_by_its_name():
    registered = acs.registered_studies()
    for path in STUDIES:
        assert registered[path.stem].samefile(path)
        assert read_plan(path.stem).fingerprint == read_plan(path).fingerprint


def test_a_screened_study_keeps_something():
    plan = read_plan(next(path for path in STUDIES if path.stem == "million"))
    points = np.arange(0, plan.space.points, 997)
    table = framed(plan, "bounds", evaluated(plan, "bounds", points))
    assert 0 < passed(plan, table).size < points.size / 10
