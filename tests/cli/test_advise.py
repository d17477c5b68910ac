"""`advise`, and the certificate in what `simulate` prints."""

from types import MappingProxyType

import jsonschema
import pytest

from accelsim import Mapping, Unroll
from accelsim.mapping.mapping import mapping_text
from accelsim.network.graph import Node, network
from accelsim.network.layers import Combine, Convolution, Input
from accelsim.network.writers.yaml import write_yaml_network
from tests.cli.conftest import SMALL

NETWORK = "resnet18"


@pytest.fixture
def sized(done, tmp_path):
    done("size", NETWORK, *SMALL, "-o", tmp_path / "sized.yaml")
    return ("--mapping", tmp_path / "sized.yaml")


def test_the_certificate_is_part_of_the_report(done, sized):
    assert done("simulate", NETWORK, *SMALL, *sized, "--json").json["certificate"] is None
    told = done("simulate", NETWORK, *SMALL, *sized, "--certificate", "--json").json
    jsonschema.validate(told, done("schema", "report").json)
    certificate, critical = told["certificate"], told["critical"]
    assert certificate["certified"] is True
    assert certificate["kind"] == critical["kind"] == "buffers"
    assert certificate["interval_cycles"] == told["throughput"]["interval_cycles"] == certificate["alone_cycles"]
    assert certificate["weight_cycles"] == certificate["frames"] * certificate["interval_cycles"]
    assert certificate["edges"] == critical["edges"]
    assert {gain["step"]["kind"] for gain in certificate["gains"]} == {"multipliers", "capacity"}
    text = done("simulate", NETWORK, *SMALL, *sized, "--certificate").out
    assert "What one step more would buy, each alone" in text
    for gain in certificate["gains"]:
        lost = certificate["interval_cycles"] - gain["interval_cycles"]
        assert gain["gain_percent"] == pytest.approx(100 * lost / certificate["interval_cycles"])


def test_advice_names_what_buys_a_share(done, sized):
    told = done("advise", NETWORK, *SMALL, *sized, "--percent", "5", "--json").json
    jsonschema.validate(told, done("schema", "advice").json)
    advice = told["advice"]
    assert advice["percent"] == 5
    assert advice["reached_cycles"] <= advice["sought_cycles"] == pytest.approx(0.95 * advice["interval_cycles"])
    assert len(advice["steps"]) == len(advice["alone"]) > 0
    assert advice["added_multipliers"] == sum(
        step["after"] - step["before"] for step in advice["steps"] if step["kind"] == "multipliers"
    )
    text = done("advise", NETWORK, *SMALL, *sized, "--percent", "5").out
    assert "What one step more would buy, each alone" in text
    assert "What buys 5 %" in text
    assert "simulated with everything else unbounded" in text


def test_what_is_not_certified_says_so(run):
    ported = ("--accelerator", "feature-map-npu", "--mapping", "pipeline", "--set", "weights=frame")
    told = run("simulate", NETWORK, *SMALL, *ported, "--certificate", "--json").json
    assert told["certificate"]["certified"] is False
    assert "share a port" in told["certificate"]["reason"]
    refused = run("advise", NETWORK, *SMALL, *ported)
    assert refused.status == 2
    assert "share a port" in refused.err
    beyond = run("advise", NETWORK, *SMALL, "--percent", "99.99")
    assert beyond.status == 3
    assert "cycles a frame" in beyond.err


def test_by_words_queues_are_advised_on(done, tmp_path):
    pads = ((1, 1), (1, 1))
    nodes = [
        Node("image", Input(4, (12, 12))),
        Node("conv", Convolution(4, (3, 3), (1, 1), pads, (1, 1)), ("image",)),
        Node("add", Combine("add"), ("conv", "image")),
    ]
    write_yaml_network(network("residual", nodes, ["add"]), tmp_path / "net.yaml")
    rooms = MappingProxyType({"image -> add": 18})
    mapping = Mapping(MappingProxyType({"conv": Unroll(4, 4, 9)}), rooms, "word")
    (tmp_path / "mapping.yaml").write_text(mapping_text(mapping), encoding="utf-8")
    machine = ("--accelerator", "fpga-stream", "--set", "blocks.fifo_depth=0", "--set", "source=greedy")
    told = done(
        "advise", tmp_path / "net.yaml", *machine, "--mapping", tmp_path / "mapping.yaml", "--percent", "20", "--json"
    ).json
    certificate, advice = told["certificate"], told["advice"]
    assert told["granularity"] == certificate["granularity"] == "word"
    assert (certificate["kind"], certificate["edges"]) == ("queues", ["image -> add"])
    assert certificate["alone_cycles"] < certificate["interval_cycles"]
    assert [step["name"] for step in advice["steps"]] == ["image -> add"]
    assert advice["added_elements"] == 4 * (advice["steps"][0]["after"] - 18)
    assert advice["reached_cycles"] <= advice["sought_cycles"]
