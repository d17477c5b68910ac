"""Tiles of instructions against the same in plain loops, and on numbers that overflow what lies between."""

import inspect

import numba
import numpy as np
import pytest

from accelsim.arithmetic.kernels import blocked, parts, winograd
from accelsim.arithmetic.kernels.team import new_board
from accelsim.arithmetic.kernels.tiles import (
    PAIRS_256,
    PAIRS_512,
    VNNI_512,
    depthwise_order,
    portable_depthwise_tile,
    portable_tile,
)
from accelsim.arithmetic.operations.fast import NO_ROOM
from accelsim.arithmetic.operations.processor import AVX2, AVX512, AVX512_VNNI, instructions

HELD = {AVX512_VNNI: (VNNI_512, PAIRS_512, PAIRS_256), AVX512: (PAIRS_512, PAIRS_256), AVX2: (PAIRS_256,)}
FORMS = HELD.get(instructions(), ())
needs_instructions = pytest.mark.skipif(
    not FORMS, reason="kernels are interpreted, or this processor has no instructions for products of integers"
)
NO_PADDING = parts.Padding(0, 0, 0, np.uint8(0), np.int32(0), 0, 1)


def run(driver, source, out, starts, offsets, steps, together, words, blocks, bias, cut=(1, 1), seats=1):
    """A layer that copies nothing, with `seats` threads of which only one is there."""
    size = source.itemsize
    plan = blocked.Plan(
        starts * size, offsets * size, words, blocks, np.concatenate([bias, np.zeros(64, np.int32)]),
        np.zeros(256, np.float32), np.zeros(2, np.float32), steps, together, 0, int(offsets.max()) * size, cut,
    )  # fmt: skip
    given = source.view(np.uint8).reshape(1, 1, 1, -1)
    driver(new_board(), seats, given, NO_ROOM, out, tuple(NO_PADDING), tuple(plan))


def operands(form, rng, points, segments, steps, channels, extreme):
    depth, kind = (4, np.uint8) if form.bits == 8 else (2, np.int16)
    size = 40 * points + 40 * segments + steps * depth
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    weight_kind = np.int8 if form.bits == 8 else np.int16
    ends = np.iinfo(weight_kind)
    if extreme:
        source = np.full(size, high, kind)
        weights = rng.choice([ends.min, ends.max], (segments, steps, channels, depth)).astype(weight_kind)
    else:
        source = rng.integers(low, high + 1, size).astype(kind)
        weights = rng.integers(ends.min, ends.max + 1, (segments, steps, channels, depth)).astype(weight_kind)
    bias = rng.integers(-(2**30), 2**30, channels).astype(np.int32)
    return source, weights, bias, np.arange(points) * 7, np.arange(segments) * 11


@needs_instructions
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.instruction)
@pytest.mark.parametrize("points", [1, 7, 20])
@pytest.mark.parametrize("extreme", [False, True])
def test_sums_are_those_of_plain_loops(form, points, extreme):
    rng = np.random.default_rng(points)
    for vectors in set(blocked.WIDTHS[form.lanes]):
        channels, segments, steps = vectors * form.lanes, 3, 5
        source, weights, bias, starts, offsets = operands(form, rng, points, segments, steps, channels, extreme)
        expected = np.empty((points, channels), np.int64)
        portable_tile(source, starts, offsets, steps, weights.shape[-1], weights, bias, expected)
        words = np.ascontiguousarray(weights).reshape(-1).view(np.int32)
        blocks = np.array([[0, channels, vectors, 0, 0]])
        for seats, cut in ((1, (1, 1)), (2, (min(points, 3), 1))):
            out = np.empty((points, channels), np.int32)
            driver = blocked.driver(form, True)
            run(driver, source, out, starts, offsets, steps, 2, words, blocks, bias, cut, seats)
            # Both keep the low 32 bits of what may not fit them.
            assert np.array_equal(out, expected.astype(np.int32))


FAMILIES = [forms for forms in (instructions().byte_channels, instructions().pair_channels) if forms]


