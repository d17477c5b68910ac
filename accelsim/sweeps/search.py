"""Searching a study's space for the best designs instead of going through all of it.

Every design that is tried is stored as it is done, so that a search can be ended and gone on with.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from accelsim.errors import InputError
from accelsim.sweeps.axes import Axis, Column, Listed
from accelsim.sweeps.plan import Plan, read_plan
from accelsim.sweeps.run import Progress
from accelsim.sweeps.store import opened
from accelsim.sweeps.table import ERROR, found_of, framed, kept, table_types

if TYPE_CHECKING:
    import optuna

JOURNAL = "search.journal"
#: Where a trial keeps its row of the table.
ROW = "row"
#: Directions as the library spells them.
DIRECTIONS = {"minimise": "minimize", "maximise": "maximize"}


def search(
    study: str | Path | Mapping[str, Any],
    trials: int,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Tries designs of a study until there are `trials`, each chosen by what those before it came to.

    What is optimised are the study's `objectives`, one or several; `pareto_front` of the table with them is the
    answer. A search in the same `folder` goes on where it was. A design that cannot be, or does not meet the study's
    conditions, is a trial too. Needs the extra [search].

    Raises `InputError` with every problem of the study before anything is tried.
    """
    plan = read_plan(study)
    _check(plan, trials)
    with ExitStack() as stack:
        place = stack.enter_context(TemporaryDirectory(prefix="accelsim-search-")) if folder is None else folder
        store = stack.enter_context(opened(place, plan, "search"))
        optimised = _begun(plan, store.folder / JOURNAL)
        _try(plan, optimised, trials, progress)
        table = _table(plan, optimised)
        store.finish(table)
        return table


def _check(plan: Plan, trials: int) -> None:
    if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
        raise InputError(f"trials = {trials!r} must be a whole number from 1")
    if not plan.objectives:
        raise InputError("a search needs objectives in its study: figures to minimise or maximise")
    if len(plan.speeds) > 1:
        raise InputError("a search chooses what is simulated itself; leave screen out, or set speed: bounds")


def _begun(plan: Plan, path: Path) -> optuna.Study:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise InputError("a search needs the extra [search]: pip install 'accelsim[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _mend(path)
    optimised = optuna.create_study(
        study_name=plan.file.name,
        storage=JournalStorage(JournalFileBackend(str(path))),
        directions=[DIRECTIONS[direction] for direction in plan.objectives.values()],
        load_if_exists=True,
    )
    # of a search that goes on, the draws must not be those it began with
    optimised.sampler = optuna.samplers.TPESampler(seed=(plan.file.seed + len(_ended(optimised))) % 2**32)
    return optimised


def _mend(journal: Path) -> None:
    """Takes away what a search that was killed left: the lock on its journal, and half a line at its end."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


def _try(plan: Plan, optimised: optuna.Study, trials: int, progress: Progress | None) -> None:
    from optuna.trial import TrialState

    ended = len(_ended(optimised))
    for done in range(ended, trials):
        if progress is not None:
            progress(plan.speeds[-1], done, trials, ended)
        trial = optimised.ask()
        row = _row(plan, trial)
        trial.set_user_attr(ROW, row)
        values = [None if row is None else row[name] for name in plan.objectives]
        if row is None or row[ERROR] is not None or None in values:
            optimised.tell(trial, state=TrialState.PRUNED)
        else:
            optimised.tell(trial, values)


def _row(plan: Plan, trial: optuna.Trial) -> dict[str, Any] | None:
    """The row of the design that a trial is about; None where it does not meet the study's conditions."""
    columns: dict[str, Column] = {}
    for axes in plan.space.dimensions:
        columns |= _chosen(trial, axes)
    points, met = kept(plan, np.array([trial.number]), columns)
    if not points.size:
        return None
    speed = plan.speeds[-1]
    return framed(plan, speed, found_of(plan, speed, points, met)).to_dicts()[0]


def _chosen(trial: optuna.Trial, axes: tuple[Axis, ...]) -> dict[str, Column]:
    """Values for the axes of one dimension: a number between ends, or a place in what is listed."""
    first = axes[0]
    if len(axes) > 1 or isinstance(first, Listed):
        name = " and ".join(axis.path for axis in axes)
        place = np.array([trial.suggest_categorical(name, list(range(first.size)))])
        return {axis.path: axis.take(place) for axis in axes}
    low, high = sorted((first.first, first.last))
    if first.whole:
        return {first.path: np.array([trial.suggest_int(first.path, int(low), int(high), log=first.log)])}
    return {first.path: np.array([trial.suggest_float(first.path, low, high, log=first.log)])}


def _ended(optimised: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in optimised.trials if trial.state.is_finished()]


def _table(plan: Plan, optimised: optuna.Study) -> pl.DataFrame:
    rows = [row for trial in _ended(optimised) if (row := trial.user_attrs.get(ROW)) is not None]
    return pl.DataFrame(rows, schema=table_types(plan, plan.speeds[-1]))
