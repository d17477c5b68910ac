"""What no schedule can beat, in closed form: an oracle that knows nothing of the simulator.

Interval. Every stage is busy `work_cycles` a frame, and a paced source offers a frame each `pace_cycles`.

Latency. No frame is through before its slowest stage has done the work that the last outputs depend on
and the result has passed the latencies of the stages behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from accelsim.mapping.buffers import needed_and_held, tokens_made
from accelsim.mapping.design import Design
from accelsim.mapping.wiring import once_a_wiring
from accelsim.network.reach import Granularity


def interval_bound_cycles(design: Design, source: str) -> int:
    """Least cycles between frames: the busiest stage's work, or the pace of a paced source."""
    return max(design.bottleneck_cycles, design.pace_cycles if source == "paced" else 0)


def latency_bound_cycles(design: Design, granularity: Granularity) -> int:
    """Least cycles from a frame's first pixel to its last output token.

    The last outputs depend on the first R firings of each stage; those take R intervals, and what
    they make then passes the latencies of the stages that wait for the last of them.
    """
    drain: dict[str, int] = {}
    least = 0
    for name, required in _required(design, granularity).items():
        stage = design.stage_by_name[name]
        drain[name] = stage.latency_cycles + max((drain[reader] for reader in required.last_for), default=0)
        work = stage.work_cycles * (required.firings - required.ahead) // required.of
        least = max(least, work + drain[name])
    return least


class _Required(NamedTuple):
    """The last outputs of a frame depend on the first `firings` of a stage, of `of` in all.

    The last of these is what the stages `last_for` wait for; the first `ahead` may be done before the frame comes.
    """

    firings: int
    of: int
    ahead: int
    last_for: tuple[str, ...]


@once_a_wiring
def _required(design: Design, granularity: Granularity) -> Mapping[str, _Required]:
    """By stage that an output depends on, each behind those that read it."""
    ahead = _firings_without_input(design, granularity)
    required: dict[str, _Required] = {}
    for stage in reversed(design.stages):
        firings = stage.fired.rows if granularity == "row" else stage.fired.pixels
        counts: dict[str, int] = {}
        for edge in design.edges_from[stage.name]:
            if edge.consumer not in required:
                continue
            needed, _ = needed_and_held(design, edge, granularity)
            token = int(needed[required[edge.consumer].firings - 1])
            if token >= 0:
                firing = int(tokens_made(stage, granularity, np.arange(firings))[token])
                counts[edge.consumer] = max(firing + 1, counts.get(edge.consumer, 0))
        makes_output = stage.name in design.output_stages
        if not counts and not makes_output:
            continue
        most = max([*counts.values(), *([firings] if makes_output else [])])
        last_for = tuple(name for name, count in counts.items() if count == most)
        required[stage.name] = _Required(most, firings, ahead[stage.name], last_for)
    return required


def _firings_without_input(design: Design, granularity: Granularity) -> dict[str, int]:
    """For each stage the first firings that read padding only: they may be done before the frame comes."""
    ahead: dict[str, int] = {}
    for stage in design.stages:
        firings = stage.fired.rows if granularity == "row" else stage.fired.pixels
        free = 0 if stage.is_source else firings
        for edge in design.edges_to[stage.name]:
            producer = design.stage_by_name[edge.producer]
            order = np.arange(producer.fired.rows if granularity == "row" else producer.fired.pixels)
            tokens = int(np.searchsorted(tokens_made(producer, granularity, order), ahead[edge.producer]))
            needed, _ = needed_and_held(design, edge, granularity)
            free = min(free, int(np.searchsorted(needed, tokens)))
        ahead[stage.name] = free
    return ahead
