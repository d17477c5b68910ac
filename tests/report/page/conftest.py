import pytest

import accelsim as acs
from accelsim.report.page.page import PageRun, page_text
from tests.report.hostile import SCRIPT, hostile_network


def page_run(report, label="run", versions=None):
    machine = acs.load_accelerator("streaming-asic").model_dump(mode="json")
    return PageRun(label, report, machine, versions or {"accelsim": "0"})


@pytest.fixture(scope="session")
def hostile():
    """A pipeline whose network and layers have the worst of names."""
    return acs.simulate(acs.map_network(hostile_network(), acs.load_accelerator("streaming-asic")))


@pytest.fixture(scope="session")
def hostile_page(hostile):
    return page_text([page_run(hostile, SCRIPT), page_run(hostile, '"]&')])


@pytest.fixture(scope="session")
def page(report, tiled):
    """Squeeze-excite beside its tiled form."""
    return page_text([page_run(report, "untiled"), page_run(tiled, "tile-2")])
