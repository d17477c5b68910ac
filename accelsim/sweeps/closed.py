"""Closed forms of many designs at once: what no simulation of a design falls below.

Points that differ only in numbers the forms are made of (multipliers, lanes, clock, rate, bits; memories too, where
nothing waits for them) are looked up together, in the tables of their family; all others are groups of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.cost.energy import has_energy
from accelsim.errors import NotModelled
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.engine import SpatialEngine
from accelsim.hardware.figures import mac_pj, memory_pj_per_byte
from accelsim.mapping.mapper import LONGEST_INTERVAL
from accelsim.mapping.roles import ROLES
from accelsim.sweeps.axes import Column
from accelsim.sweeps.family import Family, family_of, fastest, fewest, mover_cycles, stand_in
from accelsim.sweeps.kernels.moving import slowest_moving
from accelsim.sweeps.metrics import BOUNDS
from accelsim.sweeps.paths import CHOOSING_SEGMENTS, MAPPINGS
from accelsim.sweeps.point import Items, Values, machine, network_items, rewritten, told

Ints = NDArray[np.int64]
Numbers = NDArray[np.float64]
Columns = Mapping[str, Column]

#: Numbers that the forms take as columns, and fields that none depends on.
FREE = frozenset(
    {
        "engine.multipliers", "engine.lanes", "clock", "target_fps", "activation_bits", "weight_bits", "name",
        "engine.mac_latency_cycles", "engine.lane_latency_cycles",
    }
)  # fmt: skip
#: Free too, unless something moves to or from memory.
FREE_WITHOUT_MOVERS = ("memories.", "activation_bits", "weight_bits")
#: Fields of memories on which nothing but the time of movers depends.
OF_TIME = ("port", "latency_cycles", "outstanding", "efficiency", "arbitration")
#: Families, and machines whose movers are known, that a process keeps.
KEPT = 256

NO_MULTIPLIERS = "InfeasibleError: more layers with multiplications than engine.multipliers"
NO_RATE = "InfeasibleError: target_fps takes more multipliers, or lanes, than there are"
#: Doubles are rounded by less: what is told stays below what is meant.
ROUNDED = 1 - 2.0**-40


class Forms(NamedTuple):
    """Columns of closed forms, NaN where there is none, and what went wrong, None where nothing did."""

    columns: dict[str, Numbers]
    errors: NDArray[np.object_]


def closed_forms(fixed: Values, columns: Columns, rows: int) -> Forms:
    """The closed forms of `rows` points, by the names in `BOUNDS`."""
    found = Forms({name: np.full(rows, np.nan) for name in BOUNDS}, np.full(rows, None, object))
    apart = [path for path in columns if path not in FREE and not path.startswith("memories.")]
    for places in groups(columns, apart, np.arange(rows)):
        _fill(found, fixed, columns, places)
    return found


def groups(columns: Columns, apart: Iterable[str], places: Ints) -> list[Ints]:
    """`places` by the values that columns `apart` have there."""
    codes = np.zeros(places.size, np.int64)
    for path in apart:
        kinds, of_kind = _coded(columns[path][places])
        codes = np.unique(codes * kinds + of_kind, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    return [places[part] for part in np.split(order, cuts)] if places.size else []


def _coded(column: Column) -> tuple[int, Ints]:
    """How many distinct values there are, and a number for each by place."""
    if column.dtype != object:
        values, codes = np.unique(column, return_inverse=True)
        return values.size, codes.astype(np.int64)
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(value, len(numbers)) for value in column.tolist()], np.int64)
    return len(numbers), codes


def _fill(found: Forms, fixed: Values, columns: Columns, places: Ints) -> None:
    """The forms of points that differ in numbers alone; where movers wait for memories, those with equal ones each."""
    try:
        group = _group(fixed, columns, places)
    except Exception as error:
        found.errors[places] = told(error)
        return
    apart = [path for path in columns if path.startswith(FREE_WITHOUT_MOVERS) and not group.free_of_memory(path)]
    parts = groups(columns, apart, places)
    for part in parts:
        try:
            forms = (group if len(parts) == 1 else _group(fixed, columns, part)).forms()
        except Exception as error:
            found.errors[part] = told(error)
            continue
        for name, values in forms.columns.items():
            found.columns[name][part] = values
        found.errors[part] = forms.errors


def _group(fixed: Values, columns: Columns, places: Ints) -> _Group:
    first = {path: column[places[:1]].tolist()[0] for path, column in columns.items()}
    return _Group({**fixed, **first}, {path: column[places] for path, column in columns.items()}, places.size)


class _Group:
    """Points with one network, and one machine but for numbers; `values` are those of the first."""

    def __init__(self, values: Values, columns: Columns, size: int) -> None:
        self.values, self.columns, self.size = values, columns, size
        self.machine = machine(values)
        takes_turns = self.machine.engine.kind == "systolic" and bool(self.machine.memories)
        self.mapping = values.get("mapping") or ("layer-by-layer" if takes_turns else "pipeline")
        self.cut = self.mapping in CHOOSING_SEGMENTS
        resident = self.machine.interface == "stream" and self.machine.weights == "resident"
        self.moves = bool(self.machine.memories) and (self.cut or not resident)

    def free_of_memory(self, path: str) -> bool:
        """Whether a field of a memory, or bits, makes no other group."""
        if self.moves:
            return False
        level, _, field = path.removeprefix("memories.").partition(".")
        if field == "size" and level != self.machine.off_chip_memory:
            return bool(self.numbers(path, 0).min() >= self.machine.memories[level].burst)
        return not level or field.partition(".")[0] in OF_TIME

    def numbers(self, path: str, otherwise: float | None) -> Numbers:
        """The values of a path, NaN where there is none."""
        if path in self.columns:
            return self.columns[path].astype(np.float64)
        value = self.values.get(path, otherwise)
        return np.full(self.size, np.nan if value is None else value, np.float64)

    def whole(self, path: str, otherwise: int) -> Ints:
        """The same of a path of whole numbers."""
        return np.asarray(self.columns.get(path, np.full(self.size, otherwise)), np.int64)

    def forms(self) -> Forms:
        if self.mapping not in MAPPINGS:
            raise NotModelled("closed forms of a mapping file; simulate it instead")
        if self.values.get("materialised"):
            raise NotModelled("closed forms of materialised maps; simulate them instead")
        key = network_items(self.values)
        family = _family(key, _timeless(self.machine))
        return self._of_segments(family) if self.cut else self._of_pipeline(key, family)

    def _of_pipeline(self, key: Items, family: Family) -> Forms:
        engine = self.machine.engine
        if not isinstance(engine, SpatialEngine):
            raise NotModelled("closed forms of a pipeline whose layers share an array; simulate it instead")
        budget = self.whole("engine.multipliers", engine.multipliers)
        lanes, place = np.unique(self.whole("engine.lanes", engine.lanes), return_inverse=True)
        floor, inner = slowest_moving(family.moving, lanes)[:, place]
        rate = self.numbers("target_fps", None)
        pace = np.minimum(np.nan_to_num(self.clock / rate), LONGEST_INTERVAL).astype(np.int64)
        asked = ~np.isnan(rate)
        fits, free = fastest(family, budget)
        reached, need, slowest = fewest(family, np.where(asked, pace, np.maximum(free, floor)))
        moved = _movers(key, _timeless(self.machine, bits=True)) if self.moves else 0
        interval = np.maximum(np.where(asked, slowest, free), max(moved, 1))
        interval = np.maximum(interval, inner if self.machine.interface == "memory" else floor)
        if self.machine.source == "paced":
            interval = np.maximum(interval, np.where(asked, pace, 0))
        errors = np.full(self.size, None, object)
        errors[~asked & ~fits] = NO_MULTIPLIERS
        errors[asked & (~reached | (need > budget) | (floor > pace))] = NO_RATE
        columns = {"bounds.interval_cycles": interval, "bounds.multipliers": need}
        columns |= {f"bounds.{role}_elements": np.full(self.size, family.elements.get(role, 0)) for role in ROLES}
        return self._told(family, columns, self._off_chip_bytes(family.maps, family.weights, 1), errors)

    def _of_segments(self, family: Family) -> Forms:
        """Every multiplication takes a multiplier for a cycle, and every byte its time at the off-chip port.

        Where one segment may be all there is, it never leaves the engine, and maps may pass over links of their own.
        """
        engine = self.machine.engine
        off_chip = self.machine.memories[str(self.machine.off_chip_memory)]
        frames = self.values.get("frames_per_visit") or 1
        moved = self._off_chip_bytes(family.crossing, family.weights, frames)
        linked = self.mapping == "fused" and frames == 1 and self.machine.interface == "stream"
        ported = self._off_chip_bytes(family.crossing[:0], family.weights, frames) if linked else moved
        fastest_bytes = max(off_chip.bytes_per_cycle(write=False), off_chip.bytes_per_cycle(write=True))
        ports = 1 if off_chip.port.shared else 2
        worked = family.macs / self.whole("engine.multipliers", engine.multipliers)
        interval = np.maximum(worked, ported / float(fastest_bytes * ports))
        return self._told(
            family,
            {"bounds.interval_cycles": np.maximum(np.ceil(interval * ROUNDED), 1.0)},
            moved,
            np.full(self.size, None, object),
        )

    @property
    def clock(self) -> Numbers:
        return self.numbers("clock", self.machine.clock)

    def _off_chip_bytes(self, elements: Ints, weights: Ints, frames: int) -> Numbers:
        """Network inputs and outputs once a frame, and weights that do not stay once a visit of `frames`."""
        if not self.machine.memories:
            return np.full(self.size, np.nan)
        maps = _bytes(elements, self.whole("activation_bits", self.machine.activation_bits))
        if self.machine.weights == "resident":
            return maps
        return maps + _bytes(weights, self.whole("weight_bits", self.machine.weight_bits)) / frames

    def _picojoules(self, family: Family, moved: Numbers) -> Numbers:
        """Energy of every multiplication and of every byte off chip, by the technology's figures."""
        machine = self.machine
        if not has_energy(machine):
            return np.full(self.size, np.nan)
        byte = memory_pj_per_byte(machine, str(machine.off_chip_memory))
        assert byte is not None
        activation = self.whole("activation_bits", machine.activation_bits)
        weight = self.whole("weight_bits", machine.weight_bits)
        widths, place = np.unique(np.stack([activation, weight], axis=1), axis=0, return_inverse=True)
        macs = [_mac_picojoules(machine, family, int(bits), int(other)) for bits, other in widths]
        return (np.array(macs)[place.ravel()] + moved * float(byte.value)) * ROUNDED

    def _told(
        self, family: Family, columns: dict[str, NDArray[Any]], moved: Numbers, errors: NDArray[np.object_]
    ) -> Forms:
        whole = columns | {
            "bounds.frames_per_second": self.clock / columns["bounds.interval_cycles"],
            "bounds.off_chip_bytes": moved,
            "bounds.energy_pj": self._picojoules(family, moved),
        }
        failed = errors != None  # noqa: E711 - of every cell
        told = {name: np.where(failed, np.nan, values.astype(np.float64)) for name, values in whole.items()}
        return Forms(told, errors)


