"""A page of one file that tells what some runs say, to be opened without anything else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib import resources
from string import Template
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from accelsim.report.compare import Run, comparison_tables
from accelsim.report.facts import takes_turns
from accelsim.report.page import summary
from accelsim.report.page.data import compared_buffers, data_table, report_data
from accelsim.report.page.elements import html_text, section, static_table, tag
from accelsim.report.page.figures import figures
from accelsim.report.page.graph import graph
from accelsim.report.plots.buffers import ROLE_COLOURS
from accelsim.report.report import Body, Report
from accelsim.report.tables import printable
from accelsim.report.text import MEASURE_MEANINGS, TURNS_MEANINGS, report_tables, title_line


class PageRun(NamedTuple):
    """A run as a page shows it, with the machine as it was used and the versions that it was made with.

    `machine` is what the accelerator's file would say; `versions` are those of packages, by name.
    """

    label: str
    report: Report
    machine: Mapping[str, Any]
    versions: Mapping[str, str]


def page_text(runs: Sequence[PageRun]) -> str:
    """The page as HTML, which asks for nothing from elsewhere; the same runs give the same bytes.

    Raises `InputError` where a report's edges form a circle.
    """
    shown = [Run(run.label, run.report.body) for run in runs]
    title = " and ".join(dict.fromkeys(f"{body.network} on {body.accelerator}" for _, body in shown))
    sections = list(_sections(runs, shown))
    links = [tag("a", part[0].text, href=f"#{part.get('id')}") for part in sections]
    content = [
        tag("header", tag("h1", title), *(tag("p", told, class_="note") for told in _subtitles(shown))),
        tag("nav", tag("div", *links)),
        tag("main", *sections, class_="several" if len(runs) > 1 else None),
    ]
    script = _part("page.js")
    return Template(_part("page.html")).substitute(
        title=escape(printable(title)),
        style=_part("page.css"),
        script=script,
        script_hash=f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}",
        content=html_text(content),
    )


def _part(name: str) -> str:
    return (resources.files("accelsim.report.page") / name).read_text(encoding="utf-8")


def _subtitles(runs: Sequence[Run]) -> list[str]:
    """How each run was simulated, once where all were alike."""
    titles = {run.label: title_line(run.body) for run in runs}
    if len(set(titles.values())) == 1:
        return [title_line(runs[0].body)]
    return [f"{label}: {title}" for label, title in titles.items()]


def _sections(runs: Sequence[PageRun], shown: Sequence[Run]) -> Iterator[Element]:
    yield section("Summary", "summary", *_summary(shown))
    if len(runs) > 1:
        tables = [static_table(table) for table in comparison_tables(shown) if table.rows]
        together = compared_buffers(shown)
        yield section("Side by side", "comparison", together, tag("div", *tables, class_="columns"))
    yield section("Figures", "figures", *figures({run.label: run.report for run in runs}))
    yield section("Network", "network", *_each(shown, _network))
    yield section("Tables", "tables", *_each(shown, lambda run: tag("div", *report_data(run.body))))
    yield section("Report", "report", *_each(shown, _report))
    yield section("Assumptions", "assumptions", *_assumptions(shown), *_machines(runs), _versions(runs))


def _summary(runs: Sequence[Run]) -> Iterator[Element]:
    warnings = dict.fromkeys(_attributed(runs, lambda body: body.warnings))
    if warnings:
        yield tag("div", tag("b", "Warnings"), tag("ul", *(tag("li", text) for text in warnings)), class_="warnings")
    yield summary.headlines(runs)
    yield from _each(runs, _told)


def _told(run: Run) -> Element:
    return tag(
        "div",
        tag("h3", "What sets the pace"),
        summary.pace(run),
        tag("h3", "What waits on what: stages whose waiting idles most multipliers"),
        summary.waiting(run),
        tag("h3", "The largest buffers, and why"),
        summary.largest_buffers(run),
    )


def _each(runs: Sequence[Run], part: Callable[[Run], Element]) -> Iterator[Element]:
    """A part of every run; where there are several, one at a time with buttons to choose it."""
    if len(runs) == 1:
        yield part(runs[0])
        return
    yield tag("div", *(tag("button", run.label, data_choose=run.label) for run in runs), class_="tools")
    for run in runs:
        yield tag("div", part(run), data_run=run.label)


def _network(run: Run) -> Element:
    """The graph of a run with what moves it."""
    used = [role for role, row in run.body.buffering.items() if row.edges]
    roles = (
        tag("button", tag("i", style=f"background:{ROLE_COLOURS[role]}"), role, data_fade=role, aria_pressed="true")
        for role in used
    )
    buttons = {"nearer": "+", "farther": "-", "width": "fit width", "whole": "fit height", "slow": "busiest stage"}
    return tag(
        "div",
        tag("p", "A line is a buffer: its colour is why it is there, its thickness grows with what it holds at its "
            "peak; the largest are labelled. Point at a line or a stage for its figures, drag to move, Ctrl and the "
            "wheel to zoom. The busiest stage is filled.", class_="note"),
        tag("div", *(tag("button", text, class_=name) for name, text in buttons.items()),
            tag("input", type="search", placeholder="find a stage; Enter for the next", aria_label="find a stage"),
            tag("span", class_="count"), class_="tools"),
        tag("div", *roles, class_="tools keys"),
        graph(run.body, run.label),
        class_="network",
    )  # fmt: skip


def _report(run: Run) -> Element:
    """All that text says of a run."""
    tables = (table for table in report_tables(run.body)[1:] if table.rows or table.notes)
    return tag("details", tag("summary", "As it is printed"), *(static_table(table) for table in tables))


def _attributed(runs: Sequence[Run], texts: Callable[[Body], Sequence[str]]) -> Iterator[str]:
    """Texts of all runs, with the run's label where only some of them have it."""
    found: dict[str, list[str]] = {}
    for label, body in runs:
        for text in texts(body):
            found.setdefault(text, []).append(label)
    for text, labels in found.items():
        yield text if len(labels) == len(runs) else f"{', '.join(labels)}: {text}"


