"""The README's figures of systolic arrays are those that come out today."""

from itertools import product

import pytest

import accelsim as acs
from accelsim.hardware.accelerator import load_accelerator
from accelsim.network.layers import Convolution
from accelsim.validation.systolic.predict import compare_systolic
from tests.pages import PROSE, TEXT
from tests.validation.test_systolic import GIVEN, OTHERS


def cells(begin: str) -> list[str]:
    row = next(row for row in TEXT.splitlines() if row.startswith(f"| {begin} |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def uses(name: str, stays: str, folds: str):
    hw = acs.load_accelerator("systolic-npu", {"engine.dataflow": f"{stays[:-1]}-stationary", "engine.folds": folds})
    design = acs.map_network(acs.load_network(name), hw)
    return acs.array_use(design)


def cycles_and_share(found) -> list[str]:
    cycles, macs = sum(use.compute_cycles for use in found), sum(use.macs for use in found)
    return [f"{cycles / 1e6:.2f}", f"{100 * macs / cycles / 256:.1f} %"]


@pytest.mark.parametrize(("stays", "folds"), [*product(("outputs", "weights", "inputs"), ("apart", "overlap"))])
def test_the_table_of_arrays(stays, folds):
    large, small = (uses(name, stays, folds) for name in ("resnet50", "mobilenet_v2"))
    moved = (sum(getattr(use, name) for use in large) for name in ("input_reads", "weight_reads", "output_writes"))
    expected = [*cycles_and_share(large), *(f"{count / 1e6:.1f}" for count in moved), *cycles_and_share(small)]
    assert cells(f"{stays} stay, {folds}") == expected


def test_the_share_of_depthwise_layers():
    net, found = acs.load_network("mobilenet_v2"), uses("mobilenet_v2", "weights", "overlap")
    depthwise = {n.name for n in net.nodes if isinstance(n.layer, Convolution) and n.layer.groups > 1}
    cycles = sum(use.compute_cycles for use in found if use.layer in depthwise) / sum(u.compute_cycles for u in found)
    macs = sum(use.macs for use in found if use.layer in depthwise) / sum(use.macs for use in found)
    assert f"in MobileNetV2 {100 * macs:.1f} % of the MACs take {100 * cycles:.0f} % of the cycles" in PROSE


def test_as_many_layers_are_compared_and_equal():
    machine = load_accelerator(GIVEN / "accelerator.yaml")
    given, others = (compare_systolic(folder, machine) for folder in (GIVEN, OTHERS))
    assert f"{len(given.rows)} layers of ResNet-18" in PROSE
    assert f"in the tests {len(others.rows)} more" in PROSE
    assert all(row.difference == 0 for found in (given, others) for row in (*found.rows, *found.details))
