"""Rows and pixels beside words on chains that nobody has measured."""

import pytest

from tests.pages import cells
from tests.validation.chains import LIMITS, TOLD, UNSEEN, random_chain, scored, table

CHAINS = TOLD
#: Of each kind and granularity, the most that may be further off than measured ones, and the fewest that are said.
ALLOWED = {
    ("chains", "pixel"): (0, 295),
    ("chains", "row"): (0, 170),
    ("residual blocks", "pixel"): (0, 200),
    ("residual blocks", "row"): (0, 50),
    ("single blocks", "pixel"): (0, 300),
    ("single blocks", "row"): (0, 300),
}
#: What decides where nothing is said.
REASONS = {
    "pixel": ("registers of the fork",),
    "row": ("take turns within a row", "rows of windows", "words change width before padding"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "granularity"), ALLOWED)
def test_random_specs_are_within_the_limits(kind, granularity):
    found, (beyond, said) = scored(kind, CHAINS, granularity), ALLOWED[kind, granularity]
    assert len(found.beyond(granularity)) <= beyond, found.beyond(granularity)
    assert len(found.keys) >= said
    assert all(any(reason in why for reason in REASONS[granularity]) for why in found.refused.values())


@pytest.mark.slow
@pytest.mark.parametrize("granularity", ["pixel", "row"])
def test_random_residual_blocks_are_stuck_where_words_are(granularity):
    found = scored("residual blocks", CHAINS, granularity)
    assert found.deadlocks > 30
    assert found.wrong == ()


@pytest.mark.slow
def test_the_errors_on_unseen_runs_are_those_in_the_readme():
    for of, quantity, by, *figures in table():
        assert cells(of, quantity, by) == figures
    for by in LIMITS:
        worst = [scored(kind, TOLD, by).errors.max(axis=0) for kind in UNSEEN]
        assert cells(by)[1:3] == [f"{100 * max(errors):.2f} %" for errors in zip(*worst, strict=True)]


def test_all_kinds_of_blocks_are_drawn():
    modules = [module for seed in range(CHAINS) for module in (random_chain(seed) or {"modules": []})["modules"]]
    windows = [module["params"] for module in modules if module["kind"] == "swg"]
    assert {module["kind"] for module in modules} >= {"fmpadding", "swg", "mvu", "vvu", "thresholding", "fifo", "dwc"}
    assert {w["S"] > max(w["KH"], w["KW"]) for w in windows} == {True, False}
    assert {(w["dw"], w["par"]) for w in windows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
