"""Frames a second of published machines: simulated, and in closed form under each policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapper import map_network
from accelsim.network.graph import Network
from accelsim.report.build import simulate
from accelsim.report.report import Body
from accelsim.validation.papers.hardware_layers import hardware_layers
from accelsim.validation.papers.layer_times import POLICIES, Estimate, Policy, estimate
from accelsim.validation.papers.machines import Machine, accelerator_of, network_of, read_machines
from accelsim.validation.papers.published import Published, longest

SIMULATED = "frames_per_second"
SIMULATION = (
    "Simulated as mapped here: layer by layer, tiles and homes chosen for the fewest cycles; additions and pools are "
    "layers of their own; a tile starts with an empty pipeline. All that is not in the row is as in the preset "
    "feature-map-npu."
)


def compare_machines(folder: Path) -> Iterator[Published]:
    """Every machine of `folder`."""
    for machine in read_machines(folder):
        yield from compare_machine(machine, network_of(machine, folder))


def compare_machine(machine: Machine, net: Network) -> Iterator[Published]:
    """A machine simulated and then, where they apply, by the closed form of every policy."""
    yield _simulated(machine, net, accelerator_of(machine))
    layers = {unfolded: hardware_layers(net, unfolded) for unfolded in (True, False)}
    for policy in POLICIES if machine.estimator else ():
        yield _estimated(machine, policy, estimate(machine, layers[policy.unfolded], policy))


def _simulated(machine: Machine, net: Network, accelerator: Accelerator) -> Published:
    body = simulate(map_network(net, accelerator, mapping="layer-by-layer", objective="cycles")).body
    shares = time_shares(body)
    away = (body.memories or {})[accelerator.off_chip_memory or ""]
    return _row(
        machine,
        SIMULATED,
        body.throughput.frames_per_second,
        SIMULATION,
        shares,
        round(away.read_bytes + away.written_bytes),
    )


def time_shares(body: Body) -> dict[str, float]:
    """Shares of a frame by what has most to do in the segment at work, and `start_up`, when that does not work.

    Pipelines that fill and drain, and loads that nothing hides, are start-up; it is taken evenly from all segments.
    """
    working = {stage.stage for stage in body.stages if stage.macs}
    cycles: Counter[str] = Counter()
    for segment in body.segments:
        cycles[_busiest(segment.slowest, working)] += segment.cycles or 0
    throughput = body.throughput
    busy = throughput.interval_bound_cycles / throughput.interval_cycles
    shares = {name: busy * share / cycles.total() for name, share in cycles.items()}
    return shares | {"start_up": 1 - busy}


def _busiest(slowest: str, working: set[str]) -> str:
    """multipliers, a memory by its port, `requests` of one mover, or `lanes` of a stage without multiplications."""
    if slowest in working:
        return "multipliers"
    if slowest.startswith("port "):
        return slowest.removeprefix("port ").split(" ")[0]
    return "requests" if slowest.startswith(("load ", "store ")) else "lanes"


def _estimated(machine: Machine, policy: Policy, frame: Estimate) -> Published:
    multipliers = float(frame.multiplier_cycles / frame.cycles)
    return _row(
        machine,
        policy.quantity,
        float(machine.clock_ghz * 10**9 / frame.cycles),
        policy.assumption,
        {"multipliers": multipliers, "dram": 1 - multipliers},
        frame.moved_bytes,
    )


def _row(
    machine: Machine, quantity: str, predicted: float, rule: str, shares: dict[str, float], moved_bytes: int
) -> Published:
    return Published(
        machine.key,
        quantity,
        machine.frames_per_second,
        predicted,
        status=machine.status,
        source=machine.source,
        assumption=f"{rule} {machine.assumption}".strip(),
        bound_by=longest(shares),
        shares=shares,
        moved_bytes=moved_bytes,
    )
