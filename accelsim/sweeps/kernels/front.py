"""Which of many points no other is better than."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def undominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each row of `costs`, float64[points, results] in lexicographic order, whether it is on the front.

    A point is off it where another is no greater in all results and less in one. In this order only points in
    front of it can be, and of these only such as are on the front themselves.
    """
    points, results = costs.shape
    on_front = np.ones(points, np.bool_)
    front = np.empty(points, np.int64)
    size = 0
    for p in range(points):
        for k in range(size):
            no_greater, less = True, False
            for r in range(results):
                if costs[front[k], r] > costs[p, r]:
                    no_greater = False
                    break
                if costs[front[k], r] < costs[p, r]:
                    less = True
            if no_greater and less:
                on_front[p] = False
                break
        if on_front[p]:
            front[size] = p
            size += 1
    return on_front
