"""`inspect`: what is in a network or a machine, and what cannot be read."""

import jsonschema
import pytest

from accelsim import load_network
from accelsim.hardware.accelerator import Accelerator
from tests.cli.conftest import SMALL


def test_layers_add_up_to_the_totals(done):
    told = done("inspect", "efficientnet_b0", *SMALL, "--json").json
    jsonschema.validate(told, done("schema", "network-inspection").json)
    net = load_network("efficientnet_b0", input_shape=(1, 3, 64, 64))
    assert [layer["layer"] for layer in told["layers"]] == [node.name for node in net.nodes]
    assert told["totals"]["macs"] == net.macs == sum(layer["macs"] for layer in told["layers"])
    assert told["totals"]["macs"] == sum(kind["macs"] for kind in told["kinds"])
    assert told["totals"]["layers"] == sum(kind["layers"] for kind in told["kinds"])
    assert told["totals"]["parameters"] == net.parameter_count
    assert told["totals"]["gate_elements"] == sum(block["gate_elements"] for block in told["attention"])
    assert len(told["attention"]) == 16


def test_text_names_every_layer(done):
    told = done("inspect", "resnet18", "--json").json
    text = done("inspect", "resnet18").out
    for layer in told["layers"]:
        assert layer["layer"] in text
    assert f"{told['totals']['macs']:,}" in text


@pytest.mark.parametrize("options", [(), ("--set", "engine.lanes=7", "--set", "source=greedy")])
def test_a_machine_is_shown_field_by_field(done, options):
    told = done("inspect", "streaming-asic", *options, "--json").json
    jsonschema.validate(told, done("schema", "accelerator-inspection").json)
    values = {row["field"]: row["value"] for row in told["fields"]}
    assert values["engine.lanes"] == (7 if options else 64)
    assert {name.split(".")[0] for name in values} == set(Accelerator.model_fields)
    text = done("inspect", "streaming-asic").out
    assert all(name in text for name in values)


def test_a_file_says_itself_whether_it_is_a_network(done, tmp_path):
    done("simulate", "mobilenet_v3_small", *SMALL, "-o", tmp_path / "run")
    assert done("inspect", tmp_path / "run/network.yaml", "--json").json["network"] == "mobilenet_v3_small"
    assert done("inspect", tmp_path / "run/accelerator.yaml", "--json").json["accelerator"] == "streaming-asic"


def test_all_unsupported_operators_at_once(run, tmp_path):
    from onnx import TensorProto, helper, save_model

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["y"], name="first", domain="nowhere"),
        helper.make_node("Conjure", ["y"], ["z"], name="second", domain="nowhere"),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    save_model(
        helper.make_model(helper.make_graph(nodes, "odd", [value], [result]), opset_imports=opsets),
        tmp_path / "odd.onnx",
    )
    outcome = run("inspect", tmp_path / "odd.onnx")
    assert (outcome.status, outcome.out) == (2, "")
    assert "Frobnicate" in outcome.err
    assert "Conjure" in outcome.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("streaming-asic", *SMALL), "--input-shape"),
        (("resnet18", "--set", "fork=copy"), "--set"),
        (("no_such_network",), "no_such_network"),
        (("missing.yaml",), "missing.yaml"),
    ],
)
def test_options_of_the_other_kind_are_refused(run, argv, said):
    outcome = run("inspect", *argv)
    assert outcome.status == 2
    assert said in outcome.err
