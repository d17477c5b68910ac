"""A systolic array clocked register by register, operands moving a neighbour a cycle; it multiplies real numbers.

Every multiplier has a register that it multiplies with (or sums in) and a second one, through which a column passes
what will stay, or what was made, row by row. The first operand of a fold swaps the two as it goes by.
"""

from itertools import count
from typing import NamedTuple

import numpy as np


class Fold(NamedTuple):
    """A product: what enters from the left, a row of the array a column (T x rows); what stays or enters from above."""

    left: np.ndarray
    other: np.ndarray


class Skewed:
    """An edge of the array: line k gets what was put there k cycles ago."""

    def __init__(self, lines: int) -> None:
        self.past: list = [None] * lines

    def put(self, entering: list | None) -> list:
        self.past = [entering, *self.past[:-1]]
        return [None if one is None else one[k] for k, one in enumerate(self.past)]


class Array:
    """Registers of an array and the wires between neighbours: `moved` maps (name, row, column) to what left there."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.used, self.spare = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
        self.left, self.top = Skewed(rows), Skewed(columns)
        self.moved: dict = {}

    def clock(self, from_left: list | None, from_top: list | None, multiplier) -> None:
        """A cycle: `multiplier` takes place, operand from the left and from above, and says what goes where."""
        left, top, moved = self.left.put(from_left), self.top.put(from_top), {}
        for r, c in np.ndindex(self.rows, self.columns):
            operand = left[r] if c == 0 else self.moved.get(("right", r, c - 1))
            above = top[c] if r == 0 else self.moved.get(("down", r - 1, c))
            for wire, value in multiplier(r, c, operand, above, self.moved).items():
                moved[wire, r, c] = value
        self.moved = moved


def held(rows: int, columns: int, folds: list[Fold], overlap: bool) -> tuple[list[np.ndarray], int]:
    """Products of streams by what stays (rows x columns), and the cycles until the last result is out.

    What stays in the next fold is loaded while one runs (`overlap`), or only when all its results are out.
    """
    array = Array(rows, columns)
    results = [np.zeros((len(fold.left), columns), int) for fold in folds]
    made = [0] * len(folds)

    def multiplier(r, c, operand, load, moved):
        out = {}
        if operand is not None:
            fold, step, value = operand
            if step == 0:
                array.used[r, c] = array.spare[r, c]
            above = moved["sum", r - 1, c] if r else 0
            out |= {"right": operand, "sum": above + value * array.used[r, c]}
            if r == rows - 1:
                results[fold][step, c] = out["sum"]
                made[fold] += 1
        if load is not None:
            out["down"], array.spare[r, c] = array.spare[r, c], load
        return out

    running, step, loaded = -1, 0, 0
    for now in count():
        if all(n == result.size for n, result in zip(made, results, strict=True)):
            return results, now
        if loaded == rows and (running < 0 or step == len(folds[running].left)):
            running, step, loaded = running + 1, 0, 0
        entering = loading = None
        if running >= 0 and step < len(folds[running].left):
            entering = [(running, step, value) for value in folds[running].left[step]]
            step += 1
        is_free = overlap or running < 0 or made[running] == results[running].size
        if is_free and running + 1 < len(folds) and loaded < rows:
            loading = list(folds[running + 1].other[rows - 1 - loaded])
            loaded += 1
        array.clock(entering, loading, multiplier)
    raise AssertionError


def summed(rows: int, columns: int, folds: list[Fold], overlap: bool) -> tuple[list[np.ndarray], int]:
    """Products of streams whose results stay (rows x columns), and the cycles until the last product is added.

    The next operands follow as soon as the spare registers are done with (`overlap`): a fold passes on what they hold
    from before, results or nothing. Else they follow when no operand is left in the array. A stream of nothing
    passes on the last results, in cycles that are not counted.
    """
    array = Array(rows, columns)
    nothing = Fold(np.zeros((1, rows), int), np.zeros((1, columns), int))
    streams = [*folds, nothing]
    emitted = [[[] for _ in range(columns)] for _ in folds]
    added = [0] * len(streams)

    def multiplier(r, c, signal, other, moved):
        if signal is None:
            return {}
        fold, step, value, passes = signal
        out = {"right": signal}
        if value is not None:
            if step == 0:
                array.spare[r, c], array.used[r, c] = array.used[r, c], 0
            array.used[r, c] += value * other
            added[fold] += 1
            out["down"] = other
        if passes:
            out["result"] = array.spare[r, c]
            array.spare[r, c] = moved["result", r - 1, c] if r else 0
            if r == rows - 1 and fold:
                emitted[fold - 1][c].append(out["result"])
        return out

    wanted = [len(stream.left) * rows * columns for stream in streams]
    running, step, cycles = -1, 0, 0
    for now in count():
        if all(len(column) == rows for fold in emitted for column in fold):
            return [np.array(fold).T[::-1] for fold in emitted], cycles
        if added[:-1] != wanted[:-1]:
            cycles = now + 1
        over = running < 0 or step >= max(len(streams[running].left), rows)
        is_free = overlap or running < 0 or added[running] == wanted[running]
        if running < len(folds) and over and is_free:
            running, step = running + 1, 0
        stream, passes = streams[running], step < rows
        has_more = step < len(stream.left)
        values = stream.left[step] if has_more else [None] * rows
        from_left = [(running, step, value, passes) for value in values]
        array.clock(from_left, list(stream.other[step]) if has_more else None, multiplier)
        step += 1
    raise AssertionError
