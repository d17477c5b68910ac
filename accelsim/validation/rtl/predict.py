"""Predicting every figure of `measured.csv` from `specs.jsonl` alone, by running the blocks.

By rows or pixels a chain of layers is simulated as the network that it is, and only what such a simulation says is
predicted: the steady interval and the first frame of runs whose source and sink are always ready. Chains with forks
are left out there, since what they do hangs on single words in the queue of the skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, NotModelled, collected
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.mapping import Granularity
from accelsim.network.reach import Granularity as TokenGranularity
from accelsim.timing.simulate import schedule
from accelsim.timing.words.blocks import Fork, Join, Tap
from accelsim.timing.words.chain import Chain, with_depths
from accelsim.timing.words.run import Run, run
from accelsim.validation.comparison import Comparison, Row, comparison
from accelsim.validation.measured import Figure, read_figures
from accelsim.validation.rtl.network import raised
from accelsim.validation.rtl.specs import Spec, read_specs

Ints = NDArray[np.int64]

#: Enough for any chain; what a machine has to share out is not what is compared.
MOST_MULTIPLIERS = 10**9
#: Words beyond a frame's that make a skip's queue ample.
AMPLE_BEYOND_FRAME = 64

#: Figures of a run that ends, by quantity.
OF_A_RUN: Mapping[str, Callable[[Run], float]] = MappingProxyType(
    {
        "steady_interval": lambda run: float(run.intervals[-1]),
        "mean_interval": lambda run: float(run.intervals.mean()),
        "first_out": lambda run: float(run.first_output_cycle),
        "frame0_cycles": lambda run: float(run.completions[0] + 1),
    }
)
#: The same, from the cycles after which each frame was through.
OF_TOKENS: Mapping[str, Callable[[Ints], float]] = MappingProxyType(
    {"steady_interval": lambda ends: float(ends[-1] - ends[-2]), "frame0_cycles": lambda ends: float(ends[0])}
)
INTERVALS = ("steady_interval", "mean_interval")
OF_A_SKIP = ("min_depth_no_deadlock", "min_depth_full_throughput")


def compare_rtl(folder: Path, accelerator: Accelerator, granularity: Granularity = "word") -> Comparison:
    """Every figure of a folder with `specs.jsonl` and `measured.csv` beside what the accelerator's blocks do.

    Raises `InputError` with everything that is wrong in either file, and where the accelerator has no blocks.
    """
    constants = _blocks(accelerator)
    specs = read_specs(folder / "specs.jsonl")
    figures = read_figures(folder / "measured.csv")
    skips = _skips(specs.values())
    problems = [problem for figure in figures for problem in _problems(figure, specs, skips)]
    if problems:
        raise collected(problems)
    if granularity == "word":
        return comparison(_predicted(figures, specs, skips, constants))
    return comparison(_by_tokens(figures, specs, accelerator, granularity))


def _blocks(accelerator: Accelerator) -> StreamBlocks:
    if accelerator.blocks is None:
        raise InputError(
            f"{accelerator.name} describes no blocks; use fpga-stream, or give the machine a section 'blocks'"
        )
    return accelerator.blocks


def _by_tokens(
    figures: Iterable[Figure],
    specs: Mapping[str, Spec],
    accelerator: Accelerator,
    granularity: TokenGranularity,
) -> Iterable[Row]:
    ends: dict[str, Ints | None] = {}
    for figure in figures:
        predicted = None
        if figure.quantity in OF_TOKENS:
            if figure.key not in ends:
                ends[figure.key] = token_completions(specs[figure.key], accelerator, granularity)
            ended = ends[figure.key]
            predicted = None if ended is None else OF_TOKENS[figure.quantity](ended)
        yield Row(figure.key, figure.quantity, figure.measured, predicted)


def token_completions(spec: Spec, accelerator: Accelerator, granularity: TokenGranularity) -> Ints | None:
    """Cycles after which each frame of a run was through, by rows or pixels on the accelerator's blocks.

    None where the run is no chain of layers with steady ends.
    """
    forks = any(isinstance(placed.block, Fork | Tap | Join) for placed in spec.chain.blocks)
    if forks or not _steady(spec.chain):
        return None
    engine = accelerator.engine.model_copy(update={"multipliers": MOST_MULTIPLIERS, "window_frames": "streamed"})
    machine = accelerator.model_copy(update={"engine": engine, "fork": "copy"})
    try:
        design = raised(spec.chain, machine, _blocks(accelerator), granularity)
    except (NotModelled, InputError):
        return None
    return schedule(design, granularity, "greedy", spec.frames).completions


def _steady(chain: Chain) -> bool:
    """Whether the source always offers and the sink always takes."""
    return all(end.chance == 256 for end in (*chain.sources, *chain.sinks))


class _Skip(NamedTuple):
    """A queue whose least depths are sought, in one of its case's runs."""

    spec: Spec
    fifo: str


