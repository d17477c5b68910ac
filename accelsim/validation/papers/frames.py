"""Frames a second of published machines: simulated, and in closed form under each policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from accelsim.errors import AccelsimError
from accelsim.mapping.design import Design
from accelsim.mapping.mapper import map_network
from accelsim.network.graph import Network
from accelsim.report.build import simulate
from accelsim.report.report import Body
from accelsim.validation.papers.hardware_layers import hardware_layers
from accelsim.validation.papers.layer_times import POLICIES, Estimate, Policy, estimate
from accelsim.validation.papers.machines import Machine, accelerator_of, networks_of, read_machines
from accelsim.validation.papers.parts import in_parts
from accelsim.validation.papers.published import Published, longest

SIMULATED = "frames_per_second"
MAPPED = "frames_per_second_mapper"
SIMULATION = (
    "Simulated: layer by layer, additions and pools as layers of their own, all that the line does not say as in the "
    "preset feature-map-npu."
)
PARTS = (
    f"{SIMULATION} Every map is stored off chip. Outputs are made in parts of at least 32 channels: the weights of two "
    "parts have room, one of which loads while the other is in use, and the input is read for each part or stays."
)
FREE = (
    f"{SIMULATION} Tiles, and maps that stay on chip between layers, as the mapper here chooses them for fewest cycles."
)


def compare_machines(folder: Path) -> Iterator[Published]:
    """Every machine of `folder`. Errors name the line of the machine."""
    machines = read_machines(folder)
    for machine, net in zip(machines, networks_of(machines, folder), strict=True):
        try:
            yield from compare_machine(machine, net)
        except AccelsimError as error:
            error.args = (f"{machine.place}: {machine.key}: {error}",)
            raise


def compare_machine(machine: Machine, net: Network) -> Iterator[Published]:
    """A machine simulated under two mappings and then, where they apply, by the closed form of every policy."""
    chosen = map_network(net, accelerator_of(machine), mapping="layer-by-layer", objective="cycles")
    yield _simulated(machine, SIMULATED, in_parts(chosen), PARTS)
    yield _simulated(machine, MAPPED, chosen, FREE)
    layers = {unfolded: hardware_layers(net, unfolded) for unfolded in (True, False)}
    for policy in POLICIES if machine.estimator else ():
        yield _estimated(machine, policy, estimate(machine, layers[policy.unfolded], policy))


def _simulated(machine: Machine, quantity: str, design: Design, rule: str) -> Published:
    body = simulate(design).body
    away = (body.memories or {})[design.accelerator.off_chip_memory or ""]
    moved = round(away.read_bytes + away.written_bytes)
    return _row(machine, quantity, body.throughput.frames_per_second, rule, time_shares(body), moved)


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
