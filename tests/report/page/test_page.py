"""The page as a file: whole, harmless, and saying what the report says."""

import json
import re
import time
from base64 import b64decode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

import accelsim as acs
from accelsim.report.page.page import page_text
from tests.report.hostile import SCRIPT
from tests.report.page.conftest import page_run

VOID = {"meta", "input", "br", "img", "hr", "link"}
#: Elements that the page may have; none of them fetches anything, and scripts are checked on their own.
HARMLESS = {
    "html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "div", "p", "h1", "h2", "h3",
    "a", "b", "i", "ul", "li", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "button",
    "input", "figure", "figcaption", "script", "svg", "g", "path", "rect", "text", "defs", "use", "clipPath", "marker",
}  # fmt: skip
#: Attributes that can name something elsewhere.
CALLING = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background"}


class Page(HTMLParser):
    """Elements with their attributes and text, checked to be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        assert len(element[1]) == len(attributes)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.open[-1][2].append(data)

    def texts(self, tag):
        return ["".join(text) for name, _, text in self.elements if name == tag]

    def all(self, tag, **attributes):
        return [e for e in self.elements if e[0] == tag and attributes.items() <= e[1].items()]

    def data(self):
        return [json.loads("".join(text)) for _, _, text in self.all("script", type="application/json")]


@pytest.fixture(params=["page", "hostile_page"])
def any_page(request):
    return request.getfixturevalue(request.param)


def test_nothing_is_fetched_and_nothing_else_runs(any_page):
    page = Page(any_page)
    assert {tag for tag, _, _ in page.elements} <= {name.lower() for name in HARMLESS}
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert all(attributes[name].startswith("#") for name in CALLING & attributes.keys())
        assert all(
            use.startswith("#") for value in attributes.values() for use in re.findall(r"url\((.*?)\)", value or "")
        )
    assert "http" not in re.sub(r'http-equiv="Content', "", any_page)
    assert "@import" not in any_page


def test_the_only_script_is_the_one_that_the_policy_names(any_page):
    page = Page(any_page)
    scripts = ["".join(text) for _, attributes, text in page.all("script") if "type" not in attributes]
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0][1]["content"]
    assert "default-src 'none'" in policy
    [named] = re.findall(r"script-src 'sha256-(.*?)'", policy)
    assert [sha256(script.encode()).digest() for script in scripts] == [b64decode(named)]


def test_names_stay_text(hostile_page):
    page = Page(hostile_page)
    assert SCRIPT in page.texts("td")
    assert SCRIPT in [e[1]["data-stage"] for e in page.all("g") if "data-stage" in e[1]]
    assert SCRIPT in page.texts("button")
    assert any(SCRIPT in column["values"] for table in page.data() for column in table["columns"])
    assert "\u202e" not in hostile_page
    assert "\x07" not in hostile_page


def test_names_of_drawings_are_used_once(any_page):
    names = [attributes["id"] for _, attributes, _ in Page(any_page).elements if "id" in attributes]
    assert len(set(names)) == len(names)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', any_page)
    assert set(used) <= set(names)


def test_tables_hold_the_report(page, report):
    tables = [{c["name"]: c["values"] for c in table["columns"]} for table in Page(page).data()]
    buffers = next(table for table in tables if "peak_bytes" in table)
    assert buffers["edge"] == [row.edge for row in report.body.buffers]
    assert buffers["peak_bytes"] == [row.peak_bytes for row in report.body.buffers]
    energy = next(table for table in tables if "in all" in table)
    assert sum(energy["in all"]) == pytest.approx(report.body.energy.total_pj)


def test_runs_are_set_side_by_side(page, report, tiled):
    together = next(t for t in Page(page).data() if any(c["name"] == "change (B)" for c in t["columns"]))
    columns = {column["name"]: column["values"] for column in together["columns"]}
    before, after = ({row.edge: row.peak_bytes for row in run.body.buffers} for run in (report, tiled))
    assert columns["edge"] == list(before | after)
    assert columns["change (B)"] == [after.get(edge, 0) - before.get(edge, 0) for edge in columns["edge"]]


def test_the_summary_has_the_figures_that_matter(report):
    page = Page(page_text([page_run(report)]))
    figures = [e[2] for e in page.all("p", **{"class": "figure"})]
    assert [f"{report.throughput.interval_cycles:,.0f} cycles"] in figures

    largest = max(report.body.buffers, key=lambda row: row.peak_bytes)
    assert largest.edge in page.texts("td")
    assert report.throughput.bottleneck in page.all("g", **{"class": "stage slowest"})[0][1]["data-stage"]


def test_every_stage_and_buffer_is_drawn(report):
    page = Page(page_text([page_run(report)]))
    assert len([e for e in page.all("path") if "data-edge" in e[1]]) == len(report.body.buffers)
    drawn = {e[1]["data-stage"] for e in page.all("g") if "data-stage" in e[1]}
    assert drawn >= {row.stage for row in report.body.stages}


@pytest.mark.parametrize("kind", ["turns", "streamed", "bare"])
def test_any_report_makes_a_page(request, kind):
    report = request.getfixturevalue(kind)
    text = page_text([page_run(report)])
    page = Page(text)
    assert ("not drawn" in text) == (kind == "bare")
    assert len(page.all("g")) >= len(report.body.stages)


def test_warnings_come_first_and_name_their_run(report):
    warned = acs.Report(report.body.model_copy(update={"warnings": ("<b>look</b>",)}))
    page = Page(page_text([page_run(report, "plain"), page_run(warned, "other")]))
    items = page.texts("li")
    assert items[0] == "other: <b>look</b>"


def test_the_same_runs_give_the_same_page(report):
    assert page_text([page_run(report)]) == page_text([page_run(report)])


def test_a_detector_of_475_stages_makes_a_small_page_soon():
    """EfficientDet-D2: 5 MB at most, within 5 s of one core."""
    report = acs.simulate(acs.map_network(acs.load_network("efficientdet_d2"), acs.load_accelerator("streaming-asic")))
    begin = time.process_time()
    text = page_text([page_run(report)])
    assert time.process_time() - begin <= 5
    assert len(text.encode()) <= 5 * 10**6
