"""A network as a layer-by-layer machine runs it: layers with multiplications, and what follows them on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from accelsim.mapping.movers import map_bytes
from accelsim.mapping.stages import Group, group_layers
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Convolution, Dense, Input, TransposedConvolution
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Channels are handled in atoms of so many bytes (NVDLA's performance estimator, nvdla/hw).
ATOM = 16
#: Kernels of which the weights are in the buffer at once, at least (the same).
KERNELS = 32


@dataclass(frozen=True, slots=True)
class HardwareLayer:
    """One pass through the engine, and bytes of 8-bit values that it needs.

    `input_bytes` are of the map that is convolved, `strip_bytes` of the rows of it that a window needs while another
    comes, `kernel_bytes` of the weights of 32 outputs, `other_bytes` of what else is read (the second operand of an
    addition behind it) and of what is stored. `is_winograd` where the transform F(2x2, 3x3) applies.
    """

    name: str
    macs: int
    weight_bytes: int
    kernel_bytes: int
    input_bytes: int
    strip_bytes: int
    other_bytes: int
    is_winograd: bool


def hardware_layers(net: Network, unfolded: bool) -> tuple[HardwareLayer, ...]:
    """The passes of `net` in order, one byte an element.

    What follows a layer with multiplications and is read by nobody else joins it: point-wise layers, an addition whose
    last operand it makes, pooling. What such a chain ends in is stored, and what it does not make itself is read.

    `unfolded` counts as NVDLA's performance estimator does: a stride s makes maps s times smaller each way, with s x s
    times the channels, in whole atoms. A 1x1 kernel of stride 2 then has four times its weights, most of them zeros.
    """
    chains: dict[str, list[Group]] = {}
    open_ends: dict[str, str] = {}
    for group in group_layers(net):
        if isinstance(group.node.layer, Input):
            continue
        head = group.name if net.macs_of(group.node) else _joined(net, group, chains, open_ends)
        chains.setdefault(head, []).append(group)
        open_ends[group.output] = head
    return tuple(_hardware_layer(net, chain, unfolded) for chain in chains.values())


def _joined(net: Network, group: Group, chains: dict[str, list[Group]], open_ends: dict[str, str]) -> str:
    """The last of the chains that end in an operand of `group` and in nothing else; a chain of its own if none does."""
    heads = {
        open_ends[name]
        for name in group.node.inputs
        if name in open_ends and net.consumers[name] == (group.name,) and name not in net.output_nodes
    }
    return next((head for head in reversed(chains) if head in heads), group.name)


def _hardware_layer(net: Network, chain: Sequence[Group], unfolded: bool) -> HardwareLayer:
    node = chain[0].node
    source, *operands = _read(net, chain)
    plain = _loops(node, net.tensors[source])
    loops = _unfolded(plain) if unfolded else plain
    inputs = loops.groups * loops.inputs * prod(loops.spatial)
    height = loops.spatial[0] if loops.spatial else 1
    return HardwareLayer(
        name=node.name,
        macs=_macs(net, node, plain) if unfolded else net.macs_of(node),
        weight_bytes=loops.groups * loops.outputs * loops.kernel_bytes,
        kernel_bytes=min(KERNELS, loops.groups * loops.outputs) * loops.kernel_bytes,
        input_bytes=inputs,
        strip_bytes=inputs // height * min(height, loops.rows),
        other_bytes=sum(map_bytes(net.tensors[name], 8) for name in (chain[-1].output, *operands)),
        is_winograd=isinstance(node.layer, Convolution) and plain.kernel == (3, 3) and {*plain.stride} == {1},
    )


def _read(net: Network, chain: Sequence[Group]) -> list[str]:
    """Maps that a chain reads from memory, that of its first layer first."""
    made = {group.output for group in chain}
    names = [group.node.inputs[k] for group in chain for k, _ in group.operands]
    return [name for name in names if name not in made]


class _Loops(NamedTuple):
    """Sizes of a layer: channels of a group, kernel, stride and map, and the rows that a window keeps."""

    groups: int
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    spatial: tuple[int, ...]
    rows: int

    @property
    def kernel_bytes(self) -> int:
        return self.inputs * prod(self.kernel)


def _loops(node: Node, source: Tensor) -> _Loops:
    layer = node.layer
    height = source.spatial[0] if source.spatial else 1
    if isinstance(layer, Convolution):
        inputs, outputs = source.channels // layer.groups, layer.channels // layer.groups
        rows = layer.kernel[0] + layer.stride[0]
        return _Loops(layer.groups, inputs, outputs, layer.kernel, layer.stride, source.spatial, rows)
    if isinstance(layer, TransposedConvolution):
        inputs, outputs = source.channels // layer.groups, layer.channels // layer.groups
        return _Loops(layer.groups, inputs, outputs, layer.kernel, (), source.spatial, height)
    outputs = layer.channels if isinstance(layer, Dense) else 0
    return _Loops(1, source.channels, outputs, (), (), source.spatial, height)


def _unfolded(loops: _Loops) -> _Loops:
    if not loops.stride:
        return loops._replace(inputs=_in_atoms(loops.inputs))
    kernel, spatial = (_strided(sizes, loops.stride) for sizes in (loops.kernel, loops.spatial))
    inputs = _in_atoms(loops.inputs * prod(loops.stride))
    return loops._replace(inputs=inputs, kernel=kernel, spatial=spatial, rows=loops.kernel[0] + 1)


def _strided(sizes: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(ceil_div, sizes, stride))


def _macs(net: Network, node: Node, loops: _Loops) -> int:
    """MACs with unfolded input channels and outputs in whole atoms."""
    if not loops.outputs:
        return net.macs_of(node)
    unfolded = loops.inputs * prod(loops.stride)
    rounded = _in_atoms(unfolded) * _in_atoms(loops.outputs)
    return ceil_div(net.macs_of(node) * rounded, unfolded * loops.outputs)


def _in_atoms(channels: int) -> int:
    return ceil_div(channels, ATOM) * ATOM
