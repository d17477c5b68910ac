"""Rows, pixels and words beside each other on networks of blocks of many structures, drawn at random."""

import json

import numpy as np
import pytest

from accelsim.errors import NotModelled
from accelsim.timing.words.run import run
from accelsim.validation.rtl.outcome import ByTokens, ByWords
from accelsim.validation.rtl.predict import SkipDepths
from accelsim.validation.rtl.specs import read_specs
from tests.timing.words.naive import clocked
from tests.validation.chains import LIMITS, MACHINE
from tests.validation.structures import STRUCTURES, drawn

SEEDS = 12
#: Cycles of each run that the clock-stepped model has the time for.
FIRST_CYCLES = 250
BY_WORDS = ByWords(MACHINE.blocks.model_copy(update={"idle_cycles": 2_000}))
BY_PIXELS = ByTokens(MACHINE, MACHINE.blocks, "pixel")


def read(spec, folder):
    path = folder / "specs.jsonl"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return read_specs(path)[spec["key"]]


def errors(ours, theirs):
    return np.abs([ours.intervals[-1] / theirs.intervals[-1] - 1, ours.ends[0] / theirs.ends[0] - 1])


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize("structure", [each for each in STRUCTURES if each != "odd"])
def test_structures_are_told_right_or_not_at_all(structure, registered, tmp_path):
    beyond = []
    for seed in range(SEEDS):
        spec = read(drawn(structure, seed, registered), tmp_path)
        truth = BY_WORDS(spec.chain, spec.frames)
        try:
            found = BY_PIXELS(spec.chain, spec.frames)
        except NotModelled:
            continue
        assert found.deadlock == truth.deadlock, spec.key
        if found.times is not None and (errors(found.times, truth.times) > LIMITS["pixel"]).any():
            beyond.append(spec.key)
    assert len(beyond) <= 1, beyond


@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures_begin_as_clocked(structure, tmp_path):
    for seed in range(2):
        ends = {"p256": 150 + 50 * seed, "seed": 7 + seed}
        spec = drawn(structure, seed, registered=seed == 1, frames=2)
        spec |= {"source": spec["source"] | ends, "sink": spec["sink"] | ends}
        found = run(read(spec, tmp_path).chain, MACHINE.blocks, spec["frames"], traced=True)
        for link, cycles in clocked(spec, FIRST_CYCLES).transfers.items():
            moved = found.trace[link]
            assert moved[moved < FIRST_CYCLES].tolist() == cycles, (spec["key"], link)


@pytest.mark.parametrize("structure", ["in series", "nested", "projected"])
def test_least_depths_of_skips_behind_layers(structure, tmp_path):
    """Depths about the least are tried, not searched for."""
    for seed in range(2):
        given = drawn(structure, seed, frames=2)
        ends = {link for module in given["modules"] if module["kind"] == "join" for link in module["ins"]}
        fifos = [m["name"] for m in given["modules"] if m["kind"] == "fifo" and m["outs"][0] in ends]
        spec = read(given | {"case": "case", "skip_fifos": fifos}, tmp_path)
        for fifo in fifos:
            words, pixels = (SkipDepths(spec, fifo, by, 2) for by in (BY_WORDS, BY_PIXELS))
            least = words.min_depth_no_deadlock
            assert pixels.min_depth_no_deadlock == least, (spec.key, fifo)
            assert least is not None
            tried = range(max(2, int(least) - 3), int(least) + 3)
            assert [words.at(depth).deadlock for depth in tried] == [depth < least for depth in tried]


def chain_of(*modules, words, given, frames=3):
    source = {"link": "src", "words_per_frame": words, "p256": 256, "seed": 1}
    blocks = [
        {"name": f"{kind}{k}", "kind": kind, "ins": ins.split(), "outs": outs.split(), "params": params}
        for k, (kind, ins, outs, params) in enumerate(modules)
    ]
    return {"key": "one", "frames": frames, "source": source, "modules": blocks} | {
        "sink": source | {"link": "o", "words_per_frame": given}
    }


