import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.report.page.layout import PASSING_WIDTH, STAGE_WIDTH, layered


@st.composite
def graphs(draw):
    """Stages, and edges from each to later ones."""
    count = draw(st.integers(1, 14))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = draw(st.lists(pairs, max_size=25)) if count > 1 else []
    return [f"s{k}" for k in range(count)], [(f"s{a}", f"s{b}") for a, b in edges]


@given(graphs())
def test_edges_lead_down_and_nothing_is_on_top_of_another(graph):
    stages, edges = graph
    layout = layered(stages, edges)
    assert set(layout.places) == set(stages)
    there = {}
    for x, rank in layout.places.values():
        assert 0 <= rank < layout.ranks
        there.setdefault(rank, []).append((x, STAGE_WIDTH))
    for (producer, consumer), bends in zip(edges, layout.bends, strict=True):
        begin, end = layout.places[producer][1], layout.places[consumer][1]
        assert [rank for _, rank in bends] == list(range(begin + 1, end))
        for x, rank in bends:
            there.setdefault(rank, []).append((x, PASSING_WIDTH))
    for row in there.values():
        for (x, width), (next_x, next_width) in zip(sorted(row), sorted(row)[1:], strict=False):
            assert next_x - x >= (width + next_width) / 2 - 1e-6


@given(graphs())
def test_the_same_graph_is_laid_out_alike(graph):
    assert layered(*graph) == layered(*graph)


def test_a_chain_is_straight():
    names = [f"s{k}" for k in range(300)]
    layout = layered(names, list(itertools.pairwise(names)))
    assert [layout.places[name] for name in names] == [(0.0, rank) for rank in range(300)]


def test_what_nothing_leads_to_stands_above_its_reader():
    layout = layered(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])
    assert layout.places["late"][1] == 1


def test_what_passes_most_goes_straight_where_that_is_too_much(monkeypatch):
    monkeypatch.setattr("accelsim.report.page.layout.MOST_PASSED", 3)
    names = [f"s{k}" for k in range(6)]
    layout = layered(names, [*itertools.pairwise(names), ("s0", "s2"), ("s0", "s5")])
    assert [rank for _, rank in layout.bends[5]] == [1]
    assert layout.bends[6] == ()


def test_a_circle_is_no_pipeline():
    with pytest.raises(InputError, match="circle"):
        layered(["a", "b"], [("a", "b"), ("b", "a")])


def test_no_stages_at_all():
    assert layered([], []).ranks == 0
