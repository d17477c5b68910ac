"""All published figures beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from itertools import chain
from pathlib import Path

from accelsim.validation.papers.claims import compare_figures
from accelsim.validation.papers.frames import compare_machines
from accelsim.validation.papers.published import Published, PublishedFigures

#: The figures that come along.
FOLDER = Path(str(resources.files("accelsim.validation") / "data" / "papers"))


def compare_papers(folder: Path | None = None, told: Callable[[str], None] = lambda key: None) -> PublishedFigures:
    """Every published figure that comes along, or every machine of another `folder`.

    `told` hears the key of each figure as it is there. Raises `InputError` for a folder that cannot be read.
    """
    found = []
    for row in _rows(folder):
        told(row.key)
        found.append(row)
    return PublishedFigures(tuple(found))


def _rows(folder: Path | None) -> Iterator[Published]:
    return compare_machines(folder) if folder else chain(compare_machines(FOLDER), compare_figures(FOLDER))
