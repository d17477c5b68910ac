"""`compare --virtual-maps`: channels pooled on the way out, beside maps stored before."""

import jsonschema
import pytest

from tests.cli.conftest import SMALL

NETWORK = ("compare", "condensation_net_f2", *SMALL, "--accelerator", "feature-map-npu", "--virtual-maps")


def rows(run):
    return run["virtual_maps"]["layers"]


@pytest.mark.parametrize("mapping", [(), ("--mapping", "fused"), ("--mapping", "pipeline")])
def test_virtual_beside_materialised(done, mapping):
    compared = done(*NETWORK, *mapping, "--json").json
    jsonschema.validate(compared, done("schema", "comparison").json)
    virtual, stored = compared["runs"]
    assert {row["mode"] for row in rows(virtual)} == {"virtual"}
    assert {row["mode"] for row in rows(stored)} == {"materialised"}
    assert [row["virtual_map_bytes"] for row in rows(virtual)] == [row["virtual_map_bytes"] for row in rows(stored)]


def test_layer_by_layer_unless_told_otherwise(done):
    assert done(*NETWORK, "--json").out == done(*NETWORK, "--mapping", "layer-by-layer", "--json").out


def test_text_has_both(done):
    text = done(*NETWORK).out
    assert "8 virtual (virtual); 8 materialised (materialised)" in " ".join(text.split())


def test_folders_are_the_same_comparison(done, tmp_path):
    told = done(*NETWORK, "--json", "-o", tmp_path / "runs").json
    assert done("compare", tmp_path / "runs", "--json").json["runs"] == told["runs"]


def test_nothing_to_be_virtual_is_a_warning(done):
    asked = ("compare", "resnet18", *SMALL, "--accelerator", "feature-map-npu", "--virtual-maps")
    assert "no map to be virtual" in done(*asked).err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((*NETWORK, "--tile-attention", "7"), "without --tile-attention"),
        ((*NETWORK, "--mapping", "fused", "--mapping", "pipeline"), "one --mapping"),
        (("compare", "condensation_net_f2", "--virtual-maps"), "--set channel_pooling=true"),
    ],
)
def test_what_does_not_go_with_it(run, argv, said):
    outcome = run(*argv)
    assert outcome.status == 2
    assert said in outcome.err


def test_saved_runs_stay_as_they_are(run, done, tmp_path):
    done(*NETWORK, "--json", "-o", tmp_path / "runs")
    outcome = run("compare", tmp_path / "runs", tmp_path / "runs", "--virtual-maps")
    assert outcome.status == 2
    assert "--virtual-maps" in outcome.err
