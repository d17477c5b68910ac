"""Studies that packages bring along are known by their names."""

from importlib.metadata import EntryPoint

import pytest

from accelsim.sweeps.plan import read_plan
from accelsim.sweeps.ready import registered_studies, study_file


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """A package with one study, and a module that is a file, both of which register networks."""
    (tmp_path / "our_chips/studies").mkdir(parents=True)
    (tmp_path / "our_chips/__init__.py").touch()
    (tmp_path / "our_single_file.py").touch()
    study = tmp_path / "our_chips/studies/widths.yml"
    study.write_text("network: resnet18\naxes: {engine.multipliers: [64, 128]}\n", encoding="utf-8")
    (tmp_path / "our_chips/studies/notes.txt").touch()
    points = [EntryPoint(name, f"{name}:NETWORKS", "accelsim.workloads") for name in ("our_chips", "our_single_file")]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("accelsim.sweeps.ready.entry_points", lambda group: points)
    registered_studies.cache_clear()
    yield study
    registered_studies.cache_clear()


def test_any_package_that_registers_networks_may_bring_studies(ours):
    assert registered_studies() == {"widths": ours}
    assert read_plan("widths").space.points == 2


def test_a_path_is_a_file_though_a_study_is_called_so(ours, tmp_path):
    assert study_file("./widths.yaml").name == "widths.yaml"
    other = tmp_path / "widths"
    other.touch()
    assert study_file(str(other)) == other
