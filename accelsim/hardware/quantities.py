"""Fields of machine files that may be text with a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from accelsim.errors import InputError
from accelsim.units import BYTES, HERTZ, parse_bytes, parse_hertz, parse_square_millimetres

#: Largest quantity of any kind: 2^50 bytes, 2^20 of them in a burst, or 10^12 Hz.
MOST_BYTES = 2**50
MOST_BURST = 2**20
MOST_HERTZ = 10**12
MOST_SQUARE_MILLIMETRES = 10**6
#: More characters than any of them needs.
LONGEST_TEXT = 60


def _parsed(parse: Callable[[str], int | float]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"{len(value):,} characters are no number followed by a unit")
        try:
            return parse(value)
        except InputError as error:
            raise ValueError(str(error)) from None

    return read


def _number_or_text(most: int, units: Iterable[str]) -> WithJsonSchema:
    number = {"type": "integer", "exclusiveMinimum": 0, "maximum": most}
    text = {"type": "string", "pattern": rf"^\s*[0-9]+(\.[0-9]+)?\s*({'|'.join(units)})\s*$"}
    return WithJsonSchema({"anyOf": [number, text]})


#: A frequency in Hz.
Hertz = Annotated[
    int, BeforeValidator(_parsed(parse_hertz)), Field(gt=0, le=MOST_HERTZ), _number_or_text(MOST_HERTZ, HERTZ)
]
#: An amount of memory in bytes.
Bytes = Annotated[
    int, BeforeValidator(_parsed(parse_bytes)), Field(gt=0, le=MOST_BYTES), _number_or_text(MOST_BYTES, BYTES)
]
#: An amount in bytes that moves at once.
BurstBytes = Annotated[
    int, BeforeValidator(_parsed(parse_bytes)), Field(gt=0, le=MOST_BURST), _number_or_text(MOST_BURST, BYTES)
]
#: A process node, 45nm or 45 nm.
Node = Annotated[
    str,
    BeforeValidator(lambda value: value.replace(" ", "") if isinstance(value, str) else value),
    Field(pattern=r"^[1-9][0-9]{0,4}nm$"),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[1-9][0-9]{0,4}\s*nm\s*$"}),
]
#: An area in square millimetres.
SquareMillimetres = Annotated[
    float,
    BeforeValidator(_parsed(parse_square_millimetres)),
    Field(gt=0, le=MOST_SQUARE_MILLIMETRES, allow_inf_nan=False),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_SQUARE_MILLIMETRES},
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*mm2\s*$"},
            ]
        }
    ),
]