def _skips(specs: Iterable[Spec]) -> dict[str, _Skip]:
    """By `<case>:<queue>`, the first run of each case, one with steady ends before those with random ones."""
    found: dict[str, _Skip] = {}
    for spec in sorted(specs, key=lambda spec: not _steady(spec.chain)):
        for fifo in spec.skip_fifos if spec.case is not None else ():
            found.setdefault(f"{spec.case}:{fifo}", _Skip(spec, fifo))
    return found


def _problems(figure: Figure, specs: Mapping[str, Spec], skips: Mapping[str, _Skip]) -> Iterable[str]:
    place, key, quantity = figure.place, figure.key, figure.quantity
    name, colon, fifo = quantity.partition(":")
    if quantity in OF_A_SKIP:
        if key not in skips:
            yield f"{place}: {key} ({quantity}) is no <case>:<skip fifo> of specs.jsonl"
        elif quantity == OF_A_SKIP[1] and skips[key].spec.frames < 2:
            yield f"{place}: {quantity} of {key} needs two frames, the run has one"
    elif quantity not in ("deadlock", *OF_A_RUN) and (name != "fifo_max" or not colon):
        known = ", ".join(("deadlock", *OF_A_RUN, "fifo_max:<fifo>", *OF_A_SKIP))
        yield f"{place}: quantity '{quantity}' is not known; quantities are {known}"
    elif key not in specs:
        yield f"{place}: {key} ({quantity}) is the key of no run in specs.jsonl"
    elif colon and fifo not in specs[key].chain.fifos:
        there = ", ".join(specs[key].chain.fifos) or "none"
        yield f"{place}: {quantity} of {key}: it has no fifo {fifo}; it has {there}"
    elif quantity in INTERVALS and specs[key].frames < 2:
        yield f"{place}: {quantity} of {key} needs two frames, the run has {specs[key].frames}"


def _predicted(
    figures: Iterable[Figure], specs: Mapping[str, Spec], skips: Mapping[str, _Skip], constants: StreamBlocks
) -> Iterable[Row]:
    runs: dict[str, Run] = {}
    depths: dict[str, SkipDepths] = {}
    for figure in figures:
        if figure.quantity in OF_A_SKIP:
            if figure.key not in depths:
                depths[figure.key] = SkipDepths(*skips[figure.key], constants)
            predicted: float | None = getattr(depths[figure.key], figure.quantity)
        else:
            if figure.key not in runs:
                runs[figure.key] = run(specs[figure.key].chain, constants, specs[figure.key].frames)
            predicted = _figure(runs[figure.key], figure.quantity)
        yield Row(figure.key, figure.quantity, figure.measured, predicted)


def _figure(ended: Run, quantity: str) -> float | None:
    if quantity == "deadlock":
        return float(ended.deadlock)
    if quantity in OF_A_RUN:
        return None if ended.deadlock else OF_A_RUN[quantity](ended)
    return float(ended.peaks[quantity.partition(":")[2]])


class SkipDepths:
    """Least depths of one skip's queue, the case's other skips ample, by bisection: more depth never hurts."""

    def __init__(self, spec: Spec, fifo: str, constants: StreamBlocks) -> None:
        self.spec, self.fifo, self.constants = spec, fifo, constants
        self.chain = with_depths(spec.chain, {name: _ample(spec.chain, name) for name in spec.skip_fifos})
        self.ample = _ample(spec.chain, fifo)
        self.runs: dict[int, Run] = {}

    def at(self, depth: int) -> Run:
        """The run with this queue `depth` words deep."""
        if depth not in self.runs:
            self.runs[depth] = run(with_depths(self.chain, {self.fifo: depth}), self.constants, self.spec.frames)
        return self.runs[depth]

    @cached_property
    def min_depth_no_deadlock(self) -> float | None:
        """The least that every frame gets through with; None where even an ample one does not do."""
        return self._least(lambda ended: not ended.deadlock)

    @cached_property
    def min_depth_full_throughput(self) -> float | None:
        """The least with the interval of an ample one."""
        if self.at(self.ample).deadlock:
            return None
        interval = int(self.at(self.ample).intervals[-1])
        return self._least(lambda ended: not ended.deadlock and int(ended.intervals[-1]) == interval)

    def _least(self, does: Callable[[Run], bool]) -> float | None:
        if not does(self.at(self.ample)):
            return None
        low = self.constants.fifo.least_depth
        high = max(low, self.at(self.ample).peaks[self.fifo])
        if not does(self.at(high)):
            low, high = high + 1, max(high + 1, self.ample)
        while low < high:
            middle = (low + high) // 2
            if does(self.at(middle)):
                high = middle
            else:
                low = middle + 1
        return float(high)


def _ample(chain: Chain, fifo: str) -> int:
    return chain.words[chain.by_name[fifo].ins[0]] + AMPLE_BEYOND_FRAME
