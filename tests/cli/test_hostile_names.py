"""Names from a file are text, whatever is made of them: on terminals, in traces, figures, pages and file names."""

import gzip
import json

import pytest

from accelsim.network.writers.yaml import write_yaml_network
from tests.report.hostile import SCRIPT, hostile_network


@pytest.fixture
def network(tmp_path):
    write_yaml_network(hostile_network(), tmp_path / "net.yaml")
    return tmp_path / "net.yaml"


def test_names_do_no_harm(done, network, tmp_path):
    folder, trace = tmp_path / "run", tmp_path / "trace.json.gz"
    said = [
        done("simulate", network, "--trace", trace, "-o", folder),
        done("inspect", network),
        done("map", network, "-o", tmp_path / "mapping.yaml"),
        done("plot", folder, "--kind", "timeline", "-o", tmp_path / "figure.svg"),
        done("report", folder, "-o", tmp_path / "page.html"),
    ]
    for outcome in said:
        lines = (outcome.out + outcome.err).splitlines()
        assert all(line.isprintable() for line in lines)
    assert SCRIPT in said[0].out
    assert {path.name for path in tmp_path.iterdir()} == {
        "net.yaml", "run", "trace.json.gz", "mapping.yaml", "figure.svg", "page.html",
    }  # fmt: skip
    assert not [path for path in folder.iterdir() if path.is_dir()]
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any(SCRIPT in str(event) for event in events)
    for name in ("figure.svg", "page.html"):
        assert SCRIPT not in (tmp_path / name).read_text(encoding="utf-8")
