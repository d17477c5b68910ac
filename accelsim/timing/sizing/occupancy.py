"""A total that no buffers at a pace are below, from what they hold on average.

A buffer of c tokens has the slot of token k free when token k + c takes it. Summed over a frame's tokens that says
that c times the pace is at least the time for which slots are taken, all together: no buffer holds more on average
than it has room for. Times that keep to the pipeline's constraints, and the least sum of sizes above these
averages, are a linear program. So that it stays small, only some firings of each stage have times of their own; those
between are bounded by their neighbours, which makes the program no stricter.
"""

from __future__ import annotations

from collections.abc import Sequence

import highspy
import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.sizing.buffers import Buffer
from accelsim.timing.sizing.cover import Line
from accelsim.timing.sizing.solver import is_solved, new_solver

Ints = NDArray[np.int64]

#: Firings of a stage that have times of their own at most.
SAMPLES = 16
#: What the solver's tolerance may be worth, as a share of the total.
TOLERANCE = 1e-6


def occupancy_bound(pipeline: Pipeline, pace: int, buffers: Sequence[Buffer], lines: Sequence[Line]) -> int:
    """Elements that `buffers` do not come to less than at this pace; 0 where the solver finds no answer.

    They need their bounds at least, and keep to `lines`.
    """
    program = _Program(pipeline, pace)
    for stage in range(pipeline.firings.size):
        program.keep_order(stage)
    for edge in range(pipeline.producer.size):
        program.wait_for_input(edge)
    tokens = {buffer.number: program.add_buffer(buffer) for buffer in buffers}
    for line in lines:
        columns = np.array([[tokens[line.first], tokens[line.second]]])
        program.add(columns, np.array([[line.of_first, line.of_second]]), np.array([line.least]))
    return int(program.least() * (1 - TOLERANCE))


