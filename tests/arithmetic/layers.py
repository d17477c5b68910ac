"""Networks of one integer layer."""

from accelsim.arithmetic.formats import Format, IntegerType
from accelsim.arithmetic.network import integer_network
from accelsim.network.graph import Node, network
from accelsim.network.layers import Input


def one_layer(layer, sources, output, arrays=(), array_formats=(), **more):
    """`sources` are (format, *spatial, channels); arrays and their formats by short name."""
    nodes = [Node(f"x{k}", Input(shape[-1], tuple(shape[:-1]))) for k, (_, *shape) in enumerate(sources)]
    names = [node.name for node in nodes]
    net = network(
        "one", [*nodes, Node("y", layer, tuple(names))], ["y"], (), {f"y.{k}": v for k, v in dict(arrays).items()}
    )
    formats = {f"x{k}": own for k, (own, *_) in enumerate(sources) if own is not None}
    if output is not None:
        formats["y"] = output
    ports = {name: formats.get(name) for name in (*names, "y")}
    kinds = {f"y.{key}": kind for key, kind in dict(array_formats).items()}
    return integer_network(net, formats, kinds, ports, **more)


def plain(bits, signed=True):
    return Format(IntegerType(bits, signed))
