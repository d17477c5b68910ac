"""The solver of linear and integer programs: one thread, so that it always answers alike, and not a word of its own."""

from __future__ import annotations

import highspy


class _Silent(highspy.Highs):  # type: ignore[misc]
    """Silent before its constructor's first call, which else prints a line on standard output."""

    def enableCallbacks(self) -> None:  # noqa: N802 - the name of what it overrides
        self.silent()
        super().enableCallbacks()


def new_solver(**options: float | int | str) -> highspy.Highs:
    """A solver with these options of HiGHS.

    All solvers of a process share a pool of threads, and one that asks for a pool of another size answers nothing.
    """
    highspy.Highs.resetGlobalScheduler(True)
    solver = _Silent()
    solver.silent()
    for name, value in {"threads": 1, **options}.items():
        solver.setOptionValue(name, value)
    return solver


def is_solved(solver: highspy.Highs) -> bool:
    """Whether a solver that was run has found the optimum."""
    status = solver.getModelStatus()
    assert status != highspy.HighsModelStatus.kNotset, "the solver did not run"
    return bool(status == highspy.HighsModelStatus.kOptimal)
