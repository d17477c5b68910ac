"""`simulate`: JSON and text of one report, its options, and the folder it leaves."""

import json

import jsonschema
import polars as pl
import pytest

from accelsim import load_accelerator, load_network, map_network, simulate, tile_attention
from accelsim.cli.main import main
from tests.cli.conftest import SMALL

TABLES = {"buffers": "buffers.parquet", "stages": "stages.parquet"}


def test_a_network_by_words_says_what_blocks_change(tmp_path, capsys):
    (tmp_path / "net.yaml").write_text(
        "name: small\nlayers:\n"
        "- {name: image, kind: input, channels: 4, spatial: [8, 8]}\n"
        "- {name: conv, kind: convolution, inputs: [image], channels: 4, kernel: [3, 3], stride: [1, 1], "
        "padding: [[1, 1], [1, 1]], dilation: [1, 1]}\noutputs: [conv]\n",
        encoding="utf-8",
    )
    words = ["simulate", str(tmp_path / "net.yaml"), "--accelerator", "fpga-stream", "--granularity", "word", "--json"]
    assert main([*words, "--set", "engine.multipliers=48"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["granularity"] == "word"
    assert report["throughput"]["steady"]
    assert "blocks take one tap of a window or all of them" in captured.err


def published_schema(done, kind):
    return done("schema", kind).json


def figure(text, name):
    """The number that stands behind a name in the text of a report."""
    line = next(line for line in text.splitlines() if line.strip().startswith(name + " "))
    return float(line.strip()[len(name) :].split()[0].replace(",", ""))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--tile-attention", "2"),
        ("--source", "greedy"),
        ("--granularity", "pixel"),
        ("--frames", "2"),
        ("--target-fps", "1000"),
    ],
)
def test_json_is_one_object_of_the_published_schema(done, options):
    outcome = done("simulate", "mobilenet_v3_small", *SMALL, "--json", *options)
    jsonschema.validate(outcome.json, published_schema(done, "report"))


def test_json_is_the_report_of_the_library(done):
    hw = load_accelerator("streaming-asic", {"engine.lanes": 16})
    net = tile_attention(load_network("mobilenet_v3_small", input_shape=(1, 3, 64, 64)), rows=2, count=3)
    expected = simulate(map_network(net, hw, target_fps=500), frames=3, granularity="pixel").to_dict()
    options = ("--tile-attention", 2, "--tile-count", 3, "--target-fps", 500, "--frames", 3, "--granularity", "pixel")
    outcome = done("simulate", "mobilenet_v3_small", *SMALL, *options, "--set", "engine.lanes=16", "--json")
    assert outcome.json == json.loads(json.dumps(expected))


def test_text_and_json_tell_the_same_numbers(done):
    text = done("simulate", "efficientnet_b0", *SMALL).out
    told = done("simulate", "efficientnet_b0", *SMALL, "--json").json
    throughput, accounted = told["throughput"], told["attention_buffering"]
    assert figure(text, "interval") == throughput["interval_cycles"]
    assert figure(text, "frames a second") == pytest.approx(throughput["frames_per_second"], abs=0.01)
    assert figure(text, "steady state") == throughput["latency_cycles"]
    assert figure(text, "a frame alone") == throughput["idle_latency_cycles"]
    assert figure(text, "multipliers in use") == pytest.approx(100 * throughput["mac_utilisation"], abs=0.06)
    assert figure(text, "total") == accounted["total_elements"]
    assert figure(text, "MACs") == told["work"]["macs"]
    assert figure(text, "for input") == pytest.approx(
        sum(row["waiting_input_cycles"] for row in told["stages"]), abs=0.01
    )
    for role, row in told["buffering"].items():
        if row["edges"]:
            measures = ("bound_elements", "one_frame_peak_elements", "peak_elements", "simultaneous_peak_elements")
            line = next(line for line in text.splitlines() if line.split()[:2] == [role, str(row["edges"])])
            assert [int(n.replace(",", "")) for n in line.split()[2:6]] == [row[measure] for measure in measures]


def test_text_is_plain_and_no_wider_than_it_says(done):
    text = done("simulate", "efficientnet_b0", *SMALL).out
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 160


def test_the_largest_buffers_come_first(done):
    told = done("simulate", "efficientnet_b0", *SMALL, "--json").json
    text = done("simulate", "efficientnet_b0", *SMALL).out
    largest = max(told["buffers"], key=lambda row: row["peak_elements"])
    below = text[text.index("Largest buffers") :].splitlines()
    assert below[2].split()[0] == largest["producer"]


@pytest.mark.parametrize(
    ("option", "setting"), [(("--source", "greedy"), "source=greedy"), (("--set", "fork=copy"), "fork=copy")]
)
def test_one_vocabulary(done, option, setting):
    command = ("simulate", "mobilenet_v3_small", *SMALL, "--json")
    assert done(*command, *option).out == done(*command, "--set", setting).out


def test_settings_are_read_as_yaml(done):
    told = done("simulate", "mobilenet_v3_small", *SMALL, "--set", "clock=800 MHz", "--json").json
    assert told["clock_hz"] == 800 * 10**6


