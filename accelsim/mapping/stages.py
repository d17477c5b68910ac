"""Cutting a network into stages: the units of a pipeline that fire on their own."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.network.graph import Network, Node, once_a_network
from accelsim.network.layers import (
    Activation,
    BatchNorm,
    ChannelPool,
    Combine,
    Convolution,
    Input,
    PRelu,
    TransposedConvolution,
)
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

    @property
    def layers(self) -> tuple[str, ...]:
        """The working layer and what is fused to it."""
        return (self.node.name, *self.fused)


@once_a_network
def group_layers(
    net: Network, channel_pooling: bool = False, materialised: frozenset[str] = frozenset()
) -> tuple[Group, ...]:
    """The stages of `net` in topological order.

    A point-wise layer (activation, batch norm, an operation with a constant) joins the stage that makes
    its input where nothing else reads that input; with `channel_pooling` so does the pooling of a
    convolution's channels, unless that or a layer of its stage is `materialised`. What is computed from
    constants alone is no stage.
    """
    fixed = net.constant_nodes
    home: dict[str, int] = {}
    members: list[list[Node]] = []
    for node in net.nodes:
        if node.name in fixed:
            continue
        producer = fused_producer(net, node, fixed, channel_pooling)
        if producer is not None and _takes(members[home[producer]], node, materialised):
            home[node.name] = home[producer]
            members[home[producer]].append(node)
        else:
            home[node.name] = len(members)
            members.append([node])
    return tuple(_group(nodes, members, home) for nodes in members)


def pooled_layers(net: Network) -> tuple[str, ...]:
    """Names of the convolutions whose channels can be pooled on the way out, so that their maps need not be stored."""
    return tuple(group.name for group in group_layers(net, channel_pooling=True) if first_pool(net, group))


def first_pool(net: Network, group: Group) -> Node | None:
    """The first pooling of channels behind the working layer of a group."""
    fused = (net.by_name[name] for name in group.fused)
    return next((node for node in fused if isinstance(node.layer, ChannelPool)), None)


def _takes(stage: list[Node], node: Node, materialised: frozenset[str]) -> bool:
    """Whether a point-wise `node` behind `stage` becomes part of it."""
    if isinstance(node.layer, ChannelPool):
        apart = not materialised.isdisjoint({node.name, *(member.name for member in stage)})
        return isinstance(stage[0].layer, Convolution | TransposedConvolution) and not apart
    return not isinstance(stage[0].layer, Input)


def fused_producer(net: Network, node: Node, fixed: frozenset[str], channel_pooling: bool = False) -> str | None:
    """The node whose stage `node` can join, or None."""
    moving = [name for name in node.inputs if name not in fixed]
    pooled = channel_pooling and isinstance(node.layer, ChannelPool)
    if len(moving) != 1 or not (pooled or is_pointwise(node, net.tensors[moving[0]], net.tensors[node.name])):
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
