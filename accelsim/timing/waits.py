"""Deadlock as a sentence: which stage waits for which, round the cycle."""

from __future__ import annotations

from collections.abc import Iterator
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
    for edge in p.out_edges[p.out_start[stage] : p.out_start[stage + 1]].tolist() if made >= 0 else ():
        reader = int(p.consumer[edge])
        if any(fired[reader] <= firing for firing in _makes_room(p, edge, frame, made)):
            return Wait(stage, reader, edge, made, for_space=True)
    raise AssertionError(f"stage {stage} has nothing to wait for")


def _makes_room(p: Pipeline, edge: int, frame: int, made: int) -> Iterator[int]:
    """The firings of an edge's reader, counted from its first, on which the coming of a frame's token hangs."""
    stage, reader = int(p.producer[edge]), int(p.consumer[edge])
    if p.apart[edge] and frame:
        yield frame * int(p.firings[reader]) - 1
    for at, table in ((p.admit_at, p.admit), (p.close_at, p.close)):
        admitting = int(table[at[edge] + made]) if at[edge] >= 0 else ALWAYS
        if admitting != ALWAYS:
            yield frame * int(p.firings[reader]) + admitting
    before = frame * int(p.tokens[stage]) + made - int(p.capacity[edge])
    if p.capacity[edge] and before >= 0:
        then, token = divmod(before, int(p.tokens[stage]))
        freeing = int(p.freed[p.freed_at[edge] + token])
        if freeing >= 0:
            yield then * int(p.firings[reader]) + freeing


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
