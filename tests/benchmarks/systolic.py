"""How long a frame on a systolic array takes to evaluate, beside SCALE-Sim for the same layers in the same run.

    python -m tests.benchmarks.systolic [network] [os|ws|is]...

ResNet-50 with outputs and weights staying, unless others are asked for; with inputs staying SCALE-Sim takes minutes.
SCALE-Sim (`pip install '.[bench]'`) simulates the array alone, without memories; the cycles of every layer have to be
the same. Ours are medians of several warm runs, SCALE-Sim's a single one.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import accelsim as acs
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.array_use import array_use
from accelsim.mapping.mapping import Mapping
from accelsim.mapping.segments.segment import Segment
from accelsim.network.graph import Network
from accelsim.network.layers import Convolution, Dense

SIDE = 32
RUNS = 7
FLOWS = {"os": "output-stationary", "ws": "weight-stationary", "is": "input-stationary"}
HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"


def topology(net: Network) -> Iterator[str]:
    """The layers that multiply, a line each in SCALE-Sim's form; maps are as large as the windows reach."""
    yield HEADER
    for node in net.nodes:
        source = net.sources(node)[0] if node.inputs else None
        if isinstance(node.layer, Convolution):
            assert node.layer.groups == 1, f"{node.name}: SCALE-Sim has dense layers only"
            kernel, (stride, _) = node.layer.kernel, node.layer.stride
            sizes = [(n - 1) * stride + k for n, k in zip(net.tensors[node.name].spatial, kernel, strict=True)]
            figures = (*sizes, *kernel, source.channels, node.layer.channels, stride)
        elif isinstance(node.layer, Dense):
            figures = (1, 1, 1, 1, source.channels, node.layer.channels, 1)
        else:
            continue
        yield ",".join([node.name, *map(str, figures), ""])


def peer_cycles(net: Network, flow: str) -> dict[str, int]:
    """Compute cycles of every layer by SCALE-Sim: the rows of its demand matrices."""
    from importlib import import_module

    from scalesim.compute.operand_matrix import operand_matrix
    from scalesim.layout_utils import layouts
    from scalesim.scale_config import scale_config
    from scalesim.topology_utils import topologies

    array = getattr(import_module(f"scalesim.compute.systolic_compute_{flow}"), f"systolic_compute_{flow}")
    machine, layers = scale_config(), topologies()
    machine.array_rows = machine.array_cols = SIDE
    machine.df, machine.valid_conf_flag = flow, True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "topology.csv"
        path.write_text("\n".join(topology(net)) + "\n", encoding="utf-8")
        layers.load_arrays(str(path))
    layers.topo_calc_hyperparams()
    found = {}
    for k in range(layers.get_num_layers()):
        operands, system = operand_matrix(), array()
        operands.set_params(machine, layers, layouts(), k)
        made = (operands.get_ifmap_matrix, operands.get_ofmap_matrix, operands.get_filter_matrix)
        inputs, outputs, filters = (get()[1] for get in made)
        system.set_params(config_obj=machine, ifmap_op_mat=inputs, ofmap_op_mat=outputs, filter_op_mat=filters)
        found[layers.get_layer_name(k)] = system.get_demand_matrices()[2].shape[0]
    return found


def machine(flow: str) -> Accelerator:
    engine = {"rows": SIDE, "columns": SIDE, "dataflow": FLOWS[flow], "folds": "apart", "lanes": SIDE}
    settings = {f"engine.{name}": value for name, value in engine.items()}
    return acs.load_accelerator("systolic-npu", settings | {"memories.scratchpad.size": "2 MiB"})


def layer_by_layer(net: Network, hw: Accelerator) -> Mapping:
    """Every stage a segment of its own, whole."""
    free = acs.bind(net, hw, Mapping(MappingProxyType({})))
    return Mapping(MappingProxyType({}), segments=tuple(Segment((s.name,)) for s in free.stages if not s.is_source))


def own_cycles(net: Network, hw: Accelerator, mapping: Mapping) -> dict[str, int]:
    return {use.layer: use.compute_cycles for use in array_use(acs.bind(net, hw, mapping))}


def seconds(work: Callable[[], object], runs: int = 1) -> float:
    taken = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken)


def compared(name: str, flow: str) -> None:
    net, hw = acs.load_network(name), machine(flow)
    mapping = layer_by_layer(net, hw)
    design = acs.map_network(net, hw, mapping="layer-by-layer")
    peer: dict[str, int] = {}
    ours = {
        "bound, cycles and accesses of every layer": seconds(lambda: own_cycles(net, hw, mapping), RUNS),
        "simulated with memories, mapping given": seconds(lambda: acs.simulate(design), RUNS),
        "mapped and simulated with memories": seconds(
            lambda: acs.simulate(acs.map_network(net, hw, mapping="layer-by-layer")), RUNS
        ),
    }
    theirs = seconds(lambda: peer.update(peer_cycles(net, flow)))
    own = own_cycles(net, hw, mapping)
    assert own == peer, {layer: (own[layer], peer.get(layer)) for layer in own if own[layer] != peer.get(layer)}
    print(f"\n{name}, {SIDE}x{SIDE}, {FLOWS[flow]}: {sum(own.values()):,} cycles in {len(own)} layers, all the same")
    print(f"  {'SCALE-Sim, array alone':44} {theirs * 1e3:12,.0f} ms")
    for what, taken in ours.items():
        print(f"  {what:44} {taken * 1e3:12,.1f} ms  {theirs / taken:10,.0f} x")


def main() -> None:
    name, *flows = sys.argv[1:] or ["resnet50"]
    for flow in flows or ("os", "ws"):
        compared(name, flow)


if __name__ == "__main__":
    main()
