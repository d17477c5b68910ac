"""Every kind of figure looks as it did: pictures beside those kept in `figures`, within a stated tolerance.

`python -m pytest tests/report/test_figures.py --draw-figures` draws them anew, to be looked at before they are kept.
"""

from pathlib import Path

import polars as pl
import pytest
from matplotlib.testing.compare import compare_images

from accelsim import plots
from accelsim.report.attention_study import AttentionRow, AttentionStudy
from accelsim.report.plots import drawing
from accelsim.report.sizing import size_report
from accelsim.report.trade import Trade, TradePoint

KEPT = Path(__file__).parent / "figures"
#: Root mean square of differences between pixels, of 255: letters hinted otherwise pass, a missing bar does not.
TOLERANCE = 4.0
DOTS_PER_INCH = 50

STUDY = AttentionStudy(
    network="net",
    accelerator="machine",
    clock_hz=10**9,
    target_fps=30,
    tile_rows=7,
    multiplier_budget=1.75,
    blocks=1,
    gates=1,
    assumptions=(),
    not_modelled=(),
    warnings=(),
    rows=tuple(
        AttentionRow(
            variant=name,
            changes_values=name.startswith("tse"),
            on_chip_bytes=(9 - k) * 10**7,
            buffer_bytes=(8 - k) * 10**7,
            weight_bytes=10**7,
            off_chip={"spill": k * 10**7, "weight": 10**7},
            off_chip_bytes=(k + 1) * 10**7,
            multipliers=500 + 100 * k,
            latency_cycles=10**8 // (k + 1),
            energy_pj=(k + 2) * 10**9,
        )
        for k, name in enumerate(("se", "tse-7", "spill"))
    ),
)
TRADE = Trade(
    network="net",
    accelerator="machine",
    pace_cycles=10**6,
    frames_per_second=1000,
    budget=4096,
    points=tuple(
        TradePoint(multipliers=100 * 2**k, elements=(9 - k) * 10**5, bytes=(9 - k) * 10**5, stored_elements=10**6 - k)
        for k in range(4)
    ),
)
SWEPT = pl.DataFrame(
    {
        "point": range(8),
        "network": ["net"] * 8,
        "engine.multipliers": [64, 128, 256, 512] * 2,
        "engine.lanes": [1] * 4 + [2] * 4,
        "speed": ["bounds"] * 8,
        "multipliers": [64, 128, 256, 512] * 2,
        "frames": [1.0, 2.0, 4.0, 5.0, 2.0, 4.0, 8.0, 7.0],
    }
)


@pytest.fixture(scope="module")
def kinds(design, report, tiled, streamed, turns):
    pair = {"whole": report, "tiles": tiled}
    moved = {"pipeline": streamed, "turns": turns}
    return {
        "attention": lambda: plots.attention(STUDY),
        "pareto": lambda: plots.pareto(SWEPT, {"multipliers": "minimise", "frames": "maximise"}),
        "axis": lambda: plots.axis(SWEPT, "engine.multipliers", "frames", "engine.lanes"),
        "buffers": lambda: plots.buffers(pair),
        "roles": lambda: plots.roles(pair),
        "occupancy": lambda: plots.occupancy({"whole": report}),
        "occupancy-turns": lambda: plots.occupancy({"turns": turns}),
        "timeline": lambda: plots.timeline({"whole": streamed}),
        "timeline-turns": lambda: plots.timeline({"turns": turns}),
        "bandwidth": lambda: plots.bandwidth(moved),
        "traffic": lambda: plots.traffic(moved),
        "energy": lambda: plots.energy(moved),
        "roofline": lambda: plots.roofline(moved),
        "sizes": lambda: plots.sizes(size_report(design).sizing),
        "trade": lambda: plots.trade(TRADE),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "buffers", "roles", "occupancy", "occupancy-turns", "timeline", "timeline-turns", "bandwidth", "traffic",
        "energy", "roofline", "attention", "pareto", "axis", "sizes", "trade",
    ],
)  # fmt: skip
def test_a_figure_looks_as_it_did(kinds, kind, tmp_path, monkeypatch, request):
    monkeypatch.setitem(drawing.STYLE, "savefig.dpi", DOTS_PER_INCH)
    figure = kinds[kind]()
    if request.config.getoption("--draw-figures"):
        plots.save(figure, KEPT / f"{kind}.png")
    drawn = tmp_path / f"{kind}.png"
    plots.save(figure, drawn)
    assert compare_images(str(KEPT / f"{kind}.png"), str(drawn), TOLERANCE) is None
