"""Names that are meant to do harm, and a network of them."""

from dataclasses import replace

import accelsim as acs
from accelsim.network.graph import network

#: A layer's name that would run as a script, were it anything else than text.
SCRIPT = "<script>alert(1)</script>"
#: Others that would end what they stand in, be mathematics, steer a reader, call for something or fill the screen.
HOSTILE = (
    SCRIPT,
    "</script><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "-->$title${x}&lt;]]>",
    "a\u202eb\x07\x1b[31m",
    "../../etc/passwd",
    "$x^{$\\frac{",
    "two\nlines \U0001f600",
    "long " * 400,
)


def hostile_network():
    """A small network that has, with each of its layers, the worst of names."""
    net = acs.load_network("mobilenet_v3_small", input_shape=(1, 3, 32, 32))
    names = {node.name: f"{HOSTILE[k % len(HOSTILE)]}{k}" for k, node in enumerate(net.nodes[1:])}
    names[next(node.name for node in net.nodes if node.kind == "convolution")] = SCRIPT
    nodes = [
        replace(node, name=names.get(node.name, node.name), inputs=tuple(names.get(n, n) for n in node.inputs))
        for node in net.nodes
    ]
    return network(HOSTILE[1], nodes, [names.get(port.node, port.node) for port in net.outputs])
