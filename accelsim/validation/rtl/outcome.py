"""What a run of a chain comes to, as each granularity says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import DeadlockError, InputError, NotModelled, NotTimed
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.design import Design, Stage
from accelsim.network.layers import Combine, Convolution
from accelsim.network.reach import Granularity as TokenGranularity
from accelsim.timing.forks import delay_cycles
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.words.blocks import Fifo
from accelsim.timing.words.chain import Chain, with_depths
from accelsim.timing.words.run import run
from accelsim.validation.rtl.margins import undecided
from accelsim.validation.rtl.network import raised

Ints = NDArray[np.int64]

#: Enough for any chain; what a machine has to share out is not what is compared.
MOST_MULTIPLIERS = 10**9
#: Of 256 cycles those in which a steady source offers a word.
ALWAYS = 256
#: What only words tell.
OF_WORDS = "how many words a queue holds is counted word by word only"
OF_DRAWS = "a source or sink that draws when it moves a word is simulated word by word only"


@dataclass(frozen=True)
class Times:
    """When frames were through: `ends`, int64[frames], are the cycles after each's last word left.

    `first_output_cycle` is that of the first word that left.
    """

    ends: Ints
    first_output_cycle: int

    @property
    def intervals(self) -> Ints:
        """Cycles between the ends of successive frames, int64[frames - 1]."""
        return np.diff(self.ends)


@dataclass(frozen=True)
class Outcome:
    """What became of a run: whether it stood still, else its times, and the most words in each queue.

    None is what its granularity does not have; of times it says `why`.
    """

    deadlock: bool
    times: Times | None = None
    peaks: Mapping[str, int] | None = None
    why: str = OF_DRAWS

    def timed(self) -> Times:
        """The times of a run that ended; raises `NotModelled` where only words have them."""
        if self.times is None:
            raise NotModelled(self.why)
        return self.times

    def peak(self, fifo: str) -> int:
        """Most words in a queue; raises `NotModelled` where only words have it."""
        if self.peaks is None:
            raise NotModelled(OF_WORDS)
        return self.peaks[fifo]


class Simulator(Protocol):
    """Runs so many frames of a chain; raises `NotModelled` where its granularity cannot."""

    def __call__(self, chain: Chain, frames: int) -> Outcome: ...


class ByWords:
    """The blocks themselves, on a library's constants."""

    def __init__(self, constants: StreamBlocks) -> None:
        self.constants = constants

    def __call__(self, chain: Chain, frames: int) -> Outcome:
        found = run(chain, self.constants, frames)
        times = None if found.deadlock else Times(found.completions + 1, found.first_output_cycle)
        return Outcome(found.deadlock, times, found.peaks)


class ByTokens:
    """The layers that the blocks are, by rows or pixels on an accelerator that describes them."""

    def __init__(self, accelerator: Accelerator, constants: StreamBlocks, granularity: TokenGranularity) -> None:
        engine = accelerator.engine.model_copy(update={"multipliers": MOST_MULTIPLIERS, "window_frames": "streamed"})
        self.machine = accelerator.model_copy(update={"engine": engine, "fork": "copy"})
        self.constants, self.granularity = constants, granularity

    def __call__(self, chain: Chain, frames: int) -> Outcome:
        if not all(end.chance for end in (*chain.sources, *chain.sinks)):
            raise NotModelled("a source or sink that never moves a word")
        try:
            design = raised(_within_run(chain, frames), self.machine, self.constants, self.granularity)
            trace = self._trace(design, frames)
            refused = undecided(design, self.granularity, frames, None if trace is None else trace.completions)
            if refused is not None:
                raise refused
        except NotTimed as error:
            return Outcome(deadlock=False, why=str(error))
        except InputError as error:
            raise NotModelled(str(error)) from None
        if trace is None:
            return Outcome(deadlock=True)
        if not is_steady(chain):
            # whether words get through does not hang on when they come: it is a Kahn network
            return Outcome(deadlock=False)
        return Outcome(deadlock=False, times=Times(trace.completions, _first_output_cycle(trace, chain)))

    def _trace(self, design: Design, frames: int) -> Trace | None:
        """The simulated design; None where it stands still."""
        try:
            return schedule(design, self.granularity, "greedy", frames)
        except DeadlockError:
            return None


def _within_run(chain: Chain, frames: int) -> Chain:
    """`chain` with queues no deeper than all words of a run, which no queue can hold more of."""
    fifos = [(placed, placed.block) for placed in chain.blocks if isinstance(placed.block, Fifo)]
    return with_depths(
        chain, {placed.name: min(fifo.depth, frames * chain.words[placed.ins[0]] + 1) for placed, fifo in fifos}
    )


def is_steady(chain: Chain) -> bool:
    """Whether the source always offers and the sink always takes."""
    return all(end.chance == ALWAYS for end in (*chain.sources, *chain.sinks))


def _first_output_cycle(trace: Trace, chain: Chain) -> int:
    """Cycle of the first word that left, of the words that the first pixel is."""
    (output,) = trace.design.output_stages
    words = chain.words[chain.sinks[0].link] // trace.design.stage_by_name[output].tensor.pixels
    return _first_word_end(trace, output, words) - 1


def _is_tap_by_tap(stage: Stage) -> bool:
    layer, unroll = stage.group.node.layer, stage.unroll
    return isinstance(layer, Convolution) and unroll is not None and unroll.window < prod(layer.kernel)


def _words(trace: Trace, name: str) -> int:
    """Words of a pixel of a stage that moves one a cycle."""
    return int(trace.pipeline.first_offset[trace.stage_index[name]])


def _first_word_end(trace: Trace, name: str, words: int) -> int:
    """Cycle after which the first of the words that a stage's first pixel is has come.

    A layer that only joins gives it when all that it joins have given theirs, a window tap by tap that nothing
    multiplies when its own has been stored.
    """
    stage, p, position = trace.design.stage_by_name[name], trace.pipeline, trace.stage_index[name]
    producers = [edge.producer for edge in trace.design.edges_to[name]]
    if isinstance(stage.group.node.layer, Combine) and producers:
        firsts = [
            _first_word_end(trace, edge.producer, words) + delay_cycles(trace.design, edge)
            for edge in trace.design.edges_to[name]
        ]
        return stage.latency_cycles + max(firsts)
    if _is_tap_by_tap(stage) and not stage.latency_cycles:
        store_cycles = (trace.design.accelerator.blocks or StreamBlocks()).window.store_cycles
        (entering,) = trace.design.edges_to[name]
        delay = delay_cycles(trace.design, entering)
        return _first_word_end(trace, producers[0], _words(trace, producers[0])) + delay + store_cycles + 1
    first = int(trace.alone_first[p.first_firing[position]])
    offset = int(p.first_offset[position])
    return first - offset + offset // words