@needs_instructions
@pytest.mark.parametrize("forms", FAMILIES, ids=lambda forms: forms[0].instruction)
@pytest.mark.parametrize("points", [1, 4, 9])
@pytest.mark.parametrize("extreme", [False, True])
def test_depthwise_sums_are_those_of_plain_loops(forms, points, extreme):
    rng = np.random.default_rng(points)
    for form in forms:
        channels, taps = form.depth * form.lanes, 8
        source, weights, bias, _, _ = operands(form, rng, points, 1, taps, channels, extreme)
        source, weights = np.resize(source, 300 * points + 400), weights[0, ..., 0]
        starts, offsets = np.arange(points) * 3, np.arange(taps) * 17
        expected = np.empty((points, channels), np.int64)
        portable_depthwise_tile(source, starts, offsets, weights, bias, expected)
        order = depthwise_order(form)
        assert sorted(order) == list(range(channels))
        runs = weights.reshape(taps // form.depth, form.depth, channels)[:, :, order].swapaxes(1, 2)
        words = np.ascontiguousarray(runs).reshape(-1).view(np.int32)
        out = np.empty((points, channels), np.int32)
        driver, blocks = blocked.depthwise_driver(forms, True), np.array([[0, channels, form.lanes, 0, 0]])
        run(driver, source, out, starts, offsets, 0, 1, words, blocks, bias[order])
        # Both keep the low 32 bits of what may not fit them.
        assert np.array_equal(out, expected.astype(np.int32))


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_padded_copy_is_that_of_the_lines_asked_for(kind, repeats):
    rng = np.random.default_rng(1)
    source = rng.integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    around = ((1, 0), (2, 1), (1, 2), (0, 0))
    flip, shift = np.uint8(128), np.int32(0 if kind is np.uint8 else -300)
    moved = ((source ^ flip).astype(np.int64) + shift).astype(kind)
    stored = 5 if repeats == 1 else 16
    whole = np.pad(np.repeat(moved, repeats, axis=-1), around, constant_values=9).reshape(3 * 6, 7, -1)
    for first, last in ((0, 18), (3, 11), (17, 18), (5, 5)):
        room = np.full((3, 6, 7, stored), 77, kind)
        parts.pad(source, room, parts.Padding(1, 2, 1, flip, shift, 9, repeats), first, last)
        expected = np.full((18, 7, stored), 77, kind)
        expected[first:last, ..., : 5 * repeats] = whole[first:last]
        expected[first:last, ..., 5 * repeats :] = 9
        assert np.array_equal(room.reshape(18, 7, stored), expected)


def test_the_plain_loops_are_a_matrix_product():
    rng = np.random.default_rng(0)
    source, weights = rng.integers(-9, 9, 24), rng.integers(-9, 9, (1, 3, 5, 4))
    sums = np.empty((2, 5), np.int64)
    portable_tile(source, np.array([0, 12]), np.array([0]), 3, 4, weights, np.arange(5), sums)
    expected = source.reshape(2, 12) @ weights[0].swapaxes(0, 1).reshape(5, 12).T + np.arange(5)
    assert np.array_equal(sums, expected)


@needs_instructions
def test_kernels_of_different_forms_have_different_names():
    """Those of two processes on disk meet in a third, where the names of their functions are all that links them."""
    drivers = [blocked.driver(form, whole) for form in FORMS for whole in (True, False)]
    drivers += [blocked.depthwise_driver(forms, whole) for forms in FAMILIES for whole in (True, False)]
    drivers += [winograd.driver(PAIRS_256, whole) for whole in (True, False)]
    made = [inspect.getclosurevars(driver).nonlocals for driver in drivers]
    names = [own[name].py_func.__qualname__ for own in made for name in ("alone", "together")]
    inner = [inspect.getclosurevars(own["alone"].py_func).nonlocals["run"] for own in made]
    work = [inspect.getclosurevars(own["together"].py_func).nonlocals["work"] for own in made]
    done = [inspect.getclosurevars(own.py_func).nonlocals["do"] for own in work]
    names += [own.py_func.__qualname__ for own in (*inner, *work, *done)]
    assert len(set(names)) == len(names) == 5 * len(drivers)


def test_interpreted_kernels_use_no_instructions():
    assert not numba.config.DISABLE_JIT or not FORMS
