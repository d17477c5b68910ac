"""The figures of a page, as SVG that is part of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import Element, parse

from accelsim.errors import InputError, NotModelled
from accelsim.report.page.elements import tag
from accelsim.report.plots.bandwidth import bandwidth
from accelsim.report.plots.buffers import buffers, roles
from accelsim.report.plots.drawing import save
from accelsim.report.plots.energy import energy
from accelsim.report.plots.occupancy import occupancy
from accelsim.report.plots.roofline import roofline
from accelsim.report.plots.timeline import timeline
from accelsim.report.plots.traffic import traffic
from accelsim.report.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Elements of a figure's file that are about the file, or would change the look of the page around it.
LEFT_OUT = ("metadata", "style")


class Drawn(NamedTuple):
    """A title, and what draws the figure of some runs."""

    title: str
    draw: Callable[[Mapping[str, Report]], Figure]


FIGURES = (
    Drawn("Buffers by role", roles),
    Drawn("Buffers by layer", buffers),
    Drawn("Buffers over time, the largest", occupancy),
    Drawn("Stages over time", timeline),
    Drawn("Traffic off the chip", traffic),
    Drawn("Bandwidth over time", bandwidth),
    Drawn("Energy by layer", energy),
    Drawn("Roofline", roofline),
)


def figures(runs: Mapping[str, Report]) -> list[Element]:
    """Every figure that these runs have; of the others, why there is none."""
    return [_figure(drawn, runs, f"f{number}") for number, drawn in enumerate(FIGURES)]


def _figure(drawn: Drawn, runs: Mapping[str, Report], prefix: str) -> Element:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        try:
            save(drawn.draw(runs), path)
        except (InputError, NotModelled) as error:
            return tag("p", tag("b", drawn.title), f": not drawn. {error}", class_="note")
        drawing = _inlined(parse(path).getroot(), prefix)
    drawing.set("role", "img")
    drawing.set("aria-label", drawn.title)
    return tag("figure", tag("figcaption", drawn.title), drawing)


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
