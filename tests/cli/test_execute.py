"""Integer execution from the command line."""

import json

import ml_dtypes
import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

import accelsim as acs
from accelsim.arithmetic.agreement import share
from accelsim.cli.main import main
from tests.arithmetic.models import images, quantised, squeeze_excite


@pytest.fixture
def identity(tmp_path):
    """A fully connected layer that repeats its 4 int8 inputs as scores."""
    stored = {
        "s": np.float32(1), "z": np.int8(0), "w": np.eye(4, dtype=np.int8), "ws": np.float32(1), "wz": np.int8(0),
        "ys": np.float32(1), "yz": np.int8(0),
    }  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("QLinearMatMul", ["x", *stored], ["y"])], "net",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [1, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())
    return path


def test_outputs_are_written(identity, tmp_path, capsys):
    x = np.array([[3, -4, 5, 127], [0, 1, 2, -128]], np.int8)
    np.save(tmp_path / "x.npy", x)
    assert main(["execute", str(identity), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz")]) == 0
    with np.load(tmp_path / "y.npz") as made:
        assert np.array_equal(made["y"], x)
    assert "y: 2x4 int8, -128 to 127" in capsys.readouterr().out


def test_as_json(identity, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.array([[3, -4, 5, 1]], np.int8))
    assert main(["execute", str(identity), "--input", f"x={tmp_path / 'x.npy'}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["outputs"] == {"y": {"shape": [1, 4], "type": "int8", "least": -4, "most": 5}}
    assert told["real_nodes"] == []


def test_outputs_that_are_no_numbers_are_told_in_words(tmp_path, capsys):
    """Floating point of 8 bits that does not saturate."""
    stored = {"s": np.float32(1), "z": np.zeros((), ml_dtypes.float8_e4m3fn)}
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], saturate=0)], "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT8E4M3FN, [1, 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]).SerializeToString())
    np.save(tmp_path / "x.npy", np.array([[1, 2, 4000]], np.float32))
    command = ["execute", str(path), "--input", str(tmp_path / "x.npy")]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"]["y"]["most"] == "nan"
    assert main(command) == 0
    assert "y: 1x3 float16, nan to nan" in capsys.readouterr().out


@pytest.mark.parametrize("folder", [True, False])
def test_accuracy(identity, tmp_path, capsys, folder):
    x = np.array([[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 0, 9], [1, 1, 0, 0]], np.int8)
    labels = np.array([0, 1, 2, 0])
    data = tmp_path / "data"
    if folder:
        data.mkdir()
        np.save(data / "x.npy", x)
        np.save(data / "y.npy", labels)
    else:
        data = tmp_path / "data.npz"
        np.savez(data, x=x, y=labels)
    assert main(["accuracy", str(identity), "--data", str(data), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    ends = share(3, 4)
    assert told == {
        "network": "net", "right": 3, "frames": 4, "top1": 0.75, "top1_low": ends.low, "top1_high": ends.high,
    }  # fmt: skip


def test_accuracy_as_text(identity, tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=np.eye(4, dtype=np.int8), y=np.arange(4))
    assert main(["accuracy", str(identity), "--data", str(tmp_path / "data.npz")]) == 0
    low = f"{share(4, 4).low:.2%}"
    assert f"net: 4 of 4 right, top-1 100.00% (95 % interval {low} to 100.00%)" in capsys.readouterr().out


def test_statistics(identity, tmp_path, capsys):
    """The graph with its figures can be simulated and inspected."""
    np.save(tmp_path / "x.npy", np.array([[3, 0, 0, 1]], np.int8))
    graph = str(tmp_path / "net.yaml")
    options = ["--input", str(tmp_path / "x.npy"), "--statistics", "--network-out", graph]
    assert main(["execute", str(identity), *options, "--json"]) == 0
    rows = {row["layer"]: row for row in json.loads(capsys.readouterr().out)["statistics"]}
    assert rows["x"] == {
        "layer": "x", "least": 0, "most": 3, "zero_density": 0.5, "bit_density": 3 / 32, "weight_zero_density": None,
        "weight_bit_density": None, "sparsity": None,
    }  # fmt: skip
    (scores,) = (row for name, row in rows.items() if name != "x")
    assert scores["weight_zero_density"] == 0.75
    assert scores["sparsity"] == 1 - 2 / 16
    assert main(["execute", str(identity), *options]) == 0
    assert "idle products %" in capsys.readouterr().out
    assert main(["inspect", graph, "--json"]) == 0
    assert {row["layer"]: row for row in json.loads(capsys.readouterr().out)["statistics"]} == rows
    assert main(["inspect", graph]) == 0
    assert "Numbers, as executed" in capsys.readouterr().out
    assert main(["simulate", graph, "--json", "-o", str(tmp_path / "run")]) == 0
    assert {row["layer"]: row for row in json.loads(capsys.readouterr().out)["statistics"]} == rows
    assert pl.read_parquet(tmp_path / "run" / "statistics.parquet").rows(named=True) == list(rows.values())
    assert main(["simulate", graph]) == 0
    assert "most idle products (1 of 1 layers with products)" in capsys.readouterr().out


def test_a_quantised_file_is_a_graph_to_time(identity, capsys):
    assert main(["simulate", str(identity), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["work"]["macs"] == 16


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 5), np.int8), "shape (1, 5), declared is (1, 4)"),
        (np.zeros((1, 4), np.float32), "values of type float32 where int8 is expected"),
        (np.full((1, 4), 200), "values from 200 to 200; int8 holds -128 to 127"),
        (np.array([[None] * 4]), "cannot be read as an array"),
    ],
)
def test_arrays_that_do_not_fit(identity, tmp_path, capsys, array, words):
    np.save(tmp_path / "x.npy", array)
    assert main(["execute", str(identity), "--input", str(tmp_path / "x.npy")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 4), np.int8)}, "needs the arrays x and y"),
        ({"x": np.zeros((2, 4), np.int8), "y": np.zeros(3, int)}, "2 frames with 3 labels"),
        ({"x": np.zeros((2, 4), np.int8), "y": np.zeros(2)}, "one whole number a frame is expected"),
    ],
)
def test_data_that_do_not_fit(identity, tmp_path, capsys, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    assert main(["accuracy", str(identity), "--data", str(tmp_path / "data.npz")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [["execute", "--input", "x.npy"], ["accuracy", "--data", "d.npz"]])
def test_files_that_are_not_there(tmp_path, capsys, command):
    assert main([command[0], str(tmp_path / "no.onnx"), *command[1:]]) == 2
    assert "no.onnx: no such file" in capsys.readouterr().err


def test_tiles(tmp_path, capsys):
    """Tiles of a quantised file: what is listed is the tiled graph."""
    path = quantised(squeeze_excite(), tmp_path / "net.onnx", "QDQ")
    np.save(tmp_path / "x.npy", images(1))
    options = [str(path), "--input", str(tmp_path / "x.npy")]
    assert main(["execute", *options, "--tile-attention", "4", "--network-out", str(tmp_path / "net.yaml")]) == 0
    assert acs.load_network(tmp_path / "net.yaml").nodes == acs.tile_attention(acs.load_network(path), rows=4).nodes
    assert main(["execute", *options, "--tile-columns", "4"]) == 2
    assert "--tile-columns needs --tile-attention ROWS" in capsys.readouterr().err


def test_tiles_of_a_network_without_blocks(identity, tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=np.eye(4, dtype=np.int8), y=np.arange(4))
    assert main(["accuracy", str(identity), "--data", str(tmp_path / "data.npz"), "--tile-attention", "2"]) == 0
    assert "net has no squeeze-excite block" in capsys.readouterr().err
