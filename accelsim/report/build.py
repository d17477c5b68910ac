"""From a design to a report: simulate, measure the buffers, and put every figure where it belongs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from importlib.metadata import version
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.cost.accesses import pipeline_accesses, visit_accesses
from accelsim.cost.energy import has_energy
from accelsim.errors import InputError, NotModelled
from accelsim.mapping.array_use import array_use, needed_cycles
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Stage, with_capacities, with_interval
from accelsim.mapping.mapping import Choice, Granularity
from accelsim.mapping.movers import weight_bytes
from accelsim.mapping.roles import ROLES, Role
from accelsim.mapping.segments.passes import element_bits
from accelsim.mapping.streams import FRAMES_OF_WEIGHTS, streamed
from accelsim.mapping.traffic import Traffic, pipeline_traffic, visit_traffic
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.reach import Granularity as TokenGranularity
from accelsim.report import report as parts
from accelsim.report.arrays import array_rows
from accelsim.report.bandwidth import binned
from accelsim.report.buffers import edge_columns, rooms
from accelsim.report.certificate import certificate_of
from accelsim.report.costs import area_part, energy_part, roofline_part
from accelsim.report.history import history
from accelsim.report.memory import memory_rows, traffic_rows, turns_sustained, turns_used
from accelsim.report.resource_rows import Resources
from accelsim.report.resources import resource_warnings, resources_part
from accelsim.report.statistics import statistics_rows
from accelsim.report.turns import crossing_rows, inner_rows, role_rows, segment_rows
from accelsim.report.turns import stage_rows as turns_stage_rows
from accelsim.report.turns import throughput as turns_throughput
from accelsim.report.virtual import virtual_maps
from accelsim.report.waiting import worst_edges
from accelsim.timing.bandwidth import Passed, pipeline_passed, turns_passed
from accelsim.timing.bounds import interval_bound_cycles, latency_bound_cycles
from accelsim.timing.critical import critical_cycle, slack_cycles
from accelsim.timing.kernels.pipeline import INPUT, PORT, SOURCE, SPACE
from accelsim.timing.lower import checked_granularity, token_elements
from accelsim.timing.occupancy import peak_tokens, simultaneous_peak_elements, stored_tokens
from accelsim.timing.simulate import Trace, schedule
from accelsim.timing.turns import take_turns

Times = NDArray[np.int64]


class _Peaks(NamedTuple):
    """Elements an edge: bound, peak with one frame alone, peak in the steady state, peak as simulated."""

    bound: list[int]
    alone: list[int]
    steady: list[int]
    held: list[int] | None


def simulate(
    design: Design, frames: int | None = None, granularity: Granularity | None = None, source: str | None = None
) -> parts.Report:
    """Simulates `design` and reports buffers, stages, traffic, throughput and latency.

    `frames` None runs until frames repeat, else exactly that many; `granularity` is "row", "pixel" or "word", None
    for that of the design's mapping; `source` is "paced" or "greedy", None for the machine's. Figures of buffers
    are those of a paced source and unbounded buffers, whatever the design's own; what its own come to is
    reported beside them. Segments take turns row by row, for as many frames as their mapping says, and their
    buffers are bounded. Raises `DeadlockError` with the cycle of waits, `InfeasibleError` where a segment does
    not fit its memory, `InputError` for a `frames` below 1.

    >>> from accelsim import load_accelerator, load_network, map_network
    >>> net = load_network("resnet18", input_shape=(1, 3, 64, 64))
    >>> simulate(map_network(net, load_accelerator("streaming-asic")))
    <Report resnet18 on streaming-asic: 9,216.0 cycles>
    """
    if not isinstance(design, Design):
        raise InputError(f"a {type(design).__name__} is no Design; map_network gives one")
    if (granularity or design.mapping.granularity) == "word":
        from accelsim.report.words import simulate_words

        return simulate_words(design, frames, source)
    if design.mapping.segments:
        return _in_turns(design, frames, granularity, source)
    run = _PipelineRun(design, checked_granularity(design, granularity), source, frames)
    body = parts.Body(**{name: made() for name, made in run.parts.items()})
    return parts.Report(
        body,
        binned(run.passed),
        partial(certificate_of, design, granularity, source),
        partial(history, design, granularity, source, frames),
    )


def simulated_parts(
    design: Design, wanted: Collection[str], frames: int | None = None, granularity: Granularity | None = None
) -> parts.Body:
    """Those parts of the body of `simulate`'s report that are `wanted`, the same but for the others not being there."""
    if design.mapping.segments or (granularity or design.mapping.granularity) == "word":
        return simulate(design, frames, granularity).body
    run = _PipelineRun(design, checked_granularity(design, granularity), None, frames)
    return parts.Body.model_construct(**{name: made() for name, made in run.parts.items() if name in wanted})


