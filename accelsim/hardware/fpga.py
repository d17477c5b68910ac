"""What multipliers and memories take of an FPGA's primitives.

Facts of the parts: block RAMs of 18 Kib and their aspect ratios, UltraRAMs of 4,096 words of 72 bits (Xilinx UG573,
simple dual port); LUTs that are memory hold 64 bits (UG574); a DSP48E2 multiplies 27 by 18 bits, signed (UG579).
Products that share an operand go into one: two of up to 8 bits (WP486, WP487), four of up to 4 bits (WP521); a
DSP58 sums three products of up to 9 by 8 bits (AM004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from accelsim.units import ceil_div

#: Words and bits of a block RAM of 18 Kib.
BRAM18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
URAM_SHAPE = (4096, 72)
#: Bits of a LUT that is memory.
LUTRAM_WORDS = 64
#: Words up to which a memory is made of LUTs, as FINN does with weights (matrixvectoractivation.py, lut_estimation).
MOST_LUTRAM_WORDS = 128
#: Operands of one multiplication, signed: the wider and the narrower.
DSP_BITS = {"dsp48": (27, 18), "dsp58": (27, 24)}
#: Products with one operand in common that go into one DSP: up to how many bits of both, and how many.
SHARED_PRODUCTS = ((4, 4), (8, 2))
#: Products that a DSP58 sums, and bits of their operands.
DSP58_INPUTS, DSP58_BITS = 3, (9, 8)

Primitive = Literal["lut", "bram18", "uram"]


class Device(BaseModel):
    """An FPGA by what it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="part or card, as reports name it")
    dsp: int = Field(gt=0, le=10**9, description="multipliers: DSP48E2 or DSP58, as blocks.core says")
    bram36: int = Field(gt=0, le=10**9, description="block RAMs of 36 Kib, each of which is two of 18 Kib")
    uram: int = Field(ge=0, le=10**9, description="UltraRAMs of 288 Kib")
    lut: int = Field(gt=0, le=10**9, description="look-up tables of six inputs")


class Ram(NamedTuple):
    """A memory by its words."""

    width_bits: int
    words: int


class Placed(NamedTuple):
    """A memory in primitives of one kind."""

    primitive: Primitive
    number: int


def bram18(width_bits: int, words: int) -> int:
    """Block RAMs of 18 Kib for a memory, in the shape of which it takes fewest."""
    return min(_grid(width_bits, words, shape) for shape in BRAM18_SHAPES)


def uram(width_bits: int, words: int) -> int:
    """UltraRAMs for a memory."""
    return _grid(width_bits, words, URAM_SHAPE)


def lutram(width_bits: int, words: int) -> int:
    """LUTs for a memory, without the logic of its addresses."""
    return width_bits * ceil_div(words, LUTRAM_WORDS)


def _grid(width_bits: int, words: int, shape: tuple[int, int]) -> int:
    return ceil_div(words, shape[0]) * ceil_div(width_bits, shape[1])


def placed(memories: Sequence[Ram], device: Device | None) -> list[Placed]:
    """Every memory's primitives: LUTs for shallow ones, block RAM or UltraRAM for others.

    The largest goes first, each where the fuller of the two kinds is then least full; block RAM without a device.
    """
    blocks, ultra = (2 * device.bram36, device.uram) if device else (1, 0)
    used = {"bram18": 0, "uram": 0}
    found: dict[int, Placed] = {}
    for k in sorted(range(len(memories)), key=lambda k: (-memories[k].width_bits * memories[k].words, k)):
        memory = memories[k]
        if memory.words <= MOST_LUTRAM_WORDS:
            found[k] = Placed("lut", lutram(*memory))
            continue
        first, second = Placed("bram18", bram18(*memory)), Placed("uram", uram(*memory))
        fuller_by_first = max((used["bram18"] + first.number) * ultra, used["uram"] * blocks)
        fuller_by_second = max(used["bram18"] * ultra, (used["uram"] + second.number) * blocks)
        found[k] = second if ultra and fuller_by_second < fuller_by_first else first
        used[found[k].primitive] += found[k].number
    return [found[k] for k in range(len(memories))]


def products_together(weight_bits: int, activation_bits: int) -> int:
    """Products with one operand in common that one DSP48E2 computes."""
    wider = max(weight_bits, activation_bits)
    return next((count for bits, count in SHARED_PRODUCTS if wider <= bits), 1)


def dsps_a_product(core: str, weight_bits: int, activation_bits: int) -> int:
    """DSPs of one product by itself: where operands are cut, all parts but the first are unsigned, a bit narrower."""
    wide, narrow = DSP_BITS[core]
    more, less = max(weight_bits, activation_bits), min(weight_bits, activation_bits)
    first = 1 if more <= wide else 1 + ceil_div(more - wide, wide - 1)
    second = 1 if less <= narrow else 1 + ceil_div(less - narrow, narrow - 1)
    return first * second
