"""The solver answers whoever else uses it in this process, and prints nothing."""

import subprocess
import sys

import highspy
import pytest

from accelsim.timing.sizing.solver import is_solved, new_solver


def least_of_two(solver: highspy.Highs) -> float:
    """The least x + y with 2 x + 3 y >= 8, x whole and no less than 1: 1 + 2."""
    x, y = solver.addIntegral(lb=1), solver.addVariable(lb=0)
    solver.addConstr(2 * x + 3 * y >= 8)
    solver.minimize(x + y)
    assert is_solved(solver)
    return solver.getObjectiveValue()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_it_answers_after_one_with_other_threads(threads):
    highspy.Highs.resetGlobalScheduler(True)
    other = highspy.Highs()
    other.silent()
    other.setOptionValue("threads", threads)
    assert least_of_two(other) == pytest.approx(3)
    assert least_of_two(new_solver()) == pytest.approx(3)


def test_one_that_was_not_run_is_our_fault():
    with pytest.raises(AssertionError, match="did not run"):
        is_solved(new_solver())


def test_not_even_the_first_of_a_process_prints():
    script = "from accelsim.timing.sizing.solver import new_solver; new_solver()"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout == ran.stderr == ""
