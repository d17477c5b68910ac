"""A study run to its end: chunk by chunk, each written as soon as it is done, until its table is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.sweeps.chunks import chunks_of
from accelsim.sweeps.plan import Plan, read_plan
from accelsim.sweeps.runners import Runner, cores, dask_workers, here, processes
from accelsim.sweeps.screen import passed, with_simulated
from accelsim.sweeps.store import Store, opened
from accelsim.sweeps.study import Speed
from accelsim.sweeps.table import framed

#: Told of every chunk done: speed, points done so far, of how many, and how many of these were there before.
Progress = Callable[[Speed, int, int, int], None]


def sweep(
    study: str | Path | Mapping[str, Any],
    workers: int | None = None,
    folder: str | Path | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Every design of a study, a row each, in the order of its points.

    `study` is a registered one by name, a YAML file, or the same as a dictionary. It is run by `workers` processes,
    None for one a core, or by the workers of the Dask scheduler at the address `cluster`; the table does not depend on
    either. In `folder` the table is written part by part, and a sweep that was ended before goes on where it was. The
    column `speed` says how a row was found; a design that cannot be is a row with its `error`.

    Raises `InputError` with every problem of the study before anything is run.
    """
    plan = read_plan(study)
    runner = _runner(workers, cluster)
    with ExitStack() as stack:
        place = stack.enter_context(TemporaryDirectory(prefix="accelsim-sweep-")) if folder is None else folder
        return run(plan, stack.enter_context(opened(place, plan)), runner, progress)


def _runner(workers: int | None, address: str | None) -> Runner:
    if address is not None:
        if workers is not None:
            raise InputError("workers are processes of this computer; a cluster has its own: give one of the two")
        return dask_workers(address)
    if workers is None:
        workers = cores()
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InputError(f"workers = {workers!r} must be a whole number from 1")
    return here if workers == 1 else processes(workers)


def run(plan: Plan, store: Store, runner: Runner, progress: Progress | None = None) -> pl.DataFrame:
    """The table of a plan, written to `store`."""
    points = np.arange(plan.space.points, dtype=np.int64)
    table = _done(plan, plan.speeds[0], points, store, runner, progress)
    for speed in plan.speeds[1:]:
        table = with_simulated(table, _done(plan, speed, passed(plan, table), store, runner, progress))
    store.finish(table)
    return table


def _done(
    plan: Plan, speed: Speed, points: NDArray[np.int64], store: Store, runner: Runner, progress: Progress | None
) -> pl.DataFrame:
    """All rows at one speed; only those that are not in the store yet are made."""
    chunks = list(chunks_of(speed, points))
    left = [chunk for chunk in chunks if not store.has(speed, chunk.number)]
    before = points.size - sum(chunk.points.size for chunk in left)
    so_far = before
    if progress is not None:
        progress(speed, so_far, points.size, before)
    for chunk, found in runner(plan, left):
        store.write(speed, chunk.number, framed(plan, speed, found))
        so_far += chunk.points.size
        if progress is not None:
            progress(speed, so_far, points.size, before)
    return store.read(speed, len(chunks))
