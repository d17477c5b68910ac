"""The published machines that come along, all by one set of assumptions."""

import pytest

import accelsim as acs
from accelsim.validation.papers.compare import compare_papers
from accelsim.validation.papers.frames import MAPPED, SIMULATED
from accelsim.validation.papers.layer_times import POLICIES
from tests.validation.papers.nvdla import machines, rows

HEAD = "key,network,multipliers,buffer_kib,gb_per_s,clock_ghz,frames_per_second"


@pytest.fixture(scope="module")
def nvdla():
    return rows()


def test_every_machine_has_every_figure(nvdla):
    quantities = (SIMULATED, MAPPED, *(policy.quantity for policy in POLICIES))
    assert [(row.key, row.quantity) for row in nvdla] == [(m.key, q) for m in machines() for q in quantities]
    assert len({m.assumption for m in machines()}) == 1


def test_the_makers_closed_form_is_within_five_percent_everywhere(nvdla):
    errors = [row.error for row in nvdla if row.quantity == "frames_per_second_closed_form"]
    assert len(errors) == 7
    assert max(map(abs, errors)) < 0.05


def test_shares_of_a_frame_add_up(nvdla):
    for row in nvdla:
        assert sum(row.shares.values()) == pytest.approx(1)
        assert all(0 <= share <= 1 for share in row.shares.values())
        assert row.shares[row.bound_by] == max(row.shares.values())


def test_nothing_is_faster_than_its_memory_or_its_multipliers(nvdla):
    by_key = {machine.key: machine for machine in machines()}
    for row in nvdla:
        machine = by_key[row.key]
        assert row.moved_bytes * row.predicted <= float(machine.gb_per_s) * 1e9 * (1 + 1e-9)
        if "winograd" not in row.quantity:
            assert 3_857_973_248 * row.predicted <= machine.multipliers * float(machine.clock_ghz) * 1e9


def test_only_what_is_read_again_is_more_than_every_byte_once(nvdla):
    """The least is with additions in the convolutions before them, which are layers of their own when simulated."""
    moved = {(row.key, row.quantity): row.moved_bytes for row in nvdla}
    net = acs.load_network("resnet50_v1")
    sums = 2 * sum(net.tensors[node.name].elements for node in net.nodes if node.kind == "combine")
    for key in {row.key for row in nvdla}:
        least = moved[key, "frames_per_second_read_once"]
        assert least < moved[key, MAPPED]
        assert least + sums < moved[key, SIMULATED]


def test_the_simulation_comes_near_all_of_them(nvdla):
    errors = [row.error for row in nvdla if row.quantity == SIMULATED]
    assert all(abs(error) < 0.06 for error in errors[:5])
    assert all(0 < error < 0.15 for error in errors[5:])


def test_plenty_of_everything_but_multipliers_leaves_their_time(tmp_path):
    (tmp_path / "machines.csv").write_text(f"{HEAD}\na,resnet18,64,65536,1000,1,30\n", encoding="utf-8")
    simulated, mapped, closed, *_ = compare_papers(tmp_path).rows
    for row in (simulated, mapped, closed):
        assert row.bound_by == "multipliers"
        assert row.predicted == pytest.approx(64e9 / 1_814_073_344, rel=0.05)
