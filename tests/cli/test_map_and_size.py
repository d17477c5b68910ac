"""`map` and `size`: mappings as files, and buffers sized together."""

import json
from itertools import pairwise

import jsonschema
import pytest

from accelsim import InfeasibleError, bind, load_accelerator, load_network, map_network, read_mapping, simulate
from accelsim.mapping.design import with_capacities
from accelsim.timing.simulate import schedule
from tests.cli.conftest import SMALL

NETWORK = "mobilenet_v3_small"


@pytest.fixture
def bound(done, tmp_path):
    """The design whose buffers `size -o` writes."""

    def bound(*options):
        done("size", NETWORK, *SMALL, *options, "-o", tmp_path / "sized.yaml")
        machine = load_accelerator("streaming-asic")
        return bind(load_network(NETWORK, input_shape=(1, 3, 64, 64)), machine, read_mapping(tmp_path / "sized.yaml"))

    return bound


def test_a_mapping_file_gives_the_same_design_again(done, tmp_path):
    done("map", NETWORK, *SMALL, "-o", tmp_path / "mapping.yaml")
    command = ("simulate", NETWORK, *SMALL, "--json")
    assert done(*command).out == done(*command, "--mapping", tmp_path / "mapping.yaml").out


def test_a_mapping_goes_to_standard_output_without_a_file(done, tmp_path):
    done("map", NETWORK, *SMALL, "-o", tmp_path / "mapping.yaml")
    outcome = done("map", NETWORK, *SMALL)
    assert outcome.out == (tmp_path / "mapping.yaml").read_text()
    assert outcome.err == ""


def test_the_smallest_sizes_run_and_a_token_less_does_not(bound):
    design = bound()
    report = simulate(design)
    assert report.throughput.steady
    capacities = {edge.name: edge.capacity for edge in design.edges}
    owners = dict.fromkeys(edge.producer for edge in design.edges)
    for producer in list(owners)[::7]:
        shared = {edge.name for edge in design.edges if edge.producer == producer}
        fewer = {name: tokens - (name in shared) for name, tokens in capacities.items()}
        if min(fewer.values()) == 0:
            continue
        with pytest.raises(InfeasibleError, match="deadlock"):
            schedule(with_capacities(design, fewer))


@pytest.mark.parametrize("options", [(), ("--set", "fork=copy"), ("--granularity", "pixel")])
def test_sizes_add_up_and_full_throughput_is_full(done, options):
    told = done("size", NETWORK, *SMALL, *options, "--json").json
    jsonschema.validate(told, done("schema", "sizing").json)
    free = done("simulate", NETWORK, *SMALL, *options, "--json").json
    assert told["full"]["interval_cycles"] == free["throughput"]["interval_cycles"]
    assert told["least"]["interval_cycles"] >= told["full"]["interval_cycles"]
    for size in ("least", "full"):
        largest = {}
        for row in told["buffers"]:
            owner = row["edge"] if told["fork"] == "copy" else row["producer"]
            largest[owner] = max(largest.get(owner, 0), row[f"{size}_elements"])
        assert told[size]["elements"] == sum(largest.values())
    for row in told["buffers"]:
        assert row["bound_elements"] <= row["least_elements"]
        assert row["least_elements"] == row["least_tokens"] * row["token_elements"]


def test_full_throughput_sizes_are_written_too(bound, done):
    told = done("size", NETWORK, *SMALL, "--json").json
    design = bound("--full-throughput")
    assert {edge.name: edge.capacity for edge in design.edges} == {r["edge"]: r["full_tokens"] for r in told["buffers"]}
    assert simulate(design).throughput.interval_cycles == told["full"]["interval_cycles"]


def test_interval_and_latency_are_those_simulated_at_that_size(done, bound):
    told = done("size", NETWORK, *SMALL, "--json").json
    throughput = simulate(bound()).throughput
    assert told["least"]["interval_cycles"] == throughput.interval_cycles
    assert told["least"]["latency_cycles"] == throughput.latency_cycles


def test_text_says_what_is_proved(done):
    text = " ".join(done("size", NETWORK, *SMALL).out.split())
    assert "Without deadlock: proved to be the least." in text
    assert "Memory against speed" in text


@pytest.mark.parametrize("options", [(), ("--set", "fork=copy")])
def test_the_curve_falls_from_full_throughput_to_the_least_and_is_what_is_simulated(done, options):
    told = done("size", NETWORK, *SMALL, *options, "--json").json
    curve = told["curve"]
    assert [curve[0]["elements"], curve[-1]["elements"]] == [told["full"]["elements"], told["least"]["elements"]]
    assert len(curve) > 2
    assert all(a["interval_cycles"] < b["interval_cycles"] for a, b in pairwise(curve))
    assert all(a["elements"] > b["elements"] for a, b in pairwise(curve))
    machine = load_accelerator("streaming-asic", {"fork": told["fork"]})
    design = map_network(load_network(NETWORK, input_shape=(1, 3, 64, 64)), machine)
    for point in curve:
        simulated = simulate(with_capacities(design, point["tokens"]))
        assert simulated.throughput.interval_cycles <= point["interval_cycles"]


