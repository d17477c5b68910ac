"""Mappings with segments on the command line: chosen, written, read, compared, saved, drawn and refused."""

import json

import jsonschema
import polars as pl
import pytest

from accelsim import load_accelerator, load_network, map_network, simulate
from accelsim.report.facts import TRAFFIC_KINDS
from tests.cli.conftest import SMALL

NETWORK = ("mobilenet_v3_small", *SMALL)
MACHINE = ("--accelerator", "feature-map-npu")
MAPPINGS = ("layer-by-layer", "fused")
FUSED = ("--mapping", "fused")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A comparison of all three granularities, saved."""
    from accelsim.cli.main import main

    place = tmp_path_factory.mktemp("compared") / "all"
    mappings = [option for name in ("pipeline", *MAPPINGS) for option in ("--mapping", name)]
    assert main(["compare", *NETWORK, *MACHINE, *mappings, "-o", str(place), "--json"]) == 0
    return place


PARTS = ("TrafficRow", "MemoryRow", "Segment", "SegmentDemand", "Choice")
NAMES_ENOUGH = {"memory", "demand"}


def test_the_schema_says_what_every_figure_is(done):
    schema = done("schema", "report").json
    told = {f"{part}.{name}": field for part in PARTS for name, field in schema["$defs"][part]["properties"].items()}
    silent = [name for name, field in told.items() if "description" not in field]
    assert {name.partition(".")[2] for name in silent} <= NAMES_ENOUGH
    figures = [name for name, field in told.items() if field.get("type") == "number" and "Choice" not in name]
    assert figures
    assert all(name.endswith(("_bytes", "_cycles", "_per_second")) for name in figures)


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("machine", ["feature-map-npu", "systolic-npu"])
def test_a_mapping_that_is_written_gives_the_same_figures(done, tmp_path, mapping, machine):
    command = (*NETWORK, "--accelerator", machine)
    chosen = done("simulate", *command, "--mapping", mapping, "--json")
    done("map", *command, "--mapping", mapping, "-o", tmp_path / "m.yaml")
    assert done("simulate", *command, "--mapping", tmp_path / "m.yaml", "--json").out == chosen.out
    assert chosen.json["choice"]["objective"] == "bytes"
    jsonschema.validate(chosen.json, done("schema", "report").json)


def test_options_are_those_of_the_library(done):
    machine = load_accelerator("feature-map-npu")
    net = load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64))
    design = map_network(net, machine, mapping="fused", objective="cycles", frames_per_visit=2)
    options = ("--objective", "cycles", "--frames-per-visit", 2)
    told = done("simulate", *NETWORK, *MACHINE, *FUSED, *options, "--json").json
    assert told == json.loads(simulate(design).to_json())
    assert told["choice"]["objective"] == "cycles"
    assert {segment["frames"] for segment in told["segments"]} == {2}


def test_a_systolic_array_takes_turns_unless_told_otherwise(done):
    command = ("simulate", *NETWORK, "--accelerator", "systolic-npu", "--json")
    usual = done(*command, "--objective", "cycles").json
    assert usual == done(*command, "--objective", "cycles", "--mapping", "layer-by-layer").json
    assert len(usual["segments"]) > 1
    assert len(done(*command, "--mapping", "pipeline").json["segments"]) == 1


def test_a_choice_is_told_as_long_as_it_holds(done, tmp_path):
    done("map", *NETWORK, *MACHINE, *FUSED, "-o", tmp_path / "m.yaml")
    command = ("simulate", *NETWORK, *MACHINE, "--json", "--mapping")
    assert done(*command, tmp_path / "m.yaml").json["choice"] is not None
    others = ("--set", "memories.dram.latency_cycles=77")
    assert done(*command, tmp_path / "m.yaml", *others).json["choice"] is None
    text = (tmp_path / "m.yaml").read_text()
    first = text.index("outputs: ")
    edited = text[:first] + "outputs: 1, " + text[text.index("window", first) :]
    (tmp_path / "edited.yaml").write_text(edited)
    assert done(*command, tmp_path / "edited.yaml").json["choice"] is None


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_tiled_attention_beside_the_network_as_it_is(done, mapping):
    command = ("compare", *NETWORK, *MACHINE, "--mapping", mapping, "--tile-attention", "1")
    told = done(*command, "--json").json
    jsonschema.validate(told, done("schema", "comparison").json)
    before, after = told["baseline"], told["tiled"]
    assert before["choice"] is not None
    assert after["choice"] is not None
    assert before == done("simulate", *NETWORK, *MACHINE, "--mapping", mapping, "--json").json
    tiled = ("--mapping", mapping, "--tile-attention", "1", "--json")
    assert after == done("simulate", *NETWORK, *MACHINE, *tiled).json
    rates = told["change"]["memories"]["dram"]
    assert rates["read_bytes"] == after["memories"]["dram"]["read_bytes"] / before["memories"]["dram"]["read_bytes"]
    rows = {(r["layer"], r["tensor"], r["memory"], r["kind"]): r["read_bytes"] for r in before["traffic"]}
    for row in told["change"]["traffic"]:
        name = row["layer"], row["tensor"], row["memory"], row["kind"]
        assert row["kind"] in TRAFFIC_KINDS
        assert (row["read_bytes"] is None) == (not rows[name])


def test_a_file_of_segments_is_kept_by_both(done, tmp_path):
    done("map", *NETWORK, *MACHINE, *FUSED, "-o", tmp_path / "m.yaml")
    command = ("compare", *NETWORK, *MACHINE, "--tile-attention", "1", "--mapping", tmp_path / "m.yaml", "--json")
    before, after = done(*command).json["runs"]
    assert [s["layers"] for s in before["segments"]] == [s["layers"] for s in after["segments"]]


def test_all_granularities_side_by_side(done, folder):
    told = done("compare", folder, "--json").json["runs"]
    assert [len(run["segments"]) > 1 for run in told] == [False, True, True]
    text = done("compare", folder).out
    heads = [line.split() for line in text.splitlines() if line.split() == ["pipeline", "layer-by-layer", "fused"]]
    assert len(heads) > 5
    assert max(len(line) for line in text.splitlines()) <= 160
    segments = next(line.split() for line in text.splitlines() if line.split()[:1] == ["segments"])
    assert segments[1:] == [str(len(run["segments"])) for run in told]
    interval = next(line.split() for line in text.splitlines() if line.split()[:1] == ["interval"])
    assert [int(n.replace(",", "")) for n in interval[2:]] == [run["throughput"]["interval_cycles"] for run in told]


def test_options_for_segments_go_to_those_that_choose_them(done):
    command = ("compare", *NETWORK, *MACHINE, "--mapping", "pipeline", *FUSED, "--objective", "cycles", "--json")
    pipeline, fused = done(*command).json["runs"]
    assert pipeline["choice"] is None
    assert fused["choice"]["objective"] == "cycles"


@pytest.mark.parametrize("mapping", ["pipeline", *MAPPINGS])
def test_a_saved_run_gives_the_same_again(done, folder, tmp_path, mapping):
    run = folder / mapping
    again = ("--accelerator", run / "accelerator.yaml", "--mapping", run / "mapping.yaml")
    told = done("simulate", run / "network.yaml", *again, "-o", tmp_path / "again", "--json").json
    assert told == json.loads((run / "report.json").read_text())
    for file in sorted(run.iterdir()):
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    assert pl.read_parquet(run / "segments.parquet").height == len(told["segments"])
    assert pl.read_parquet(run / "traffic.parquet").height == len(told["traffic"])
    assert pl.read_parquet(run / "memories.parquet")["memory"].to_list() == list(told["memories"])
    assert pl.read_parquet(run / "bandwidth.parquet").height > 100


@pytest.mark.parametrize("kind", ["bandwidth", "traffic", "buffers", "roles"])
def test_figures_of_all_granularities(done, folder, tmp_path, kind):
    for name in ("a.svg", "b.svg"):
        done("plot", folder, "--kind", kind, "-o", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_buffers_of_turns_are_drawn_over_a_round(run, folder, tmp_path):
    outcome = run("plot", folder, "--kind", "occupancy", "-o", tmp_path / "fig.svg")
    assert outcome.status == 0
    assert (tmp_path / "fig.svg").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mapping", "fuse"), "did you mean 'fused'?"),
        (("--mapping", "layer_by_layer"), "did you mean 'layer-by-layer'?"),
        (("--mapping", "nonsense"), "pipeline, layer-by-layer, fused"),
        ((*FUSED, "--objective", "byte"), "did you mean 'bytes'?"),
        ((*FUSED, "--objective", "beauty"), "bytes, cycles, energy"),
        (("--objective", "cycles"), "--mapping layer-by-layer or fused"),
        (("--mapping", "pipeline", "--frames-per-visit", "2"), "--frames-per-visit"),
        ((*FUSED, "--frames-per-visit", "0"), "--frames-per-visit 0"),
        ((*FUSED, "--frames-per-visit", "many"), "--frames-per-visit"),
        ((*FUSED, "--target-fps", "30"), "--mapping pipeline"),
        (("--mapping", "layer-by-layer", "--target-fps", "30"), "engine.multipliers"),
        (("--accelerator", "systolic-npu", "--target-fps", "30"), "layer-by-layer"),
        ((*FUSED, "--granularity", "pixel"), "use granularity row"),
        ((*FUSED, "--source", "paced"), "--source paced"),
        ((*FUSED, "--frames", "3"), "frames_per_visit"),
    ],
)
def test_what_does_not_go_with_segments(run, options, said):
    outcome = run("simulate", *NETWORK, *MACHINE, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_file_has_its_own_segments(run, done, tmp_path):
    done("map", *NETWORK, *MACHINE, *FUSED, "-o", tmp_path / "m.yaml")
    for option in (("--objective", "cycles"), ("--frames-per-visit", "2"), ("--target-fps", "30")):
        outcome = run("simulate", *NETWORK, *MACHINE, "--mapping", tmp_path / "m.yaml", *option)
        assert outcome.status == 2
        assert option[0] in outcome.err
        assert "m.yaml" in outcome.err


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_only_a_pipeline_is_sized(run, mapping):
    outcome = run("size", *NETWORK, *MACHINE, "--mapping", mapping)
    assert (outcome.status, outcome.out) == (2, "")
    assert "--mapping pipeline" in outcome.err


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_segments_that_do_not_fit_are_status_3(run, mapping):
    outcome = run("simulate", *NETWORK, *MACHINE, "--mapping", mapping, "--set", "memories.buffer.size=64 B")
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err.startswith("infeasible: ")
    assert "memories.buffer.size" in outcome.err


def test_segments_of_a_file_that_do_not_fit_are_all_named(run, done, tmp_path):
    done("map", *NETWORK, *MACHINE, "--mapping", "layer-by-layer", "-o", tmp_path / "m.yaml")
    small = ("--set", "memories.buffer.size=2 KiB")
    outcome = run("simulate", *NETWORK, *MACHINE, "--mapping", tmp_path / "m.yaml", *small)
    assert outcome.status == 3
    lines = outcome.err.splitlines()
    assert len(lines) > 1
    assert all("short by" in line for line in lines)


def test_a_machine_without_memories_has_no_segments(run, tmp_path):
    machine = load_accelerator("streaming-asic").model_dump(mode="json", exclude={"memories"})
    (tmp_path / "bare.yaml").write_text(json.dumps(machine))
    outcome = run("simulate", *NETWORK, "--accelerator", tmp_path / "bare.yaml", *FUSED)
    assert (outcome.status, outcome.out) == (2, "")
    assert "memories" in outcome.err
