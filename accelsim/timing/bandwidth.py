"""What passes the port of a memory over time, from when its requests were served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.causes import from_rest
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


class _Requests(NamedTuple):
    """When requests were served, for how many cycles each, and the bytes of each."""

    begin: Ints
    held: Ints
    moved_bytes: Floats


#: Requests by memory and by what serves one of them at a time: a port, or a requester with a turn of its own.
_Lines = defaultdict[tuple[str, str], list[_Requests]]


def pipeline_passed(trace: Trace) -> dict[str, Passed]:
    """By memory, over one period of a pipeline; requests of one period may end in the next.

    Where there is no steady state only the last frame is known: it counts alone, and never with frames like it.
    """
    lines: _Lines = defaultdict(list)
    origin = int(trace.first.min())
    period = trace.period_cycles
    for line, one in _requests(trace, trace.first):
        lines[line].append(one._replace(begin=one.begin - origin))
        if not trace.steady and one.begin.size:
            period = max(period, int((one.begin + one.held).max()) - origin)
    return _by_memory(lines, period)


def turns_passed(turns: Turns) -> dict[str, Passed]:
    """By memory, over one round of all segments.

    Weights that are waited for come evenly over the wait.
    """
    off_chip = turns.design.accelerator.off_chip_memory
    lines: _Lines = defaultdict(list)
    now = 0
    for turn in turns.turns:
        now += turn.setup_cycles
        for run in turn.runs:
            whole = from_rest(run.trace)
            visit = list(_requests(whole, whole.first))
            for _ in range(run.step.times):
                for line, one in visit:
                    lines[line].append(one._replace(begin=one.begin + now))
                if run.load_cycles and off_chip is not None:
                    begin, held = np.array([now + run.run_cycles]), np.array([run.load_cycles])
                    waited = _Requests(begin, held, np.array([float(run.step.load_bytes)]))
                    lines[off_chip, "weights waited for"].append(waited)
                now += run.run_cycles + run.load_cycles
    served = {line: [_one_by_one(rows)] for line, rows in lines.items()}
    return _by_memory(served, turns.cycles)


def _requests(trace: Trace, first: NDArray[np.int64]) -> Iterable[tuple[tuple[str, str], _Requests]]:
    """Every request of the transfers in a trace; one with a turn of its own passes evenly until its next.

    Pixels that go together are one request.
    """
    for position, stage in enumerate(trace.design.stages):
        if stage.transfer is None:
            continue
        begin = trace.starts(position, first)[:, :: int(trace.pipeline.together[position])].ravel()
        held = np.full(begin.size, stage.occupancy_cycles or stage.interval_cycles, np.int64)
        moved = np.full(begin.size, stage.transfer.moved_bytes * first.shape[0] / begin.size)
        yield (stage.transfer.memory, stage.port or stage.name), _Requests(begin, held, moved)


def _one_by_one(rows: Sequence[_Requests]) -> _Requests:
    """`rows` with each request begun when those before it are through."""
    begin, held, moved = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    order = np.argsort(begin, kind="stable")
    begin, held, moved = begin[order], held[order], moved[order]
    before = np.cumsum(held) - held
    return _Requests(np.maximum.accumulate(begin - before) + before, held, moved)


def _by_memory(lines: Mapping[tuple[str, str], Sequence[_Requests]], period_cycles: int) -> dict[str, Passed]:
    by_memory: dict[str, list[_Requests]] = defaultdict(list)
    for (memory, _), rows in lines.items():
        by_memory[memory] += rows
    return {memory: _passed(rows, period_cycles) for memory, rows in by_memory.items()}


def _passed(rows: Sequence[_Requests], period_cycles: int) -> Passed:
    begin, held, moved = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    rate = moved / held
    moments = np.concatenate([begin, begin + held])
    changes = np.concatenate([rate, -rate])
    order = np.argsort(moments, kind="stable")
    cycles, begins = np.unique(moments[order], return_index=True)
    rates = np.cumsum(np.add.reduceat(changes[order], begins))
    moved_by = np.concatenate([np.zeros(1), np.cumsum(rates[:-1] * np.diff(cycles))])
    return Passed(cycles, moved_by, period_cycles)
