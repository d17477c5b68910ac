"""Stages that do nothing but move data between the engine and a memory.

They are part of the pipeline like any other: a load is a source whose tokens arrive as the port delivers them,
a store reads its producer's buffer token by token. A request is one row of a map, or a part of the weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.memory import Memory
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.stages import Group
from accelsim.mapping.transfer import TrafficKind, Transfer
from accelsim.network.graph import Network, Node
from accelsim.network.layers import Input, Layer
from accelsim.network.tensor import Tensor
from accelsim.units import ceil_div

#: Requests at most in which the weights of a stage are loaded for a frame.
MOST_WEIGHT_REQUESTS = 64


@dataclass(frozen=True, slots=True)
class Move(Layer):
    """Passes its input on."""


def load_map(
    accelerator: Accelerator, memory: str, kind: TrafficKind, layer: str, name: str, tensor: Tensor, bits: int
) -> Stage:
    """A source that reads `tensor` for `layer`, `bits` an element; the map is that of the stage `name`."""
    node = Node(f"load {name} for {layer}", Input(tensor.channels, tensor.spatial))
    return _mover(
        accelerator,
        memory,
        Group(node, (), (), node.name),
        tensor,
        _map_transfer(kind, layer, name, memory, False, tensor, bits),
        bits,
    )


def store_map(
    accelerator: Accelerator, memory: str, kind: TrafficKind, stage: Stage, tensor: Tensor, bits: int, name: str
) -> tuple[Stage, Edge]:
    """A stage called `name` that writes what `stage` makes, and the edge to it."""
    transfer = _map_transfer(kind, stage.name, stage.name, memory, True, tensor, bits)
    return _follower(accelerator, name, stage, tensor, transfer, bits)


def fill_map(accelerator: Accelerator, memory: str, spill: Stage, layer: str, bits: int) -> tuple[Stage, Edge]:
    """A stage that reads back for `layer` what `spill` writes, and the edge between them."""
    assert spill.transfer is not None
    tensor, name = spill.tensor, spill.transfer.tensor
    transfer = _map_transfer("spill", layer, name, memory, False, tensor, bits)
    return _follower(accelerator, f"fill {name} for {layer}", spill, tensor, transfer, bits)


def _follower(
    accelerator: Accelerator, name: str, producer: Stage, tensor: Tensor, transfer: Transfer, bits: int
) -> tuple[Stage, Edge]:
    node = Node(name, Move(), (producer.name,))
    group = Group(node, (), ((0, producer.name),), name)
    mover = _mover(accelerator, transfer.memory, group, tensor, transfer, bits)
    return mover, Edge(producer.name, name, 0, f"{producer.name} -> {name}", "rate", tensor, None, reads="each")


def load_weights(accelerator: Accelerator, memory: str, layer: str, moved_bytes: int) -> Stage:
    """A source that reads the weights of `layer` once a frame, in parts of whole bursts."""
    level = accelerator.memories[memory]
    each = ceil_div(ceil_div(moved_bytes, level.burst), MOST_WEIGHT_REQUESTS) * level.burst
    requests = ceil_div(moved_bytes, each)
    tensor = Tensor(max(1, min(each, moved_bytes) * 8 // accelerator.weight_bits), (requests,))
    node = Node(f"load weights of {layer}", Input(tensor.channels, tensor.spatial))
    transfer = Transfer("weight", layer, f"weights of {layer}", memory, False, moved_bytes)
    return _stage(level, Group(node, (), (), node.name), tensor, transfer, min(each, moved_bytes))


def rows_under_way(stage: Stage) -> int:
    """Rows that a stage which never rests has begun and are not out yet.

    They are in no buffer, but in the stage's own pipeline or, of a mover, among a memory's outstanding bursts.
    """
    return ceil_div(stage.latency_cycles, stage.fired.row_pixels // stage.together * stage.interval_cycles)


def map_bytes(tensor: Tensor, bits: int) -> int:
    """Bytes of a map, `bits` an element."""
    return ceil_div(tensor.elements * bits, 8)


def weight_bytes(design: Design, stage: Stage) -> int:
    """Bytes of what a stage multiplies or adds that does not stream: its layers' parameters, and constant operands.

    A constant that nobody has trained counts where it is more than one value, which is part of an instruction.
    """
    net = design.network
    reads = {source for name in stage.group.layers for source in net.by_name[name].inputs}
    constants = [name for name in reads & net.constant_nodes if net.tensors[name].elements > 1 or _trained(net, name)]
    elements = stage.parameters + sum(net.tensors[name].elements for name in constants)
    return ceil_div(elements * design.accelerator.weight_bits, 8)


def _trained(net: Network, constant: str) -> bool:
    """Whether a constant is, or is made from, trained values."""
    names = [constant]
    while names:
        node = net.by_name[names.pop()]
        if net.parameters_of(node):
            return True
        names += node.inputs
    return False


def _map_transfer(
    kind: TrafficKind, layer: str, name: str, memory: str, write: bool, tensor: Tensor, bits: int
) -> Transfer:
    return Transfer(kind, layer, name, memory, write, map_bytes(tensor, bits))


def _mover(accelerator: Accelerator, memory: str, group: Group, tensor: Tensor, transfer: Transfer, bits: int) -> Stage:
    row_bytes = ceil_div(tensor.elements // tensor.rows * bits, 8)
    return _stage(accelerator.memories[memory], group, tensor, transfer, row_bytes)


def _stage(level: Memory, group: Group, tensor: Tensor, transfer: Transfer, request_bytes: int) -> Stage:
    """A mover of `request_bytes` a row; data that is read comes `latency_cycles` after it is asked for."""
    return Stage(
        group=group,
        tensor=tensor,
        fired=tensor,
        macs=0,
        parameters=0,
        unroll=None,
        multipliers=0,
        interval_cycles=level.request_cycles(request_bytes, transfer.write),
        together=tensor.row_pixels,
        latency_cycles=0 if transfer.write else level.latency_cycles,
        port=port_name(level, transfer),
        occupancy_cycles=level.held_cycles(request_bytes, transfer.write),
        transfer=transfer,
    )


def in_turns(stages: Sequence[Stage], accelerator: Accelerator) -> list[Stage]:
    """`stages` with those at a port in fixed turns slowed down to their share of it, which is theirs alone.

    Shares are in proportion to the bytes a frame.
    """
    total: dict[str, int] = defaultdict(int)
    for stage in stages:
        if stage.transfer and stage.port:
            total[stage.port] += stage.transfer.moved_bytes
    return [_in_turn(stage, total, accelerator) for stage in stages]


def _in_turn(stage: Stage, total: Mapping[str, int], accelerator: Accelerator) -> Stage:
    transfer = stage.transfer
    if transfer is None or stage.port is None or accelerator.memories[transfer.memory].arbitration != "slots":
        return stage
    slowed = ceil_div(stage.occupancy_cycles * total[stage.port], max(transfer.moved_bytes, 1))
    return replace(stage, interval_cycles=max(stage.interval_cycles, slowed), port=None, occupancy_cycles=0)


def port_name(level: Memory, transfer: Transfer) -> str:
    """The port a transfer needs: the memory's one, or the one for its direction."""
    if level.port.shared:
        return transfer.memory
    return f"{transfer.memory} ({'write' if transfer.write else 'read'})"
