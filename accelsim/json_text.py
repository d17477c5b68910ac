"""Objects as JSON text that a person can look through: a line a figure, and in tables a line a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_text(data: Mapping[str, Any]) -> str:
    """`data` as text, always the same for the same. Raises `ValueError` for numbers that JSON does not have.

    >>> print(json_text({"cycles": 12, "work": {"macs": 4}, "stages": [{"name": "a"}, {"name": "b"}]}))
    {
     "cycles": 12,
     "work": {"macs": 4},
     "stages": [
      {"name": "a"},
      {"name": "b"}
     ]
    }
    """
    fields = (f" {json.dumps(name)}: {_field(value)}" for name, value in data.items())
    return "{\n" + ",\n".join(fields) + "\n}" if data else "{}"


def _field(value: Any) -> str:
    """Rows, and what has names, on lines of their own; all else on one."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {_line(row)}" for row in value) + "\n ]"
    if isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
        return "{\n" + ",\n".join(f"  {_line(name)}: {_line(inner)}" for name, inner in value.items()) + "\n }"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