class _PipelineRun:
    """A pipeline simulated; what parts of its report have in common is worked out when the first asks for it."""

    def __init__(self, design: Design, granularity: TokenGranularity, source: str | None, frames: int | None) -> None:
        self.design, self.machine = design, design.accelerator
        self.running = streamed(design, granularity)
        self.trace = schedule(self.running, granularity, source, frames)

    @cached_property
    def free(self) -> Trace:
        trace = self.trace
        return trace if trace.steady and _is_free(trace) else _free(_unbounded(self.running), trace.granularity)

    @cached_property
    def peaks(self) -> _Peaks:
        return _peaks(self.trace, self.free)

    @cached_property
    def passed(self) -> dict[str, Passed]:
        return pipeline_passed(self.trace)

    @cached_property
    def moved(self) -> list[Traffic]:
        return pipeline_traffic(self.running)

    @cached_property
    def traffic(self) -> tuple[tuple[parts.TrafficRow, ...] | None, dict[str, parts.MemoryRow] | None]:
        return _traffic(self.trace, self.free, self.passed, self.moved)

    @cached_property
    def stages(self) -> tuple[parts.StageRow, ...]:
        return tuple(_stage_rows(self.trace))

    @cached_property
    def buffers(self) -> tuple[parts.BufferRow, ...]:
        return tuple(_buffer(self.trace, self.peaks, k) for k in range(len(self.running.edges)))

    @cached_property
    def resources(self) -> Resources | None:
        return None if self.machine.blocks is None else resources_part(self.running, rooms(self.buffers))

    @cached_property
    def parts(self) -> dict[str, Callable[[], Any]]:
        """How each part of the report is made."""
        trace, running, machine, interval = self.trace, self.running, self.machine, self.trace.interval_cycles
        segments = (pipeline_segment(running),)
        return _head_parts(running, trace.granularity, trace.source) | {
            "energy": lambda: energy_part(machine, lambda: pipeline_accesses(running, self.moved), interval),
            "roofline": lambda: roofline_part(machine, self.stages, segments, self.moved, interval),
            "throughput": lambda: _throughput(trace, self.design),
            "critical": lambda: _critical(trace),
            "buffering": lambda: _buffering(self.free, self.peaks),
            "buffers": lambda: self.buffers,
            "resources": lambda: self.resources,
            "stages": lambda: self.stages,
            "array": lambda: array_rows(array_use(running)) or None,
            "segments": lambda: segments,
            "traffic": lambda: self.traffic[0],
            "memories": lambda: self.traffic[1],
            "virtual_maps": lambda: virtual_maps(self.design, self.traffic[0]),
            "warnings": lambda: (
                *_warnings(trace, self.free),
                *_room_warnings(self.design, self.traffic[1]),
                *resource_warnings(self.resources),
            ),
        }


def _in_turns(design: Design, frames: int | None, granularity: str | None, source: str | None) -> parts.Report:
    """The report of a design whose segments take turns."""
    _check_turns(design, frames, granularity, source)
    turns = take_turns(design)
    alone = turns if turns.frames == 1 else take_turns(_one_frame(design))
    inner, crossing = inner_rows(turns), crossing_rows(turns)
    traffic = visit_traffic(design, turns.visits)
    machine = design.accelerator
    stages, segments = tuple(turns_stage_rows(turns)), segment_rows(turns)
    passed = turns_passed(turns)
    memories = memory_rows(
        machine,
        traffic,
        turns.interval_cycles,
        turns_sustained(turns),
        passed,
        turns_used(turns),
    )
    return parts.Report(
        parts.Body(
            **report_head(design, "row", "greedy"),
            resources=None,
            energy=energy_part(machine, lambda: visit_accesses(design, turns.visits, traffic), turns.interval_cycles),
            roofline=roofline_part(machine, stages, segments, traffic, turns.interval_cycles),
            throughput=turns_throughput(turns, alone),
            critical=None,
            buffering=role_rows(turns, inner, crossing),
            buffers=tuple(row for rows in (*inner, crossing) for row in rows),
            stages=stages,
            array=array_rows(array_use(design, turns.visits)) or None,
            segments=segments,
            traffic=traffic_rows(traffic),
            memories=memories,
            virtual_maps=virtual_maps(design, traffic_rows(traffic)),
            warnings=(),
        ),
        binned(passed),
        partial(certificate_of, design, "row", None),
        partial(history, design, "row", None, None),
    )


