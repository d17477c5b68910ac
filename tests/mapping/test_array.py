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
