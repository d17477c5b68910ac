"""Which capacities let one frame through: whether a pipeline deadlocks, and what its cycle of waits lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from accelsim.timing.kernels.pipeline import THROUGH, Pipeline, at_rest, run
from accelsim.timing.waits import cycle_of_waits

Ints = NDArray[np.int64]


class Alone:
    """A pipeline with one frame in it.

    One is enough: it leaves all buffers empty, and no firing of it depends on a later frame. Ports are left out:
    whoever holds one lets go of it in the end.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline._replace(port=np.full_like(pipeline.port, -1))

    def lacking(self, capacity: Ints) -> tuple[int, ...] | None:
        """The full edges of a deadlock's cycle of waits, None where the frame goes through; 0 is unbounded."""
        pipeline = self.pipeline._replace(capacity=capacity)
        state = at_rest(pipeline, 1, by_row=True)
        if run(pipeline, state, 0, 1, 0, 0) == THROUGH:
            return None
        return tuple(sorted({wait.edge for wait in cycle_of_waits(pipeline, state.fired) if wait.for_space}))
