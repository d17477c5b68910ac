"""From a design to a report: simulate, measure the buffers, and put every figure where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.design import Design, Stage, with_capacities, with_interval
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.roles import ROLES
from accelsim.network.attention import attention_buffering, find_attention
from accelsim.network.reach import Granularity as TokenGranularity
from accelsim.report import report as parts
from accelsim.timing.bounds import edge_bounds, interval_bound_cycles, latency_bound_cycles
from accelsim.timing.critical import critical_cycle, slack_cycles
from accelsim.timing.kernels.pipeline import INPUT, SOURCE, SPACE
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import peak_tokens, simultaneous_peak_elements, stored_tokens
from accelsim.timing.simulate import Trace, schedule

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
    """Simulates `design` and reports buffers, stages, throughput and latency.

    `frames` None runs until frames repeat, else exactly that many; `granularity` is "row", "pixel" or "word", None
    for that of the design's mapping; `source` is "paced" or "greedy", None for the machine's. Figures of buffers
    are those of a paced source and unbounded buffers, whatever the design's own; what its own come to is
    reported beside them. Raises `DeadlockError` with the cycle of waits, `InputError` for a `frames` below 1.
    """
    if granularity == "word" or (granularity is None and _is_by_word(design)):
        from accelsim.report.words import simulate_words

        return simulate_words(design, frames, source)
    trace = schedule(design, granularity, source, frames)
    free = trace if trace.steady and _is_free(trace) else _free(_unbounded(design), trace.granularity)
    peaks = _peaks(trace, free)
    body = parts.Body(
        network=design.network.name,
        inputs={stage.name: stage.tensor.label for stage in design.stages if stage.is_source},
        accelerator=design.accelerator.name,
        granularity=trace.granularity,
        source=trace.source,
        fork=design.accelerator.fork,
        pace_cycles=design.pace_cycles,
        clock_hz=design.accelerator.clock_hz,
        activation_bits=design.accelerator.activation_bits,
        throughput=_throughput(trace),
        critical=_critical(trace),
        attention_buffering=attention_of(design),
        buffering={role: _role(free, peaks, role) for role in ROLES},
        buffers=tuple(_buffer(trace, peaks, k) for k in range(len(design.edges))),
        stages=tuple(_stage_rows(trace)),
        work=work_of(design),
        segments=(parts.Segment(name="pipeline", stages=len(design.stages), multipliers=design.multipliers),),
        traffic=None,
        memories=None,
        energy=None,
        not_modelled=parts.NOT_MODELLED,
        warnings=tuple(_warnings(trace, free)),
        version=version("accelsim"),
    )
    return parts.Report(body)


def _is_by_word(design: Design) -> bool:
    return isinstance(design, Design) and design.mapping.granularity == "word"


def _free(unbounded: Design, granularity: TokenGranularity) -> Trace:
    """Under a paced source, as fast as the pipeline goes where that is slower than its slowest stage."""
    trace = schedule(unbounded, granularity, "paced")
    if not trace.growing:
        return trace
    return schedule(with_interval(unbounded, ceil(trace.interval_cycles)), granularity, "paced")


def _is_free(trace: Trace) -> bool:
    return trace.source == "paced" and not trace.pipeline.capacity.any()


def _unbounded(design: Design) -> Design:
    """`design` without capacities, its source no faster than the slowest stage, so that it can be steady."""
    free = with_capacities(design, {})
    pace = max(design.pace_cycles, design.bottleneck_cycles)
    return replace(free, mapping=replace(free.mapping, interval_cycles=pace))


def _peaks(trace: Trace, free: Trace) -> _Peaks:
    design, granularity = trace.design, trace.granularity
    bounds = edge_bounds(design, granularity)
    sizes = [token_elements(edge.tensor, granularity) for edge in design.edges]
    edges = range(len(design.edges))
    return _Peaks(
        bound=[bounds[edge.name] * size for edge, size in zip(design.edges, sizes, strict=True)],
        alone=[peak_tokens(free, k, alone=True) * sizes[k] for k in edges],
        steady=[peak_tokens(free, k) * sizes[k] for k in edges],
        held=None if not trace.steady else [peak_tokens(trace, k) * sizes[k] for k in edges],
    )


def number(value: Fraction) -> float:
    return value.numerator / value.denominator


def _throughput(trace: Trace) -> parts.Throughput:
    design, interval = trace.design, trace.interval_cycles
    latency = _latency(trace, trace.first, trace.last) if trace.steady else None
    loss, utilisation, of_total = _utilisation(trace)
    return parts.Throughput(
        interval_cycles=number(interval),
        interval_bound_cycles=interval_bound_cycles(design, trace.source),
        latency_cycles=latency,
        latency_bound_cycles=latency_bound_cycles(design, trace.granularity),
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
    sources = [trace.stage_index[stage.name] for stage in trace.design.stages if stage.is_source]
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
    allotted = sum(stage.multipliers for stage in stages) * interval
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


def _role(free: Trace, peaks: _Peaks, role: str) -> parts.RoleBuffering:
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
        stored_elements=_stored(free, edges, peaks),
    )


def _stored(free: Trace, edges: Sequence[int], peaks: _Peaks) -> int:
    """Elements stored for `edges`: a shared tensor counts once, with the role of its fullest reader."""
    design = free.design
    if design.accelerator.fork == "copy":
        return sum(peaks.steady[k] for k in edges)
    readers: dict[str, list[int]] = {}
    for k, edge in enumerate(design.edges):
        readers.setdefault(edge.producer, []).append(k)
    total = 0
    for group in readers.values():
        if max(group, key=lambda k: peaks.steady[k]) in edges:
            size = token_elements(design.edges[group[0]].tensor, free.granularity)
            total += stored_tokens(free, group) * size
    return total


def _buffer(trace: Trace, peaks: _Peaks, k: int) -> parts.BufferRow:
    edge = trace.design.edges[k]
    size = token_elements(edge.tensor, trace.granularity)
    return parts.BufferRow(
        edge=edge.name,
        producer=edge.producer,
        consumer=edge.consumer,
        role=edge.role,
        tensor=edge.tensor.label,
        token_elements=size,
        frame_elements=edge.tensor.elements,
        bound_elements=peaks.bound[k],
        one_frame_peak_elements=peaks.alone[k],
        peak_elements=peaks.steady[k],
        peak_bytes=bytes_of(peaks.steady[k], trace.design),
        capacity_elements=None if edge.capacity is None else edge.capacity * size,
        held_elements=None if peaks.held is None else peaks.held[k],
    )


def _stage_rows(trace: Trace) -> Iterable[parts.StageRow]:
    slack = slack_cycles(trace)
    worst = _worst_edges(trace)
    for position, stage in enumerate(trace.design.stages):
        waited = [Fraction(int(cycles), trace.period_frames) for cycles in trace.waited[position]]
        shares = [number(share) if trace.steady else None for share in waited]
        yield parts.StageRow(
            stage=stage.name,
            kind=stage.group.node.kind,
            fused=stage.group.fused,
            output=stage.tensor.label,
            macs=stage.macs,
            parameters=stage.parameters,
            multipliers=stage.multipliers,
            unroll=unroll_of(stage),
            work_cycles=stage.work_cycles,
            busy_cycles=stage.work_cycles,
            waiting_input_cycles=shares[INPUT],
            waiting_space_cycles=shares[SPACE],
            waiting_port_cycles=0,
            waiting_source_cycles=shares[SOURCE],
            slack_cycles=number(slack[stage.name]) if trace.steady else None,
            waits_most_on=worst[position],
        )


def unroll_of(stage: Stage) -> dict[str, int]:
    if stage.unroll is None:
        return {}
    return {axis: getattr(stage.unroll, axis) for axis in ("inputs", "outputs", "window", "pixels")}


def _worst_edges(trace: Trace) -> list[str | None]:
    """For each stage the edge that it waited on longest, as a reader for input or as a producer for space."""
    worst: list[tuple[int, str | None]] = [(0, None)] * len(trace.design.stages)
    for k, edge in enumerate(trace.design.edges):
        for stage, cycles in ((edge.consumer, trace.waited_on[k, INPUT]), (edge.producer, trace.waited_on[k, SPACE])):
            position = trace.stage_index[stage]
            if cycles > worst[position][0]:
                worst[position] = (int(cycles), edge.name)
    return [name for _, name in worst]


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
