"""What passes the port of a memory over time, from when its requests were served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.simulate import Trace
from accelsim.timing.turns import Turns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Most points at which the bytes that have passed are kept for one memory.
MOST_POINTS = 2**22


class Passed(NamedTuple):
    """Bytes that have passed a port up to each of `cycles`, which ascend; between two they pass evenly."""

    cycles: Ints
    moved_bytes: Floats

    def most_in(self, window_cycles: int) -> int:
        """Most bytes in any window of so many cycles; a window begins or ends where the rate changes."""
        if not self.cycles.size:
            return 0
        starts = np.concatenate([self.cycles, self.cycles - window_cycles])
        moved = self.at(starts + window_cycles) - self.at(starts)
        return round(float(moved.max()))

    def at(self, cycles: Ints) -> Floats:
        """Bytes that have passed by each of `cycles`."""
        total: Floats = np.interp(cycles, self.cycles, self.moved_bytes)
        return total

    def rates(self, bins: int) -> tuple[Ints, Floats]:
        """Bytes a cycle in each of `bins` even spans; the edges of the spans, int64[bins + 1], and float64[bins]."""
        edges = np.linspace(0, int(self.cycles[-1]) if self.cycles.size else 1, bins + 1).astype(np.int64)
        return edges, np.diff(self.at(edges)) / np.maximum(np.diff(edges), 1)


def pipeline_passed(trace: Trace) -> dict[str, Passed]:
    """By memory, over one period of a pipeline; requests of one period may end in the next."""
    requests: dict[str, list[tuple[Ints, Ints, Floats]]] = defaultdict(list)
    for memory, begin, held, moved in _requests(trace, trace.first):
        origin = int(trace.first.min())
        requests[memory].append((begin - origin, held, moved))
    return {memory: _passed(rows) for memory, rows in requests.items()}


def turns_passed(turns: Turns) -> dict[str, Passed]:
    """By memory, over one round of all segments.

    A step that runs several times or for several frames is laid out as its last frame repeated. Weights that are
    waited for come evenly over the wait.
    """
    off_chip = turns.design.accelerator.off_chip_memory
    requests: dict[str, list[tuple[Ints, Ints, Floats]]] = defaultdict(list)
    now = 0
    for turn in turns.turns:
        now += turn.setup_cycles
        for run in turn.runs:
            last, frames = run.trace.completions, len(run.trace.completions)
            shifts = (last - last[-1]).astype(np.int64)
            rows = list(_requests(run.trace, run.trace.first[-1:]))
            for _ in range(run.step.times):
                for memory, begin, held, moved in rows:
                    times = (begin[None, :] + shifts[:, None]).ravel() + now
                    requests[memory].append((np.maximum(times, now), np.tile(held, frames), np.tile(moved, frames)))
                if run.load_cycles and off_chip is not None:
                    wait = np.array([now + run.run_cycles]), np.array([run.load_cycles])
                    requests[off_chip].append((*wait, np.array([float(run.step.load_bytes)])))
                now += run.run_cycles + run.load_cycles
    return {memory: _passed(rows) for memory, rows in requests.items()}


def _requests(trace: Trace, first: NDArray[np.int64]) -> Iterable[tuple[str, Ints, Ints, Floats]]:
    """Memory, start, cycles at the port and bytes of every request of the transfers in a trace."""
    for position, stage in enumerate(trace.design.stages):
        if stage.transfer is None:
            continue
        begin = trace.starts(position, first).ravel()
        held = np.full(begin.size, max(stage.occupancy_cycles, 1), np.int64)
        moved = np.full(begin.size, stage.transfer.moved_bytes * first.shape[0] / begin.size)
        yield stage.transfer.memory, begin, held, moved


def _passed(rows: list[tuple[Ints, Ints, Floats]]) -> Passed:
    begin = np.concatenate([row[0] for row in rows])
    held = np.concatenate([row[1] for row in rows])
    rate = np.concatenate([row[2] for row in rows]) / held
    moments = np.concatenate([begin, begin + held])
    changes = np.concatenate([rate, -rate])
    order = np.argsort(moments, kind="stable")
    cycles, begins = np.unique(moments[order], return_index=True)
    rates = np.cumsum(np.add.reduceat(changes[order], begins))
    moved = np.concatenate([np.zeros(1), np.cumsum(rates[:-1] * np.diff(cycles))])
    return Passed(cycles, moved)


def totals(passed: Mapping[str, Passed]) -> dict[str, float]:
    """Bytes that passed in all, by memory."""
    return {memory: float(one.moved_bytes[-1]) for memory, one in passed.items()}
