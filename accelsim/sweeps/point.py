"""One point of a study: its values become a network, a machine, a design and a row of the table.

What points have in common is done once: networks are read, rewritten and kept, and so are machines' descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from accelsim.arithmetic.load import load_network
from accelsim.errors import AccelsimError
from accelsim.hardware.accelerator import Accelerator, accelerator_document, accelerator_from
from accelsim.mapping.design import Design
from accelsim.mapping.mapper import map_network
from accelsim.mapping.mapping import Granularity
from accelsim.network.graph import Network
from accelsim.network.rewrites.fold import fold
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.rewrites.virtual_maps import virtual_maps
from accelsim.report.build import simulated_parts
from accelsim.sweeps.metrics import metric_values, wanted_parts
from accelsim.sweeps.paths import OPTIONS
from accelsim.yaml_file import Document

#: Networks, before and after rewrites, that a process keeps.
KEPT_NETWORKS = 16
#: Options of a mapping that is chosen, which are left out where they are as usual.
MAPPING_OPTIONS = ("target_fps", "objective", "frames_per_visit", "materialised")

Values = Mapping[str, Any]
Items = tuple[tuple[str, Any], ...]


def rewritten(values: Values) -> Network:
    """The network of a point, with its rewrites: folded, then its maps made virtual, then its attention tiled."""
    return _rewritten(network_items(values))


def network_items(values: Values) -> Items:
    """Those values of a point that its network is made of."""
    kept = ("network", "input_shape", "fold", "virtual_maps.", "tile_attention.")
    return tuple((path, value) for path, value in values.items() if path.startswith(kept))


@lru_cache(maxsize=KEPT_NETWORKS)
def _rewritten(items: Items) -> Network:
    values = dict(items)
    net = _loaded(values["network"], values.get("input_shape"))
    if values.get("fold"):
        net = fold(net)
    if values.get("virtual_maps.factor"):
        net = virtual_maps(net, values["virtual_maps.factor"], values.get("virtual_maps.operation", "maximum"))
    if values.get("tile_attention.rows"):
        options = (values.get("tile_attention.count"), values.get("tile_attention.columns"))
        net = tile_attention(net, values["tile_attention.rows"], *options)
    return net


@lru_cache(maxsize=KEPT_NETWORKS)
def _loaded(network: str, input_shape: tuple[int, ...] | None) -> Network:
    return load_network(network, input_shape)


def machine(values: Values) -> Accelerator:
    """The accelerator of a point, with its fields set."""
    settings = {path: value for path, value in values.items() if path not in OPTIONS}
    return accelerator_from(_described(values["accelerator"]), settings)


@lru_cache(maxsize=KEPT_NETWORKS)
def _described(accelerator: str) -> Document:
    return accelerator_document(accelerator)


def design_of(values: Values) -> Design:
    """The design of a point, as `map_network` makes it. Raises `AccelsimError` where there is none."""
    options = {name: values[name] for name in MAPPING_OPTIONS if values.get(name) is not None}
    return map_network(rewritten(values), machine(values), mapping=values.get("mapping"), **options)


def simulated(values: Values, granularity: Granularity, frames: int | None, metrics: Sequence[str]) -> list[Any]:
    """What the report of a point says of `metrics`, and its error last: of a point that fails that is all there is.

    Nothing that goes wrong in one design, a bug of ours included, is the end of the others.
    """
    try:
        body = simulated_parts(design_of(values), wanted_parts(metrics), frames, granularity)
        return [*metric_values(body, metrics), None]
    except Exception as error:
        return [*[None] * len(metrics), told(error)]


def told(error: Exception) -> str:
    """An error as a cell of the table."""
    kind = "" if isinstance(error, AccelsimError) else "internal error: "
    return f"{kind}{type(error).__name__}: {error}"
