"""Schemas of files that people write say of every field what it means."""

import pytest

from accelsim.cli.schemas import READ, schema


def _without_meaning(node, place, definitions, seen=frozenset()):
    """Dotted names of fields without a description."""
    name = node.get("$ref", "").rpartition("/")[2]
    if name in seen:
        return
    node, seen = definitions.get(name, node), seen | {name} if name else seen
    for key, field in node.get("properties", {}).items():
        meant = field.get("description") or definitions.get(field.get("$ref", "").rpartition("/")[2], {})
        if not meant and "const" not in field:
            yield f"{place}{key}"
        yield from _without_meaning(field, f"{place}{key}.", definitions, seen)
    inner = [part for key in ("anyOf", "oneOf", "allOf") for part in node.get(key, ())]
    inner += [node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
    for part in inner:
        yield from _without_meaning(part, place, definitions, seen)


@pytest.mark.parametrize("kind", READ)
def test_every_field_has_its_meaning(kind):
    found = schema(kind)
    assert list(_without_meaning(found, "", found.get("$defs", {}))) == []
