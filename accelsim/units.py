"""Text with a unit to an integer, and integer arithmetic shared by every layer.

Inside the project all quantities are integers in the unit their name ends with.
"""

from __future__ import annotations

import re
from fractions import Fraction

from accelsim.errors import InputError

BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
HERTZ = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}

_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+2?)\s*")


def ceil_div(dividend: int, divisor: int) -> int:
    """Smallest integer not below `dividend / divisor`, for a positive divisor."""
    return -(-dividend // divisor)


def divisors(number: int) -> list[int]:
    """All positive divisors of a positive `number`, ascending.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]


def _parse(value: str | int, units: dict[str, int]) -> int:
    if isinstance(value, int):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise InputError(f'"{value}" is not a number followed by a unit (use {", ".join(units)})')
    number, unit = match.groups()
    if unit not in units:
        raise InputError(f"\"{value}\": unknown unit '{unit}' (use {', '.join(units)})")
    exact = Fraction(number) * units[unit]
    if exact.denominator != 1:
        raise InputError(f'"{value}" is not a whole number of {next(iter(units))}')
    return exact.numerator


def parse_bytes(value: str | int) -> int:
    """Bytes from text such as "256 KiB"; an integer is already bytes.

    >>> parse_bytes("1.5 KiB")
    1536
    """
    return _parse(value, BYTES)


def parse_hertz(value: str | int) -> int:
    """Hertz from text such as "400 MHz"; an integer is already hertz."""
    return _parse(value, HERTZ)


def parse_square_millimetres(value: str) -> float:
    """Square millimetres from text such as "2.5 mm2".

    >>> parse_square_millimetres("2.5 mm2")
    2.5
    """
    match = _QUANTITY.fullmatch(value)
    if match is None or match.group(2) != "mm2":
        raise InputError(f'"{value}" is not a number followed by mm2')
    return float(match.group(1))
