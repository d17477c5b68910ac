import polars as pl
import pytest
from matplotlib.axes import Axes

import accelsim as acs
from accelsim.sweeps.plots import axes_of, figures_of

OBJECTIVES = {"bounds.multipliers": "minimise", "bounds.frames_per_second": "maximise"}


@pytest.fixture
def table(study):
    return acs.sweep(study | {"speed": "bounds"}, workers=1)


def test_axes_and_figures_are_told_apart(table):
    assert axes_of(table) == ["engine.multipliers", "engine.lanes", "memories.sram.size"]
    assert "bounds.interval_cycles" in figures_of(table)
    assert not {"error", "speed", "point"} & set(figures_of(table))


def test_figures_say_what_they_show_and_are_the_same_twice(table, tmp_path):
    for name, figure in {
        "pareto": acs.plots.pareto(table, OBJECTIVES),
        "axis": acs.plots.axis(table, "engine.multipliers", "bounds.frames_per_second", "engine.lanes"),
    }.items():
        paths = [tmp_path / f"{name}{k}.svg" for k in range(2)]
        for path in paths:
            acs.plots.save(figure, path)
        assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "<!-- engine.lanes = 64 -->" in (tmp_path / "axis0.svg").read_text(encoding="utf-8")
    assert "<!-- designs (12) -->" in (tmp_path / "pareto0.svg").read_text(encoding="utf-8")
    assert "means and spans over memories.sram.size" in (tmp_path / "axis0.svg").read_text(encoding="utf-8")


def test_every_network_has_a_front_of_its_own(study, monkeypatch):
    looks = {}
    monkeypatch.setattr(Axes, "step", lambda *_, label, color, **__: looks.update({label: color}))
    acs.plots.pareto(
        acs.sweep(study | {"network": ["resnet18", "mobilenet_v2"], "speed": "bounds"}, workers=1), OBJECTIVES
    )
    assert [label.split()[0] for label in looks] == ["resnet18", "mobilenet_v2"]
    assert len(set(looks.values())) == 2


@pytest.mark.parametrize(("direction", "where"), [("minimise", "post"), ("maximise", "pre")])
def test_a_front_goes_in_steps_of_what_is_reached(monkeypatch, direction, where):
    """With at least, or at most, 1.5 of `a` only one of two designs is left, and its `b`."""
    steps = []
    monkeypatch.setattr(Axes, "step", lambda panel, x, y, *_, where, **__: steps.append((*x, *y, where)))
    b = [1, 3] if direction == "minimise" else [3, 1]
    table = pl.DataFrame({"point": [0, 1], "speed": ["row", "row"], "a": [2, 1], "b": b[::-1]})
    acs.plots.pareto(table, {"a": direction, "b": "maximise"})
    assert steps == [(1, 2, *b, where)]


def test_what_cannot_be_drawn_is_told(table):
    with pytest.raises(acs.InputError, match="needs two objectives"):
        acs.plots.pareto(table, {"bounds.multipliers": "minimise"})
    with pytest.raises(acs.InputError, match=r"did you mean engine.lanes\?"):
        acs.plots.axis(table, x="engine.lane")
    many = pl.concat([table.with_columns(pl.lit(width).alias("engine.lanes")) for width in range(30)])
    with pytest.raises(acs.InputError, match="more than lines can be told apart"):
        acs.plots.axis(many, x="engine.multipliers", by="engine.lanes")
