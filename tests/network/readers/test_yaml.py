"""The YAML form of a network: one to one, and every fault of a file named with its line."""

import io
import json
import zipfile
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.network.attention import attention_buffering
from accelsim.network.graph import Node, Port, network
from accelsim.network.layers import KINDS, Activation, Combine, Convolution, Dense, Input, Pad
from accelsim.network.readers.yaml import read_yaml_network
from accelsim.network.rewrites.tile_attention import tile_attention
from accelsim.network.writers.yaml import write_yaml_network
from tests.network.draft import block, weighted
from tests.network.naive_layers import random_weights
from workloads import NETWORKS

SMALL = """\
name: small
outputs: [end]
layers:
- {name: image, kind: input, channels: 3, spatial: [8, 8]}
- name: first
  kind: convolution
  inputs: [image]
  channels: 4
  kernel: [3, 3]
  stride: [1, 1]
  padding: [[1, 1], [1, 1]]
  dilation: [1, 1]
- {name: end, kind: activation, inputs: [first], function: relu}
"""


def read(tmp_path, text):
    path = tmp_path / "net.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml_network(path)


def there_and_back(tmp_path, net):
    write_yaml_network(net, tmp_path / "net.yaml")
    return read_yaml_network(tmp_path / "net.yaml")


def problems(tmp_path, text):
    """The lines of the error, without the folder."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


def test_a_file_is_what_python_builds(tmp_path):
    one, padding = (1, 1), ((1, 1), (1, 1))
    nodes = [
        Node("image", Input(3, (8, 8))),
        Node("first", Convolution(4, (3, 3), one, padding, one), ("image",)),
        Node("end", Activation("relu"), ("first",)),
    ]
    assert read(tmp_path, SMALL) == network("small", nodes, ["end"])


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_come_back(tmp_path, name):
    small = {"efficientdet": (3, 128, 128), "sample_cnn": None}.get(name.split("_d")[0], (3, 224, 224))
    net = NETWORKS[name](small)
    assert there_and_back(tmp_path, net) == net


def test_tiled_networks_come_back(tmp_path):
    net = tile_attention(NETWORKS["efficientnet_b0"](), 7, columns=20)
    again = there_and_back(tmp_path, net)
    assert again == net
    assert attention_buffering(again) == attention_buffering(net)


def test_ports_come_back(tmp_path):
    image = Port("image:0", "x", (1, 8, 8, 3), (1, 2), (3,))
    result = Port("123", "y", (64, 3), (0,), (1,))
    nodes = [Node("x", Input(3, (8, 8))), Node("y", Activation("relu"), ("x",)), Node("no", Input(1))]
    net = network("ports", nodes, [result, "x"], [image])
    again = there_and_back(tmp_path, net)
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)


AWKWARD = [
    "on", "1", "1e3", "null", "~", "a b", "a: b", "#x", "&a", "*a", "!t", "'", '"', "[", "-", "é✓", "a\nb", ".inf",
]  # fmt: skip


def test_any_name_comes_back(tmp_path):
    nodes = [Node("in put", Input(1))]
    for name in AWKWARD:
        nodes.append(Node(name, Activation("relu"), (nodes[-1].name,)))
    net = network("no", nodes, [AWKWARD[-1]])
    assert there_and_back(tmp_path, net) == net


@given(st.floats(allow_nan=False), st.integers(-3, 3))
def test_any_number_comes_back(tmp_path_factory, value, size):
    nodes = [Node("x", Input(1, (9,))), Node("y", Pad(((size, 3),), (0, 1), "constant", value), ("x",))]
    net = network("numbers", nodes, ["y"])
    assert there_and_back(tmp_path_factory.getbasetemp(), net) == net


def test_fields_with_their_defaults_are_left_out(tmp_path):
    write_yaml_network(read(tmp_path, SMALL), tmp_path / "again.yaml")
    text = (tmp_path / "again.yaml").read_text()
    assert "groups" not in text
    assert "  padding: [[1, 1], [1, 1]]\n" in text
    assert "inputs:\n" not in text.partition("layers:")[0]


def test_arrays_come_back(tmp_path):
    draft, end = block((9, 6), excitation="with batch norm", gate="add, clip, divide")
    net = weighted(draft, end)
    again = there_and_back(tmp_path, net)
    assert (again.nodes, set(again.parameters)) == (net.nodes, set(net.parameters))
    for key, array in net.parameters.items():
        np.testing.assert_array_equal(again.parameters[key], array)
        assert again.parameters[key].dtype == array.dtype


def test_shared_and_tied_arrays_stay_one(tmp_path):
    nodes = [Node("x", Input(3))]
    nodes += [Node(name, Dense(3, bias=True), ("x",), shares="a" if name == "b" else None) for name in "abc"]
    nodes.append(Node("sum", Combine("add"), ("a", "b", "c")))
    arrays = random_weights(network("plain", nodes, ["sum"]))
    arrays["c.weight"] = arrays["a.weight"]
    net = network("shared", nodes, ["sum"], parameters=arrays)
    again = there_and_back(tmp_path, net)
    assert again.parameters["b.weight"] is again.parameters["a.weight"] is again.parameters["c.weight"]
    assert again.parameter_count == net.parameter_count == 9 + 3 + 3
    with np.load(tmp_path / "net.npz") as archive:
        assert set(archive) == {"a.weight", "a.bias", "c.bias"}


FAULTS = {
    "unknown kind": ("kind: activation", "kind: activaton", 'layers[2].kind = "activaton": unknown kind (did you mean'),
    "unknown name": ("function:", "functoin:", 'functoin = "relu": unknown name (did you mean function?)'),
    "unknown name at the top": ("outputs:", "output:", "output = ['end']: unknown name (did you mean outputs?)"),
    "missing field": ("function: relu", "shares: null", "layers[2].function is missing"),
    "number as text": ("channels: 4", 'channels: "4"', 'layers[1].channels = "4": expected an integer'),
    "fraction": ("channels: 4", "channels: 4.5", "layers[1].channels = 4.5: expected an integer"),
    "truth as number": ("channels: 4", "channels: true", "layers[1].channels = True: expected an integer"),
    "one number as list": ("kernel: [3, 3]", "kernel: 3", "layers[1].kernel = 3: expected a list of integers"),
    "text in a list": ("kernel: [3, 3]", "kernel: [3, x]", "layers[1].kernel = [3, 'x']: expected a list of integers"),
    "pairs": ("[[1, 1], [1, 1]]", "[[1, 1], [1]]", "layers[1].padding = [[1, 1], [1]]: expected a list of pairs"),
    "huge number": ("channels: 4", f"channels: {10**30}", f"layers[1].channels = {10**30}: is beyond 2^62"),
    "endless number": ("channels: 4", "channels: " + "9" * 9999, "is no number"),
    "inputs as text": ("inputs: [first]", "inputs: first", 'layers[2].inputs = "first": expected a list of texts'),
    "number as name": ("name: end,", "name: 7,", "layers[2].name = 7: expected text (in quotes if"),
    "layer as text": ("- {name: end, kind: activation, inputs: [first], function: relu}", "- end", 'layers[2] = "end"'),
    "layers as mapping": ("layers:\n-", "layers:\n  x: 1\nrest:\n-", "expected a list"),
    "no output": ("outputs: [end]", "outputs: []", "outputs = []: expected a list of at least one"),
    "output that is none": ("outputs: [end]", "outputs: [nobody]", "output 'nobody' is not a layer"),
    "dangling input": ("inputs: [first]", "inputs: [second]", "end reads 'second', which is no layer"),
    "cycle": ("inputs: [image]", "inputs: [end]", "layers form a cycle"),
    "name twice": ("name: first", "name: image", "given twice: image"),
    "wrong arity": ("inputs: [first]", "inputs: [first, image]", "end (activation) has 2 inputs, not 1"),
    "size zero": ("channels: 4", "channels: 0", "first (convolution): channels = 0 must be positive"),
    "negative size": ("spatial: [8, 8]", "spatial: [8, -8]", "image (input): spatial = -8 must be positive"),
    "too many elements": ("spatial: [8, 8]", "spatial: [9999999, 9999999]", "elements; the most is 2^40"),
    "window too large": ("kernel: [3, 3]", "kernel: [30, 3]", "kernel (30, 3) does not fit"),
    "unused layer": ("outputs: [end]", "outputs: [first]", "end leads to no output"),
    "duplicate key": ("  channels: 4\n", "  channels: 4\n  channels: 5\n", "layers[1].channels is given twice"),
    "alias": ("spatial: [8, 8]", "spatial: &a [8, *a]", "aliases (*a) are not allowed"),
    "tag": ("kernel: [3, 3]", "kernel: !!python/tuple [3, 3]", "are not allowed"),
    "function call": ("function: relu", "function: !!python/object/apply:os.system [ls]", "are not allowed"),
    "unknown activation": ("function: relu", "function: rely", "end (activation): unknown activation 'rely'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_with_their_line(tmp_path, fault):
    before, after, expected = FAULTS[fault]
    assert SMALL.count(before) == 1
    text = SMALL.replace(before, after)
    told = problems(tmp_path, text)
    assert any(expected in line for line in told), told
    assert all(line.startswith("net.yaml:") for line in told)


def test_the_line_is_that_of_the_value(tmp_path):
    assert problems(tmp_path, SMALL.replace("kernel: [3, 3]", "kernel: 3")) == [
        "net.yaml:9: layers[1].kernel = 3: expected a list of integers"
    ]
    assert problems(tmp_path, SMALL.replace("kernel: [3, 3]", "kernel: [30, 3]"))[0].startswith("net.yaml:5: first ")


def test_all_problems_are_told_at_once(tmp_path):
    text = SMALL.replace("channels: 4", "channels: four").replace("kernel:", "kernl:").replace("function", "fun")
    told = problems(tmp_path, text)
    assert [line.split(":")[1] for line in told] == ["9", "8", "5", "13", "13"]


def bomb():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    return "\n".join(levels)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"", "expected a mapping"),
        (b"- 1\n- 2\n", "expected a mapping"),
        (b"\xff\xfe\x00a", "not UTF-8"),
        (b"a: [1, 2\nb: }", ":2: "),
        (b"name: x\x00y", ""),
        (bomb().encode(), ":2: aliases"),
        (b"name: " + b"[" * 5000 + b"]" * 5000, "nested deeper than 64"),
        (b"name: " + b"{a: " * 5000 + b"}" * 5000, "nested deeper than 64"),
        (b"? [a, b]\n: c\n", ""),
        (b"name: a\n---\nname: b\n", ""),
        (b"x" * (2**24 + 1), "the most is"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else value,
)
def test_hostile_files(tmp_path, text, rule):
    (only,) = [line for line in problems(tmp_path, text) if rule in line][:1]
    assert only.startswith("net.yaml:")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        read_yaml_network(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        read_yaml_network(tmp_path)


PORT = "{name: image, node: image, shape: [1, 3, 8, 8], spatial_axes: [2, 3], channel_axes: [1]}"


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("[1, 3, 8, 8]", "[1, 3, 8, 9]", "does not hold a 3x8x8 map"),
        ("[1, 3, 8, 8]", "[2, 3, 8, 8]", "does not hold"),
        ("spatial_axes: [2, 3]", "spatial_axes: [2, 2]", "has axes"),
        ("spatial_axes: [2, 3]", "spatial_axes: [2, 4]", "has axes"),
        ("spatial_axes: [2, 3]", "spatial_axes: [2, -1]", "has axes"),
        ("node: image", "node: first", "names first, which is no input"),
        ("node: image", "node: nobody", "names 'nobody', which is no layer"),
        ("node: image", "nod: image", "unknown name (did you mean node?)"),
    ],
)
def test_ports_that_do_not_fit(tmp_path, before, after, rule):
    text = SMALL.replace("layers:", f"inputs:\n- {PORT}\nlayers:")
    assert read(tmp_path, text).inputs[0].shape == (1, 3, 8, 8)
    told = problems(tmp_path, text.replace(PORT, PORT.replace(before, after)))
    assert rule in told[0]
    assert told[0].startswith("net.yaml:4: inputs[0]")


def save(tmp_path, name="w.npz", compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(tmp_path / name, **arrays)
    return f"parameters: {name}\n{SMALL}"


GOOD = np.zeros((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"first.weight": GOOD[:3]}, "array 'first.weight' has shape (3, 3, 3, 3), not (4, 3, 3, 3)"),
        ({"firts.weight": GOOD}, "array 'firts.weight' belongs to no layer (did you mean first.weight?)"),
        ({"first.weight": GOOD.astype("S3")}, "array 'first.weight' has values of type |S3, not numbers"),
        ({"first.weight": GOOD.astype(object)}, "array 'first.weight' has values of type object, not numbers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, rule):
    (only,) = problems(tmp_path, save(tmp_path, **arrays))
    assert only == f'net.yaml:1: parameters = "w.npz": {rule}'


def test_compressed_archives_are_refused(tmp_path):
    assert "is compressed" in problems(tmp_path, save(tmp_path, compressed=True, **{"first.weight": GOOD}))[0]


def test_archives_stay_in_the_folder(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    text = save(tmp_path, **{"first.weight": GOOD})
    for name in ("../w.npz", str(tmp_path / "w.npz")):
        assert "leads out of the folder" in problems(inner, text.replace("w.npz", name))[0]
    (inner / "link.npz").symlink_to(tmp_path / "w.npz")
    assert "leads out of the folder" in problems(inner, text.replace("w.npz", "link.npz"))[0]
    assert set(read(tmp_path, text).parameters) == {"first.weight"}


def _claiming(shape):
    """An archive whose one array claims a shape that its bytes do not hold."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("first.weight.npy", stream.getvalue())
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "is no NumPy archive"),
        (b"PK\x03\x04nonsense", "is no NumPy archive"),
        (_claiming((2**20, 2**20)), "has shape (1048576, 1048576)"),
        (_claiming((4, 3, 3, 3)), "array 'first.weight'"),
        (_claiming((4, 3, 3, 3))[:60], "is no NumPy archive"),
        (None, "cannot be read: No such file"),
    ],
    ids=["empty", "no-archive", "huge", "another-shape", "cut-short", "absent"],
)
def test_hostile_archives(tmp_path, content, rule):
    if content is not None:
        (tmp_path / "w.npz").write_bytes(content)
    assert rule in problems(tmp_path, f"parameters: w.npz\n{SMALL}")[0]