def _assumed(body: Body) -> list[str]:
    """How a report's figures are to be read."""
    energy = [f"Energy at {body.energy.node}: {rule}" for rule in body.energy.rules] if body.energy else []
    maps = [*body.virtual_maps.rules] if body.virtual_maps else []
    missing = [f"Not modelled: {', '.join(body.not_modelled)}."] if body.not_modelled else []
    buffers = TURNS_MEANINGS if takes_turns(body) else MEASURE_MEANINGS
    return [f"{title_line(body)}.", *missing, *(f"Buffers: {text}" for text in buffers), *energy, *maps]


def _assumptions(runs: Sequence[Run]) -> Iterator[Element]:
    yield tag("ul", *(tag("li", text) for text in _attributed(runs, _assumed)))


def _machines(runs: Sequence[PageRun]) -> Iterator[Element]:
    """The fields of every machine, by the names that `--set` takes, once where all are alike."""
    import polars as pl

    alike = all(run.machine == runs[0].machine for run in runs)
    for run in runs[:1] if alike else runs:
        fields = dict(_flat(run.machine))
        table = pl.DataFrame({"field": [*fields], "value": [*fields.values()]})
        title = f"The machine, {run.report.body.accelerator}"
        element = data_table(title if alike else f"{title} ({run.label})", table)
        if element is not None:
            yield element


def _flat(tree: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a tree with their dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{place}{key}.")
        elif value is not None:
            yield f"{place}{key}", str(value)


def _versions(runs: Sequence[PageRun]) -> Element:
    packages = dict.fromkeys(name for run in runs for name in run.versions)
    rows = (tag("tr", tag("td", name), *(tag("td", run.versions.get(name, "-")) for run in runs)) for name in packages)
    heads = tag("tr", *(tag("th", text) for text in ("made with", *(run.label for run in runs))))
    return tag("div", tag("h3", "Versions"), tag("table", tag("thead", heads), tag("tbody", *rows)))
