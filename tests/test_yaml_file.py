"""Reading YAML safely, and saying where in the file something stands."""

from math import isinf
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import InputError
from accelsim.yaml_file import LARGEST_FILE_BYTES, dotted_name, parse_document, read_document, suggestion, validated


class Memory(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(gt=0)
    banks: int = 1


class Machine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    memory: Memory
    lanes: list[int] = []


names = st.text("abcdefgh", min_size=1, max_size=4)
values = st.recursive(
    st.one_of(
        st.integers(-(10**20), 10**20),
        st.sampled_from(["word", "two words", "", "3 apples", "true", "null"]),
        st.floats(allow_nan=False, width=32),
        st.booleans(),
        st.none(),
    ),
    lambda inner: st.one_of(st.lists(inner, min_size=1, max_size=3), st.dictionaries(names, inner, min_size=1)),
    max_leaves=12,
)


def written(value, path, depth, lines, places):
    """Appends the lines of a block at `path` to `lines`, and the line every path stands on to `places`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in pairs:
        lines.append("  " * depth + (f"{key}:" if isinstance(value, dict) else "-"))
        places[*path, key] = len(lines)
        if isinstance(child, dict | list):
            written(child, (*path, key), depth + 1, lines, places)
        else:
            lines[-1] += " " + plain(child)


def plain(value):
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return f'"{value}"' if isinstance(value, str) else repr(value)


@given(data=st.dictionaries(names, values, min_size=1))
def test_data_and_lines_of_any_file(data):
    lines: list[str] = ["# a comment"]
    places: dict[tuple[str | int, ...], int] = {}
    written(data, (), 0, lines, places)
    document = parse_document("\n".join(lines), "file.yaml")
    assert document.data == data
    for path, line in places.items():
        if not isinstance(path[-1], int):  # an entry of a list stands where its own text begins
            assert document.where(path) == f"file.yaml:{line}"


def test_what_is_absent_is_placed_at_the_nearest_name_above():
    document = parse_document("name: a\nmemory:\n  size: 3\n", "m.yaml")
    assert document.where(("memory", "size", "x")) == "m.yaml:3"
    assert document.where(("memory", "banks")) == "m.yaml:2"
    assert document.where(("other",)) == "m.yaml:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1F", 31), ("0o17", 15), ("0b101", 5), ("1_000", 1000), ("-3", -3), ("1e3", 1000.0), ("1.5", 1.5),
        (".inf", float("inf")), ("-.inf", float("-inf")), ("true", True), ("~", None), ("", None), ("null", None),
        ("'1'", "1"), ("2020-01-01", "2020-01-01"), ("1:30", "1:30"), ("text", "text"), ("[1, a]", [1, "a"]),
    ],
)  # fmt: skip
def test_scalars(text, value):
    assert parse_document(f"x: {text}\n", "m.yaml").data == {"x": value}


HOSTILE = {
    "an empty file": ("", "m.yaml: expected a mapping"),
    "a list": ("- a\n", "m.yaml: expected a mapping"),
    "a word": ("hello\n", "m.yaml: expected a mapping"),
    "an alias": ("a: &x 1\nb: *x\n", r"m.yaml:2: aliases \(\*x\) are not allowed"),
    "a billion laughs": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "m.yaml:2: aliases"),
    "a python object": ("a: !!python/object:os.system ls\n", "m.yaml:1: tags .* are not allowed"),
    "a tag": ("\na: !mine 1\n", "m.yaml:2: tags .* are not allowed"),
    "a tag on a list": ("a: !!set [1]\n", "m.yaml:1: tags"),
    "a name twice": ("a: 1\nb: 2\na: 3\n", "m.yaml:3: a is given twice"),
    "a name twice below": ("a:\n- b: 1\n  b: 2\n", r"m.yaml:3: a\[0\]\.b is given twice"),
    "a name that is a list": ("a: 1\n? [b, c]\n: 1\n", "m.yaml:2: a name must be plain text"),
    "deep nesting": ("a: " + "[" * 65 + "]" * 65, "m.yaml:1: nested deeper than 64 levels"),
    "very deep nesting": ("a: " + "[" * 10**5, "m.yaml:1: nested deeper than 64 levels"),
    "very deep blocks": ("\n".join(" " * k + "a:" for k in range(80)), "m.yaml:65: nested deeper"),
    "a tab": ("a:\n\tb: 1\n", r"m.yaml:2: found character '\\t'"),
    "an open bracket": ("a: [1,\nb\n", "m.yaml:3: expected ',' or"),
    "two documents": ("a: 1\n---\nb: 2\n", "m.yaml:2: .*another document"),
    "another version": ("%YAML 9.0\n---\na: 1\n", "m.yaml:1: found incompatible YAML"),
    "a control character": ("a: \x07\n", "m.yaml: unacceptable character"),
    "an integer that is too long": ("b: 1\na: " + "9" * 10**4 + "\n", "m.yaml:2: '9{40}' is no number"),
    "an integer in the old octal": ("a: 010\n", "m.yaml:1: '010' is no number"),
    "half a surrogate pair": ('a: "\\ud800"\n', "m.yaml:1: half a surrogate pair"),
    "half a surrogate pair in a name": ('"\\udfff": 1\n', "m.yaml:1: half a surrogate pair"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_refused_where_it_stands(kind):
    text, told = HOSTILE[kind]
    with pytest.raises(InputError, match=f"^{told}"):
        parse_document(text, "m.yaml")


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    told = outcome(text)
    assert told == "read" or told.startswith("m.yaml")
    assert told.encode()


def outcome(text):
    try:
        parse_document(text, "m.yaml")
    except InputError as error:
        return str(error)
    return "read"


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        read_document(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InputError, match=r"latin\.yaml: not UTF-8 text \(byte 9\)"):
        read_document(tmp_path / "latin.yaml")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(LARGEST_FILE_BYTES + 1)
    with pytest.raises(InputError, match=r"large\.yaml: 16,777,217 bytes; the most is 16,777,216"):
        read_document(tmp_path / "large.yaml")


def problems(text):
    with pytest.raises(InputError) as caught:
        validated(Machine, parse_document(text, "m.yaml"))
    return str(caught.value).splitlines()


def test_every_problem_is_told_with_place_path_value_and_rule():
    text = "nam: a\nmemory:\n  size: -1\n  bank: 2\nlanes:\n- 1\n- two\n"
    assert sorted(problems(text)) == [
        "m.yaml:1: name is missing",
        "m.yaml:1: unknown name nam (did you mean name?)",
        "m.yaml:3: memory.size = -1: Input should be greater than 0",
        "m.yaml:4: unknown name memory.bank (did you mean banks?)",
        'm.yaml:7: lanes[1] = "two": Input should be a valid integer, unable to parse string as an integer',
    ]


class Port(BaseModel):
    bits: int = Field(gt=0, description="bits a cycle, such as 64")


class Described(BaseModel):
    ports: dict[str, Port]


def test_a_fault_says_what_the_field_means():
    with pytest.raises(InputError) as caught:
        validated(Described, parse_document("ports:\n  a: {bits: 0}\n  b: {}\n", "m.yaml"))
    assert str(caught.value).splitlines() == [
        "m.yaml:2: ports.a.bits = 0: Input should be greater than 0; bits: bits a cycle, such as 64",
        "m.yaml:3: ports.b.bits is missing; bits: bits a cycle, such as 64",
    ]


def test_a_value_that_is_left_out_stands_at_its_name():
    assert problems("name: a\nmemory:\n  size:\n\n  banks: 2\n") == [
        "m.yaml:3: memory.size = None: Input should be a valid integer"
    ]


def test_unknown_names_without_a_likeness_come_with_those_known():
    assert problems("name: a\nmemory: {size: 1}\nzzz: 1\n") == [
        "m.yaml:3: unknown name zzz (known: name, memory, lanes)"
    ]


class Hierarchy(BaseModel):
    model_config = ConfigDict(extra="forbid")

    levels: dict[Annotated[str, Field(pattern="^[a-z]+$")], Memory]
    memory: Memory | None = None


def hierarchy_problems(text, settings=()):
    document = parse_document(text, "m.yaml")
    for path, value in settings:
        document.set(path, value)
    with pytest.raises(InputError) as caught:
        validated(Hierarchy, document)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("levels:\n  a:\n    sizes: 1\n", [
            "m.yaml:2: levels.a.size is missing",
            "m.yaml:3: unknown name levels.a.sizes (did you mean size?)",
        ]),
        ("levels:\n  a: {size: 1, zzz: 1}\n", ["m.yaml:2: unknown name levels.a.zzz (known: size, banks)"]),
        ("levels:\n  A: {size: 1}\n", ['m.yaml:2: levels.A = "A": String should match pattern \'^[a-z]+$\'']),
        ("levels:\n  a: 3\n", ["m.yaml:2: levels.a = 3: Input should be a mapping of names to values"]),
        ("levels: 3\n", ["m.yaml:1: levels = 3: Input should be a mapping of names to values"]),
        ("levels: {}\n'[key]': 3\n", ["m.yaml:2: unknown name [key] (known: levels, memory)"]),
        ("levels:\n  a: {size: {b: 1, c: [2]}}\n", [
            "m.yaml:2: levels.a.size = {b: ..., c: ...}: Input should be a valid integer"
        ]),
    ],
)  # fmt: skip
def test_faults_below_names_that_are_free(text, told):
    assert hierarchy_problems(text) == told


def test_names_that_only_a_setting_gives_stand_in_the_settings():
    assert hierarchy_problems("levels: {}\n", [("levels.a.banks", 2)]) == ["settings: levels.a.size is missing"]
    assert hierarchy_problems("levels: {}\n", [("level.a", 2)]) == [
        "settings: unknown name level (did you mean levels?)"
    ]
    assert hierarchy_problems("levels:\n  a: {banks: 1}\n", [("levels.a.banks", 2)]) == [
        "m.yaml:2: levels.a.size is missing"
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [("bank", " (did you mean banks?)"), ("zzz", " (known: size, banks)")],
)
def test_suggestions(name, told):
    assert suggestion(name, ["size", "banks"]) == told
    assert suggestion(name, []) == ""


def test_long_values_are_cut():
    (line,) = problems(f"name: a\nmemory: {{size: {'x' * 500}}}\n")
    assert len(line) < 200


def test_line_breaks_in_names_and_values_are_written_out():
    assert problems('"na\\nme": 1\nname: a\nmemory: {size: "3\\r4"}\n') == [
        'm.yaml:3: memory.size = "3\\r4": Input should be a valid integer, unable to parse string as an integer',
        "m.yaml:1: unknown name na\\nme (did you mean name?)",
    ]
    with pytest.raises(InputError, match=r"^m\.yaml:2: a\\nb is given twice$"):
        parse_document('"a\\nb": 1\n"a\\nb": 2\n', "m.yaml")


def test_settings_are_put_in_place():
    document = parse_document("name: a\nmemory:\n  size: 3\n", "m.yaml")
    document.set("memory.size", 5)
    document.set("lanes", [1])
    assert validated(Machine, document) == Machine(name="a", memory=Memory(size=5), lanes=[1])
    with pytest.raises(InputError, match=r"name\.first: 'name' has no fields below it"):
        document.set("name.first", 1)


def test_dotted_names():
    assert dotted_name(("segments", 0, "unroll", "conv", 3)) == "segments[0].unroll.conv[3]"


def test_a_name_that_no_file_can_have():
    with pytest.raises(InputError, match="is no path"):
        read_document(Path("\x00.yaml"))
