"""Predicting every figure of `measured.csv` from `specs.jsonl` alone, by running the blocks.

Word by word all can be said. By rows or pixels a run is simulated as the network that it is; figures that such a
simulation does not have are those of the next finer one, and why stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from accelsim.errors import InputError, NotModelled, collected
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.streaming import StreamBlocks
from accelsim.mapping.mapping import Granularity
from accelsim.timing.words.chain import Chain, with_depths
from accelsim.validation.comparison import Comparison, Row, comparison
from accelsim.validation.measured import Figure, read_figures
from accelsim.validation.rtl.outcome import ByTokens, ByWords, Outcome, Simulator, Times, is_steady
from accelsim.validation.rtl.specs import Spec, read_specs

#: Granularities; what one does not tell the next one may.
COARSEST_FIRST: tuple[Granularity, ...] = ("row", "pixel", "word")
#: Words beyond a frame's that make a skip's queue ample.
AMPLE_BEYOND_FRAME = 64

#: Figures of a run that ends, by quantity.
OF_A_RUN: Mapping[str, Callable[[Times], float]] = MappingProxyType(
    {
        "steady_interval": lambda times: float(times.intervals[-1]),
        "mean_interval": lambda times: float(times.intervals.mean()),
        "first_out": lambda times: float(times.first_output_cycle),
        "frame0_cycles": lambda times: float(times.ends[0]),
    }
)
INTERVALS = ("steady_interval", "mean_interval")
OF_A_SKIP = ("min_depth_no_deadlock", "min_depth_full_throughput")
#: Why only words tell the least depth of full throughput.
OF_CYCLES = "which depth is the least of full throughput hangs on single cycles, which are counted word by word only"


def compare_rtl(folder: Path, accelerator: Accelerator, granularity: Granularity = "word") -> Comparison:
    """Every figure of a folder with `specs.jsonl` and `measured.csv` beside what the accelerator's blocks do.

    A figure that `granularity` does not tell is told by the next finer one that does (`Row.by`, `Row.why`). Raises
    `InputError` with everything that is wrong in either file, and where the accelerator has no blocks.
    """
    constants = _blocks(accelerator)
    specs = read_specs(folder / "specs.jsonl")
    figures = read_figures(folder / "measured.csv")
    skips = _skips(specs.values())
    problems = [problem for figure in figures for problem in _problems(figure, specs, skips)]
    if problems:
        raise collected(problems)
    tellers = [
        _Teller(specs, skips, _simulator(accelerator, constants, each), each, constants.fifo.least_depth)
        for each in COARSEST_FIRST[COARSEST_FIRST.index(granularity) :]
    ]
    return comparison(_told(figure, tellers) for figure in figures)


def _simulator(accelerator: Accelerator, constants: StreamBlocks, granularity: Granularity) -> Simulator:
    return ByWords(constants) if granularity == "word" else ByTokens(accelerator, constants, granularity)


def _blocks(accelerator: Accelerator) -> StreamBlocks:
    if accelerator.blocks is None:
        raise InputError(
            f"{accelerator.name} describes no blocks; use fpga-stream, or give the machine a section 'blocks'"
        )
    return accelerator.blocks


class _Skip(NamedTuple):
    """A queue whose least depths are sought, in one of its case's runs."""

    spec: Spec
    fifo: str


def _skips(specs: Iterable[Spec]) -> dict[str, _Skip]:
    """By `<case>:<queue>`, the first run of each case, one with steady ends before those with random ones."""
    found: dict[str, _Skip] = {}
    for spec in sorted(specs, key=lambda spec: not is_steady(spec.chain)):
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
    elif quantity == "deadlock" and figure.measured not in (0, 1):
        yield f"{place}: deadlock of {key} = {figure.measured:g} is neither 0 nor 1"
    elif quantity in INTERVALS and specs[key].frames < 2:
        yield f"{place}: {quantity} of {key} needs two frames, the run has {specs[key].frames}"


def _told(figure: Figure, tellers: Sequence[_Teller]) -> Row:
    """A figure by the first that tells it, and why those before do not."""
    why = None
    for teller in tellers:
        try:
            predicted = teller(figure)
        except NotModelled as error:
            why = why or str(error)
            continue
        return Row(figure.key, figure.quantity, figure.measured, predicted, why=why, by=teller.granularity)
    return Row(figure.key, figure.quantity, figure.measured, None, why=why)


class _Teller:
    """What one granularity says of figures; a call raises `NotModelled` for those it does not have."""

    def __init__(
        self,
        specs: Mapping[str, Spec],
        skips: Mapping[str, _Skip],
        simulated: Simulator,
        granularity: Granularity,
        least_depth: int,
    ) -> None:
        self.granularity = granularity
        self._run = cache(lambda key: simulated(specs[key].chain, specs[key].frames))
        self._depths = cache(lambda key: SkipDepths(*skips[key], simulated, least_depth))

    def __call__(self, figure: Figure) -> float | None:
        if figure.quantity in OF_A_SKIP:
            if figure.quantity == OF_A_SKIP[1] and self.granularity != "word":
                raise NotModelled(OF_CYCLES)
            depth: float | None = getattr(self._depths(figure.key), figure.quantity)
            return depth
        return _figure(self._run(figure.key), figure.quantity)


def _figure(ended: Outcome, quantity: str) -> float | None:
    if quantity == "deadlock":
        return float(ended.deadlock)
    if quantity not in OF_A_RUN:
        return float(ended.peak(quantity.partition(":")[2]))
    return None if ended.deadlock else OF_A_RUN[quantity](ended.timed())


class SkipDepths:
    """Least depths of one skip's queue, the case's other skips ample, by bisection: more depth never hurts."""

    def __init__(self, spec: Spec, fifo: str, simulated: Simulator, least_depth: int) -> None:
        self.spec, self.fifo, self.simulated, self.least_depth = spec, fifo, simulated, least_depth
        self.chain = with_depths(spec.chain, {name: _ample(spec.chain, name) for name in spec.skip_fifos})
        self.ample = _ample(spec.chain, fifo)
        self.runs: dict[int, Outcome] = {}

    def at(self, depth: int) -> Outcome:
        """The run with this queue `depth` words deep."""
        if depth not in self.runs:
            self.runs[depth] = self.simulated(with_depths(self.chain, {self.fifo: depth}), self.spec.frames)
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
        interval = int(self.at(self.ample).timed().intervals[-1])
        return self._least(lambda ended: not ended.deadlock and int(ended.timed().intervals[-1]) == interval)

    def _least(self, does: Callable[[Outcome], bool]) -> float | None:
        if not does(self.at(self.ample)):
            return None
        low, high = self.least_depth, self.ample
        while low < high:
            middle = (low + high) // 2
            if does(self.at(middle)):
                high = middle
            else:
                low = middle + 1
        return float(high)


def _ample(chain: Chain, fifo: str) -> int:
    return chain.words[chain.by_name[fifo].ins[0]] + AMPLE_BEYOND_FRAME