def test_a_mapping_in_pixels_is_simulated_in_pixels(done, tmp_path):
    done("size", NETWORK, *SMALL, "--granularity", "pixel", "-o", tmp_path / "sized.yaml")
    told = done("simulate", NETWORK, *SMALL, "--mapping", tmp_path / "sized.yaml", "--json").json
    assert told["granularity"] == "pixel"
    assert all(row["held_elements"] <= row["capacity_elements"] for row in told["buffers"])


def test_a_folder_of_sizes_has_both_mappings_and_is_drawn(done, tmp_path):
    told = done("size", NETWORK, *SMALL, "--json").json
    done("size", NETWORK, *SMALL, "-o", tmp_path / "sizes")
    for name in ("least", "full"):
        simulated = ("simulate", NETWORK, *SMALL, "--mapping", tmp_path / "sizes" / f"{name}.yaml", "--json")
        assert done(*simulated).json["throughput"]["interval_cycles"] == told[name]["interval_cycles"]
    done("plot", tmp_path / "sizes", "--kind", "sizes", "-o", tmp_path / "sizes.svg")
    drawn = (tmp_path / "sizes.svg").read_text()
    assert all(unit in drawn for unit in ("cycles from frame to frame", "all buffers (KiB)"))
    done("size", NETWORK, *SMALL, "-o", tmp_path / "sizes")


def test_only_a_folder_of_sizes_has_sizes_to_draw(run, tmp_path):
    told = run("plot", tmp_path, "--kind", "sizes", "-o", tmp_path / "sizes.svg")
    assert told.status == 2
    assert "accelsim size NETWORK -o DIR writes it" in told.err
    (tmp_path / "mine.txt").write_text("mine")
    told = run("size", NETWORK, *SMALL, "-o", tmp_path)
    assert told.status == 2
    assert "is neither empty nor an earlier sizing" in told.err


BUFFERING = ("map", NETWORK, *SMALL, "--objective", "buffering", "--target-fps", 3000)


def test_a_mapping_for_least_buffering_is_the_end_of_its_curve(done, tmp_path):
    told = done(*BUFFERING, "--curve", "--json").json
    jsonschema.validate(told, done("schema", "trade").json)
    done(*BUFFERING, "-o", tmp_path / "mapping.yaml")
    design = bind(
        load_network(NETWORK, input_shape=(1, 3, 64, 64)),
        load_accelerator("streaming-asic"),
        read_mapping(tmp_path / "mapping.yaml"),
    )
    assert design.multipliers == told["points"][-1]["multipliers"] <= told["budget"]
    assert design.pace_cycles == told["pace_cycles"]
    simulated = ("simulate", NETWORK, *SMALL, "--json")
    chosen = done(*simulated, "--objective", "buffering", "--target-fps", 3000)
    assert chosen.out == done(*simulated, "--mapping", tmp_path / "mapping.yaml").out


def test_a_folder_of_the_curve_is_drawn(done, run, tmp_path):
    told = done(*BUFFERING, "--curve", "-o", tmp_path / "trade", "--json").json
    assert json.loads((tmp_path / "trade" / "trade.json").read_text()) == told
    done("plot", tmp_path / "trade", "--kind", "trade", "-o", tmp_path / "trade.svg")
    drawn = (tmp_path / "trade.svg").read_text()
    assert all(
        text in drawn for text in ("sized together", "unbounded buffers", f"multipliers (of {told['budget']:,})")
    )
    (tmp_path / "mine.txt").write_text("mine")
    for argv, said in (
        ((*BUFFERING, "--curve", "-o", tmp_path), "is neither empty nor an earlier trade"),
        (("plot", tmp_path, "--kind", "trade", "-o", tmp_path / "x.svg"), "--curve -o DIR writes it"),
    ):
        refused = run(*argv)
        assert refused.status == 2
        assert said in refused.err


def test_the_curve_of_multipliers_is_a_table_too(done):
    text = done(*BUFFERING, "--curve").out
    told = done(*BUFFERING, "--curve", "--json").json
    for point in told["points"]:
        assert f"{point['multipliers']:,}" in text
        assert f"{point['elements']:,}" in text


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--curve",), "add --objective buffering"),
        (("--json",), "--json goes with --curve"),
        (("--objective", "buffering", "--mapping", "fused"), "use it with --mapping pipeline"),
        (("--objective", "cycles"), "of a pipeline there is --objective buffering"),
        (("--objective", "bufering", "--mapping", "fused"), "did you mean 'buffering'"),
    ],
)
def test_options_of_the_curve_that_do_not_go_together(run, options, rule):
    outcome = run("map", NETWORK, *SMALL, *options)
    assert outcome.status == 2
    assert rule in " ".join(outcome.err.split())
