"""The parts of a report that are different where segments take turns on the engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from fractions import Fraction

from accelsim.mapping.array_use import needed_cycles
from accelsim.mapping.buffers import edge_bounds
from accelsim.mapping.design import Design, Edge
from accelsim.mapping.roles import ROLES
from accelsim.mapping.segments.passes import element_bits
from accelsim.mapping.segments.segment import Segment
from accelsim.report import report as parts
from accelsim.report.buffers import edge_columns
from accelsim.report.waiting import worst_edges
from accelsim.timing.bounds import interval_bound_cycles
from accelsim.timing.kernels.pipeline import PORT, SPACE
from accelsim.timing.lower import token_elements
from accelsim.timing.occupancy import peak_tokens
from accelsim.timing.turns import StepRun, Turn, Turns


def throughput(turns: Turns, alone: Turns) -> parts.Throughput:
    """Of a round of all segments; `alone` is the same with one frame a visit."""
    design, interval = turns.design, turns.interval_cycles
    bound = sum(_bound_cycles(turn) for turn in turns.turns)
    loss, utilisation, of_total = _utilisation(turns)
    return parts.Throughput(
        interval_cycles=_number(interval),
        interval_bound_cycles=-(-bound // turns.frames),
        latency_cycles=turns.cycles,
        latency_bound_cycles=bound,
        first_output_cycles=_first_output(turns),
        idle_latency_cycles=alone.cycles,
        frames_in_flight=turns.frames,
        frames_per_second=_number(design.accelerator.clock_hz / interval),
        mac_utilisation=utilisation,
        mac_utilisation_of_total=of_total,
        utilisation_loss=loss,
        bottleneck=_slowest(max(turns.turns, key=lambda turn: turn.cycles)),
        steady=True,
        frames_simulated=turns.frames,
    )


def _number(value: Fraction) -> float:
    return value.numerator / value.denominator


def _bound_cycles(turn: Turn) -> int:
    """Least cycles of a visit: the busiest stage or mover of every tile."""
    frames = turn.visit.frames
    steps = (run.step.times * frames * interval_bound_cycles(run.step.design, "greedy") for run in turn.runs)
    return turn.setup_cycles + sum(steps)


def _first_output(turns: Turns) -> int:
    """Cycles from the start of a round until the first element of any network output is in its memory."""
    outputs, now = set(turns.design.output_stages), 0
    for turn in turns.turns:
        now += turn.setup_cycles
        for run in turn.runs:
            arrivals = [
                int(run.trace.alone_first[run.trace.pipeline.first_firing[position]])
                for position, stage in enumerate(run.step.design.stages)
                if stage.transfer and stage.transfer.kind == "output" and stage.transfer.tensor in outputs
            ]
            if arrivals:
                return now + min(arrivals)
            now += run.cycles
    return turns.cycles


def _utilisation(turns: Turns) -> tuple[parts.UtilisationLoss, float, float]:
    """Shares of the multipliers that each segment has been given, over the cycles of its turn."""
    macs, worked, paced, allotted = 0, 0, 0, 0
    for turn in turns.turns:
        given = multipliers(turns.design, turn.visit.segment)
        allotted += given * turn.cycles
        for run in turn.runs:
            times = run.step.times * turn.visit.frames
            stages = [stage for stage in run.step.design.stages if stage.multipliers]
            macs += times * sum(min(stage.macs, stage.multipliers * stage.work_cycles) for stage in stages)
            worked += times * sum(stage.multipliers * stage.work_cycles for stage in stages)
            paced += times * given * interval_bound_cycles(run.step.design, "greedy")
    if not allotted:
        return parts.UtilisationLoss(rounding=0.0, rate_mismatch=0.0, stalls=0.0), 0.0, 0.0
    loss = parts.UtilisationLoss(
        rounding=(worked - macs) / allotted,
        rate_mismatch=(paced - worked) / allotted,
        stalls=(allotted - paced) / allotted,
    )
    total = turns.design.accelerator.engine.multipliers * turns.cycles
    return loss, macs / allotted, macs / total


def multipliers(design: Design, segment: Segment) -> int:
    """Multipliers that a segment has been given."""
    given = sum(design.stage_by_name[name].multipliers for name in segment.layers)
    return min(given, design.accelerator.engine.multipliers)


def segment_rows(turns: Turns) -> tuple[parts.Segment, ...]:
    return tuple(_segment_row(turns.design, turn) for turn in turns.turns)


def _segment_row(design: Design, turn: Turn) -> parts.Segment:
    visit, segment, demand = turn.visit, turn.visit.segment, turn.visit.demand
    sizes = {axis.name: getattr(segment.tile, axis.name) for axis in fields(segment.tile)}
    in_space = segment.tile.rows is not None or segment.tile.columns is not None
    return parts.Segment(
        name=visit.name,
        stages=len(visit.stages),
        multipliers=multipliers(design, segment),
        layers=segment.layers,
        frames=visit.frames,
        cycles=turn.cycles,
        load_cycles=sum(run.step.times * run.load_cycles for run in turn.runs),
        setup_cycles=turn.setup_cycles,
        tiles=sum(run.step.times for run in turn.runs),
        tile={axis: size for axis, size in sizes.items() if size is not None},
        halo=segment.halo if in_space else None,
        weights=segment.weights or design.accelerator.weights,
        demand=parts.SegmentDemand(
            weights_bytes=demand.weights,
            buffers_bytes=demand.buffers,
            halo_bytes=demand.halo,
            inputs_bytes=demand.inputs,
            partial_sums_bytes=demand.partial_sums,
            held_bytes=visit.held_bytes,
            total_bytes=demand.total + visit.held_bytes,
        ),
        slowest=_slowest(turn),
    )


def _slowest(turn: Turn) -> str:
    """The stage with most to do in a turn, or the port where that is busier."""
    busy: dict[str, int] = defaultdict(int)
    for run in turn.runs:
        times = run.step.times * turn.visit.frames
        for stage in run.step.design.stages:
            busy[stage.name] += times * stage.work_cycles
        for port, cycles in run.step.design.port_cycles.items():
            busy[f"port {port}"] += times * cycles
    return max(busy, key=lambda name: busy[name])


def stage_rows(turns: Turns) -> Iterable[parts.StageRow]:
    """A row a stage and mover; its cycles a frame add up to the interval.

    While other segments have the engine a stage waits for its input. Cycles of several frames in a visit are those
    of its last frame, times their number.
    """
    interval = turns.interval_cycles
    for turn in turns.turns:
        found: dict[str, list[tuple[StepRun, int]]] = defaultdict(list)
        for run in turn.runs:
            for position, stage in enumerate(run.step.design.stages):
                found[stage.name].append((run, position))
        for runs in found.values():
            yield _stage_row(turns, turn, runs, interval)


def _stage_row(turns: Turns, turn: Turn, runs: list[tuple[StepRun, int]], interval: Fraction) -> parts.StageRow:
    first, position = runs[0]
    stage = first.step.design.stages[position]
    whole = turns.design.stage_by_name.get(stage.name, stage)
    work, needed, space, port, present = 0, 0, Fraction(0), Fraction(0), Fraction(0)
    for run, k in runs:
        own = run.step.design.stages[k]
        work += run.step.times * own.work_cycles
        needed += run.step.times * needed_cycles(turns.design, own)
        each = Fraction(run.step.times, run.trace.period_frames)
        space += each * int(run.trace.waited[k, SPACE])
        port += each * int(run.trace.waited[k, PORT])
        present += Fraction(run.cycles, turns.frames)
    longest, place = max(runs, key=lambda one: one[0].cycles)
    worst = worst_edges(longest.trace)[place]
    if space + port > present - work:  # frames of a visit are not all like its last
        share = (present - work) / (space + port)
        space, port = space * share, port * share
    idle = interval - work - space - port
    return parts.StageRow(
        stage=stage.name,
        kind=stage.kind,
        fused=stage.group.fused,
        output=whole.tensor.label,
        macs=sum(run.step.times * run.step.design.stages[k].macs for run, k in runs),
        parameters=whole.parameters,
        multipliers=stage.multipliers,
        unroll={axis.name: getattr(stage.unroll, axis.name) for axis in fields(stage.unroll)} if stage.unroll else {},
        work_cycles=needed,
        busy_cycles=work,
        waiting_input_cycles=_number(idle),
        waiting_space_cycles=_number(space),
        waiting_port_cycles=_number(port),
        waiting_source_cycles=0.0,
        waiting_turn_cycles=_number(interval - present),
        port=stage.port,
        slack_cycles=None,
        waits_most_on=worst,
    )


def inner_rows(turns: Turns) -> list[list[parts.BufferRow]]:
    """For each turn a row an edge inside its segment, of the tile where it is fullest."""
    return [_turn_rows(turns.design, turn) for turn in turns.turns]


def _turn_rows(design: Design, turn: Turn) -> list[parts.BufferRow]:
    rows: dict[str, parts.BufferRow] = {}
    for run in turn.runs:
        bounds = edge_bounds(run.step.design, "row")
        peaks = peak_tokens(run.trace, alone=True).tolist()
        for edge, tokens in zip(run.trace.design.edges, peaks, strict=True):
            row = _inner_row(design, run, edge, tokens, bounds[edge.name])
            if edge.name not in rows or row.peak_elements > rows[edge.name].peak_elements:
                rows[edge.name] = row
    return list(rows.values())


def crossing_rows(turns: Turns) -> list[parts.BufferRow]:
    """A row an edge that crosses a cut."""
    return [_crossing_row(turns, edge) for edge in turns.design.edges if _crosses(turns, edge)]


def _crosses(turns: Turns, edge: Edge) -> bool:
    return not any(
        edge.producer in segment.layers and edge.consumer in segment.layers for segment in turns.design.mapping.segments
    )


def _inner_row(design: Design, run: StepRun, edge: Edge, tokens: int, bound: int) -> parts.BufferRow:
    size = token_elements(edge.tensor, "row")
    peak = tokens * size
    return parts.BufferRow(
        **edge_columns(edge, size),
        home=None,
        bound_elements=bound * size,
        one_frame_peak_elements=peak,
        peak_elements=peak,
        peak_bytes=-(-peak * element_bits(design.accelerator, run.step.design.stage_by_name, edge) // 8),
        capacity_elements=None if edge.capacity is None else edge.capacity * size,
        held_elements=peak,
    )


def _crossing_row(turns: Turns, edge: Edge) -> parts.BufferRow:
    """What crosses a cut lies whole in its home, for all frames of a visit."""
    elements = edge.tensor.elements
    return parts.BufferRow(
        **edge_columns(edge, token_elements(edge.tensor, "row")),
        home=turns.visits.homes[edge.producer],
        bound_elements=elements,
        one_frame_peak_elements=elements,
        peak_elements=elements * turns.frames,
        peak_bytes=_bytes(elements * turns.frames, turns.design),
        capacity_elements=elements * turns.frames,
        held_elements=elements * turns.frames,
    )


def _bytes(elements: int, design: Design) -> int:
    return -(-elements * design.accelerator.activation_bits // 8)


def role_rows(
    turns: Turns, inner: list[list[parts.BufferRow]], crossing: list[parts.BufferRow]
) -> dict[str, parts.RoleBuffering]:
    """Sums over the edges of each role, those that cross a cut included."""
    return {role: _role(turns, role, inner, crossing) for role in ROLES}


def _role(
    turns: Turns, role: str, inner: list[list[parts.BufferRow]], crossing: list[parts.BufferRow]
) -> parts.RoleBuffering:
    by_turn = [[row for row in rows if row.role == role] for rows in inner]
    waiting = [row for row in crossing if row.role == role]
    rows = [row for rows in by_turn for row in rows] + waiting
    peak = sum(row.peak_elements for row in rows)
    return parts.RoleBuffering(
        edges=len(rows),
        bound_elements=sum(row.bound_elements or 0 for row in rows),
        one_frame_peak_elements=sum(row.one_frame_peak_elements for row in rows),
        peak_elements=peak,
        peak_bytes=sum(row.peak_bytes for row in rows),
        simultaneous_peak_elements=_most_at_once(turns, by_turn, waiting),
        stored_elements=_stored(rows),
    )


def _stored(rows: list[parts.BufferRow]) -> int:
    """Elements with a tensor that several edges read counted once."""
    fullest: dict[tuple[str, str | None], int] = defaultdict(int)
    for row in rows:
        key = row.producer, row.home
        fullest[key] = max(fullest[key], row.peak_elements)
    return sum(fullest.values())


def _most_at_once(turns: Turns, by_turn: list[list[parts.BufferRow]], waiting: list[parts.BufferRow]) -> int:
    """The most in any turn: its own peaks, and what crosses a cut while it runs."""
    lives = turns.visits.lives
    return max(
        sum(row.peak_elements for row in rows)
        + sum(row.peak_elements for row in waiting if lives[row.producer].is_live(k))
        for k, rows in enumerate(by_turn)
    )