MATRIX = {"MW": 4, "MH": 4, "SIMD": 1, "PE": 1, "nvec": 6, "core": "mvu_8sx8u_dsp48"}
FLAT = MATRIX | {"MW": 24, "nvec": 1}
SMALL = {"C": 1, "SIMD": 1, "H": 2, "W": 3}
ALONE = {
    "a fork, and a join of its branches": chain_of(
        ("fork", "src", "a b", {}), ("join", "a b", "o", {}), words=24, given=24
    ),
    "queues alone between them": chain_of(
        ("fork", "src", "a b", {}),
        ("fifo", "a", "c", {"depth": 4}),
        ("fifo", "b", "d", {"depth": 2}),
        ("join", "c d", "e", {}),
        ("mvu", "e", "o", MATRIX),
        words=24,
        given=24,
    ),
    "a queue as deep as can be": chain_of(("fifo", "src", "o", {"depth": 2**40}), words=24, given=24),
}


@pytest.mark.parametrize("of", ALONE)
def test_small_networks_to_the_cycle(of, tmp_path):
    spec = read(ALONE[of], tmp_path)
    for found in (by(spec.chain, spec.frames) for by in (BY_PIXELS, ByTokens(MACHINE, MACHINE.blocks, "row"))):
        np.testing.assert_array_equal(found.timed().ends, BY_WORDS(spec.chain, spec.frames).timed().ends)


REFUSED = {
    "takes words otherwise than": chain_of(("mvu", "src", "a", MATRIX), ("mvu", "a", "o", FLAT), words=24, given=4),
    "map of another shape|otherwise than as those of 2x4 pixels": chain_of(
        ("fmpadding", "src", "a", SMALL | {"pads": [0, 0, 0, 1]}),
        ("swg", "a", "o", SMALL | {"H": 4, "W": 2, "KH": 2, "KW": 2, "S": 1}),
        words=6,
        given=12,
    ),
    "a queue of 1 word beside other room": chain_of(
        ("mvu", "src", "a", MATRIX), ("fifo", "a", "o", {"depth": 1}), words=24, given=24
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_pixels_do_not_tell_is_named(why, tmp_path):
    spec = read(REFUSED[why], tmp_path)
    with pytest.raises(NotModelled, match=why):
        BY_PIXELS(spec.chain, spec.frames)


@pytest.mark.parametrize(("structure", "seed"), [("crowded", 54), ("crowded", 56), ("separable", 1)])
def test_where_a_pixel_of_room_decides_pixels_say_no_times(structure, seed, tmp_path):
    """Those that they would say are further off than the limits."""
    spec = read(drawn(structure, seed), tmp_path)
    found = BY_PIXELS(spec.chain, spec.frames)
    assert (found.deadlock, found.times) == (False, None)
    assert "a pixel of room before" in found.why


def test_rows_leave_forks_behind_layers_to_pixels(tmp_path):
    spec = read(drawn("separable", 27), tmp_path)
    with pytest.raises(NotModelled, match="forks behind layers, rows tell too little"):
        ByTokens(MACHINE, MACHINE.blocks, "row")(spec.chain, spec.frames)


def test_traces_end_within_their_room(tmp_path):
    """Windows of nothing but padding run more than a frame ahead of what has come."""
    spec = drawn("odd", 170, frames=1)
    chain = read(spec, tmp_path).chain
    found = run(chain, MACHINE.blocks, 1, drain_cycles=60, traced=True)
    assert any(moved.size == 2 * chain.words[link] for link, moved in found.trace.items())
    expected = clocked(spec, 400).transfers
    for link, moved in found.trace.items():
        assert (np.diff(moved) > 0).all(), link
        shared = min(moved.size, len(expected[link]))
        assert moved[:shared].tolist() == expected[link][:shared], link
