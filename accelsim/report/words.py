"""A design simulated word by word, in the same report as by rows and pixels.

What has no meaning there, or is not known from a simulation alone, is null and named in `not_modelled`: least
capacities of single edges, the closed form of the latency, and the critical cycle.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import partial

from accelsim.errors import NotModelled
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.roles import ROLES
from accelsim.report import report as parts
from accelsim.report.buffers import edge_columns, rooms
from accelsim.report.build import bytes_of, number, pipeline_segment, report_head, unroll_of
from accelsim.report.certificate import certificate_of
from accelsim.report.resources import resource_warnings, resources_part
from accelsim.timing.words.simulate import WordTrace, schedule_words

#: Parts of the report that word by word are null.
NULL_BY_WORD = ("bound_elements", "simultaneous_peak_elements", "latency_bound_cycles", "critical", "slack_cycles")


def simulate_words(design: Design, frames: int | None = None, source: str | None = None) -> parts.Report:
    """Simulates `design` as streaming blocks and reports as `simulate` does; see there."""
    if design.mapping.segments:
        raise NotModelled(
            "segments take turns row by row; words of such a design are not modelled: use --mapping pipeline"
        )
    trace = schedule_words(design, source, frames)
    free = schedule_words(design, free=True)
    lone = schedule_words(design, frames=1, free=True)
    head = report_head(design, "word", trace.source)
    unknown = tuple(name for name in (*parts.NEED_MEMORIES, "energy") if name not in head["not_modelled"])
    own = {"fork": "copy", "pace_cycles": trace.pace_cycles}
    own |= {"not_modelled": (*unknown, *head["not_modelled"], *NULL_BY_WORD)}
    buffers = tuple(_buffer(edge, trace, free, lone) for edge in design.edges)
    resources = resources_part(design, rooms(buffers))
    body = parts.Body(
        **head | own,
        resources=resources,
        throughput=_throughput(trace, lone),
        critical=None,
        buffering={role: _role(design, role, free, lone) for role in ROLES},
        buffers=buffers,
        stages=tuple(_stage(stage, trace) for stage in design.stages),
        segments=(pipeline_segment(design),),
        traffic=None,
        memories=None,
        energy=None,
        roofline=None,
        virtual_maps=None,
        array=None,
        warnings=(*_warnings(trace, free), *resource_warnings(resources)),
    )
    return parts.Report(body, certify=partial(certificate_of, design, "word", source))


def _bound(trace: WordTrace) -> int:
    """Least cycles between frames: what the slowest stage's blocks take by themselves, or a source's pace."""
    slowest = max(trace.own_cycles.values())
    return max(slowest, trace.pace_cycles if trace.source == "paced" else 0)


def _throughput(trace: WordTrace, lone: WordTrace) -> parts.Throughput:
    design, interval = trace.lowered.design, trace.interval_cycles
    last = trace.frames - trace.period_frames
    latency = int((trace.ends - trace.begins)[last:].max()) + 1 if trace.steady else None
    first = max(0, int((trace.firsts - trace.begins)[last:].max())) if trace.steady else None
    loss, used, of_total = _utilisation(trace)
    return parts.Throughput(
        interval_cycles=number(interval),
        interval_bound_cycles=_bound(trace),
        latency_cycles=latency,
        latency_bound_cycles=None,
        first_output_cycles=first,
        idle_latency_cycles=int(lone.ends[0] - lone.begins[0]) + 1,
        frames_in_flight=None if latency is None else number(latency / interval),
        frames_per_second=number(design.accelerator.clock_hz / interval),
        mac_utilisation=used,
        mac_utilisation_of_total=of_total,
        utilisation_loss=loss,
        bottleneck=max(trace.own_cycles, key=lambda name: trace.own_cycles[name]),
        steady=trace.steady,
        frames_simulated=trace.frames,
    )


def _utilisation(trace: WordTrace) -> tuple[parts.UtilisationLoss, float, float]:
    """Losses beside use: of folding (none, unrollings divide their loops), of other stages' pace, and of stalls."""
    design, interval = trace.lowered.design, trace.interval_cycles
    allotted = design.multipliers * interval
    if not allotted:
        return parts.UtilisationLoss(rounding=0.0, rate_mismatch=0.0, stalls=0.0), 0.0, 0.0
    macs = sum(stage.macs for stage in design.stages if stage.multipliers)
    worked = sum(stage.multipliers * _work(trace, stage) for stage in design.stages)
    bound = Fraction(min(_bound(trace), int(interval)))
    loss = parts.UtilisationLoss(
        rounding=number((worked - macs) / allotted),
        rate_mismatch=number((design.multipliers * bound - worked) / allotted),
        stalls=number(design.multipliers * (interval - bound) / allotted),
    )
    of_total = number(macs / (design.accelerator.engine.multipliers * interval))
    return loss, number(macs / allotted), of_total


