"""The README runs, and its figures are those that come out today."""

import re
from importlib import resources
from itertools import product
from pathlib import Path

import pytest

import accelsim as acs
from accelsim.report.trade import trade_report
from accelsim.report.ways_out import RECIPES, Question, ways_out
from accelsim.validation.rtl.predict import OF_A_SKIP, compare_rtl
from tests.pages import PATHS, PROSE, README, ROOT, TEXT, cells, read
from tests.timing.words.test_lower import STEADY

ROWS = (None, 28, 7, 1)


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", README, re.S))
def test_python_in_the_readme_runs(snippet, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "efficientdet_d2" in capsys.readouterr().out


@pytest.fixture(scope="module")
def reports():
    net, machine = acs.load_network("efficientdet_d2"), acs.load_accelerator("streaming-asic")
    found = {}
    for fps in (None, 30):
        base = acs.map_network(net, machine, target_fps=fps)
        for rows in ROWS:
            tiled = net if rows is None else acs.tile_attention(net, rows=rows)
            found[fps, rows] = acs.simulate(acs.map_network(tiled, machine, target_fps=fps, like=base))
    return found


def line(title: str) -> list[str]:
    row = next(row for row in TEXT.splitlines() if row.startswith(f"| {title} |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


@pytest.mark.parametrize(
    ("title", "fps", "value"),
    [
        ("accounting", None, lambda r: f"{r.attention_buffering.total_elements:,}"),
        ("gate, one frame in the machine", None, lambda r: f"{r.buffering['gate'].one_frame_peak_elements:,}"),
        ("gate, full rate", None, lambda r: f"{r.buffering['gate'].peak_elements:,}"),
        ("skip, full rate", None, lambda r: f"{r.buffering['skip'].peak_elements:,}"),
        ("pyramid, one frame in the machine", None, lambda r: f"{r.buffering['pyramid'].one_frame_peak_elements:,}"),
        ("pyramid, full rate", None, lambda r: f"{r.buffering['pyramid'].peak_elements:,}"),
        ("pyramid, 30 frames/s", 30, lambda r: f"{r.buffering['pyramid'].peak_elements:,}"),
        ("frames in flight, full rate", None, lambda r: f"{r.throughput.frames_in_flight:.1f}"),
        ("frames in flight, 30 frames/s", 30, lambda r: f"{r.throughput.frames_in_flight:.1f}"),
        ("excitation MACs a frame", None, lambda r: f"{r.body.work.excitation_macs:,}"),
    ],
)
def test_the_table_says_what_is_simulated(reports, title, fps, value):
    assert line(title) == [value(reports[fps, rows]) for rows in ROWS]


def test_the_text_says_what_is_simulated(reports):
    whole, tiled = reports[None, None], reports[None, 7]
    for figure in (
        whole.buffering["gate"].bound_elements,
        tiled.buffering["gate"].bound_elements,
        tiled.buffering["gate"].peak_elements,
        whole.buffering["skip"].bound_elements,
        whole.attention_buffering.skip_elements,
        int(whole.throughput.interval_cycles),
    ):
        assert f"{figure:,}" in PROSE


@pytest.mark.parametrize(("rows", "wider"), [(None, "15.8 M"), (7, "9.7 M")])
def test_wider_deep_layers_shorten_the_pyramid(rows, wider):
    net, machine = acs.load_network("efficientdet_d2"), acs.load_accelerator("streaming-asic")
    tiled = net if rows is None else acs.tile_attention(net, rows=rows)
    design = acs.map_network(tiled, machine, target_fps=30)
    deep = [stage.name for stage in design.stages if stage.tensor.pixels <= 48 * 48]
    widened = acs.widen(design, deep, 2)
    assert f"{widened.multipliers} instead of {design.multipliers}" in PROSE
    pyramid = acs.simulate(widened).buffering["pyramid"].peak_elements
    assert f"{pyramid / 10**6:.1f} M" == wider
    assert wider in PROSE


@pytest.fixture(scope="module")
def ways():
    """Every way out that is a pipeline."""
    net, machine = acs.load_network("efficientdet_d2"), acs.load_accelerator("streaming-asic")
    pipelines = [recipe for recipe in RECIPES if not recipe.cut]
    found = ways_out(Question(net, machine, 30.0, 7, 1.75), recipes=pipelines)
    return {way.row.variant: way.row for way in found}


def way_cells(row):
    millions = (row.buffer_bytes, row.weight_bytes, row.off_chip_bytes, row.macs)
    return [
        "other" if row.changes_values else "same",
        *(f"{value / 10**6:,.1f}" for value in millions),
        f"{row.multipliers:,}",
        f"{row.latency_cycles / 10**6:,.1f}",
        f"{row.frames_per_second:.1f}",
        f"{row.energy_pj / 10**9:.1f}",
    ]


def test_the_ways_out_are_those_in_the_readme(ways):
    for name, row in ways.items():
        assert cells(f"`{name}`") == way_cells(row)


def test_the_segments_are_those_in_the_readme(ways):
    """Cut for the multipliers that reach the rate, in the memory of the tiled pipeline."""
    net, machine = acs.load_network("efficientdet_d2"), acs.load_accelerator("streaming-asic")
    told = cells("`segments`")
    multipliers, size = int(told[5].replace(",", "")), ways["tse-7"].on_chip_bytes
    local = machine.memories["sram"].model_copy(update={"size": size})
    smaller = machine.model_copy(
        update={
            "engine": machine.engine.model_copy(update={"multipliers": multipliers}),
            "memories": machine.memories | {"sram": local},
        }
    )
    assert multipliers == 4 * ways["se"].multipliers
    report = acs.simulate(acs.map_network(net, smaller, mapping="fused", objective="cycles"))
    sram, dram = report.body.memories.values()
    weights = ways["se"].weight_bytes
    moved = (sram.used_bytes - weights, weights, dram.read_bytes + dram.written_bytes, report.body.work.macs)
    assert told[1:5] == [f"{value / 10**6:,.1f}" for value in moved]
    assert told[6] == f"{report.throughput.latency_cycles / 10**6:,.1f}"
    assert told[7] == f"{report.throughput.frames_per_second:.1f}"
    assert told[8] == f"{report.body.energy.total_pj / 10**9:.1f}"
    assert report.throughput.mac_utilisation < 0.5


def test_the_conclusion_says_what_the_ways_cost(ways, reports):
    se, again, deep = (ways[name] for name in ("se", "recompute", "deep"))
    for text in (
        f"{100 * (again.macs / se.macs - 1):.0f} % more MACs",
        f"{100 * (again.multipliers / se.multipliers - 1):.0f} % more multipliers",
        f"{100 * (again.energy_pj / se.energy_pj - 1):.0f} % more energy",
        f"{100 * (ways['spill'].energy_pj / se.energy_pj - 1):.0f} % more energy",
        f"for {100 * (deep.multipliers / se.multipliers - 1):.0f} % more multipliers",
        f"{ways['spill'].off_chip['spill'] * 30 / 10**9:.0f} GB/s to and from DRAM",
        f"{se.on_chip_bytes / 10**6:.1f} MB on chip do together what",
        f"{reports[30, None].body.memories['sram'].used_bytes / 10**6:.1f} MB of peaks and weights",
    ):
        assert text in PROSE
    for field in ("buffer_bytes", "latency_cycles"):
        assert 0.64 < 1 - getattr(ways["tse-7"], field) / getattr(se, field) < 0.72


@pytest.mark.parametrize("bits", [8, 4])
def test_the_fpga_primitives_are_those_in_the_readme(bits):
    machine = acs.load_accelerator("fpga-stream", {"activation_bits": bits, "weight_bits": bits})
    found = acs.simulate(acs.map_network(acs.load_network("resnet50"), machine, target_fps=200)).body.resources
    totals = (found.dsp, found.lut, found.bram36, found.uram)
    assert cells(f"{bits} bits") == [f"{total.used:,} ({100 * total.utilisation:.0f} %)" for total in totals]
    others = [row for row in found.rows if row.part != "thresholds"]
    assert sum(row.bram18 for row in others) < 2 * found.bram36.available
    assert sum(row.uram for row in others) < found.uram.available


@pytest.fixture(scope="module")
def compared():
    folder = Path(str(resources.files("accelsim.validation") / "data" / "rtl"))
    machine = acs.load_accelerator("fpga-stream")
    return {by: compare_rtl(folder, machine, by).by_granularity[by].quantities for by in ("word", "pixel", "row")}


def test_the_errors_against_rtl_are_those_in_the_readme(compared):
    for quantity, found in compared["word"].items():
        assert cells(f"`{quantity}`") == [str(found.rows), str(found.equal), f"{100 * found.worst:.2f}"]
    told = ("steady_interval", "frame0_cycles", "first_out", "deadlock", *OF_A_SKIP)
    for quantity, by in product(told, ("pixel", "row")):
        found = compared[by].get(quantity)
        if found is not None and found.rows > found.missing:
            errors = [f"{100 * share:.2f}" for share in (found.median, found.p95, found.worst)]
            assert cells(f"`{quantity}`", by) == [str(found.rows - found.missing), str(found.equal), *errors]
    for by, of in compared.items():
        assert cells(by)[0] == f"{100 * of['steady_interval'].worst:.2f} %"


def test_what_two_rows_buy():
    design = acs.size_buffers(acs.map_network(acs.load_network("resnet18"), acs.load_accelerator("streaming-asic")))
    advice = acs.what_would_buy(design, 10)
    shorter = [100 * (1 - gain.interval_cycles / advice.interval_cycles) for gain in advice.alone]
    together = 100 * (1 - advice.reached_cycles / advice.interval_cycles)
    assert (len(advice.steps), sum(step.added_tokens for step in advice.steps)) == (2, 2)
    told = f"{float(together):.1f} % shorter, of which one alone gives {float(shorter[0]):.1f} % and the other"
    assert f"{told} {float(shorter[1]):.1f} %" in PROSE


def test_as_many_networks_are_measured_chains():
    assert f"all {len(STEADY)} of them" in PROSE


def test_the_machine_in_the_readme_is_one(tmp_path):
    (tmp_path / "chip.yaml").write_text(re.search(r"```yaml\n(.*?)```", README, re.S).group(1), encoding="utf-8")
    machine = acs.load_accelerator(tmp_path / "chip.yaml")
    assert machine.clock_hz == 400_000_000
    assert acs.simulate(acs.map_network(acs.load_network("resnet18"), machine)).throughput.steady


@pytest.mark.parametrize(
    ("name", "title"),
    [pytest.param("efficientdet_d0", "EfficientDet-D0", marks=pytest.mark.slow), ("resnet50", "ResNet-50")],
)
def test_multipliers_against_memory_are_those_in_the_readme(name, title):
    trade = trade_report(acs.load_network(name), acs.load_accelerator("streaming-asic"), 30)
    for point, which in ((trade.points[0], "fewest"), (trade.points[-1], "least buffering")):
        assert line(f"{title}, {which}") == [f"{point.multipliers:,}", f"{point.elements:,}"]


def test_links_lead_to_files_and_headings_that_are_there():
    for path in PATHS:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", re.sub(r"`[^`]*`", "code", read(path))):
            file, _, heading = target.partition("#")
            there = (ROOT / path).parent / file if file else ROOT / path
            assert there.exists(), f"{path}: {target}"
            titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.M) if heading else []
            known = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert not heading or heading in known, f"{path}: {target}"


def test_the_readme_is_short():
    assert len(README) < 30_000