def test_a_run_folder_gives_the_same_report_again(done, tmp_path):
    first = ("simulate", "efficientnet_b0", *SMALL, "--tile-attention", "3", "--target-fps", "900", "--json")
    told = done(*first, "-o", tmp_path / "a").out
    again = ("--accelerator", tmp_path / "a/accelerator.yaml", "--mapping", tmp_path / "a/mapping.yaml")
    assert done("simulate", tmp_path / "a/network.yaml", *again, "-o", tmp_path / "b", "--json").out == told
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_a_run_folder_holds_report_tables_and_versions(done, tmp_path):
    told = done("simulate", "efficientnet_b0", *SMALL, "-o", tmp_path / "run", "--json").json
    assert json.loads((tmp_path / "run/report.json").read_text()) == told
    for part, file in TABLES.items():
        table = pl.read_parquet(tmp_path / "run" / file)
        assert table.height == len(told[part])
    assert pl.read_parquet(tmp_path / "run/buffers.parquet")["peak_elements"].to_list() == [
        row["peak_elements"] for row in told["buffers"]
    ]
    assert {"accelsim", "numpy", "numba", "python"} == json.loads((tmp_path / "run/versions.json").read_text()).keys()


def test_a_run_folder_is_written_over_but_nothing_else_is(run, done, tmp_path):
    command = ("simulate", "mobilenet_v3_small", *SMALL, "-o")
    done(*command, tmp_path / "run")
    done(*command, tmp_path / "run")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    outcome = run(*command, mine)
    assert outcome.status == 2
    assert str(mine) in outcome.err
    assert [file.name for file in mine.iterdir()] == ["thesis.txt"]


def test_warnings_are_on_standard_error_and_in_the_object(done):
    outcome = done("simulate", "resnet18", *SMALL, "--tile-attention", "7", "--json")
    assert "squeeze-excite" in outcome.err
    assert any("squeeze-excite" in warning for warning in outcome.json["warnings"])
    assert outcome.err.splitlines() == [f"warning: {warning}" for warning in outcome.json["warnings"]]


def test_the_input_of_a_registered_network_has_a_name_too(done):
    shapes = ("1,3,64,64", "image=1,3,64,64")
    assert len({done("inspect", "resnet18", "--input-shape", shape, "--json").out for shape in shapes}) == 1


def test_input_shapes_go_to_the_inputs_they_name(done, tmp_path):
    from onnx import TensorProto, checker, helper, save_model

    shapes = {"left": [1, 4, "h", "w"], "right": [1, 4, "h", "w"]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 4, "h", "w"])
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "two", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    checker.check_model(model)
    save_model(model, tmp_path / "two.onnx")
    named = ("--input-shape", "left=1,4,6,5", "--input-shape", "right=1,4,6,5")
    layers = done("inspect", tmp_path / "two.onnx", *named, "--json").json["layers"]
    assert {layer["output"] for layer in layers} == {"4x6x5"}


def test_a_technology_is_a_setting_and_energy_follows_it(done):
    old, new = (
        done("simulate", "efficientnet_b0", *SMALL, "--set", f"technology={name}", "--json").json["energy"]
        for name in ("45nm-horowitz", "7nm-jouppi")
    )
    assert (old["node"], new["node"]) == ("45nm", "7nm")
    assert new["total_pj"] < old["total_pj"]
    assert sum(row["energy_fj"] for row in old["rows"]) == old["total_fj"]
    none = done("simulate", "efficientnet_b0", *SMALL, "--set", "technology=null", "--json").json
    assert none["energy"] is none["area"] is None
    assert {"energy", "area"} <= set(none["not_modelled"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("technology=7nm", "unknown technology (known: 45nm-horowitz, 7nm-jouppi)"),
        ("area_budget=1 mm2", "the machine takes 58.34 mm2 at the least (sram"),
        ("memories.sram.node=45nm", "tells of energy_pj_per_byte, which is not given"),
    ],
)
def test_figures_that_cannot_be_are_refused(run, setting, told):
    outcome = run("simulate", "efficientnet_b0", *SMALL, "--set", setting)
    assert outcome.status == 2
    assert told in outcome.err


def test_a_trace_says_its_size_first(done, run, tmp_path):
    path = tmp_path / "trace.json.gz"
    said = done("simulate", "mobilenet_v3_small", *SMALL, "--trace", path).err
    assert said.index("events") < said.index("wrote")
    whole = path.stat().st_size
    done("simulate", "mobilenet_v3_small", *SMALL, "--trace", path, "--trace-cycles", "0:99")
    assert 0 < path.stat().st_size < whole


@pytest.mark.parametrize(
    "argv",
    [
        ("--trace-cycles", "0:9"),
        ("--trace", "t.json", "--trace-cycles", "9"),
        ("--trace", "t.json", "--trace-cycles", "9:2"),
        ("--trace", "t.txt"),
        ("--trace", "t.json", "--granularity", "word"),
    ],
)
def test_traces_that_cannot_be(run, argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run("simulate", "mobilenet_v3_small", *SMALL, *argv)
    assert outcome.status == 2
    assert not list(tmp_path.iterdir())
