"""Cutting a network into stages: the units of a pipeline that fire on their own."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.network.graph import Network, Node
from accelsim.network.layers import Activation, BatchNorm, Combine, Input, PRelu
from accelsim.network.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Group:
    """A working layer with the point-wise layers that its results pass on the way out.

    `operands` are the inputs that arrive during a frame, as (operand index, producing group's name);
    constants do not count. The group's name is that of its working layer.
    """

    node: Node
    fused: tuple[str, ...]
    operands: tuple[tuple[int, str], ...]
    output: str

    @property
    def name(self) -> str:
        return self.node.name


def group_layers(net: Network) -> tuple[Group, ...]:
    """The stages of `net` in topological order.

    A point-wise layer (activation, batch norm, an operation with a constant) joins the stage that makes
    its input where nothing else reads that input. What is computed from constants alone is no stage.
    """
    fixed = net.constant_nodes
    home: dict[str, int] = {}
    members: list[list[Node]] = []
    for node in net.nodes:
        if node.name in fixed:
            continue
        producer = fused_producer(net, node, fixed)
        if producer is not None and not isinstance(members[home[producer]][0].layer, Input):
            home[node.name] = home[producer]
            members[home[producer]].append(node)
        else:
            home[node.name] = len(members)
            members.append([node])
    return tuple(_group(nodes, members, home) for nodes in members)


def fused_producer(net: Network, node: Node, fixed: frozenset[str]) -> str | None:
    """The node whose stage `node` can join, or None."""
    moving = [name for name in node.inputs if name not in fixed]
    if len(moving) != 1 or not is_pointwise(node, net.tensors[moving[0]], net.tensors[node.name]):
        return None
    producer = moving[0]
    alone = len(net.consumers[producer]) == 1 and producer not in net.output_nodes
    return producer if alone else None


def is_pointwise(node: Node, source: Tensor, output: Tensor) -> bool:
    """Whether each output element comes from one input element, so that no stage of its own is needed."""
    return isinstance(node.layer, Activation | BatchNorm | PRelu | Combine) and source == output


def _group(nodes: list[Node], members: list[list[Node]], home: dict[str, int]) -> Group:
    first = nodes[0]
    operands = tuple((k, members[home[name]][0].name) for k, name in enumerate(first.inputs) if name in home)
    return Group(first, tuple(node.name for node in nodes[1:]), operands, nodes[-1].name)