def _check_turns(design: Design, frames: int | None, granularity: str | None, source: str | None) -> None:
    if (granularity or design.mapping.granularity) != "row":
        raise NotModelled(
            "segments take turns row by row; pixels of such a design are not modelled: use granularity row"
        )
    if source == "paced":
        raise NotModelled("the frames of a visit are in memory before it begins; a paced source of it is not modelled")
    if frames not in (None, design.mapping.frames_per_visit):
        raise InputError(
            f"frames = {frames}: a visit takes frames_per_visit = {design.mapping.frames_per_visit} of the mapping, "
            "and every visit is like the next; leave frames out"
        )


def _one_frame(design: Design) -> Design:
    return replace(design, mapping=replace(design.mapping, frames_per_visit=1))


def report_head(design: Design, granularity: str, source: str) -> dict[str, Any]:
    """What every report says, however it was simulated."""
    return {name: made() for name, made in _head_parts(design, granularity, source).items()}


def _head_parts(design: Design, granularity: str, source: str) -> dict[str, Callable[[], Any]]:
    machine, choice = design.accelerator, design.mapping.choice
    return {
        "network": lambda: design.network.name,
        "inputs": lambda: {stage.name: stage.tensor.label for stage in design.stages if stage.is_input},
        "accelerator": lambda: machine.name,
        "granularity": lambda: granularity,
        "source": lambda: source,
        "fork": lambda: machine.fork,
        "pace_cycles": lambda: design.pace_cycles,
        "clock_hz": lambda: machine.clock_hz,
        "activation_bits": lambda: machine.activation_bits,
        "attention_buffering": lambda: attention_of(design),
        "work": lambda: work_of(design),
        "choice": lambda: None if choice is None else _choice(choice),
        "area": lambda: area_part(machine),
        "statistics": lambda: statistics_rows(design.network) or None,
        "not_modelled": lambda: _not_modelled(design),
        "version": lambda: version("accelsim"),
    }


def _not_modelled(design: Design) -> tuple[str, ...]:
    """Parts of the report that are null: for what the machine's file leaves out, or because segments take turns."""
    machine = design.accelerator
    missing = [] if machine.memories else list(parts.NEED_MEMORIES)
    if not has_energy(machine):
        missing.append("energy")
    elif machine.leakage is None:
        missing.append("leakage")
    missing += ["area"] if area_part(machine) is None else []
    return (*missing, *(("resources",) if machine.blocks is None or design.mapping.segments else ()))


def _choice(choice: Choice) -> parts.Choice:
    return parts.Choice(objective=choice.objective, value=choice.value, bound=choice.bound, exact=choice.exact)


def pipeline_segment(running: Design) -> parts.Segment:
    layers = tuple(stage.name for stage in running.stages if stage.transfer is None and not stage.is_source)
    return parts.Segment(
        name="pipeline",
        stages=len(running.stages),
        multipliers=running.multipliers,
        layers=layers,
        frames=None,
        cycles=None,
        load_cycles=None,
        setup_cycles=None,
        tiles=1,
        tile={},
        halo=None,
        weights=running.accelerator.weights if running.accelerator.memories else None,
        demand=None,
        slowest=max(running.stages, key=lambda stage: stage.work_cycles).name,
    )


def _traffic(
    trace: Trace, free: Trace, passed: Mapping[str, Passed], traffic: Sequence[Traffic]
) -> tuple[tuple[parts.TrafficRow, ...] | None, dict[str, parts.MemoryRow] | None]:
    running = trace.design
    machine = running.accelerator
    if machine.local_memory is None:
        return None, None
    moved: dict[str, Fraction] = defaultdict(Fraction)
    for row in traffic:
        moved[row.memory] += row.read_bytes + row.written_bytes
    sustained = {name: size / trace.interval_cycles for name, size in moved.items()}
    used = {name: bytes_of(_homed_elements(running, trace, name), running) for name in machine.memories}
    used[machine.local_memory] += weights_held(running) + bytes_of(_own_elements(running, trace, free), running)
    return traffic_rows(traffic), memory_rows(machine, traffic, trace.interval_cycles, sustained, passed, used)


