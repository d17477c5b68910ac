"""What arithmetic and registers take in gates, as multiples of a two-input NAND.

The cells are those of SkyWater's open library sky130_fd_sc_hd (Apache-2.0, repository
google/skywater-pdk-libs-sky130_fd_sc_hd): all are one row high, so that their widths (SIZE in cells/*/*.lef) tell
them apart: nand2_1 1.38 um, and2_1 2.30, mux2_1 4.14, fa_1 and dfxtp_1 7.36.
"""

from __future__ import annotations

from fractions import Fraction

LIBRARY = "sky130_fd_sc_hd"
#: Cell widths in hundredths of a micrometre.
NAND_WIDTH = 138
WIDTHS = {"and": 230, "multiplexer": 414, "full_adder": 736, "flip_flop": 736}
#: Gate equivalents of each cell.
EQUIVALENTS = {cell: Fraction(width, NAND_WIDTH) for cell, width in WIDTHS.items()}


def adder_gates(bits: int) -> Fraction:
    """A ripple-carry adder: a full adder a bit."""
    return bits * EQUIVALENTS["full_adder"]


def selector_gates(bits: int) -> Fraction:
    """The larger (or smaller) of two values: a subtraction, and a multiplexer a bit."""
    return adder_gates(bits) + bits * EQUIVALENTS["multiplexer"]


def register_gates(bits: int) -> Fraction:
    """A register that keeps its value or takes another: a flip-flop and a multiplexer a bit."""
    return bits * (EQUIVALENTS["flip_flop"] + EQUIVALENTS["multiplexer"])


def multiplier_gates(first_bits: int, second_bits: int) -> Fraction:
    """A multiplier of m by n bits: m n ANDs and (m - 1)(n - 1) full adders, its half adders left out."""
    adders = (first_bits - 1) * (second_bits - 1)
    return first_bits * second_bits * EQUIVALENTS["and"] + adders * EQUIVALENTS["full_adder"]
