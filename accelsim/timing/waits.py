"""Deadlock as a sentence: which stage waits for which, round the cycle."""

from __future__ import annotations

from typing import NamedTuple

from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design
from accelsim.network.reach import Granularity
from accelsim.timing.kernels.pipeline import ALWAYS, Ints, Pipeline, State


class Wait(NamedTuple):
    """Why a stage does not fire: `edge` has no token yet (`for_space` False), or no room."""

    stage: int
    other: int
    edge: int
    token: int
    for_space: bool


def is_stuck(p: Pipeline, state: State) -> bool:
    """Whether those that the stage furthest behind waits for wait for each other in turn."""
    stage = int((state.fired // p.firings).argmin())
    seen: set[int] = set()
    while stage >= 0 and stage not in seen:
        seen.add(stage)
        stage = int(state.waits_for[stage])
    return stage >= 0


def cycle_of_waits(p: Pipeline, fired: Ints) -> list[Wait]:
    """The cycle that holds a stuck pipeline, each wait's `other` being the next wait's stage.

    `fired` are the firings so far of every stage; the first stage of those furthest behind is followed.
    """
    frame = fired // p.firings
    stuck = int(frame.argmin())
    path: dict[int, Wait] = {}
    while stuck not in path:
        path[stuck] = _wait(p, fired, stuck)
        stuck = path[stuck].other
    waits = list(path.values())
    return waits[list(path).index(stuck) :]


def _wait(p: Pipeline, fired: Ints, stage: int) -> Wait:
    frame, n = divmod(int(fired[stage]), int(p.firings[stage]))
    for edge in range(p.in_start[stage], p.in_start[stage + 1]):
        needed, source = int(p.need[p.need_at[edge] + n]), int(p.producer[edge])
        if needed >= fired[source] - frame * p.firings[source]:
            token = needed if p.makes_at[source] < 0 else int(p.makes[p.makes_at[source] + needed])
            return Wait(stage, source, edge, token, for_space=False)
    made = n if p.makes_at[stage] < 0 else int(p.makes[p.makes_at[stage] + n])
    for k in range(p.out_start[stage], p.out_start[stage + 1]):
        edge = int(p.out_edges[k])
        if made >= 0 and p.admit_at[edge] >= 0:
            admitting, reader = int(p.admit[p.admit_at[edge] + made]), int(p.consumer[edge])
            if admitting != ALWAYS and fired[reader] <= frame * p.firings[reader] + admitting >= 0:
                return Wait(stage, reader, edge, made, for_space=True)
        before = frame * int(p.tokens[stage]) + made - int(p.capacity[edge])
        if made < 0 or p.capacity[edge] == 0 or before < 0:
            continue
        then, token = divmod(before, int(p.tokens[stage]))
        freeing, reader = int(p.freed[p.freed_at[edge] + token]), int(p.consumer[edge])
        if freeing >= 0 and fired[reader] <= then * p.firings[reader] + freeing:
            return Wait(stage, reader, edge, made, for_space=True)
    raise AssertionError(f"stage {stage} has nothing to wait for")


def describe_deadlock(design: Design, pipeline: Pipeline, state: State, granularity: Granularity) -> str:
    """One line: the cycle in which the last of those in it stopped, and every wait with the buffer that has to grow."""
    waits = cycle_of_waits(pipeline, state.fired)
    bounds = edge_bounds(design, granularity)
    cycle = int(state.free_at[[wait.stage for wait in waits]].max())
    told = "; ".join(_sentence(design, wait, bounds, granularity) for wait in waits)
    return f"deadlock at cycle {cycle:,}: {told}"


def _sentence(design: Design, wait: Wait, bounds: dict[str, int], granularity: Granularity) -> str:
    edge = design.edges[wait.edge]
    if not wait.for_space:
        return f"{edge.consumer} waits for {edge.producer} {granularity} {wait.token}"
    if edge.capacity is None:
        return f"{edge.producer} waits for {edge.consumer} to let go of what is before {granularity} {wait.token}"
    if design.mapping.granularity == "word":
        return f"{edge.producer} waits for space on {edge.name} ({edge.capacity} words, all taken)"
    held, needed = edge.capacity, bounds[edge.name]
    need = f"needs {needed}" if needed > held else "too few beside the others"
    return f"{edge.producer} waits for space on {edge.name} ({held} of {held} {granularity}s, {need})"
