"""What a layer's numbers were like when a network was executed, as plain figures that timing and energy can use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from accelsim.errors import InputError


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """Figures of one layer over all frames executed; densities are shares from 0 to 1, None where there are none.

    `least` and `most` are the ends of its outputs as real numbers. `zero_density` is the share of outputs that stand
    for 0, `bit_density` that of ones among the bits of their magnitudes, zero point taken away, at the width of their
    type; real numbers have none. The same for the weights. `sparsity` is the share of multiplications of which an
    operand is 0, padding counted as zeros: what an engine that skips them saves.
    """

    least: float
    most: float
    zero_density: float
    bit_density: float | None = None
    weight_zero_density: float | None = None
    weight_bit_density: float | None = None
    sparsity: float | None = None

    def __post_init__(self) -> None:
        if not (isfinite(self.least) and isfinite(self.most) and self.least <= self.most):
            raise InputError(f"values from {self.least} to {self.most} are no range")
        for name in DENSITIES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{name} = {value} is not from 0 to 1")


#: Fields that are shares.
DENSITIES = tuple(field.name for field in fields(LayerStatistics) if field.name not in ("least", "most"))
