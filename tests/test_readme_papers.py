"""The README's section on published machines, figure by figure."""

from fractions import Fraction

import accelsim as acs
from accelsim.validation.papers.claims import CLAIMS
from accelsim.validation.papers.compare import FOLDER
from accelsim.validation.papers.frames import MAPPED, SIMULATED, compare_machine
from accelsim.validation.papers.hardware_layers import hardware_layers
from accelsim.validation.papers.layer_times import POLICIES, estimate
from accelsim.validation.papers.machines import accelerator_of, read_machines
from accelsim.validation.papers.parts import in_parts
from tests.pages import section
from tests.validation.papers import nvdla

SECTION = section("Published machines and papers")
PROSE = " ".join(SECTION.split())

HEADS = (
    "MACs / KiB / GB/s", "published", "simulated", "error", "MB", "bound by", "mapper", "closed form", "MB",
    "halves", "halves, Winograd", "every byte once",
)  # fmt: skip


def percent(row):
    return f"{round(100 * row.error, 1) + 0.0:+.1f}"


def megabytes(row):
    return f"{row.moved_bytes / 10**6:.0f}"


def table():
    """The lines of the table, as they should be."""
    yield HEADS
    rows = {(row.key, row.quantity): row for row in nvdla.rows()}
    for machine in nvdla.machines():
        ours, mapped, closed, halves, winograd, once = (
            rows[machine.key, name] for name in (SIMULATED, MAPPED, *(policy.quantity for policy in POLICIES))
        )
        yield (
            f"{machine.multipliers} / {machine.buffer_kib} / {float(machine.gb_per_s):g}",
            f"{machine.frames_per_second:g}", f"{ours.predicted:.1f}", percent(ours), megabytes(ours),
            f"{ours.bound_by}, {100 * ours.shares[ours.bound_by]:.0f} %",
            percent(mapped), percent(closed), megabytes(closed), percent(halves), percent(winograd), percent(once),
        )  # fmt: skip


def test_the_table_says_what_is_compared():
    told = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in SECTION.splitlines() if line[:1] == "|"]
    assert [told[0], *told[2:]] == list(table())


def errors(network, **changed):
    """Of the closed form, in percent, on machines with other figures."""
    layers = hardware_layers(acs.load_network(network), unfolded=True)
    for machine in nvdla.machines():
        frame = estimate(machine.model_copy(update=changed), layers, POLICIES[0])
        clock = changed.get("clock_ghz", machine.clock_ghz)
        yield 100 * (float(clock * 10**9 / frame.cycles) / machine.frames_per_second - 1)


def test_what_the_closed_form_depends_on():
    assert max(map(abs, errors("resnet50"))) < 3.05
    fast, slow = (list(map(abs, errors("resnet50_v1", clock_ghz=Fraction(clock)))) for clock in ("2", "0.5"))
    assert f"at twice 1 GHz the closed form is {min(fast):.0f} to {max(fast):.0f} % off" in PROSE
    assert f"at half {min(slow):.0f} to {max(slow):.0f} %" in PROSE


def test_megabytes_in_the_text():
    rows = nvdla.rows()
    once = {megabytes(row) for row in rows if row.quantity == "frames_per_second_read_once"}
    mapped = sorted(row.moved_bytes for row in rows if row.quantity == MAPPED)
    assert f"Every byte moved once would be {once.pop()} MB" in PROSE
    assert f"It moves {mapped[0] / 10**6:.0f} to {mapped[-1] / 10**6:.0f} MB" in PROSE


def test_claims_in_the_text():
    ratio = CLAIMS["field/mobilenet_v3_large", "latency_ratio"](FOLDER)
    assert f"({35 / 5.6:.2f} times; {ratio:.2f} times in one pipeline of `streaming-asic`)" in PROSE
    cycles = CLAIMS["bnn_pynq/cnv_w1a1", "interval_cycles"](FOLDER)
    assert f"the {cycles:,.0f} cycles a frame of FINN's CNV" in PROSE


def test_the_dpu_is_far_off():
    machine = next(machine for machine in read_machines(FOLDER) if machine.key == "dpu/efficientnet_b0")
    simulated = next(compare_machine(machine, acs.load_network("efficientnet_b0")))
    assert f"at {simulated.measured} frames/s, where a machine of its multipliers" in PROSE
    assert f"does {simulated.predicted:.0f};" in PROSE


def is_strided(node):
    return node.kind == "convolution" and (node.layer.kernel, node.layer.stride) == ((1, 1), (2, 2))


def test_strided_layers_are_what_the_last_rows_differ_by():
    net = acs.load_network("resnet50_v1")
    machine = next(machine for machine in nvdla.machines() if machine.multipliers == 64)
    strided = {node.name for node in net.nodes if is_strided(node)}
    chosen = acs.map_network(net, accelerator_of(machine), mapping="layer-by-layer", objective="cycles")
    rows = [row for row in acs.simulate(in_parts(chosen)).body.traffic if row.memory == "dram"]
    closed = {
        layer.name: estimate(machine, [layer], POLICIES[0]).moved_bytes for layer in hardware_layers(net, unfolded=True)
    }
    ours = [(row.layer in strided, row.read_bytes + row.written_bytes) for row in rows]
    figures = (
        sum(closed[name] for name in strided), sum(closed.values()),
        sum(moved for apart, moved in ours if apart), sum(moved for _, moved in ours),
    )  # fmt: skip
    told = [f"{value / 10**6:.0f}" for value in figures]
    assert "they are {} of {} MB, where {} of {} MB are simulated".format(*told) in PROSE