@pytest.mark.parametrize(
    ("tied", "rule"),
    [
        ("{first.weight: nobody}", 'tied.first.weight = "nobody": is no array of the archive'),
        ("{frst.weight: first.weight}", "no layer has an array 'frst.weight' (did you mean first.weight?)"),
        ("[first.weight]", "expected a mapping"),
    ],
)
def test_tied_arrays_that_do_not_fit(tmp_path, tied, rule):
    text = save(tmp_path, **{"first.weight": GOOD})
    assert rule in problems(tmp_path, f"tied: {tied}\n{text}")[0]


def read_or_refused(folder, text):
    """The network, or None after an error whose every line starts with the file."""
    try:
        return read(folder, text)
    except InputError as error:
        lines = str(error).splitlines()
    assert lines
    assert all(line.startswith(f"{folder}/net.yaml:") for line in lines)
    return None


WORDS = st.sampled_from(["mean", "add", "maximum", "average", "space", "channels", "relu", "nearest", "edge", "x"])
SIZES = st.integers(-1, 6)
FEW = st.lists(SIZES, max_size=3)
ODD = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-(2**70), 2**70), WORDS, FEW, st.lists(FEW, max_size=3)
)  # fmt: skip


def _pairs(low):
    return st.lists(st.integers(low, 3), min_size=2, max_size=2)


