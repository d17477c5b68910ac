"""Rows and pixels beside words on chains that nobody has measured."""

import pytest

from tests.validation.chains import has_room, random_chain, scored, unseen

CHAINS = 300
#: The largest share of random specs that may be further off than measured ones.
BEYOND = {
    ("chains", "pixel"): 0.02,
    ("chains", "row"): 0.05,
    ("residual blocks", "pixel"): 0.2,
    ("residual blocks", "row"): 0.04,
    ("single blocks", "pixel"): 0,
    ("single blocks", "row"): 0,
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "granularity"), BEYOND)
def test_random_specs_are_near(kind, granularity):
    found = scored(kind, CHAINS, granularity)
    beyond = found.beyond(granularity)
    assert len(beyond) <= BEYOND[kind, granularity] * len(found.keys), beyond
    assert found.errors.max() < 0.4
    assert bool(found.refused) == ((kind, granularity) == ("residual blocks", "row"))


@pytest.mark.slow
@pytest.mark.parametrize(("granularity", "wrong"), [("pixel", 0), ("row", 2)])
def test_random_residual_blocks_are_stuck_where_words_are(granularity, wrong):
    found = scored("residual blocks", CHAINS, granularity)
    assert found.deadlocks > 30
    assert len(found.wrong) <= wrong


@pytest.mark.slow
def test_residual_blocks_with_room_are_near_by_pixels():
    """Where the skip's queue has a frame's words, what is left are the layers."""
    specs, found = unseen("residual blocks", CHAINS), scored("residual blocks", CHAINS, "pixel")
    roomy = {key for key, spec in specs.items() if has_room(spec)}
    assert len(roomy) > 30
    assert len(roomy & set(found.beyond("pixel"))) <= 0.08 * len(roomy)


def test_all_kinds_of_blocks_are_drawn():
    modules = [module for seed in range(CHAINS) for module in (random_chain(seed) or {"modules": []})["modules"]]
    windows = [module["params"] for module in modules if module["kind"] == "swg"]
    assert {module["kind"] for module in modules} >= {"fmpadding", "swg", "mvu", "vvu", "thresholding", "fifo", "dwc"}
    assert {w["S"] > max(w["KH"], w["KW"]) for w in windows} == {True, False}
    assert {(w["dw"], w["par"]) for w in windows} == {(0, 0), (0, 1), (1, 0), (1, 1)}
