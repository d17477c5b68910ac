"""The figures of a page, as SVG that is part of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree.ElementTree import Element, parse

from accelsim.errors import InputError
from accelsim.report.bandwidth import Rates
from accelsim.report.compare import Run
from accelsim.report.page.elements import tag
from accelsim.report.plots.costs import plot_energy, plot_roofline
from accelsim.report.plots.figures import plot_bandwidth, plot_buffers, plot_roles, plot_traffic

#: Elements of a figure's file that are about the file, or would change the look of the page around it.
LEFT_OUT = ("metadata", "style")


class Figure(NamedTuple):
    """A title, and what draws the figure of some runs into a file."""

    title: str
    draw: Callable[[Sequence[Run], Path], None]


FIGURES = (
    Figure("Buffers by role", plot_roles),
    Figure("Buffers by layer", plot_buffers),
    Figure("Traffic off the chip", plot_traffic),
    Figure("Energy by layer", plot_energy),
    Figure("Roofline", plot_roofline),
)


def figures(runs: Sequence[Run], rates: Sequence[tuple[Rates, ...]]) -> list[Element]:
    """Every figure that these runs have; of the others, why there is none."""

    def bandwidth(shown: Sequence[Run], path: Path) -> None:
        plot_bandwidth([(*run, one) for run, one in zip(shown, rates, strict=True)], path)

    wanted = (*FIGURES, Figure("Bandwidth over time", bandwidth))
    return [_figure(figure, runs, f"f{number}") for number, figure in enumerate(wanted)]


def _figure(figure: Figure, runs: Sequence[Run], prefix: str) -> Element:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        try:
            figure.draw(runs, path)
        except InputError as error:
            return tag("p", tag("b", figure.title), f": not drawn. {error}", class_="note")
        drawing = _inlined(parse(path).getroot(), prefix)
    drawing.set("role", "img")
    drawing.set("aria-label", figure.title)
    return tag("figure", tag("figcaption", figure.title), drawing)


def _inlined(root: Element, prefix: str) -> Element:
    """A drawing without what belongs to files alone; its names start with `prefix`, as others have the same."""
    root.tag = _local(root.tag)
    for child in list(root):
        if _local(child.tag) in LEFT_OUT:
            root.remove(child)
        else:
            _inlined(child, prefix)
    attributes = {_local(key): value for key, value in root.attrib.items()}
    root.attrib.clear()
    root.attrib.update({key: _renamed(key, value, prefix) for key, value in attributes.items()})
    return root


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def _renamed(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key == "href":
        return value.replace("#", f"#{prefix}-", 1)
    return re.sub(r"url\(#", f"url(#{prefix}-", value)