def _homed_elements(running: Design, trace: Trace, memory: str) -> int:
    """Elements at most in the buffers whose home is `memory`; one a fork."""
    rooms: dict[str, int] = {}
    for edge, tokens in zip(running.edges, peak_tokens(trace).tolist(), strict=True):
        if edge.home == memory:
            key = edge.name if running.accelerator.fork == "copy" else edge.producer
            held = tokens * token_elements(edge.tensor, trace.granularity)
            rooms[key] = max(rooms.get(key, 0), held)
    return sum(rooms.values())


def _own_elements(running: Design, trace: Trace, free: Trace) -> int:
    """Elements in the engine's own buffers: what bounded ones hold, and the peaks of the others; one a fork."""
    rooms: dict[str, int] = {}
    for edge, peak in zip(running.edges, peak_tokens(free).tolist(), strict=True):
        if edge.home is None and edge.reads != "all":
            tokens = peak if edge.capacity is None else edge.capacity
            key = edge.name if running.accelerator.fork == "copy" else edge.producer
            rooms[key] = max(rooms.get(key, 0), tokens * token_elements(edge.tensor, trace.granularity))
    return sum(rooms.values())


def weights_held(running: Design) -> int:
    """Bytes of weights on chip: all of them, twice where those of the next frame load meanwhile."""
    total = sum(weight_bytes(running, stage) for stage in running.stages if stage.transfer is None)
    return total if running.accelerator.weights == "resident" else FRAMES_OF_WEIGHTS * total


def _room_warnings(design: Design, memories: Mapping[str, parts.MemoryRow] | None) -> Iterable[str]:
    tiles = "tile its squeeze-excite blocks, " if find_attention(design.network) else ""
    for name, row in (memories or {}).items():
        if row.used_bytes > row.size_bytes:
            yield (
                f"{name} has {row.size_bytes:,} B, the pipeline uses {row.used_bytes:,} B (short by "
                f"{row.used_bytes - row.size_bytes:,} B); raise memories.{name}.size, {tiles}size its buffers, "
                "or cut it into segments (mapping fused)"
            )


def _free(unbounded: Design, granularity: TokenGranularity) -> Trace:
    """Under a paced source, as fast as the pipeline goes where that is slower than its slowest stage."""
    trace = schedule(unbounded, granularity, "paced")
    if not trace.growing:
        return trace
    return schedule(with_interval(unbounded, ceil(trace.interval_cycles)), granularity, "paced")


def _is_free(trace: Trace) -> bool:
    bounded = (edge for edge in trace.design.edges if edge.capacity is not None)
    brought = (_is_brought(trace.design.stage_by_name[edge.producer]) for edge in bounded)
    return trace.source == "paced" and all(brought)


def _unbounded(design: Design) -> Design:
    """`design` without capacities, its source no faster than the slowest stage, so that it can be steady.

    Weights that are loaded for every frame, and what comes back from memory, wait for their turn all the same.
    """
    kept = {e.name: e.capacity for e in design.edges if e.capacity and _is_brought(design.stage_by_name[e.producer])}
    free = with_capacities(design, kept)
    pace = max(design.pace_cycles, design.bottleneck_cycles)
    return replace(free, mapping=replace(free.mapping, interval_cycles=pace))


def _is_brought(producer: Stage) -> bool:
    """Whether what a stage makes comes from a memory during the frame."""
    return producer.transfer is not None and not producer.transfer.write and not producer.is_input


def _peaks(trace: Trace, free: Trace) -> _Peaks:
    design, granularity = trace.design, trace.granularity
    bounds = edge_bounds(design, granularity)
    sizes = [token_elements(edge.tensor, granularity) for edge in design.edges]
    elements = np.array(sizes, np.int64)
    steady = (peak_tokens(free) * elements).tolist()
    held = steady if trace is free else (peak_tokens(trace) * elements).tolist()
    return _Peaks(
        bound=[bounds[edge.name] * size for edge, size in zip(design.edges, sizes, strict=True)],
        alone=(peak_tokens(free, alone=True) * elements).tolist(),
        steady=steady,
        held=held if trace.steady else None,
    )


def number(value: Fraction) -> float:
    return value.numerator / value.denominator


