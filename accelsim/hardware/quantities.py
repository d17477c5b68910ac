"""Fields of machine files that may be text with a unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from accelsim.errors import InputError
from accelsim.units import parse_bytes, parse_hertz

#: Largest quantity of any kind: 2^50 bytes, or 10^12 Hz.
MOST_BYTES = 2**50
MOST_HERTZ = 10**12


def _parsed(parse: Callable[[str | int], int]) -> Callable[[object], object]:
    def read(value: object) -> object:
        try:
            return parse(value) if isinstance(value, str) else value
        except InputError as error:
            raise ValueError(str(error)) from None

    return read


def _number_or_text(most: int) -> WithJsonSchema:
    number = {"type": "integer", "exclusiveMinimum": 0, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"type": "string"}]})


Hertz = Annotated[int, BeforeValidator(_parsed(parse_hertz)), Field(gt=0, le=MOST_HERTZ), _number_or_text(MOST_HERTZ)]
Bytes = Annotated[int, BeforeValidator(_parsed(parse_bytes)), Field(gt=0, le=MOST_BYTES), _number_or_text(MOST_BYTES)]
