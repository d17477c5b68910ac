"""What passes the port of a memory over time, from when its requests were served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.simulate import Trace
from accelsim.timing.turns import Turns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Passed(NamedTuple):
    """Bytes of one period that have passed a port up to each of `cycles`, which ascend; between two they pass evenly.

    Every `period_cycles` the same passes again, where a period's last bytes may come in later ones.
    """

    cycles: Ints
    moved_bytes: Floats
    period_cycles: int

    def most_in(self, window_cycles: int) -> int:
        """Most bytes in any window of so many cycles; a window begins or ends where the rate changes."""
        if not self.cycles.size:
            return 0
        periods, rest = divmod(window_cycles, self.period_cycles)
        starts = np.concatenate([self.cycles, self.cycles - rest]) % self.period_cycles
        moved = self._of_all_periods(starts + rest) - self._of_all_periods(starts)
        return round(float(periods * self.moved_bytes[-1] + moved.max()))

    def _of_all_periods(self, cycles: Ints) -> Floats:
        """Bytes by each of `cycles` between 0 and twice the period, less what has passed long before."""
        earliest = -int(self.cycles[-1]) // self.period_cycles
        latest = 2 - int(self.cycles[0]) // self.period_cycles
        shifts = np.arange(earliest, latest + 1) * self.period_cycles
        total: Floats = np.sum([self.at(cycles - shift) for shift in shifts], axis=0)
        return total

    def at(self, cycles: Ints) -> Floats:
        """Bytes that have passed by each of `cycles`."""
        total: Floats = np.interp(cycles, self.cycles, self.moved_bytes)
        return total


def pipeline_passed(trace: Trace) -> dict[str, Passed]:
    """By memory, over one period of a pipeline; requests of one period may end in the next."""
    requests: dict[str, list[tuple[Ints, Ints, Floats]]] = defaultdict(list)
    for memory, begin, held, moved in _requests(trace, trace.first):
        origin = int(trace.first.min())
        requests[memory].append((begin - origin, held, moved))
    return {memory: _passed(rows, trace.period_cycles) for memory, rows in requests.items()}


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
    return {memory: _passed(rows, turns.cycles) for memory, rows in requests.items()}


def _requests(trace: Trace, first: NDArray[np.int64]) -> Iterable[tuple[str, Ints, Ints, Floats]]:
    """Memory, start, cycles at the port and bytes of every request of the transfers in a trace.

    One with a turn of its own, at no port, passes evenly until its next.
    """
    for position, stage in enumerate(trace.design.stages):
        if stage.transfer is None:
            continue
        begin = trace.starts(position, first).ravel()
        held = np.full(begin.size, stage.occupancy_cycles or stage.interval_cycles, np.int64)
        moved = np.full(begin.size, stage.transfer.moved_bytes * first.shape[0] / begin.size)
        yield stage.transfer.memory, begin, held, moved


def _passed(rows: list[tuple[Ints, Ints, Floats]], period_cycles: int) -> Passed:
    begin = np.concatenate([row[0] for row in rows])
    held = np.concatenate([row[1] for row in rows])
    rate = np.concatenate([row[2] for row in rows]) / held
    moments = np.concatenate([begin, begin + held])
    changes = np.concatenate([rate, -rate])
    order = np.argsort(moments, kind="stable")
    cycles, begins = np.unique(moments[order], return_index=True)
    rates = np.cumsum(np.add.reduceat(changes[order], begins))
    moved = np.concatenate([np.zeros(1), np.cumsum(rates[:-1] * np.diff(cycles))])
    return Passed(cycles, moved, period_cycles)