def _throughput(trace: Trace, core: Design) -> parts.Throughput:
    design, interval = trace.design, trace.interval_cycles
    latency = _latency(trace, trace.first, trace.last) if trace.steady else None
    loss, utilisation, of_total = _utilisation(trace)
    return parts.Throughput(
        interval_cycles=number(interval),
        interval_bound_cycles=interval_bound_cycles(design, trace.source),
        latency_cycles=latency,
        latency_bound_cycles=latency_bound_cycles(core, trace.granularity),
        first_output_cycles=_first_output(trace) if trace.steady else None,
        idle_latency_cycles=_latency(trace, trace.alone_first[None], trace.alone_last[None]),
        frames_in_flight=None if latency is None else number(latency / interval),
        frames_per_second=number(design.accelerator.clock_hz / interval),
        mac_utilisation=utilisation,
        mac_utilisation_of_total=of_total,
        utilisation_loss=loss,
        bottleneck=max(design.stages, key=lambda stage: stage.work_cycles).name,
        steady=trace.steady,
        frames_simulated=trace.frames,
    )


def _entered(trace: Trace, first: Times) -> Times:
    """When each frame's first input token was taken, int64[frames]."""
    sources = [trace.stage_index[stage.name] for stage in trace.design.stages if stage.is_input]
    starts: list[Times] = [trace.starts(k, first)[:, 0] for k in sources]
    entered: Times = np.stack(starts).min(axis=0)
    return entered


def _latency(trace: Trace, first: Times, last: Times) -> int:
    """Longest of the frames given, from first input token to last output token."""
    ends = [int(trace.pipeline.first_firing[trace.stage_index[name] + 1]) - 1 for name in trace.design.output_stages]
    return int((last[:, ends].max(axis=1) - _entered(trace, first)).max())


def _first_output(trace: Trace) -> int:
    arrivals = np.stack([_first_arrival(trace, trace.stage_index[name]) for name in trace.design.output_stages])
    return max(0, int((arrivals.min(axis=0) - _entered(trace, trace.first)).max()))


def _first_arrival(trace: Trace, stage: int) -> Times:
    """When the first element of a stage's output comes, int64[frames]; of a reduction it comes with the last."""
    p, begin = trace.pipeline, int(trace.pipeline.first_firing[stage])
    made_at = int(p.made_at[stage])
    arrivals: Times = trace.first[:, begin] if made_at < 0 else trace.last[:, begin + int(p.made[made_at])]
    return arrivals


def _utilisation(trace: Trace) -> tuple[parts.UtilisationLoss, float, float]:
    design, interval = trace.design, trace.interval_cycles
    stages = [stage for stage in design.stages if stage.multipliers]
    macs = sum(min(stage.macs, stage.multipliers * stage.work_cycles) for stage in stages)
    allotted = design.multipliers * interval
    if not allotted:
        return parts.UtilisationLoss(rounding=0.0, rate_mismatch=0.0, stalls=0.0), 0.0, 0.0
    bound = interval_bound_cycles(design, trace.source)
    worked = sum(stage.multipliers * stage.work_cycles for stage in stages)
    loss = parts.UtilisationLoss(
        rounding=number((worked - macs) / allotted),
        rate_mismatch=number((design.multipliers * bound - worked) / allotted),
        stalls=number(design.multipliers * (interval - bound) / allotted),
    )
    of_total = macs / (design.accelerator.engine.multipliers * interval)
    return loss, number(macs / allotted), number(of_total)


def _critical(trace: Trace) -> parts.Critical | None:
    cycle = critical_cycle(trace)
    if cycle is None:
        return None
    return parts.Critical(
        kind=cycle.kind,
        interval_cycles=number(cycle.interval_cycles),
        stages=cycle.stages,
        edges=cycle.edges,
        steps=cycle.steps,
    )


def attention_of(design: Design) -> parts.AttentionBuffering:
    found = attention_buffering(design.network)
    rows = tuple(
        parts.AttentionBlockRow(
            block=row.block.multiply, rows=row.rows, gate_elements=row.gate_elements, skip_elements=row.skip_elements
        )
        for row in found.blocks
    )
    return parts.AttentionBuffering(
        gate_elements=found.gate_elements,
        skip_elements=found.skip_elements,
        total_elements=found.total_elements,
        blocks=rows,
    )


