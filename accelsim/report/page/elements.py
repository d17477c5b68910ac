"""Elements of a page: whatever text is put into them stays text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

from accelsim.report.tables import Table, printable

Child = Element | str | None


def tag(name: str, *children: Child, **attributes: str | float | None) -> Element:
    """An element with text and elements in it; None is left out.

    Attributes are named as in HTML, `class_` for `class` and `-` as `_`. Characters that would steer a browser or a
    reader are written out.
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(key.rstrip("_").replace("_", "-"), printable(str(value)))
    extend(element, children)
    return element


def extend(element: Element, children: Iterable[Child]) -> Element:
    """`element` with more in it."""
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif child is not None and len(element):
            element[-1].tail = (element[-1].tail or "") + printable(child)
        elif child is not None:
            element.text = (element.text or "") + printable(child)
    return element


def html_text(elements: Iterable[Element]) -> str:
    """Elements as HTML."""
    return "\n".join(tostring(element, encoding="unicode", method="html") for element in elements)


def section(title: str, identity: str, *children: Child) -> Element:
    """A part of the page that can be gone to."""
    return tag("section", tag("h2", title), *children, id=identity)


def static_table(table: Table) -> Element:
    """A table of text as it is shown in a terminal."""
    kinds = [None if name.endswith("|") else "number" for name in table.columns]
    heads = [tag("th", name.removesuffix("|"), class_=kind) for name, kind in zip(table.columns, kinds, strict=True)]
    rows = [_row(cells, kinds) for cells in table.rows]
    grid = tag("table", tag("thead", tag("tr", *heads)) if table.has_header else None, tag("tbody", *rows))
    notes = [tag("p", note, class_="note") for note in table.notes]
    return tag("div", tag("h3", table.title), grid if rows else None, *notes, class_="static")


def _row(cells: Sequence[str], kinds: Sequence[str | None]) -> Element:
    return tag("tr", *(tag("td", cell.strip(), class_=kind) for cell, kind in zip(cells, kinds, strict=True)))
