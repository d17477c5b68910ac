"""Figures of papers and what gives ours: a function a claim, by the key and quantity under which it is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from accelsim.hardware.accelerator import load_accelerator
from accelsim.mapping.mapper import map_network
from accelsim.mapping.mapping import read_mapping
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.graph import Network, rebuilt
from accelsim.network.load import load_network
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.report.build import simulate
from accelsim.report.report import Report, VirtualMaps
from accelsim.validation.papers.lines import Line, read_lines
from accelsim.validation.papers.published import Published

#: The file of figures; those that need a network or a mapping of their own have it beside it.
FIGURES = "figures.csv"
#: The machine that stands for a pipeline chip of which nothing is public.
PIPELINE = "streaming-asic"


class Figure(Line):
    """A line of `figures.csv`."""

    quantity: str = Field(min_length=1)
    published: float

    @property
    def name(self) -> str:
        return f"{self.quantity} of {self.key}"


def compare_figures(folder: Path) -> Iterator[Published]:
    """Every figure of `folder`, ours where there is a function for it."""
    for figure in read_lines(folder / FIGURES, Figure):
        claim = CLAIMS.get((figure.key, figure.quantity))
        yield Published(
            figure.key,
            figure.quantity,
            figure.published,
            None if claim is None else claim(folder),
            status=figure.status,
            source=figure.source,
            assumption=figure.assumption,
        )


def _tiled(network: str, rows: int | None) -> Network:
    net = load_network(network)
    return net if rows is None else tile_attention(net, rows=rows)


def attention_elements(folder: Path, network: str, rows: int | None = None) -> float:
    """Elements that wait for gates, by the accounting of arXiv 2107.02145."""
    return attention_buffering(_tiled(network, rows)).total_elements


def attention_saving(folder: Path, network: str, rows: int) -> float:
    """Share of these that tiles of `rows` save."""
    return 1 - attention_elements(folder, network, rows) / attention_elements(folder, network)


def excitation_macs(folder: Path, network: str, rows: int | None = None) -> float:
    """MACs between squeeze and gate."""
    net = _tiled(network, rows)
    excite = {name for block in find_attention(net) for name in block.excite}
    return sum(net.macs_of(net.by_name[name]) for name in excite)


def attention_latency_ratio(folder: Path, network: str) -> float:
    """Idle latency of one pipeline with its squeeze-excite blocks, over that without them."""
    net = load_network(network)
    with_blocks, without = (_pipeline(version) for version in (net, without_attention(net)))
    return with_blocks.throughput.idle_latency_cycles / without.throughput.idle_latency_cycles


def without_attention(net: Network) -> Network:
    """`net` with every map going past its gate as it is."""
    past = {block.multiply: block.map for block in find_attention(net)}
    return rebuilt(
        net, [replace(node, inputs=tuple(past.get(name, name) for name in node.inputs)) for node in net.nodes]
    )


def _pipeline(net: Network, target_fps: float | None = None) -> Report:
    return simulate(map_network(net, load_accelerator(PIPELINE), target_fps=target_fps, mapping="pipeline"))


def frames_in_flight(folder: Path, network: str, target_fps: float) -> float | None:
    """Frames in one pipeline of the fewest multipliers that reach `target_fps`."""
    return _pipeline(load_network(network), target_fps).throughput.frames_in_flight


@cache
def _pooled(network: str) -> VirtualMaps:
    """What a report says of pooled channels, layer by layer on the stand-in for the paper's hardware."""
    machine = load_accelerator("feature-map-npu")
    found = simulate(map_network(load_network(network), machine, mapping="layer-by-layer")).body.virtual_maps
    assert found is not None
    assert found.network is not None
    assert found.hardware is not None
    return found


def bandwidth_saving(folder: Path, network: str, of: str, rule: str) -> float:
    """What virtual maps save, `of` the pooled layers or the network, by a rule of the report."""
    saving: float = getattr(getattr(_pooled(network), of), rule)
    return saving


def pooling_share(folder: Path, network: str, share: str) -> float | None:
    """Extra memory or gates, as shares of all there are."""
    found: float | None = getattr(_pooled(network).hardware, share)
    return found


def slowest_fold(folder: Path, network: str, mapping: str, clock: str) -> float:
    """Cycles between frames of a stream machine folded as published."""
    machine = load_accelerator("fpga-stream", {"clock": clock})
    design = map_network(load_network(str(folder / network)), machine, mapping=read_mapping(folder / mapping))
    return simulate(design).throughput.interval_cycles


Claim = Callable[[Path], float | None]

#: Sizes of tiles, in rows, for which the accounting was counted by hand on EfficientDet-D2.
COUNTED_ROWS = (1, 3, 5, 8, 14)
#: Networks for which it was, whole and with tiles of 7 rows.
COUNTED = ("efficientnet_b0", "efficientdet_d0", "efficientdet_d1")
D2 = "efficientdet_d2"
#: Networks that stand for Condensation-Net, and the rules by which a saving can be meant.
CONDENSED = ("condensation_net_f2", "condensation_net_f4")
SAVINGS = {
    "pooled layers, maps": ("pooled_layers", "saving"),
    "pooled layers, maps and weights": ("pooled_layers", "saving_with_weights"),
    "whole network, maps": ("network", "saving"),
    "whole network, maps and weights": ("network", "saving_with_weights"),
}
SHARES = {"extra_memory": "register_share", "extra_gates": "gate_share"}


def _claims() -> Iterator[tuple[tuple[str, str], Claim]]:
    for network, rows in ((D2, (None, 7, *COUNTED_ROWS)), *((name, (None, 7)) for name in COUNTED)):
        for count in rows:
            key = f"tse/{network}" if count is None else f"tse/{network}/rows={count}"
            yield (key, "attention_elements"), partial(attention_elements, network=network, rows=count)
    yield (f"tse/{D2}/rows=7", "attention_saving"), partial(attention_saving, network=D2, rows=7)
    yield (f"tse/{D2}", "excitation_macs"), partial(excitation_macs, network=D2)
    yield (f"tse/{D2}/rows=7", "excitation_macs"), partial(excitation_macs, network=D2, rows=7)
    yield ("field/mobilenet_v3_large", "latency_ratio"), partial(attention_latency_ratio, network="mobilenet_v3_large")
    for network in CONDENSED:
        for told, (of, rule) in SAVINGS.items():
            saving = partial(bandwidth_saving, network=network, of=of, rule=rule)
            yield (f"condensation/{network}", f"bandwidth_saving:{told}"), saving
        for quantity, share in SHARES.items():
            yield (f"condensation/{network}", quantity), partial(pooling_share, network=network, share=share)
    yield ("hailo8/resnet50", "frames_in_flight"), partial(frames_in_flight, network="resnet50", target_fps=1328.8)
    finn = partial(slowest_fold, network="cnv.yaml", mapping="cnv_w1a1.mapping.yaml", clock="100 MHz")
    yield ("bnn_pynq/cnv_w1a1", "interval_cycles"), finn


CLAIMS: Mapping[tuple[str, str], Claim] = MappingProxyType(dict(_claims()))