def bytes_of(elements: int, design: Design) -> int:
    return -(-elements * design.accelerator.activation_bits // 8)


def _buffering(free: Trace, peaks: _Peaks) -> dict[str, parts.RoleBuffering]:
    stored = _stored(free, peaks)
    return {role: _role(free, peaks, role, stored[role]) for role in ROLES}


def _role(free: Trace, peaks: _Peaks, role: Role, stored: int) -> parts.RoleBuffering:
    design = free.design
    edges = [k for k, edge in enumerate(design.edges) if edge.role == role]
    peak = sum(peaks.steady[k] for k in edges)
    return parts.RoleBuffering(
        edges=len(edges),
        bound_elements=sum(peaks.bound[k] for k in edges),
        one_frame_peak_elements=sum(peaks.alone[k] for k in edges),
        peak_elements=peak,
        peak_bytes=bytes_of(peak, design),
        simultaneous_peak_elements=simultaneous_peak_elements(free, edges),
        stored_elements=stored,
    )


def _stored(free: Trace, peaks: _Peaks) -> dict[Role, int]:
    """Elements stored by role: a shared tensor counts once, with the role of its fullest reader."""
    design = free.design
    totals = dict.fromkeys(ROLES, 0)
    if design.accelerator.fork == "copy":
        for edge, steady in zip(design.edges, peaks.steady, strict=True):
            totals[edge.role] += steady
        return totals
    readers: dict[str, list[int]] = {}
    for k, edge in enumerate(design.edges):
        readers.setdefault(edge.producer, []).append(k)
    tokens = stored_tokens(free).tolist()
    for producer, group in readers.items():
        fullest = design.edges[max(group, key=lambda k: peaks.steady[k])]
        totals[fullest.role] += tokens[design.position[producer]] * token_elements(fullest.tensor, free.granularity)
    return totals


def _buffer(trace: Trace, peaks: _Peaks, k: int) -> parts.BufferRow:
    edge, machine = trace.design.edges[k], trace.design.accelerator
    size = token_elements(edge.tensor, trace.granularity)
    return parts.BufferRow(
        **edge_columns(edge, size),
        home=edge.home,
        bound_elements=peaks.bound[k],
        one_frame_peak_elements=peaks.alone[k],
        peak_elements=peaks.steady[k],
        peak_bytes=-(-peaks.steady[k] * element_bits(machine, trace.design.stage_by_name, edge) // 8),
        capacity_elements=None if edge.capacity is None else edge.capacity * size,
        held_elements=None if peaks.held is None else peaks.held[k],
    )


def _stage_rows(trace: Trace) -> Iterable[parts.StageRow]:
    slack = slack_cycles(trace)
    worst = worst_edges(trace)
    for position, stage in enumerate(trace.design.stages):
        waited = [Fraction(int(cycles), trace.period_frames) for cycles in trace.waited[position]]
        shares = [number(share) if trace.steady else None for share in waited]
        yield parts.StageRow(
            stage=stage.name,
            kind=stage.kind,
            fused=stage.group.fused,
            output=stage.tensor.label,
            macs=stage.macs,
            parameters=stage.parameters,
            multipliers=stage.multipliers,
            unroll=unroll_of(stage),
            work_cycles=needed_cycles(trace.design, stage),
            busy_cycles=stage.work_cycles,
            waiting_input_cycles=shares[INPUT],
            waiting_space_cycles=shares[SPACE],
            waiting_port_cycles=shares[PORT],
            waiting_source_cycles=shares[SOURCE],
            waiting_turn_cycles=0,
            port=stage.port,
            slack_cycles=number(slack[stage.name]) if trace.steady else None,
            waits_most_on=worst[position],
        )


def unroll_of(stage: Stage) -> dict[str, int]:
    if stage.unroll is None:
        return {}
    return {axis: getattr(stage.unroll, axis) for axis in ("inputs", "outputs", "window", "pixels")}


def work_of(design: Design) -> parts.Work:
    net = design.network
    excite = {name for block in find_attention(net) for name in block.excite}
    return parts.Work(
        macs=sum(stage.macs for stage in design.stages),
        parameters=net.parameter_count,
        excitation_macs=sum(net.macs_of(net.by_name[name]) for name in sorted(excite)),
    )


def _warnings(trace: Trace, free: Trace) -> Iterable[str]:
    if trace.growing:
        yield (
            "some buffer fills for ever, since what fills it goes faster than what empties it: nothing but the "
            "interval is steady; bound the buffers, or pace the source"
        )
    elif not trace.steady:
        yield (
            f"no steady state within {trace.frames} frames: the interval is the mean of the second half of them, "
            "and there is no steady latency"
        )
    if not free.steady:
        yield (
            f"buffer figures: the unbounded pipeline is not steady after {free.frames} frames; peaks are those of "
            "its last frame, as if it repeated"
        )
    if trace.design.pace_cycles < trace.design.bottleneck_cycles and trace.source == "paced":
        yield (
            f"the source offers a frame every {trace.design.pace_cycles:,} cycles, "
            f"the busiest stage needs {trace.design.bottleneck_cycles:,}"
        )
