"""Sharing multipliers out over the layers of a pipeline.

Over divisor unrollings a layer with m multipliers takes exactly MACs / m cycles a frame, so what a layer
can do is a list of (multipliers, cycles), falling. For a bound T on all stages each layer needs, on
its own, the first entry with cycles <= T; the sum of these is the least number of multipliers for
T, and it never grows with T. The fastest pipeline for a budget is therefore the smallest T, among
the cycles that occur in any list, whose sum fits: looked up, and optimal because every
pipeline with all stages <= T uses at least that sum.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InfeasibleError
from accelsim.mapping.work import LoopNest
from accelsim.units import divisors

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unroll:
    """Multipliers of a layer along each loop; each divides its loop."""

    inputs: int = 1
    outputs: int = 1
    window: int = 1
    pixels: int = 1

    @property
    def multipliers(self) -> int:
        return self.inputs * self.outputs * self.window * self.pixels


class Folded(NamedTuple):
    """A layer to be given multipliers: its loops and how many pixels it fires for in a frame."""

    nest: LoopNest
    pixels: int

    @property
    def macs(self) -> int:
        return self.nest.macs * self.pixels


@lru_cache(maxsize=4096)
def multiplier_choices(nest: LoopNest) -> tuple[int, ...]:
    """Every number of multipliers that divisor unrollings of `nest` make, ascending."""
    choices: Ints = np.ones(1, np.int64)
    for size in (nest.inputs, nest.outputs, nest.window, nest.pixels):
        choices = np.unique(np.multiply.outer(choices, np.array(divisors(size), np.int64)))
    return tuple(int(m) for m in choices)


@lru_cache(maxsize=4096)
def unroll(nest: LoopNest, multipliers: int) -> Unroll:
    """The unrolling with exactly `multipliers`: most inputs first, then outputs, window, pixels.

    Unrolled inputs need no more accumulators and unrolled outputs share the window, so pixels,
    which widen every port, come last.
    """
    for inputs in reversed(divisors(nest.inputs)):
        for outputs in reversed(divisors(nest.outputs)):
            for window in reversed(divisors(nest.window)):
                pixels, rest = divmod(multipliers, inputs * outputs * window)
                if rest == 0 and pixels > 0 and nest.pixels % pixels == 0:
                    return Unroll(inputs, outputs, window, pixels)
    raise ValueError(f"no divisor unrolling of {nest} has {multipliers} multipliers")


def fewest_multipliers(layers: Mapping[str, Folded], interval_cycles: int) -> dict[str, int]:
    """Least multipliers of each layer with MACs / multipliers <= `interval_cycles`.

    Raises `InfeasibleError` where even full unrolling is too slow.
    """
    return {name: _least(name, folded, interval_cycles) for name, folded in layers.items()}


def _least(name: str, folded: Folded, interval_cycles: int) -> int:
    choices = multiplier_choices(folded.nest)
    needed = -(-folded.macs // interval_cycles)
    position = bisect_left(choices, needed)
    if position < len(choices):
        return choices[position]
    raise InfeasibleError(
        f"{name} needs {needed:,} multipliers for {folded.macs:,} MACs in {interval_cycles:,} cycles, "
        f"full unrolling gives {choices[-1]:,} (short by {needed - choices[-1]:,}); "
        "lower the frame rate or raise the clock"
    )


def fastest_multipliers(layers: Mapping[str, Folded], budget: int, floor_cycles: int = 1) -> dict[str, int]:
    """Multipliers of each layer that make the slowest as fast as `budget` allows; what is left over shortens latency.

    `floor_cycles` is what other stages take anyway: nothing is gained below it.
    Raises `InfeasibleError` where the budget does not give every layer one multiplier.
    """
    if len(layers) > budget:
        raise InfeasibleError(
            f"{len(layers):,} layers need a multiplier each, the engine has {budget:,} "
            f"(short by {len(layers) - budget:,}); raise engine.multipliers"
        )
    chosen = _smallest_interval(layers, {}, budget, floor_cycles)
    return _spend(layers, chosen, budget - sum(chosen.values()))


def extended_multipliers(
    layers: Mapping[str, Folded], known: Mapping[str, int], budget: int, floor_cycles: int
) -> dict[str, int]:
    """`known` multipliers kept, and raised or added to only as far as the smallest interval the budget allows needs.

    Raises `InfeasibleError` where `known` and a multiplier for every other layer are beyond the budget.
    """
    least = sum(known.get(name, 1) for name in layers)
    if least > budget:
        raise InfeasibleError(
            f"the multipliers kept and one for every new layer are {least:,}, the engine has {budget:,} "
            f"(short by {least - budget:,}); raise engine.multipliers"
        )
    return _smallest_interval(layers, known, budget, floor_cycles)


def _smallest_interval(
    layers: Mapping[str, Folded], known: Mapping[str, int], budget: int, floor_cycles: int
) -> dict[str, int]:
    """Those of the least interval, of all that can be, whose multipliers fit."""
    if not layers:
        return {}
    intervals, multipliers = allotments(tuple(layers.values()), tuple(known.get(name, 0) for name in layers))
    place = min(int(np.searchsorted(-multipliers, -budget)), intervals.size - 1)
    fewest = fewest_multipliers(layers, max(int(intervals[place]), floor_cycles))
    return {name: max(known.get(name, 0), count) for name, count in fewest.items()}


@lru_cache(maxsize=64)
def allotments(layers: tuple[Folded, ...], known: tuple[int, ...] = ()) -> tuple[Ints, Ints]:
    """Intervals that can be, ascending, and the fewest multipliers that keep to each; without layers 0 and 0.

    An interval is the frame cycles that some unrolling of some layer has, from the least that full unrolling allows.
    Over divisor unrollings a layer needs, for an interval, the first of its choices whose cycles are no more; where
    `known`, a number for each layer, is more than that, it counts.
    """
    if not layers:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    choices = {layer: np.array(multiplier_choices(layer.nest), np.int64) for layer in set(layers)}
    cycles = {layer: layer.macs // counts for layer, counts in choices.items()}
    least = max(int(each[-1]) for each in cycles.values())
    intervals = np.unique(np.concatenate(list(cycles.values())))
    intervals = intervals[intervals >= least]
    total = np.zeros(intervals.size, np.int64)
    for layer, at_least in zip(layers, known or (0,) * len(layers), strict=True):
        first = cycles[layer].size - np.searchsorted(cycles[layer][::-1], intervals, side="right")
        total += np.maximum(choices[layer][first], at_least)
    intervals.setflags(write=False)
    total.setflags(write=False)
    return intervals, total


def _spend(layers: Mapping[str, Folded], chosen: Mapping[str, int], left: int) -> dict[str, int]:
    """Gives `left` multipliers to the layers whose last row then ends soonest for each multiplier.

    The end of a frame drains through every stage in turn, each adding the time of its last row, so that
    time is what is saved. Ties go to the layer that comes first; a step that does not fit is passed over.
    """
    result = dict(chosen)
    order = {name: position for position, name in enumerate(layers)}
    steps = [step for name in layers if (step := _next_step(layers[name], name, result[name], order))]
    heapify(steps)
    while steps and left > 0:
        step = heappop(steps)
        cost = step.multipliers - result[step.name]
        if cost > left:
            continue
        left -= cost
        result[step.name] = step.multipliers
        following = _next_step(layers[step.name], step.name, step.multipliers, order)
        if following:
            heappush(steps, following)
    return result


class _Step(NamedTuple):
    loss: float
    position: int
    name: str
    multipliers: int


def _next_step(folded: Folded, name: str, multipliers: int, order: Mapping[str, int]) -> _Step | None:
    choices = multiplier_choices(folded.nest)
    position = bisect_right(choices, multipliers)
    if position == len(choices):
        return None
    larger = choices[position]
    row_macs = folded.nest.macs * folded.nest.pixels
    saved_cycles = row_macs / multipliers - row_macs / larger
    return _Step(-saved_cycles / (larger - multipliers), order[name], name, larger)