def _work(trace: WordTrace, stage: Stage) -> int:
    """Cycles a frame in which the block that does a stage's work moves on: a word a cycle."""
    core = trace.lowered.core(stage.name)
    words = trace.lowered.chain.words
    if stage.multipliers:
        return stage.macs // stage.multipliers
    return words[trace.lowered.chain.by_name[core].outs[0] if core else f"{stage.name}.out"]


def _stage(stage: Stage, trace: WordTrace) -> parts.StageRow:
    work, interval = _work(trace, stage), trace.interval_cycles
    space = Fraction(_held_up(trace, stage), trace.period_frames)
    rest = interval - work - space
    steady = trace.steady
    from_source = rest if stage.is_source else Fraction(0)
    return parts.StageRow(
        stage=stage.name,
        kind=stage.group.node.kind,
        fused=stage.group.fused,
        output=stage.tensor.label,
        macs=stage.macs,
        parameters=stage.parameters,
        multipliers=stage.multipliers,
        unroll=unroll_of(stage),
        work_cycles=trace.own_cycles[stage.name],
        busy_cycles=work,
        waiting_input_cycles=number(rest - from_source) if steady else None,
        waiting_space_cycles=number(space) if steady else None,
        waiting_port_cycles=0,
        waiting_turn_cycles=0,
        port=None,
        waiting_source_cycles=number(from_source) if steady else None,
        slack_cycles=None,
        waits_most_on=None,
    )


def _held_up(trace: WordTrace, stage: Stage) -> int:
    """Cycles in the period in which a stage's core could not move on because of what follows."""
    core = trace.lowered.core(stage.name)
    if core is not None and stage.multipliers:
        return trace.frozen[core]
    return trace.blocked[trace.lowered.chain.by_name[core].outs[0] if core else f"{stage.name}.out"]


def _word(edge: Edge, trace: WordTrace) -> int:
    """Channels of a word on an edge's queue."""
    return trace.lowered.streams[edge.producer].gives


def _peak(edge: Edge, trace: WordTrace) -> int:
    """Most elements in an edge's queue and in the window behind it, where it has them."""
    window = trace.peaks.get(f"{edge.consumer}.window", 0) * trace.lowered.streams[edge.consumer].takes
    return trace.peaks.get(edge.name, 0) * _word(edge, trace) + window


def _buffer(edge: Edge, trace: WordTrace, free: WordTrace, lone: WordTrace) -> parts.BufferRow:
    design, size = trace.lowered.design, _word(edge, trace)
    peak = _peak(edge, free)
    return parts.BufferRow(
        **edge_columns(edge, size),
        home=None,
        bound_elements=None,
        one_frame_peak_elements=_peak(edge, lone),
        peak_elements=peak,
        peak_bytes=bytes_of(peak, design),
        capacity_elements=None if edge.capacity is None else edge.capacity * size,
        held_elements=_peak(edge, trace) if trace.steady else None,
    )


def _role(design: Design, role: str, free: WordTrace, lone: WordTrace) -> parts.RoleBuffering:
    edges = [edge for edge in design.edges if edge.role == role]
    peak = sum(_peak(edge, free) for edge in edges)
    return parts.RoleBuffering(
        edges=len(edges),
        bound_elements=None,
        one_frame_peak_elements=sum(_peak(edge, lone) for edge in edges),
        peak_elements=peak,
        peak_bytes=bytes_of(peak, design),
        simultaneous_peak_elements=None,
        stored_elements=peak,
    )


def _warnings(trace: WordTrace, free: WordTrace) -> Iterable[str]:
    if not trace.steady:
        yield (
            f"no steady state within {trace.frames} frames: the interval is the mean of the second half of them, "
            "and there is no steady latency; bound the buffers, or pace the source"
        )
    if not free.steady:
        yield (
            f"buffer figures: the unbounded chain is not steady after {free.frames} frames; peaks are those of all "
            "of them"
        )
    slowest = max(trace.own_cycles.values())
    if trace.source == "paced" and trace.pace_cycles < slowest:
        yield f"the source offers a frame every {trace.pace_cycles:,} cycles, the slowest stage needs {slowest:,}"
