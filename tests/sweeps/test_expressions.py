import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.sweeps.axes import column
from accelsim.sweeps.expressions import condition

A, B = np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])
COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@given(st.sampled_from(sorted(COMPARISONS)), st.integers(-5, 5), st.integers(-5, 5), st.sampled_from("+-*"))
def test_conditions_are_those_of_numbers(sign, one, other, between):
    combine = {"+": operator.add, "-": operator.sub, "*": operator.mul}[between]
    found = condition(f"a.x {between} {one} {sign} b + {other}", ["a.x", "b"]).holds({"a.x": A, "b": B}, 4)
    assert found.tolist() == [
        COMPARISONS[sign](combine(a, one), b + other) for a, b in zip(A.tolist(), B.tolist(), strict=True)
    ]


def test_words_and_chains():
    assert condition("1 < a <= 3 and not b == 2", ["a", "b"]).holds({"a": A, "b": B}, 4).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert condition("a < 2 or b < 2", ["a", "b"]).holds({"a": A, "b": B}, 4).tolist() == [True, False, False, True]


def test_text_is_compared_whole_and_quantities_by_their_size():
    assert condition("n == 'x'", ["n"]).holds({"n": column(("x", "y"))}, 2).tolist() == [True, False]
    assert condition("n <= '1 KiB'", ["n"]).holds({"n": column((1024, 1025))}, 2).tolist() == [True, False]


def test_what_is_missing_meets_no_comparison():
    rows = column((None, 1, 7))
    assert condition("r >= 1", ["r"]).holds({"r": rows}, 3).tolist() == [False, True, True]
    assert condition("r != 7", ["r"]).holds({"r": rows}, 3).tolist() == [True, True, False]


def test_what_is_missing_is_found_by_null():
    rows, names = column((None, 1, 7)), column((None, "x"))
    assert condition("r == null", ["r"]).holds({"r": rows}, 3).tolist() == [True, False, False]
    assert condition("r != null and r < 5", ["r"]).holds({"r": rows}, 3).tolist() == [False, True, False]
    assert condition("null == n", ["n"]).holds({"n": names}, 2).tolist() == [True, False]
    assert condition("r == null", ["r"]).holds({"r": None}, 2).tolist() == [True, True]


def test_truths_and_shapes_are_written_as_in_studies_and_tables():
    folded, shapes = column((True, False)), column(((1, 3, 8, 8), None, (1, 3, 4, 4)))
    assert condition("f == true", ["f"]).holds({"f": folded}, 2).tolist() == [True, False]
    assert condition("s == '1,3,4,4'", ["s"]).holds({"s": shapes}, 3).tolist() == [False, False, True]
    assert condition("s == '1,3,8,8'", ["s"]).holds({"s": (1, 3, 8, 8)}, 2).tolist() == [True, True]


@pytest.mark.parametrize("text", ["n < 3", "n == 3", "n + n == 'xx'", "-n == 1", "n == 'x' or n == 1"])
def test_text_and_numbers_do_not_compare(text):
    with pytest.raises(InputError, match="do not compare"):
        condition(text, ["n"]).holds({"n": column(("x", "y"))}, 2)


HOSTILE = (
    "a.__class__()",
    "[a for a in b]",
    "(lambda: 1)() == 1",
    "a ** 9 ** 9 == 1",
    "a if b else a",
    "a[0] == 1",
    "a == f'{b}'",
    "",
    "(" * 900,
    "a == 1; b",
    "a == " + "1" * 5000,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(InputError):
        condition(text, ["a", "b"]).holds({"a": A, "b": B}, 4)
