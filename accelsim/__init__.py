"""Simulates dataflow (pipelined, streaming) neural-network accelerators.

Everything a user needs is here; names are loaded when first used.

    net = load_network("efficientdet_d2")
    design = map_network(tile_attention(net, rows=7), load_accelerator("streaming-asic"), target_fps=30)
    print(simulate(design))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim import plots
    from accelsim.arithmetic.accuracy import accuracy
    from accelsim.arithmetic.encodings import Encoding
    from accelsim.arithmetic.execute import execute
    from accelsim.arithmetic.formats import Accumulator, Format, IntegerType
    from accelsim.arithmetic.load import load_integer_network, load_network
    from accelsim.arithmetic.minifloats import FloatType
    from accelsim.arithmetic.network import IntegerNetwork
    from accelsim.arithmetic.quantise import Recipe, fidelity, quantise
    from accelsim.arithmetic.statistics import statistics
    from accelsim.arithmetic.tiling import tile_attention
    from accelsim.cost.energy import frame_energy
    from accelsim.errors import AccelsimError, DeadlockError, InfeasibleError, InputError, NotModelled, UnsupportedError
    from accelsim.hardware.accelerator import Accelerator, load_accelerator
    from accelsim.mapping.array_use import array_use
    from accelsim.mapping.blocks import in_blocks
    from accelsim.mapping.design import Design, bind, with_capacities
    from accelsim.mapping.mapper import widen
    from accelsim.mapping.mapping import Mapping, Measured, read_mapping
    from accelsim.mapping.spilling import spill_waits
    from accelsim.mapping.unrolling import Unroll
    from accelsim.network.graph import Network
    from accelsim.network.load import registered_networks
    from accelsim.network.rewrites.fold import fold
    from accelsim.network.rewrites.recompute_attention import recompute_attention
    from accelsim.network.rewrites.virtual_maps import virtual_maps
    from accelsim.network.statistics import LayerStatistics
    from accelsim.report.attention_study import attention_study
    from accelsim.report.build import simulate
    from accelsim.report.folder import load_reports
    from accelsim.report.report import Report
    from accelsim.sweeps.ready import registered_studies
    from accelsim.sweeps.run import sweep
    from accelsim.sweeps.search import search
    from accelsim.timing.advice import what_would_buy
    from accelsim.timing.certificate import certify
    from accelsim.timing.map_network import map_network
    from accelsim.timing.rate import size_for_rate
    from accelsim.timing.simulate import schedule
    from accelsim.timing.size import size_buffers

_HOMES = {
    "accelsim.arithmetic.accuracy": ("accuracy",),
    "accelsim.arithmetic.encodings": ("Encoding",),
    "accelsim.arithmetic.execute": ("execute",),
    "accelsim.arithmetic.formats": ("Accumulator", "Format", "IntegerType"),
    "accelsim.arithmetic.load": ("load_integer_network", "load_network"),
    "accelsim.arithmetic.minifloats": ("FloatType",),
    "accelsim.arithmetic.network": ("IntegerNetwork",),
    "accelsim.arithmetic.quantise": ("Recipe", "fidelity", "quantise"),
    "accelsim.arithmetic.statistics": ("statistics",),
    "accelsim.arithmetic.tiling": ("tile_attention",),
    "accelsim.cost.energy": ("frame_energy",),
    "accelsim.errors": (
        "AccelsimError", "DeadlockError", "InfeasibleError", "InputError", "NotModelled", "UnsupportedError",
    ),
    "accelsim.hardware.accelerator": ("Accelerator", "load_accelerator"),
    "accelsim.mapping.array_use": ("array_use",),
    "accelsim.mapping.blocks": ("in_blocks",),
    "accelsim.mapping.design": ("Design", "bind", "with_capacities"),
    "accelsim.mapping.mapper": ("widen",),
    "accelsim.mapping.mapping": ("Mapping", "Measured", "read_mapping"),
    "accelsim.mapping.spilling": ("spill_waits",),
    "accelsim.mapping.unrolling": ("Unroll",),
    "accelsim.network.graph": ("Network",),
    "accelsim.network.load": ("registered_networks",),
    "accelsim.network.rewrites.fold": ("fold",),
    "accelsim.network.rewrites.recompute_attention": ("recompute_attention",),
    "accelsim.network.rewrites.virtual_maps": ("virtual_maps",),
    "accelsim.network.statistics": ("LayerStatistics",),
    "accelsim.report.attention_study": ("attention_study",),
    "accelsim.report.build": ("simulate",),
    "accelsim.report.folder": ("load_reports",),
    "accelsim.report.report": ("Report",),
    "accelsim.sweeps.ready": ("registered_studies",),
    "accelsim.sweeps.run": ("sweep",),
    "accelsim.sweeps.search": ("search",),
    "accelsim.timing.rate": ("size_for_rate",),
    "accelsim.timing.advice": ("what_would_buy",),
    "accelsim.timing.certificate": ("certify",),
    "accelsim.timing.map_network": ("map_network",),
    "accelsim.timing.simulate": ("schedule",),
    "accelsim.timing.size": ("size_buffers",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Accelerator",
    "AccelsimError",
    "Accumulator",
    "DeadlockError",
    "Design",
    "Encoding",
    "FloatType",
    "Format",
    "InfeasibleError",
    "InputError",
    "IntegerNetwork",
    "IntegerType",
    "LayerStatistics",
    "Mapping",
    "Measured",
    "Network",
    "NotModelled",
    "Recipe",
    "Report",
    "Unroll",
    "UnsupportedError",
    "accuracy",
    "array_use",
    "attention_study",
    "bind",
    "certify",
    "execute",
    "fidelity",
    "fold",
    "frame_energy",
    "in_blocks",
    "load_accelerator",
    "load_integer_network",
    "load_network",
    "load_reports",
    "map_network",
    "plots",
    "quantise",
    "read_mapping",
    "recompute_attention",
    "registered_networks",
    "registered_studies",
    "schedule",
    "search",
    "simulate",
    "size_buffers",
    "size_for_rate",
    "spill_waits",
    "statistics",
    "sweep",
    "tile_attention",
    "virtual_maps",
    "what_would_buy",
    "widen",
    "with_capacities",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        return import_module("accelsim.plots")
    if name not in _HOME:
        raise AttributeError(f"module 'accelsim' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
