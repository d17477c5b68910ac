"""Stretches of a study that are done at once, and one done: what is sent to whoever does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.sweeps.plan import Plan
from accelsim.sweeps.study import Speed
from accelsim.sweeps.table import Found, evaluated

#: Points at once: enough to be worth sending, few enough to lose.
POINTS: dict[Speed, int] = {"bounds": 2**16, "row": 64, "pixel": 4}


@dataclass(frozen=True)
class Chunk:
    """Points that become one part of the table."""

    speed: Speed
    number: int
    points: NDArray[np.int64]


def chunks_of(speed: Speed, points: NDArray[np.int64]) -> Iterator[Chunk]:
    """`points` cut into chunks, the same ones however they are run."""
    size = POINTS[speed]
    for number, first in enumerate(range(0, points.size, size)):
        yield Chunk(speed, number, points[first : first + size])


def done(plan: Plan, chunk: Chunk) -> Found:
    """What is found of a chunk's points."""
    return evaluated(plan, chunk.speed, chunk.points)
