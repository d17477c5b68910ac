"""Deadlock as a sentence: which stage waits for which, round the cycle."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design
from accelsim.network.reach import Granularity
from accelsim.timing.kernels.pipeline import Pipeline, State


class Wait(NamedTuple):
    """Why a stage does not fire: `edge` has no token yet (`for_space` False), or no room."""

    stage: int
    other: int
    edge: int
    token: int
    for_space: bool


def cycle_of_waits(pipeline: Pipeline, state: State, frame: int) -> list[Wait]:
    """The cycle that holds a stuck frame, each wait's `other` being the next wait's stage."""
    stuck = next(s for s in range(pipeline.firings.size) if state.done[s] < pipeline.firings[s])
    path: dict[int, Wait] = {}
    while stuck not in path:
        path[stuck] = _wait(pipeline, state, stuck, frame)
        stuck = path[stuck].other
    waits = list(path.values())
    return waits[list(path).index(stuck) :]


def _wait(p: Pipeline, state: State, stage: int, frame: int) -> Wait:
    n = int(state.done[stage])
    for edge in range(p.in_start[stage], p.in_start[stage + 1]):
        needed, source = int(p.need[p.need_at[edge] + n]), int(p.producer[edge])
        if needed >= state.done[source]:
            token = needed if p.makes_at[source] < 0 else int(p.makes[p.makes_at[source] + needed])
            return Wait(stage, source, edge, token, for_space=False)
    made = n if p.makes_at[stage] < 0 else int(p.makes[p.makes_at[stage] + n])
    for k in range(p.out_start[stage], p.out_start[stage + 1]):
        edge = int(p.out_edges[k])
        before = frame * int(p.tokens[stage]) + made - int(p.capacity[edge])
        if p.capacity[edge] == 0 or before < frame * p.tokens[stage]:
            continue
        freeing = p.freed[p.freed_at[edge] + before % p.tokens[stage]]
        if state.done[p.consumer[edge]] <= freeing:
            return Wait(stage, int(p.consumer[edge]), edge, made, for_space=True)
    raise AssertionError(f"stage {stage} has nothing to wait for")


def describe_deadlock(design: Design, pipeline: Pipeline, state: State, frame: int, granularity: Granularity) -> str:
    """One line: the cycle number, and every wait of the cycle with the buffer that would have to grow."""
    waits = cycle_of_waits(pipeline, state, frame)
    bounds = edge_bounds(design, granularity)
    cycle = int(state.free_at.max())
    told = "; ".join(_sentence(design, wait, bounds, granularity) for wait in waits)
    return f"deadlock at cycle {cycle:,}: {told}"


def _sentence(design: Design, wait: Wait, bounds: dict[str, int], granularity: Granularity) -> str:
    edge = design.edges[wait.edge]
    if not wait.for_space:
        return f"{edge.consumer} waits for {edge.producer} {granularity} {wait.token}"
    held, needed = edge.capacity, bounds[edge.name]
    need = f"needs {needed}" if needed > (held or 0) else "too few beside the others"
    return f"{edge.producer} waits for space on {edge.name} ({held} of {held} {granularity}s, {need})"