def _mac_picojoules(machine: Accelerator, family: Family, activation_bits: int, weight_bits: int) -> float:
    wide = machine.model_copy(update={"activation_bits": activation_bits})
    of_weights, of_activations = mac_pj(wide, weight_bits), mac_pj(wide, activation_bits)
    assert of_weights is not None
    assert of_activations is not None
    by_weights, by_activations = family.products
    return float(of_weights.value * by_weights + of_activations.value * by_activations)


def _bytes(elements: Ints, bits: Ints) -> Numbers:
    """Bytes of things of so many `elements`, each rounded up by itself, for each of many `bits`."""
    widths, place = np.unique(bits, return_inverse=True)
    total = (-(-np.multiply.outer(widths, elements) // 8)).sum(axis=1)
    return np.asarray(total[place], np.float64)


def _timeless(machine: Accelerator, bits: bool = False) -> str:
    """A machine as text, with numbers that families (and with `bits`, movers) do not depend on left out."""
    left_out: dict[str, Any] = {"engine": stand_in(), "clock": 1, "name": "-"}
    if not bits:
        left_out |= {"activation_bits": 8, "weight_bits": 8}
    return machine.model_copy(update=left_out).model_dump_json()


@lru_cache(maxsize=KEPT)
def _family(items: Items, machine_text: str) -> Family:
    return family_of(rewritten(dict(items)), Accelerator.model_validate_json(machine_text))


@lru_cache(maxsize=KEPT)
def _movers(items: Items, machine_text: str) -> int:
    return mover_cycles(rewritten(dict(items)), Accelerator.model_validate_json(machine_text))
