"""Running a chain of blocks, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware.streaming import StreamBlocks
from accelsim.timing.kernels import words as kernel
from accelsim.timing.words.blocks import Row
from accelsim.timing.words.chain import Chain

Ints = NDArray[np.int64]

#: Kinds whose signals depend on others of the same cycle.
_VALID_SETTLED = (kernel.FORK, kernel.JOIN, kernel.WIRE)
_READY_SETTLED = (kernel.SERIAL, kernel.PARALLEL, kernel.FORK, kernel.JOIN, kernel.WIRE)

#: Kinds that keep words.
_HOLDING = (kernel.FIFO, kernel.SERIAL, kernel.PARALLEL)


@dataclass(frozen=True)
class Run:
    """When words moved, in cycles from the first out of reset.

    `begin` and `last`, int64[links, frames], are each frame's first and last transfer on each link, -1 for none.
    `peaks` are the most words in each queue and window. `blocked`, int64[links], are the cycles in which a word was
    offered and not taken. `trace`, where asked for, has every transfer's cycle by link, of up to a frame more: windows
    of nothing but padding may run further ahead. `waiting` are the last valid and ready signals of all links.
    """

    chain: Chain
    frames: int
    cycles: int
    deadlock: bool
    begin: NDArray[np.int64]
    last: NDArray[np.int64]
    blocked: Ints
    peaks: dict[str, int]
    trace: dict[str, Ints]
    waiting: NDArray[np.uint8]

    @cached_property
    def _sinks(self) -> list[int]:
        return [self.chain.link_index[sink.link] for sink in self.chain.sinks]

    @cached_property
    def completions(self) -> Ints:
        """Cycle of each frame's last word at the last of all sinks, int64[frames]."""
        ends: Ints = self.last[self._sinks].max(axis=0)
        return ends

    @property
    def first_output_cycle(self) -> int:
        """Cycle of the first word that a sink took."""
        return int(self.begin[self._sinks, 0].min())

    @property
    def intervals(self) -> Ints:
        """Cycles between the completions of successive frames, int64[frames - 1]."""
        return np.diff(self.completions)


def run(chain: Chain, constants: StreamBlocks, frames: int, drain_cycles: int = 0, traced: bool = False) -> Run:
    """Clocks `chain` until every sink has `frames` frames and every source is empty, and `drain_cycles` more."""
    machine = Machine(chain, constants, frames, traced)
    machine.go_on(frames, drain_cycles=drain_cycles)
    return machine.result()


class Machine:
    """A chain in the middle of a run; the only thing here that changes."""

    def __init__(self, chain: Chain, constants: StreamBlocks, frames: int, traced: bool = False) -> None:
        self.chain, self.constants, self.frames = chain, constants, frames
        self.rows = [placed.block.row(constants) for placed in chain.blocks]
        self.arrays = _arrays(chain, self.rows)
        self.registers = _registers(chain, self.rows, self.arrays.ring_at, frames)
        self.record = _record(chain, frames, traced)
        self.stuck = False

    def go_on(self, frames: int, emptied: bool = True, drain_cycles: int = 0) -> bool:
        """Runs until every sink has had `frames` frames in all; False where it is stuck before.

        Where `emptied`, every source must have given its last word too; `drain_cycles` more are run then.
        """
        wanted = _ints(frames * self.chain.words[sink.link] for sink in self.chain.sinks)
        status = kernel.run(
            self.arrays,
            self.registers,
            self.record,
            wanted,
            emptied,
            drain_cycles,
            self.constants.idle_cycles,
            2**62,
        )
        served = self.record.counts[self.arrays.sink_link] >= wanted
        self.stuck = status == kernel.STUCK and not bool(served.all())
        return not self.stuck

    @property
    def cycle(self) -> int:
        return int(self.registers.clock[0])

    def result(self) -> Run:
        """What has been recorded so far."""
        record, links = self.record, list(self.chain.words)
        peaks = {
            placed.name: int(self.registers.state[position, kernel.MOST_HELD])
            for position, (placed, row) in enumerate(zip(self.chain.blocks, self.rows, strict=True))
            if row.kind in _HOLDING
        }
        trace = {
            link: record.trace[record.trace_at[k] : min(record.trace_at[k] + record.counts[k], record.trace_at[k + 1])]
            for k, link in enumerate(links)
            if record.trace.size
        }
        return Run(
            chain=self.chain,
            frames=self.frames,
            cycles=self.cycle,
            deadlock=self.stuck,
            begin=record.begin,
            last=record.last,
            blocked=record.blocked,
            peaks=peaks,
            trace=trace,
            waiting=np.stack([self.registers.valid, self.registers.ready]),
        )


