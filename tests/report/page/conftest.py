from dataclasses import replace

import pytest

import accelsim as acs
from accelsim.network.graph import network
from accelsim.report.page.page import PageRun, page_text

#: A layer's name that would run as a script, were it anything else than text.
SCRIPT = "<script>alert(1)</script>"
#: Others that would end what they stand in, steer a reader, or call for something.
HOSTILE = (
    SCRIPT,
    "</script><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "-->$title${x}&lt;",
    "a\u202eb\x07",
)


def page_run(report, label="run", versions=None):
    machine = acs.load_accelerator("streaming-asic").model_dump(mode="json")
    return PageRun(label, report.body, report.rates, machine, versions or {"accelsim": "0"})


@pytest.fixture(scope="session")
def hostile():
    """A pipeline whose network and layers have the worst of names."""
    net = acs.load_network("mobilenet_v3_small", input_shape=(1, 3, 32, 32))
    names = {node.name: f"{HOSTILE[k % len(HOSTILE)]}{k}" for k, node in enumerate(net.nodes[1:])}
    names[next(node.name for node in net.nodes if node.kind == "convolution")] = SCRIPT
    nodes = [
        replace(node, name=names.get(node.name, node.name), inputs=tuple(names.get(n, n) for n in node.inputs))
        for node in net.nodes
    ]
    worst = network(HOSTILE[1], nodes, [names.get(port.node, port.node) for port in net.outputs])
    return acs.simulate(acs.map_network(worst, acs.load_accelerator("streaming-asic")))


@pytest.fixture(scope="session")
def hostile_page(hostile):
    return page_text([page_run(hostile, SCRIPT), page_run(hostile, '"]&')])


@pytest.fixture(scope="session")
def page(report, tiled):
    """Squeeze-excite beside its tiled form."""
    return page_text([page_run(report, "untiled"), page_run(tiled, "tile-2")])
