"""`report`: a page from run folders, the same bytes every time."""

import json

import pytest

from tests.cli.conftest import SMALL


@pytest.fixture
def folder(done, tmp_path):
    done("compare", "efficientnet_b0", *SMALL, "--tile-attention", "2", "-o", tmp_path / "both")
    return tmp_path / "both"


def test_the_same_folder_gives_the_same_page(done, folder, tmp_path):
    pages = [tmp_path / "first.html", tmp_path / "second.htm"]
    for page in pages:
        outcome = done("report", folder, "-o", page)
        assert outcome.out == ""
        assert str(page) in outcome.err
    first, second = (page.read_bytes() for page in pages)
    assert first == second
    assert b"untiled" in first
    assert b"tile-2" in first


def test_one_run_or_several_folders(done, folder, tmp_path):
    done("report", folder / "untiled", "-o", tmp_path / "one.html")
    done("report", folder / "untiled", folder / "tile-2", "-o", tmp_path / "two.html")
    done("report", folder, "-o", tmp_path / "both.html")
    one, two, both = ((tmp_path / f"{name}.html").read_text() for name in ("one", "two", "both"))
    assert two == both
    assert "tile-2" not in one


def test_the_versions_of_the_run_are_told(done, folder, tmp_path):
    (folder / "untiled" / "versions.json").write_text(json.dumps({"accelsim": "0.0.7-before"}))
    done("report", folder, "-o", tmp_path / "page.html")
    assert "0.0.7-before" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("both", "-o", "page.pdf"), "page.pdf"),
        (("nowhere", "-o", "page.html"), "nowhere"),
        (("both", "-o", "missing/page.html"), "missing/page.html"),
        (("both",), "--output"),
    ],
)
def test_what_cannot_be_written(run, folder, tmp_path, monkeypatch, argv, said):
    monkeypatch.chdir(tmp_path)
    outcome = run("report", *argv)
    assert outcome.status == 2
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("versions.json", '{"accelsim": 7}'),
        ("versions.json", "no"),
        ("report.json", "{}"),
        ("accelerator.yaml", "engine: 1"),
    ],
)
def test_a_folder_that_was_changed(run, folder, tmp_path, file, text):
    (folder / "untiled" / file).write_text(text)
    outcome = run("report", folder, "-o", tmp_path / "page.html")
    assert outcome.status == 2
    assert file in outcome.err
    assert not (tmp_path / "page.html").exists()


def test_a_report_whose_edges_lead_in_a_circle(run, folder, tmp_path):
    path = folder / "untiled" / "report.json"
    report = json.loads(path.read_text())
    first = report["buffers"][0]
    report["buffers"].append(first | {"producer": first["consumer"], "consumer": first["producer"]})
    path.write_text(json.dumps(report))
    outcome = run("report", folder, "-o", tmp_path / "page.html")
    assert outcome.status == 2
    assert "circle" in outcome.err
