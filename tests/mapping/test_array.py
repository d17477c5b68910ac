"""Folds on a systolic array, against an array that is clocked register by register and against closed forms."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.hardware.engine import SystolicEngine
from accelsim.mapping.array import Folding
from tests.mapping.naive_array import Fold, held, summed

FLOWS = ("output-stationary", "weight-stationary", "input-stationary")
MODES = ("apart", "overlap")


def array(flow: str, rows: int, columns: int, folds: str = "apart") -> SystolicEngine:
    return SystolicEngine(kind="systolic", rows=rows, columns=columns, dataflow=flow, lanes=4, folds=folds)


def block(matrix: np.ndarray, at: tuple[int, int], rows: int, columns: int) -> np.ndarray:
    """A part of a matrix, with zeros where it has no more."""
    found = np.zeros((rows, columns), int)
    part = matrix[at[0] : at[0] + rows, at[1] : at[1] + columns]
    found[: part.shape[0], : part.shape[1]] = part
    return found


def multiplied(engine: SystolicEngine, inputs: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, int]:
    """`inputs` times `weights` on a clocked array, fold by fold, and the cycles."""
    rows, columns, overlap = engine.rows, engine.columns, engine.folds == "overlap"
    if engine.dataflow == "input-stationary":
        turned = engine.model_copy(update={"dataflow": "weight-stationary"})
        product, cycles = multiplied(turned, weights.T, inputs.T)
        return product.T, cycles
    pixels, taps = inputs.shape
    outputs = weights.shape[1]
    made = np.zeros((ceil(pixels / rows) * rows + taps, ceil(outputs / columns) * columns), int)
    if engine.dataflow == "output-stationary":
        at = [(p, o) for o in range(0, outputs, columns) for p in range(0, pixels, rows)]
        folds = [Fold(block(inputs, (p, 0), rows, taps).T, block(weights, (0, o), taps, columns)) for p, o in at]
        products, cycles = summed(rows, columns, folds, overlap)
        for (p, o), product in zip(at, products, strict=True):
            made[p : p + rows, o : o + columns] += product
    else:
        at = [(t, o) for o in range(0, outputs, columns) for t in range(0, taps, rows)]
        folds = [Fold(block(inputs, (0, t), pixels, rows), block(weights, (t, o), rows, columns)) for t, o in at]
        products, cycles = held(rows, columns, folds, overlap)
        for (_, o), product in zip(at, products, strict=True):
            made[:pixels, o : o + columns] += product
    return made[:pixels, :outputs], cycles


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flow", FLOWS)
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_product_takes_the_cycles_of_a_clocked_array(flow, mode, data):
    size = st.integers(1, 4)
    rows, columns, pixels, taps, outputs = (data.draw(size) for _ in range(5))
    engine = array(flow, rows, columns, mode)
    rng = np.random.default_rng(pixels + 5 * taps + 25 * outputs)
    inputs, weights = rng.integers(-9, 9, (pixels, taps)), rng.integers(-9, 9, (taps, outputs))
    product, cycles = multiplied(engine, inputs, weights)
    assert np.array_equal(product, inputs @ weights)
    assert Folding(engine, pixels, taps, outputs).compute_cycles == cycles


SIZES = st.integers(1, 300)


@given(SIZES, SIZES, SIZES, st.integers(1, 40), st.integers(1, 40), st.sampled_from(MODES), st.integers(1, 9))
def test_inputs_that_stay_are_weights_that_stay_with_roles_swapped(pixels, taps, outputs, rows, columns, mode, groups):
    inputs = Folding(array("input-stationary", rows, columns, mode), pixels, taps, outputs, groups)
    weights = Folding(array("weight-stationary", rows, columns, mode), outputs, taps, pixels, groups)
    assert inputs.compute_cycles == weights.compute_cycles
    assert (inputs.input_reads, inputs.weight_reads) == (weights.weight_reads, weights.input_reads)
    assert inputs.output_writes == weights.output_writes


@given(SIZES, SIZES, SIZES, st.integers(1, 40), st.integers(1, 40), st.sampled_from(FLOWS), st.integers(1, 9))
def test_no_multiplier_does_more_than_a_product_a_cycle(pixels, taps, outputs, rows, columns, flow, groups):
    apart, overlap = (Folding(array(flow, rows, columns, mode), pixels, taps, outputs, groups) for mode in MODES)
    products = groups * pixels * taps * outputs
    assert products <= rows * columns * overlap.compute_cycles
    assert overlap.compute_cycles <= apart.compute_cycles
    assert (overlap.compute_cycles == apart.compute_cycles) == (apart.folds == 1 or _no_gap(apart))
    assert 0 < apart.mapped_share <= 1


def _no_gap(folding: Folding) -> bool:
    """Whether folds that do not overlap follow each other as fast: on an array of 1x1 that loads nothing."""
    engine = folding.engine
    load = 0 if engine.dataflow == "output-stationary" else engine.rows
    return folding.stream + engine.rows + engine.columns - 2 + load == max(folding.stream, engine.rows)
