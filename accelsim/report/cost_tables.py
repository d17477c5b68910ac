"""Energy and area as text: the few figures that say where they go."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.report.cost import Area, Energy
from accelsim.report.facts import Fact, Section, Value, off_chip_name
from accelsim.report.report import Body
from accelsim.report.tables import quantity

PJ_PER_UJ = 10**6

#: Parts of the energy as text has them, with what they are.
PARTS = {
    "of products": (("mac",), "MACs: multiplying and adding up"),
    "of other arithmetic": (("add", "multiply"), "joins, pools, averages and scales"),
    "of weights": (("weight_read", "weight_write"), "read and written in the first memory"),
    "of buffers": (("buffer_read", "buffer_write"), "maps from stage to stage, in the first memory"),
    "of partial sums": (("sum_read", "sum_write"), "between folds of the array, in the first memory"),
    "of leakage": (("leakage",), "over the interval"),
}


def _has_energy(body: Body) -> bool:
    return body.energy is not None


def _of_energy(value: Callable[[Energy, Body], Value]) -> Callable[[Body], Value]:
    return lambda body: None if body.energy is None else value(body.energy, body)


def _of_area(value: Callable[[Area], Value]) -> Callable[[Body], Value]:
    return lambda body: None if body.area is None else value(body.area)


def _through_ports(energy: Energy, body: Body, off_chip: bool) -> float:
    """Microjoules of what passes the ports of the memory off the chip, or of the others."""
    name = off_chip_name(body)
    rows = (row for row in energy.rows if row.part in ("memory_read", "memory_write"))
    return sum(row.energy_pj for row in rows if (row.memory == name) == off_chip) / PJ_PER_UJ


def _part(name: str) -> Fact:
    """Microjoules of a part, where a report has any."""
    parts, meaning = PARTS[name]

    def value(energy: Energy, body: Body) -> Value:
        return sum(getattr(energy.by_part, part) or 0 for part in parts) / PJ_PER_UJ

    def applies(body: Body) -> bool:
        return body.energy is not None and any(getattr(body.energy.by_part, part) for part in parts)

    return Fact(name, "uJ", _of_energy(value), lambda body: meaning, applies)


def _has_on_chip_ports(body: Body) -> bool:
    return body.energy is not None and _through_ports(body.energy, body, off_chip=False) > 0


def _technology(body: Body) -> str:
    return "" if body.energy is None else f"technology {body.energy.technology}"


def _budget(body: Body) -> str:
    budget = _of_area(lambda area: area.budget_mm2)(body)
    cells = "multipliers, adders and memory cells, at the least"
    return f"{cells}; of {quantity(float(budget))} mm2" if isinstance(budget, int | float) else cells


ENERGY = Section(
    "Energy a frame, and area",
    (
        Fact("energy", "uJ", _of_energy(lambda e, b: e.total_pj / PJ_PER_UJ), _technology, _has_energy),
        _part("of products"),
        _part("of other arithmetic"),
        _part("of weights"),
        _part("of buffers"),
        _part("of partial sums"),
        Fact(
            "of ports on chip",
            "uJ",
            _of_energy(lambda e, b: _through_ports(e, b, off_chip=False)),
            lambda b: "maps that lie in memory between segments",
            _has_on_chip_ports,
        ),
        Fact(
            "of traffic off chip",
            "uJ",
            _of_energy(lambda e, b: _through_ports(e, b, off_chip=True)),
            lambda b: f"read and written, {off_chip_name(b)}",
            _has_energy,
        ),
        _part("of leakage"),
        Fact("power", "W", _of_energy(lambda e, b: e.power_watts), lambda b: "energy / interval", _has_energy),
        Fact(
            "area",
            "mm2",
            _of_area(lambda a: a.total_mm2),
            _budget,
            lambda b: b.area is not None,
        ),
    ),
)