def _arrays(chain: Chain, rows: Sequence[Row]) -> kernel.Chain:
    index = chain.link_index
    kinds = [row.kind for row in rows]
    parameters = np.zeros((len(rows), kernel.PARAMETERS), np.int64)
    for position, row in enumerate(rows):
        for column, value in row.parameters.items():
            parameters[position, column] = value
    settled = [position for position, kind in enumerate(kinds) if kind in _VALID_SETTLED]
    backwards = [position for position, kind in reversed(list(enumerate(kinds))) if kind in _READY_SETTLED]
    return kernel.Chain(
        kind=_ints(kinds),
        parameters=parameters,
        ring_at=_starts(row.ring for row in rows),
        in_at=_starts(len(placed.ins) for placed in chain.blocks),
        ins=_ints(index[link] for placed in chain.blocks for link in placed.ins),
        out_at=_starts(len(placed.outs) for placed in chain.blocks),
        outs=_ints(index[link] for placed in chain.blocks for link in placed.outs),
        valid_blocks=_ints(settled),
        ready_blocks=_ints(backwards),
        words=_ints(chain.words.values()),
        source_link=_ints(index[source.link] for source in chain.sources),
        source_chance=_ints(source.chance for source in chain.sources),
        source_pace=_ints(source.pace_cycles for source in chain.sources),
        sink_link=_ints(index[sink.link] for sink in chain.sinks),
        sink_chance=_ints(sink.chance for sink in chain.sinks),
    )


def _registers(chain: Chain, rows: Sequence[Row], ring_at: Ints, frames: int) -> kernel.Registers:
    state = np.zeros((len(rows), kernel.REGISTERS), np.int64)
    for position, row in enumerate(rows):
        for column, value in row.registers.items():
            state[position, column] = value
    links, sources = len(chain.words), len(chain.sources)
    return kernel.Registers(
        state=state,
        rings=np.zeros(int(ring_at[-1]), np.uint8),
        valid=np.zeros(links, np.uint8),
        ready=np.zeros(links, np.uint8),
        clock=np.zeros(2, np.int64),
        source_draw=_ints(source.seed for source in chain.sources),
        source_offers=np.zeros(sources, np.int64),
        source_left=_ints(frames * chain.words[source.link] for source in chain.sources),
        source_sent=np.zeros(sources, np.int64),
        sink_draw=_ints(sink.seed for sink in chain.sinks),
    )


def _record(chain: Chain, frames: int, traced: bool) -> kernel.Record:
    links = len(chain.words)
    words = _ints(chain.words.values())
    # padding for a frame that never comes may follow the last
    room = [(frames + 1) * int(count) if traced else 0 for count in words]
    trace_at = _starts(room)
    return kernel.Record(
        counts=np.zeros(links, np.int64),
        begin=np.full((links, frames), -1, np.int64),
        last=np.full((links, frames), -1, np.int64),
        left=words.copy(),
        frame=np.zeros(links, np.int64),
        blocked=np.zeros(links, np.int64),
        frozen=np.zeros(len(chain.blocks), np.int64),
        trace_at=trace_at,
        trace=np.zeros(int(trace_at[-1]), np.int64),
    )


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _starts(counts: Iterable[int]) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(_ints(counts))])
