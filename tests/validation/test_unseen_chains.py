"""Rows and pixels beside words on chains that nobody has measured."""

import pytest

from tests.validation.chains import LIMITS, random_chain, scored

CHAINS = 300


@pytest.mark.parametrize("granularity", LIMITS)
def test_random_chains_are_near(granularity):
    """At most one chain in twenty is further off than measured ones may be, and none by a multiple."""
    found = scored(CHAINS, granularity)
    beyond = (found.errors > LIMITS[granularity]).any(axis=1)
    assert len(found.keys) > 0.95 * CHAINS
    assert beyond.mean() <= 0.05, [key for key, far in zip(found.keys, beyond, strict=True) if far]
    assert found.errors.max() < 0.4


def test_all_kinds_of_blocks_are_drawn():
    modules = [module for seed in range(CHAINS) for module in (random_chain(seed) or {"modules": []})["modules"]]
    windows = [module["params"] for module in modules if module["kind"] == "swg"]
    assert {module["kind"] for module in modules} >= {"fmpadding", "swg", "mvu", "vvu", "thresholding", "fifo", "dwc"}
    assert {w["S"] > max(w["KH"], w["KW"]) for w in windows} == {True, False}
    assert {(w["dw"], w["par"]) for w in windows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