class _Samples:
    """The firings of a stage that have times of their own, and how the others hang on them."""

    def __init__(self, p: Pipeline, stage: int, begin: int) -> None:
        firings = int(p.firings[stage])
        self.firing = np.unique(np.linspace(0, firings - 1, min(firings, SAMPLES)).astype(np.int64))
        self.start = begin + np.arange(self.firing.size)
        self.end = self.start + self.firing.size
        self.interval, self.together = int(p.interval[stage]), int(p.together[stage])

    def before(self, firing: Ints) -> tuple[Ints, Ints]:
        """The sample at or before each firing, and the cycles that lie between them at least."""
        sample = np.searchsorted(self.firing, firing, side="right") - 1
        return sample, self.between(self.firing[sample], firing)

    def after(self, firing: Ints) -> tuple[Ints, Ints]:
        """The sample at or after each firing, and the cycles that lie between them at least."""
        sample = np.searchsorted(self.firing, firing)
        return sample, self.between(firing, self.firing[sample])

    def between(self, earlier: Ints, later: Ints) -> Ints:
        """Least cycles from start to start, or from end to end."""
        return (later // self.together - earlier // self.together) * self.interval


class _Program:
    """Rows `sum(values * columns) >= least` over starts and ends of samples, then sizes of buffers."""

    def __init__(self, p: Pipeline, pace: int) -> None:
        self.p, self.pace = p, pace
        self.samples: list[_Samples] = []
        for stage in range(p.firings.size):
            self.samples.append(_Samples(p, stage, int(self.samples[-1].end[-1]) + 1 if self.samples else 0))
        self.times = int(self.samples[-1].end[-1]) + 1
        self.costs: list[int] = []
        self.bounds: list[int] = []
        self.columns: list[Ints] = []
        self.values: list[Ints] = []
        self.lengths: list[int] = []
        self.least_of: list[Ints] = []

    def add(self, columns: Ints, values: Ints, least: Ints) -> None:
        """Rows int64[rows, terms]."""
        self.columns.append(columns.ravel())
        self.values.append(np.broadcast_to(values, columns.shape).ravel())
        self.lengths += [columns.shape[1]] * columns.shape[0]
        self.least_of.append(least)

    def after(self, later: Ints, earlier: Ints, cycles: Ints) -> None:
        """Rows that hold columns `later` at least so many cycles after columns `earlier`."""
        self.add(np.stack([later, earlier], axis=1), np.array([[1, -1]]), cycles)

    def keep_order(self, stage: int) -> None:
        """A firing takes its interval, firings follow each other, and frames do."""
        s = self.samples[stage]
        self.after(s.end, s.start, np.full(s.start.size, s.interval))
        between = s.between(s.firing[:-1], s.firing[1:])
        self.after(s.start[1:], s.start[:-1], between)
        apart = np.flatnonzero(between > 0)
        self.after(s.start[apart + 1], s.end[apart], between[apart] - s.interval)
        self.after(s.start[:1], s.end[-1:], np.array([-self.pace]))

    def wait_for_input(self, edge: int) -> None:
        """A firing starts and ends after what it needs has come."""
        p = self.p
        source, reader = int(p.producer[edge]), int(p.consumer[edge])
        made, read = self.samples[source], self.samples[reader]
        needed = p.need[p.need_at[edge] + read.firing].astype(np.int64)
        waits = np.flatnonzero(needed >= 0)
        sample, cycles = made.before(needed[waits])
        latency, head, lead = int(p.latency[source]), int(p.head[edge]), int(p.lead[edge])
        if head < 0:
            self.after(read.start[waits], made.end[sample], cycles + latency - lead)
        else:
            begun = latency + int(p.first_offset[source]) + head
            self.after(read.start[waits], made.start[sample], cycles + begun - lead)
        self.after(read.end[waits], made.end[sample], cycles + latency + int(p.tail[edge]))

    def add_buffer(self, buffer: Buffer) -> int:
        """A size that is no less than what any of the buffer's edges holds on average; its column."""
        column = self.times + len(self.costs)
        self.costs.append(buffer.elements)
        self.bounds.append(buffer.bound)
        for edge in buffer.edges:
            self._hold(int(edge), column)
        return column

    def _hold(self, edge: int, column: int) -> None:
        p = self.p
        maker, reader = int(p.producer[edge]), int(p.consumer[edge])
        tokens = int(p.tokens[maker])
        made = np.arange(tokens)
        if p.made_at[maker] >= 0:
            made = p.made[p.made_at[maker] : p.made_at[maker] + tokens].astype(np.int64)
        freed = p.freed[p.freed_at[edge] : p.freed_at[edge] + tokens].astype(np.int64)
        taken, ahead = self.samples[maker].after(made)
        ended, late = self.samples[reader].before(freed[freed >= 0])
        left, behind = self.samples[maker].before(made[freed < 0])
        columns = [self.samples[maker].start[taken], self.samples[reader].end[ended], self.samples[maker].end[left]]
        used, places = np.unique(np.concatenate(columns), return_inverse=True)
        signs = np.repeat([1, -1, -1], [part.size for part in columns])
        weights = np.bincount(places, weights=signs, minlength=used.size).astype(np.int64)
        held = int(ahead.sum() + late.sum() + behind.sum() + left.size * p.latency[maker])
        row = np.concatenate([used, [column]])[None]
        self.add(row, np.concatenate([weights, [self.pace]])[None], np.array([held]))

    def least(self) -> float:
        """The least sum of costs times sizes, 0 where the solver finds none."""
        infinity = highspy.kHighsInf
        sizes = len(self.costs)
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = self.times + sizes, len(self.lengths)
        program.col_cost_ = np.concatenate([np.zeros(self.times), self.costs])
        program.col_lower_ = np.concatenate([np.full(self.times, -infinity), self.bounds])
        program.col_upper_ = np.full(self.times + sizes, infinity)
        program.row_lower_ = np.concatenate(self.least_of).astype(np.float64)
        program.row_upper_ = np.full(len(self.lengths), infinity)
        program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        program.a_matrix_.start_ = np.concatenate([[0], np.cumsum(self.lengths)])
        program.a_matrix_.index_ = np.concatenate(self.columns)
        program.a_matrix_.value_ = np.concatenate(self.values).astype(np.float64)
        solver = new_solver(solver="ipm", run_crossover="off")
        solver.passModel(program)
        solver.run()
        if not is_solved(solver):
            return 0.0
        return float(solver.getInfo().objective_function_value)
