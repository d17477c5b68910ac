"""Files of published machines, good and bad."""

from fractions import Fraction

import pytest

from accelsim.errors import InputError
from accelsim.validation.papers.compare import FOLDER
from accelsim.validation.papers.machines import accelerator_of, networks_of, read_machines

HEAD = "key,network,multipliers,buffer_kib,gb_per_s,clock_ghz,frames_per_second"
GOOD = "a,resnet18,256,128,5,1,40"


def folder(tmp_path, *lines):
    (tmp_path / "machines.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_a_machine_is_the_preset_with_its_own_figures(tmp_path):
    (machine,) = read_machines(folder(tmp_path, HEAD, "a,resnet18,256,128,4.8,0.3,40"))
    accelerator = accelerator_of(machine)
    assert accelerator.clock_hz == 300_000_000
    assert accelerator.engine.multipliers == 256
    assert accelerator.memories["buffer"].size == 128 * 1024
    for write in (False, True):
        assert accelerator.memories["dram"].bytes_per_cycle(write) == 16
    assert machine.status == "assumed"
    assert machine.estimator


@pytest.mark.parametrize(("rate", "clock"), [("0.5", "1"), ("19.2", "0.3"), ("0.01", "1")])
def test_bandwidth_need_not_be_whole_bits_a_cycle(tmp_path, rate, clock):
    (machine,) = read_machines(folder(tmp_path, HEAD, f"a,resnet18,256,128,{rate},{clock},40"))
    moved = accelerator_of(machine).memories["dram"].bytes_per_cycle(write=False)
    assert float(moved) == pytest.approx(float(Fraction(rate) / Fraction(clock)))


NETWORK = """\
name: own
outputs: [end]
layers:
- {name: image, kind: input, channels: 3, spatial: [8, 8]}
- {name: end, kind: dense, inputs: [image], channels: 4}
"""


def test_a_network_may_lie_beside_the_machines(tmp_path):
    (tmp_path / "net.yaml").write_text(NETWORK, encoding="utf-8")
    machines = read_machines(folder(tmp_path, HEAD, GOOD, GOOD.replace("a,resnet18", "b,net.yaml")))
    assert [net.name for net in networks_of(machines, tmp_path)] == ["resnet18", "own"]


def test_all_networks_that_are_none_are_told(tmp_path):
    (tmp_path / "net.yaml").write_text("nodes: 3", encoding="utf-8")
    lines = (HEAD, GOOD.replace("resnet18", "resnet"), GOOD.replace("a,resnet18", "b,net.yaml"))
    with pytest.raises(InputError) as caught:
        networks_of(read_machines(folder(tmp_path, *lines)), tmp_path)
    assert "machines.csv:2: network = 'resnet': " in str(caught.value)
    assert "machines.csv:3: network = 'net.yaml': " in str(caught.value)


def test_the_machines_that_come_along_are_the_primers():
    found = [(m.multipliers, m.buffer_kib, m.gb_per_s, m.frames_per_second) for m in read_machines(FOLDER)]
    primer = "2048/512/20/269 1024/256/15/153 512/256/10/93 256/256/5/46 128/256/2/20 64/128/1/7.3 32/128/0.5/3.6"
    rows = [row.split("/") for row in primer.split()]
    assert found[:7] == [(int(m), int(b), Fraction(r), float(f)) for m, b, r, f in rows]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], r"machines\.csv:1: no column key, network, multipliers"),
        ([HEAD.replace(",clock_ghz", "")], r"machines\.csv:1: no column clock_ghz; --data takes a folder with"),
        ([HEAD + ",color"], r"machines\.csv:1: column color: use each of key, status"),
        ([HEAD + ",key"], r"machines\.csv:1: column key: use each of"),
        ([HEAD, GOOD, "b,resnet18,256"], r"machines\.csv:3: 3 values for 7 columns"),
        ([HEAD, GOOD, GOOD], r"machines\.csv:3: a is given twice, first at .*machines\.csv:2"),
        (
            [HEAD, "a,resnet18,many,128,5,1,40"],
            r"machines\.csv:2: multipliers = 'many': Input should be a valid integer",
        ),
        ([HEAD, "a,resnet18,256,128,0,1,40"], r"machines\.csv:2: gb_per_s = '0': Input should be greater than 0"),
        ([HEAD, "a,resnet18,256,128,5,1,inf"], r"frames_per_second = 'inf': Input should be a finite number"),
        ([HEAD, "a,resnet18,256,,5,1,40"], r"machines\.csv:2: buffer_kib is empty"),
        ([HEAD + ",estimator", GOOD + ",perhaps"], r"estimator = 'perhaps': Input should be a valid boolean"),
        ([HEAD + ",status", GOOD + ",true"], r"status = 'true': Input should be 'reproduced', 'assumed' or"),
        ([HEAD, "a,resnet18,256,128,1e999999999,1,40"], r"gb_per_s = '1e999999999': .*finite number"),
        ([HEAD, "a,resnet18,256,128,wide,1,40"], r"gb_per_s = 'wide': .*finite number"),
        (["k" * 200_000], r"machines\.csv:1: field larger than field limit"),
        ([HEAD, '"a'], r"machines\.csv:2: unexpected end of data"),
    ],
)
def test_what_is_no_machine(tmp_path, lines, said):
    with pytest.raises(InputError, match=said):
        read_machines(folder(tmp_path, *lines))


def test_all_problems_are_told_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        read_machines(folder(tmp_path, HEAD, "a,resnet18,-1,0,5,1,40", GOOD, GOOD))
    assert len(str(caught.value).splitlines()) == 3


def test_a_folder_without_machines(tmp_path):
    with pytest.raises(InputError, match=r"machines\.csv: no such file; --data takes a folder with machines\.csv"):
        read_machines(tmp_path)
