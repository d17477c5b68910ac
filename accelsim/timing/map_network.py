"""From a network and a machine to a design, by all objectives: those that take timing among them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping import mapper
from accelsim.mapping.design import Design
from accelsim.mapping.mapping import Mapping
from accelsim.network.graph import Network
from accelsim.timing.sizing.multipliers import Buffered, buffering_curve


def map_network(
    net: Network,
    accelerator: Accelerator,
    target_fps: float | None = None,
    mapping: Mapping | str | Path | None = None,
    like: Design | None = None,
    objective: str = "bytes",
    frames_per_visit: int = 1,
    materialised: Collection[str] | bool = (),
) -> Design:
    """`net` on `accelerator`, as one pipeline or in segments that take turns.

    `mapping` is a `Mapping`, a file, or what to choose: "pipeline" (without memories, or on a spatial engine, the
    default), "layer-by-layer" (on a systolic array the default) or "fused", segments of as many stages as pay.

    A pipeline is the fastest for the machine's multipliers, or with `target_fps` the one with the fewest that
    reaches it, its source paced at that rate. With `objective="buffering"` it keeps that rate and has the multipliers,
    no more than the engine's, with which its buffers can be smallest (`buffering_curve`). `like` keeps the unrolling
    of every layer that another design has too, and adds to it only where a layer has more to do here.

    Segments, each of which has the whole engine, are cut and tiled for the least of `objective`: "bytes" off chip,
    "cycles" (estimated) or "energy" of a frame; a visit takes `frames_per_visit` of them. `Mapping.choice` tells
    how far that may be from the best.

    Of `materialised` convolutions (True: of all) the maps are stored before their channels are pooled, even where the
    machine could pool them on the way out: in a pipeline off chip, else as any map that crosses a cut.

    Raises `InfeasibleError` where the machine is too small or too slow.

    >>> from accelsim import load_accelerator, load_network
    >>> net = load_network("resnet18", input_shape=(1, 3, 64, 64))
    >>> map_network(net, load_accelerator("streaming-asic"), target_fps=30).multipliers
    21
    """
    if objective != "buffering":
        return mapper.map_network(
            net, accelerator, target_fps, mapping, like, objective, frames_per_visit, materialised
        )
    if mapping not in (None, "pipeline"):
        raise InputError(f"objective buffering chooses the multipliers of a pipeline; mapping {mapping} has its own")
    return map_curve(net, accelerator, target_fps, like, materialised)[-1].design


def map_curve(
    net: Network,
    accelerator: Accelerator,
    target_fps: float | None = None,
    like: Design | None = None,
    materialised: Collection[str] | bool = (),
) -> tuple[Buffered, ...]:
    """Multipliers against buffering at one frame rate: pipelines with ever more of the one and ever less of the other.

    The rate is `target_fps`, or what the machine's multipliers reach at most. The first has the fewest multipliers for
    that, of those that hold no more than the usual mapping, the last the least buffering within the machine's.
    """
    usual = mapper.map_network(net, accelerator, target_fps, "pipeline", like, materialised=materialised)
    if target_fps is not None:
        return buffering_curve(usual)
    # between two whole numbers of cycles, so that no rounding makes it faster
    rate = accelerator.clock_hz / (max(usual.pace_cycles, usual.bottleneck_cycles) + 0.5)
    fewest = mapper.map_network(net, accelerator, rate, "pipeline", like, materialised=materialised)
    return buffering_curve(fewest, usual)
