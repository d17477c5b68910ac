"""What segments are chosen for: bytes off chip, energy, or cycles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Literal, get_args

import numpy as np

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.figures import memory_pj_per_byte
from accelsim.mapping.search.option import Option, Options

ObjectiveName = Literal["bytes", "cycles", "energy"]
OBJECTIVES: tuple[str, ...] = get_args(ObjectiveName)

#: What visits cost; of two that cost the same, the second figure decides.
Cost = tuple[float, float]
NOTHING: Cost = (0, 0)
#: The same of one option, or of many.
Costs = tuple[Any, Any]


@dataclass(frozen=True)
class Prices:
    """Bytes at the port of each memory, each at its price."""

    accelerator: Accelerator
    frames: int
    by_memory: dict[str, float]

    def of(self, option: Option | Options, read_homes: Sequence[str], written_homes: Sequence[str]) -> Costs:
        """What a visit costs that runs `option` with its maps in these memories; then pipelines started."""
        price, away = self.by_memory, self.by_memory[_off_chip(self.accelerator)]
        maps: list[tuple[Any, str]] = [*zip(option.read_bytes, read_homes, strict=True)]
        maps += zip(option.written_bytes, written_homes, strict=True)
        moved: Any = sum(n * price[home] for n, home in maps)
        here = price[self.accelerator.local_memory or ""]
        moved += option.partial_bytes * (away + option.sums_stay * (here - away))
        return self.frames * moved + option.weight_bytes * away, option.runs

    def least(self, weight_bytes: int, written_bytes: int, read_bytes: dict[str, int], macs: int) -> float:
        """No visits cost less that load these weights, write so much off chip, and read so much of each memory."""
        moved = written_bytes * self.by_memory[_off_chip(self.accelerator)]
        moved += sum(n * self.by_memory[home] for home, n in read_bytes.items())
        return self.frames * moved + weight_bytes * self.by_memory[_off_chip(self.accelerator)]


@dataclass(frozen=True)
class Time:
    """Cycles in closed form: a visit takes as long as its busiest stage or port, and the loads that nothing hides.

    Every pipeline that starts waits for the first data of its inputs. Weights that load ahead load the port alone.
    """

    accelerator: Accelerator
    frames: int

    @cached_property
    def _rates(self) -> dict[tuple[str, bool], float]:
        """Bytes a cycle of each memory, reading and writing."""
        memories = self.accelerator.memories
        return {
            (name, write): float(m.bytes_per_cycle(write)) for name, m in memories.items() for write in (False, True)
        }

    @cached_property
    def _requester_rates(self) -> dict[tuple[str, bool], float]:
        memories = self.accelerator.memories
        return {
            (name, write): float(m.requester_bytes_per_cycle(write))
            for name, m in memories.items()
            for write in (False, True)
        }

    def of(self, option: Option | Options, read_homes: Sequence[str], written_homes: Sequence[str]) -> Costs:
        """Cycles of a visit that runs `option` with its maps in these memories; then bytes off chip."""
        off_chip, frames = _off_chip(self.accelerator), self.frames
        maps: list[tuple[str, bool, Any]] = [
            (home, False, n) for home, n in zip(read_homes, option.read_bytes, strict=True)
        ]
        maps += [(home, True, n) for home, n in zip(written_homes, option.written_bytes, strict=True)]
        moves: list[tuple[str, bool, Any]] = [(home, write, frames * n) for home, write, n in maps]
        for home, share in ((off_chip, 1 - option.sums_stay), (self.accelerator.local_memory or "", option.sums_stay)):
            moves += [(home, write, frames * share * option.partial_bytes // 2) for write in (False, True)]
        loaded: list[tuple[str, bool, Any]] = [(off_chip, False, option.weight_bytes)]
        waiting = 0 if self.accelerator.weights_ahead else self._cycles(loaded)
        starting = option.runs * max((self.accelerator.memories[home].latency_cycles for home in read_homes), default=0)
        behind = self._cycles(moves + loaded if self.accelerator.weights_ahead else moves)
        running = np.maximum(frames * option.compute_cycles, behind)
        away = sum(n for home, _, n in moves + loaded if home == off_chip)
        return self.accelerator.reconfigure_cycles + running + waiting + starting, away

    def _cycles(self, moves: Sequence[tuple[str, bool, Any]]) -> Any:
        """Cycles of the busiest port, and of whoever moves most through one."""
        ports: dict[tuple[str, bool], Any] = defaultdict(float)
        slowest: list[Any] = []
        for home, write, n in moves:
            ports[home, write and not self.accelerator.memories[home].port.shared] += n / self._rates[home, write]
            slowest.append(n / self._requester_rates[home, write])
        return reduce(np.maximum, [*ports.values(), *slowest], 0.0)

    def least(self, weight_bytes: int, written_bytes: int, read_bytes: dict[str, int], macs: int) -> float:
        """No visits take fewer cycles that do so many multiplications and move so much."""
        off_chip = _off_chip(self.accelerator)
        moves = [(home, False, self.frames * n) for home, n in read_bytes.items()]
        moves += [(off_chip, True, self.frames * written_bytes), (off_chip, False, weight_bytes)]
        ports: dict[tuple[str, bool], float] = defaultdict(float)
        for home, write, n in moves:
            ports[home, write and not self.accelerator.memories[home].port.shared] += n / self._rates[home, write]
        return max(self.frames * macs / self.accelerator.engine.multipliers, *ports.values())


Objective = Prices | Time


def objective_of(name: str, accelerator: Accelerator, frames: int) -> Objective:
    """The objective called `name`. Raises `InputError` for other names, and for energies the machine does not give."""
    if name not in OBJECTIVES:
        raise InputError(f"objective = {name!r}: use {', '.join(OBJECTIVES)}")
    if name == "cycles":
        return Time(accelerator, frames)
    if name == "bytes":
        away = _off_chip(accelerator)
        return Prices(accelerator, frames, {memory: int(memory == away) for memory in accelerator.memories})
    energies = {memory: memory_pj_per_byte(accelerator, memory) for memory in accelerator.memories}
    missing = [f"memories.{memory}.energy_pj_per_byte" for memory, energy in energies.items() if energy is None]
    if missing:
        raise InputError(
            f"objective 'energy' needs a technology, or {', '.join(missing)}, which {accelerator.name} does not give"
        )
    return Prices(accelerator, frames, {memory: float(energy.value) for memory, energy in energies.items() if energy})


def _off_chip(accelerator: Accelerator) -> str:
    assert accelerator.off_chip_memory is not None
    return accelerator.off_chip_memory
