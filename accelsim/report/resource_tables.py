"""FPGA primitives as text."""

from __future__ import annotations

from collections.abc import Callable

from accelsim.report.facts import Fact, Section, Value
from accelsim.report.report import Body
from accelsim.report.resource_rows import ResourceTotal
from accelsim.report.tables import quantity

#: Primitives as text has them.
NAMES = {"dsp": "DSPs", "lut": "LUTs", "bram36": "block RAMs of 36 Kib", "uram": "UltraRAMs"}


def _has_resources(body: Body) -> bool:
    return body.resources is not None


def _device(body: Body) -> Value:
    return None if body.resources is None else body.resources.device


def _used(primitive: str) -> Callable[[Body], Value]:
    return lambda body: None if body.resources is None else _total(body, primitive).used


def _of_device(primitive: str) -> Callable[[Body], str]:
    """What the device has, and for LUTs what the figure lacks."""

    def remark(body: Body) -> str:
        assert body.resources is not None
        total = _total(body, primitive)
        missing = len(body.resources.not_counted) if primitive == "lut" else 0
        lacks = f"at the least: {missing} {'stage is' if missing == 1 else 'stages are'} not counted" if missing else ""
        if total.available is None or total.utilisation is None:
            return lacks
        share = f"{100 * total.utilisation:,.1f} % of {quantity(total.available)}"
        return f"{share}; {lacks}" if lacks else share

    return remark


def _total(body: Body, primitive: str) -> ResourceTotal:
    total: ResourceTotal = getattr(body.resources, primitive)
    return total


RESOURCES = Section(
    "FPGA primitives, estimated before synthesis",
    (
        Fact("device", "", _device, applies=_has_resources),
        *(Fact(name, "", _used(key), _of_device(key), _has_resources) for key, name in NAMES.items()),
    ),
)
