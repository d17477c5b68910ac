"""Published networks by name, built layer by layer: `NETWORKS[name](input_shape)` is a `Network` without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelsim.network.graph import Network
    from workloads.draft import Shape

#: Names by the module that builds them. A module is imported when one of its networks is asked for.
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "resnet": ("resnet18", "resnet50", "resnet50_v1", "se_resnet50"),
        "vgg": ("vgg16",),
        "mobilenet": ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
        "efficientnet": (
            "efficientnet_b0",
            "efficientnet_b1",
            "efficientnet_b2",
            "efficientnet_b3",
            "efficientnet_b4",
        ),
        "efficientdet": ("efficientdet_d0", "efficientdet_d1", "efficientdet_d2", "efficientdet_d3"),
        "regnet": ("regnety_800mf", "regnety_3_2gf", "regnet_y_800mf"),
        "yolo": ("tiny_yolo_v2", "tiny_yolov2"),
        "condensation": (
            "condensation_net",
            "condensation_net_f2",
            "condensation_net_f4",
            "condensation_net_f2_macs",
            "condensation_net_f4_macs",
        ),
        "audio": ("sample_cnn",),
    }
)


def _build(family: str, name: str, input_shape: Shape = None) -> Network:
    built: Network = import_module(f"workloads.{family}").build(name, input_shape)
    return built


#: Builders by name. `input_shape` is (channels, *spatial) or (1, channels, *spatial), or that by the input's name
#: ("image" or "waveform"); by default the published one.
NETWORKS: Mapping[str, Callable[..., Network]] = MappingProxyType(
    {name: partial(_build, family, name) for family, names in FAMILIES.items() for name in names}
)
