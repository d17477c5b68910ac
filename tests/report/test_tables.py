"""Tables as lines: nothing is lost, nothing is wider than asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.tables import GAP, INDENT, LEAST_TEXT, Table, facts_table, laid_out, plain, printable, quantity

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1, max_size=30)
TEXT = st.lists(WORDS, max_size=5).map(" ".join)
FIGURE = st.integers(0, 10**9).map("{:,}".format)


@st.composite
def tables(draw):
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    columns = tuple(draw(WORDS.filter(lambda w: not w.endswith("|"))) + "|" * text for text in kinds)
    rows = draw(st.lists(st.tuples(*(TEXT if text else FIGURE for text in kinds)), min_size=1, max_size=5))
    return Table(draw(WORDS), columns, tuple(rows))


@given(tables(), st.integers(20, 120))
def test_every_character_is_there(table, width):
    shown = "".join(line.text for line in laid_out([table], width))
    given = "".join(
        (table.title, *(name.removesuffix("|") for name in table.columns), *(c for r in table.rows for c in r))
    )
    assert sorted(shown.replace(" ", "")) == sorted(given.replace(" ", ""))


@given(tables(), st.integers(20, 120))
def test_lines_are_as_wide_as_asked_where_figures_leave_room(table, width):
    names = [name.removesuffix("|") for name in table.columns]
    figures = [k for k, name in enumerate(table.columns) if not name.endswith("|")]
    taken = sum(max(len(names[k]), *(len(row[k]) for row in table.rows)) for k in figures)
    texts = len(names) - len(figures)
    if texts and taken + len(INDENT) + len(GAP) * len(names) + texts * LEAST_TEXT <= width // 2:
        assert max(len(line.text) for line in laid_out([table], width)) <= width


def test_figures_stand_below_each_other():
    lines = plain([Table("t", ("name|", "figure"), (("a", "1"), ("bcd", "1,000")))]).splitlines()
    assert lines == ["t", "  name  figure", "  a          1", "  bcd    1,000"]


def test_facts_of_several_tables_line_up():
    lines = plain([facts_table("t", [("a", "1", "x")]), facts_table("u", [("longer", "12,345", "y")])]).splitlines()
    assert lines[1].index("x") == lines[4].index("y")


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\x07", "\u202e", "\x9b"])
def test_control_characters_are_written_out(text):
    assert printable(text).isprintable()


@pytest.mark.parametrize("number", [0, 7, 1234567, 0.5, 12345.678, 1e-9, -3.25, 1e18])
def test_quantities_keep_their_value(number):
    assert float(quantity(number).replace(",", "")) == pytest.approx(number, rel=5e-3, abs=0)
