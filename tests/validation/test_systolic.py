"""Tables of SCALE-Sim: every figure that it gives, and what is said of folders that are none of that form."""

import re
from importlib import resources
from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.hardware.accelerator import load_accelerator
from accelsim.network.layers import Convolution, Dense
from accelsim.validation.systolic.predict import compare_systolic
from accelsim.validation.systolic.topology import read_topology

GIVEN = Path(str(resources.files("accelsim.validation") / "data" / "systolic"))
OTHERS = Path(__file__).parent.parent / "fixtures" / "systolic"
HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
TOPOLOGY = HEADER + "first,9,8,3,3,2,5,2,\nsecond,4,4,1,1,5,6,1,\n"
#: 4 x 4 pixels, the last window beyond the map, 18 taps and 5 filters on 4x4: 4 x 2 folds of 18 + 6 cycles; then
#: 16 pixels, 5 taps and 6 filters: 4 x 2 of 5 + 6.
TABLE = "layer,name,compute_cycles\n0,first,192\n1,second,88\n"


@pytest.fixture(scope="module")
def machine():
    return load_accelerator(GIVEN / "accelerator.yaml")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "topology_small.csv").write_text(TOPOLOGY, encoding="utf-8")
    (tmp_path / "small_os_4x4.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("data", "layers"), [(GIVEN, 4 * 21), (OTHERS, 6 * 10 + 3 * 7 + 3 * 4)])
def test_every_figure_of_every_layer_is_exact(machine, data, layers):
    found = compare_systolic(data, machine)
    assert len(found.rows) == layers
    assert len(found.details) == 12 * layers
    assert [row for row in (*found.rows, *found.details) if row.measured != row.predicted] == []
    assert {row.quantity for row in found.rows} == {"compute_cycles"}


def test_a_key_is_the_table_and_its_column_layer(machine, folder):
    rows = compare_systolic(folder, machine).rows
    assert [(row.key, row.name) for row in rows] == [("small_os_4x4/0", "first"), ("small_os_4x4/1", "second")]
    assert [row.predicted for row in rows] == [192, 88]


def test_what_was_measured_is_not_looked_at(machine, folder):
    (folder / "small_os_4x4.csv").write_text(TABLE.replace("192", "150"), encoding="utf-8")
    first, second = compare_systolic(folder, machine).rows
    assert (first.predicted, second.error) == (192, 0)
    assert first.error == pytest.approx(42 / 150)


def test_folds_that_overlap_are_no_slower_than_any_of_these(machine):
    overlapping = machine.model_copy(update={"engine": machine.engine.model_copy(update={"folds": "overlap"})})
    rows = compare_systolic(GIVEN, overlapping).rows
    assert all(row.predicted < row.measured for row in rows)


@pytest.mark.parametrize(
    ("topology", "table"),
    [
        (TOPOLOGY.replace("\n", "\r\n"), "\ufeff" + TABLE.replace("\n", "\r\n")),
        (TOPOLOGY.replace(",\n", "\n"), TABLE.replace("\n", ",,\n")),
        (TOPOLOGY + "\n,,\n", "\n" + TABLE + "\n\n"),
        (
            "Num Filter,Strides,Channels,Filter Width,Filter Height,IFMAP Width,IFMAP Height,Layer name,remark\n"
            "5,2,2,3,3,8,9,first,x\n6,1,5,1,1,4,4,second\n",
            "compute_cycles,note,name,layer\n192,a,first,0\n88,,second,1\n",
        ),
        (
            TOPOLOGY.replace("Strides,", "Stride Height, Stride Width,").replace(",2,\n", ",2,2,\n").replace(
                ",1,\n", ",1,1,\n"
            ),
            "Layer, Name, Compute_Cycles\n0,first,192.0\n1,second,88\n",
        ),
        (TOPOLOGY.replace(",2,\n", ",2,1:1,\n").replace("Strides,", "Strides, Sparsity,"), TABLE),
        (TOPOLOGY, "layer,compute_cycles\n0,192\n1,88\n"),
        (TOPOLOGY, "layer,compute_cycles\nfirst,192\nsecond,88\n"),
        (TOPOLOGY, "name,compute_cycles\nfirst,192\nsecond,88\n"),
        (TOPOLOGY, "layer,name,compute_cycles\n7,second,88\n6,first,192\n"),
        (TOPOLOGY.replace("second", "first"), TABLE.replace("second", "first")),
    ],
)  # fmt: skip
def test_the_same_figures_in_other_clothes(machine, folder, topology, table):
    (folder / "topology_small.csv").write_text(topology, encoding="utf-8", newline="")
    (folder / "small_os_4x4.csv").write_text(table, encoding="utf-8", newline="")
    assert sorted((row.measured, row.predicted) for row in compare_systolic(folder, machine).rows) == [
        (88, 88),
        (192, 192),
    ]


def test_networks_and_tables_of_any_name(machine, folder):
    (folder / "topology_small.csv").rename(folder / "topology_my_net_v2.csv")
    (folder / "small_os_4x4.csv").rename(folder / "my_net_v2_OS_4x4.csv")
    (folder / "notes.csv").write_text("anything\n", encoding="utf-8")
    (folder / "README.md").write_text("anything\n", encoding="utf-8")
    found = compare_systolic(folder, machine)
    assert [row.error for row in found.rows] == [0, 0]
    assert found.skipped == ("notes.csv",)
    assert found.to_dict()["skipped_files"] == ["notes.csv"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("topology_small.csv", None, "topology_small.csv: No such file or directory"),
        ("topology_small.csv", "", "topology_small.csv: it is empty"),
        ("topology_small.csv", HEADER, "topology_small.csv: it has no layers"),
        ("topology_small.csv", "a,b\n1,2\n", "csv:1: no column layer_name or layer or name; it has a, b"),
        ("topology_small.csv", HEADER + "x,9,8,3,3,2,five,2\n", "csv:2: num_filter = 'five' is no whole number from 1"),
        ("topology_small.csv", HEADER + "x,9,8,3,3,2,5\n", "csv:2: strides = '' is no whole number"),
        ("topology_small.csv", HEADER + "x,9,8,3,3,2,5,0\n", "csv:2: strides = '0' is no whole number from 1"),
        ("topology_small.csv", HEADER + "x,-9,8,3,3,2,5,1\n", "csv:2: ifmap_height = '-9'"),
        ("topology_small.csv", HEADER + "x,9,8,3,9,2,5,1\n", "filter_width = 9 is more than ifmap_width = 8 (x)"),
        ("topology_small.csv", HEADER + ",9,8,3,3,2,5,1\n", "csv:2: the layer has no name"),
        ("topology_small.csv", HEADER + "x,9,8,3,3,2,5,1,2,3\n", "csv:2: 10 values for 8 columns"),
        ("topology_small.csv", HEADER[:-1] + "Sparsity\nx,9,8,3,3,2,5,1,2:4\n", "sparsity = '2:4' is not modelled"),
        ("topology_small.csv", HEADER + 'x,9,8,3,3,2,5,"1\n', "csv:2: unexpected end of data"),
        ("topology_small.csv", HEADER + "x,9999999,9999999,1,1,1,1,1\n", "x: input (input): 1x9999999x9999999 has"),
        ("small_os_4x4.csv", "", "small_os_4x4.csv: it is empty"),
        ("small_os_4x4.csv", "layer,name,compute_cycles\n", "small_os_4x4.csv: it has no layers"),
        ("small_os_4x4.csv", "layer,name,cycles\n0,first,3\n", "small_os_4x4.csv:1: no column compute_cycles"),
        ("small_os_4x4.csv", TABLE.replace("88", "88 cycles"), "csv:3: compute_cycles = '88 cycles' is no whole"),
        ("small_os_4x4.csv", TABLE.replace("88", "nan"), "csv:3: compute_cycles = 'nan' is no whole number from 1"),
        ("small_os_4x4.csv", TABLE.replace("88", "-88"), "csv:3: compute_cycles = '-88' is no whole number from 1"),
        ("small_os_4x4.csv", TABLE.replace("88", "0"), "csv:3: compute_cycles = '0' is no whole number from 1"),
        ("small_os_4x4.csv", TABLE.replace("88", "9" * 40), "csv:3: compute_cycles = '9999"),
        ("small_os_4x4.csv", TABLE.replace("second", "third"), "csv:3: name = 'third' is no layer of topology_small"),
        ("small_os_4x4.csv", TABLE + "0,first,192\n", "csv:4: layer small_os_4x4/0 is given twice, first at "),
        ("small_os_4x4.csv", "layer,compute_cycles\n2,88\n", "layer = '2': topology_small.csv has 2 layers"),
        ("small_os_4x4.csv", "layer,layer,compute_cycles\n0,0,88\n", "csv:1: two columns are called layer"),
        ("small_os_4x4.csv", TABLE.replace("name", "util_pct").replace("first", "120"), "csv:2: util_pct = '120'"),
        ("small_os_0x4.csv", TABLE, "small_os_0x4.csv: an array of 0x4; each side is from 1 to 100,000"),
        ("small_os_4x999999.csv", TABLE, "an array of 4x999,999"),
        ("large_os_4x4.csv", TABLE, "topology_large.csv: No such file or directory"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(machine, folder, file, text, said):
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        compare_systolic(folder, machine)


def test_bytes_that_are_no_text(machine, folder):
    (folder / "small_os_4x4.csv").write_bytes(TABLE.encode("utf-16"))
    with pytest.raises(InputError, match=r"small_os_4x4\.csv: not UTF-8 text"):
        compare_systolic(folder, machine)


def test_layers_of_one_name_need_a_number(machine, folder):
    (folder / "topology_small.csv").write_text(TOPOLOGY.replace("second", "first"), encoding="utf-8")
    (folder / "small_os_4x4.csv").write_text("name,compute_cycles\nfirst,192\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"layers 0, 1 of topology_small\.csv are called 'first'"):
        compare_systolic(folder, machine)


def test_all_that_is_wrong_is_said_at_once(machine, folder):
    (folder / "topology_small.csv").write_text(TOPOLOGY.replace("9,8", "x,y"), encoding="utf-8")
    (folder / "other_ws_2x2.csv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        compare_systolic(folder, machine)
    assert [re.search(r"topology_\w+", line).group() for line in str(caught.value).splitlines()] == [
        "topology_other",
        "topology_small",
    ]


def test_folders_without_tables(machine, tmp_path):
    with pytest.raises(InputError, match=r"no table to compare; --data takes a folder with topology_<network>\.csv"):
        compare_systolic(tmp_path, machine)
    (tmp_path / "resnet_xs_4x4.csv").write_text(TABLE, encoding="utf-8")
    with pytest.raises(InputError, match=r"no table to compare \(resnet_xs_4x4\.csv is none\)"):
        compare_systolic(tmp_path, machine)
    with pytest.raises(InputError, match="nowhere: No such file or directory"):
        compare_systolic(tmp_path / "nowhere", machine)


def test_a_machine_without_an_array(folder):
    with pytest.raises(InputError, match="streaming-asic has no systolic array"):
        compare_systolic(folder, load_accelerator("streaming-asic"))


def test_a_window_that_the_map_ends_in_counts():
    """SCALE-Sim's rule: ceil((H - kernel + stride) / stride) rows of windows; 18 points, 3 taps and stride 3 have 6."""
    topology = read_topology(OTHERS / "topology_odd.csv")
    odd = next(layer for layer in topology.layers if layer.name == "odd")
    assert isinstance(odd.layer, Convolution)
    assert odd.network().tensors["layer"].spatial == (-(-(17 - 4 + 3) // 3), -(-(18 - 3 + 3) // 3))


def test_layers_named_so_are_listed_channel_by_channel():
    topology = read_topology(OTHERS / "topology_odd.csv")
    lines, channels = topology.listings
    assert len(lines.layers) == 7
    assert [layer.name for layer in channels.layers[5:9]] == [f"each_DPChannel_{k}" for k in range(4)]


def test_more_channels_than_any_network_has_are_not_listed(machine, folder):
    wide = TOPOLOGY.replace("second,4,4,1,1,5", "secondDP,4,4,1,1,16000000")
    (folder / "topology_small.csv").write_text(wide, encoding="utf-8")
    with pytest.raises(InputError, match=r"name = 'second' is no layer of topology_small\.csv"):
        compare_systolic(folder, machine)


def test_wrong_values_are_said_beside_layers_that_are_not_there(machine, folder):
    text = "layer,name,compute_cycles\n0,nothing,1\n1,second,x\n"
    (folder / "small_os_4x4.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        compare_systolic(folder, machine)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "name = 'nothing' is no layer of topology_small.csv",
        "compute_cycles = 'x' is no whole number from 1 to 1,000,000,000,000,000,000; write it in digits alone",
    ]


def test_products_of_matrices_are_dense_layers():
    first = read_topology(OTHERS / "topology_products.csv").layers[2]
    assert first.layer == Dense(200)
    assert first.network().macs == 3 * 200 * 65