#: Values of the types that fields have, most of them for maps of two axes.
BY_TYPE = {
    "int": st.integers(1, 4) | SIZES, "bool": st.booleans(), "float": st.floats(-2, 2), "str": WORDS,
    "tuple[int, ...]": _pairs(1) | _pairs(1) | FEW, "Padding": st.lists(_pairs(0), min_size=2, max_size=2) | _pairs(-1),
    "tuple[int, int]": _pairs(-1), "tuple[int, ...] | None": st.none() | _pairs(1) | FEW,
    "tuple[float, ...]": st.lists(st.floats(-2, 2), max_size=2),
    "tuple[tuple[int, ...], ...]": st.just([]) | st.lists(_pairs(1) | st.just([]) | FEW, max_size=2),
}  # fmt: skip


@st.composite
def documents(draw):
    """A network of one random layer of a random kind on a small map."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    cls = KINDS[kind]
    count = draw(st.integers(0, 3)) if cls.arity < 0 or draw(st.integers(0, 9)) == 0 else cls.arity
    inputs = [draw(st.sampled_from(["x", "v", "w"])) for _ in range(count)]
    entry = {"name": "y", "kind": kind, "inputs": inputs}
    entry |= {field.name: draw(BY_TYPE[str(field.type)]) for field in fields(cls) if field.init}
    if draw(st.integers(0, 3)) == 0:
        entry[draw(st.sampled_from(sorted(entry)))] = draw(ODD)
    return [
        {"name": "x", "kind": "input", "channels": 4, "spatial": [4, 6]},
        {"name": "v", "kind": "input", "channels": 4, "spatial": []},
        {"name": "w", "kind": "constant", "channels": 1, "spatial": [2, 1]},
        entry,
        {"name": "end", "kind": "activation", "inputs": ["y"], "function": "relu"},
    ]


@settings(max_examples=300, deadline=None)
@given(documents())
@example([{"name": "end", "kind": "input", "channels": 2}])
def test_any_layer_is_read_or_refused_in_lines(tmp_path_factory, layers):
    """Never anything but an `InputError`, and what is read comes back."""
    folder = tmp_path_factory.getbasetemp()
    text = json.dumps({"name": "any", "outputs": ["end", "w"][: 1 + (len(layers) > 1)], "layers": layers})
    net = read_or_refused(folder, text)
    if net is not None:
        assert there_and_back(folder, net) == net


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_in_lines(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    start = data.draw(st.integers(0, len(SMALL)))
    stop = data.draw(st.integers(start, min(len(SMALL), start + 20)))
    middle = data.draw(st.text(st.sampled_from("[]{}:,&*!|>-\"'%@`#? \n\t01.ea"), max_size=5))
    read_or_refused(folder, SMALL[:start] + middle + SMALL[stop:])
