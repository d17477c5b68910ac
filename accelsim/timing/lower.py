"""From a design to the arrays of a pipeline at one granularity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, NotModelled
from accelsim.hardware.engine import SpatialEngine
from accelsim.mapping.design import Design, Edge, Stage
from accelsim.mapping.wiring import once_a_wiring
from accelsim.network.graph import Network
from accelsim.network.layers import Inputs, Layer, Reduce
from accelsim.network.reach import Granularity, token_reach
from accelsim.network.tensor import Tensor
from accelsim.timing.admission import (
    Gate,
    admission,
    check_rows,
    gap_cycles,
    pixel_cycles,
)
from accelsim.timing.forks import delay_cycles
from accelsim.timing.kernels.pipeline import Pipeline
from accelsim.timing.leads import early_cycles, lead_cycles
from accelsim.timing.taking import hands_on_words
from accelsim.units import ceil_div

Ints = NDArray[np.int64]
Table = NDArray[np.int32]

#: Above this the tables of one frame do not fit the memory this project allows itself.
MOST_FIRINGS = 2**27


class _Flow(NamedTuple):
    """Tables of one edge, in firings of the consumer and tokens of the producer."""

    need: Table
    freed: Table
    head_pixels: int
    tail_pixels: int


def tokens_of(tensor: Tensor, granularity: Granularity) -> int:
    """Tokens a frame."""
    return tensor.rows if granularity == "row" else tensor.pixels


def token_elements(tensor: Tensor, granularity: Granularity) -> int:
    """Elements of one token."""
    return tensor.elements // tokens_of(tensor, granularity)


def checked_granularity(design: Design, granularity: str | None) -> Granularity:
    """`granularity`, or where it is None that of the design's mapping.

    Raises `NotModelled` for "word", and `InputError` for other names and for a design whose capacities are
    counted in tokens of another granularity.
    """
    chosen = granularity or design.mapping.granularity
    if chosen == "word":
        raise NotModelled("word by word a design is only simulated; for this use granularity row or pixel")
    if chosen not in ("row", "pixel"):
        raise InputError(f"granularity '{chosen}' is not row or pixel")
    counted = design.mapping.granularity
    if counted == "word" and hands_on_words(design):
        return "row" if chosen == "row" else "pixel"
    if chosen != counted and any(edge.capacity is not None for edge in design.edges):
        raise InputError(f"the buffers of this design are counted in {counted}s; use granularity {counted}")
    return "row" if chosen == "row" else "pixel"


def lower(design: Design, granularity: Granularity, source: str) -> Pipeline:
    """`design` as arrays; `source` is "paced" (frames spread over the design's pace) or "greedy".

    Raises `InputError` where a frame has more firings than memory allows.
    """
    stages, edges = design.stages, design.edges
    if granularity == "row":
        check_rows(design)
    in_words = design.mapping.granularity == "word"
    wired, index = _wired(design, granularity), design.position
    spacing = pixel_cycles(design)
    gates = [admission(design, edge, granularity, spacing) for edge in edges]
    _check_words(design, gates)
    admit, admit_at = _packed([gate and gate.begin.firing for gate in gates])
    admit_after, _ = _packed([gate and gate.begin.after for gate in gates])
    close, close_at = _packed([gate and gate.end and gate.end.firing for gate in gates])
    close_after, _ = _packed([gate and gate.end and gate.end.after for gate in gates])
    delay = np.array([delay_cycles(design, edge) for edge in edges], np.int64)
    lead = np.array([lead_cycles(design, edge, granularity) for edge in edges], np.int64)
    offers = [_offers(s, granularity, design.pace_cycles) if s.is_input and source == "paced" else None for s in stages]
    offer_first, offer_at = _packed([offer[0] if offer else None for offer in offers], np.int64)
    offer_last, _ = _packed([offer[1] if offer else None for offer in offers], np.int64)
    return Pipeline(
        **wired.tables,
        interval=np.array([_interval(s, granularity) for s in stages], np.int64),
        together=np.array([s.together if granularity == "pixel" else 1 for s in stages], np.int64),
        first_offset=np.array([s.interval_cycles for s in stages], np.int64),
        latency=np.array([s.latency_cycles for s in stages], np.int64),
        offer_at=offer_at,
        offer_first=offer_first,
        offer_last=offer_last,
        head=np.array(
            [_head(e, f, stages, index, granularity, spacing) for e, f in zip(edges, wired.flows, strict=True)],
            np.int64,
        ),
        tail=np.array(
            [_tail(design, e, f, stages, index, granularity, spacing) for e, f in zip(edges, wired.flows, strict=True)],
            np.int64,
        )
        + delay,
        lead=lead - delay,
        capacity=np.array([0 if in_words else edge.capacity or 0 for edge in edges], np.int64),
        apart=np.array([_stays_apart(design, edge) for edge in edges], np.int64),
        gap=np.array([gap_cycles(design, edge) for edge in edges], np.int64),
        admit_at=admit_at,
        admit=admit,
        admit_after=admit_after,
        close_at=close_at,
        close=close,
        close_after=close_after,
        port=_ports(stages),
        occupancy=np.array([_occupancy(s, granularity) for s in stages], np.int64),
    )


class _Wired(NamedTuple):
    """The arrays of a pipeline that do not depend on time or room, by name, and the tables of each edge."""

    tables: dict[str, NDArray[Any]]
    flows: tuple[_Flow, ...]


@once_a_wiring
def _wired(design: Design, granularity: Granularity) -> _Wired:
    stages, edges, index = design.stages, design.edges, design.position
    firings = np.array([tokens_of(s.fired, granularity) for s in stages], np.int64)
    if firings.sum() > MOST_FIRINGS:
        raise InputError(
            f"{design.network.name} has {firings.sum():,} {granularity} tokens a frame; the most is {MOST_FIRINGS:,}"
            + ("; use granularity row" if granularity == "pixel" else "")
        )
    producer = np.array([index[edge.producer] for edge in edges], np.int64)
    consumer = np.array([index[edge.consumer] for edge in edges], np.int64)
    assert np.all(np.diff(consumer) >= 0)
    making = [_making(design.network, stage, granularity) for stage in stages]
    makes, makes_at = _packed([made_by for made_by, _ in making])
    made, made_at = _packed([made for _, made in making])
    flows = tuple(_flow(design, edge, index, making, granularity) for edge in edges)
    need, need_at = _packed([flow.need for flow in flows])
    freed, freed_at = _packed([flow.freed for flow in flows])
    tables = {
        "firings": firings,
        "tokens": np.array([tokens_of(s.tensor, granularity) for s in stages], np.int64),
        "first_firing": _starts(firings),
        "makes_at": makes_at,
        "makes": makes,
        "made_at": made_at,
        "made": made,
        "in_start": np.searchsorted(consumer, np.arange(len(stages) + 1)).astype(np.int64),
        "out_start": _starts(np.bincount(producer, minlength=len(stages)).astype(np.int64)),
        "out_edges": np.argsort(producer, kind="stable").astype(np.int64),
        "producer": producer,
        "consumer": consumer,
        "need_at": need_at,
        "need": need,
        "freed_at": freed_at,
        "freed": freed,
    }
    return _Wired(tables, flows)


def _check_words(design: Design, gates: Sequence[Gate | None]) -> None:
    """Raises `NotModelled` where a capacity counted in words is at something that does not take words."""
    if design.mapping.granularity != "word":
        return
    lost = [edge.name for edge, gate in zip(design.edges, gates, strict=True) if edge.capacity and gate is None]
    if lost:
        raise NotModelled(
            f"capacities in words by rows or pixels on {', '.join(lost)}, which takes several pixels together or waits "
            "for whole ones; use granularity word"
        )


def _stays_apart(design: Design, edge: Edge) -> bool:
    """Whether frames come one after the other into the buffer of an edge."""
    engine = design.accelerator.engine
    return edge.role == "window" and isinstance(engine, SpatialEngine) and engine.window_frames == "apart"


def _interval(stage: Stage, granularity: Granularity) -> int:
    if granularity == "pixel":
        return stage.interval_cycles
    return stage.fired.row_pixels // stage.together * stage.interval_cycles


def _occupancy(stage: Stage, granularity: Granularity) -> int:
    if granularity == "pixel":
        return stage.occupancy_cycles
    return stage.fired.row_pixels // stage.together * stage.occupancy_cycles


def _ports(stages: Sequence[Stage]) -> Ints:
    """Numbers of the stages' ports in order of first use, -1 for none."""
    named = dict.fromkeys(stage.port for stage in stages if stage.port is not None)
    number: dict[str | None, int] = {None: -1} | {name: position for position, name in enumerate(named)}
    return np.array([number[stage.port] for stage in stages], np.int64)


def _making(net: Network, stage: Stage, granularity: Granularity) -> tuple[Table | None, Table | None]:
    """Token made by each firing and firing that makes each token; None where they are the same."""
    layer = stage.group.node.layer
    if not isinstance(layer, Reduce):
        return None, None
    output = net.tensors[stage.name]
    made = token_reach(layer, 0, (stage.fired,), output, granularity).last.astype(np.int32)
    made_by = np.full(tokens_of(stage.fired, granularity), -1, np.int32)
    made_by[made] = np.arange(made.size, dtype=np.int32)
    return made_by, made


def _flow(
    design: Design,
    edge: Edge,
    index: Mapping[str, int],
    making: Sequence[tuple[Table | None, Table | None]],
    granularity: Granularity,
) -> _Flow:
    consumer, producer = design.stages[index[edge.consumer]], design.stages[index[edge.producer]]
    firings, tokens = tokens_of(consumer.fired, granularity), tokens_of(edge.tensor, granularity)
    together = consumer.together if granularity == "pixel" else 1
    if edge.reads == "window":
        node = consumer.group.node
        sources, output = design.network.sources(node), design.network.tensors[node.name]
        flow = _token_flow(node.layer, edge.operand, sources, output, granularity, together)
    else:
        flow = READS[edge.reads](firings + consumer.row_offset, tokens + producer.row_offset, together)
        flow = flow._replace(head_pixels=edge.tensor.row_pixels)
    if flow.need.size != firings or flow.freed.size != tokens:
        flow = _of_tile(flow, consumer.row_offset, firings, producer.row_offset, tokens)
    made = making[index[edge.producer]][1]
    if made is None:
        return flow
    return flow._replace(need=np.where(flow.need >= 0, made[flow.need], -1).astype(np.int32))


def _each(firings: int, tokens: int, together: int) -> _Flow:
    """A firing a token, in order; those that go together wait for the last of them.

    Tokens that have no firing are let go with the last one.
    """
    need = np.arange(max(firings, tokens), dtype=np.int32)
    last = np.minimum((need // together + 1) * together, need.size) - 1
    return _Flow(last.astype(np.int32)[:firings], np.minimum(need, firings - 1)[:tokens], 1, 1)


def _all(firings: int, tokens: int, together: int) -> _Flow:
    """Every firing needs all tokens of a frame, and the last lets go of them."""
    return _Flow(np.full(firings, tokens - 1, np.int32), np.full(tokens, firings - 1, np.int32), 1, 1)


READS = {"each": _each, "all": _all}


def _of_tile(flow: _Flow, from_firing: int, firings: int, from_token: int, tokens: int) -> _Flow:
    """`flow` for a tile of both maps.

    What the tile does not bring is there already (-1), and what later tiles need too is let go at the end. Where
    earlier firings needed more than the tile brings (a map read backwards or round its edge), it needs it all.
    """
    need = flow.need[from_firing : from_firing + firings] - from_token
    freed = flow.freed[from_token : from_token + tokens] - from_firing
    assert need.size == firings
    return flow._replace(
        need=np.clip(need, -1, tokens - 1).astype(np.int32), freed=np.clip(freed, -1, firings - 1).astype(np.int32)
    )


@lru_cache(maxsize=512)
def _token_flow(
    layer: Layer, operand: int, inputs: Inputs, output: Tensor, granularity: Granularity, together: int
) -> _Flow:
    """Needs and releases of a layer: layers of the same form share them."""
    arriving = tokens_of(inputs[operand], granularity)
    if isinstance(layer, Reduce):
        each = np.arange(arriving, dtype=np.int32)
        return _Flow(each, each, 1, 1)
    reach = token_reach(layer, operand, inputs, output, granularity)
    need = np.maximum.accumulate(reach.last)
    if together > 1:
        need = np.repeat(need.reshape(-1, together).max(axis=1), together)
    held = np.minimum.accumulate(reach.first[::-1])[::-1]
    freed = np.searchsorted(held, np.arange(arriving), side="right") - 1
    return _Flow(need.astype(np.int32), freed.astype(np.int32), reach.head, reach.tail)


def _head(
    edge: Edge,
    flow: _Flow,
    stages: Sequence[Stage],
    index: Mapping[str, int],
    granularity: Granularity,
    spacing: Mapping[str, int],
) -> int:
    """Cycles after its first element until a row has come far enough to start on; -1 to wait for its last.

    What a reduction makes is complete only at its end.
    """
    producer = stages[index[edge.producer]]
    whole = isinstance(producer.group.node.layer, Reduce) or flow.head_pixels >= edge.tensor.row_pixels
    if granularity == "pixel" or whole:
        return -1
    return (max(flow.head_pixels, 1) - 1) // producer.together * spacing[edge.producer]


def _tail(
    design: Design,
    edge: Edge,
    flow: _Flow,
    stages: Sequence[Stage],
    index: Mapping[str, int],
    granularity: Granularity,
    spacing: Mapping[str, int],
) -> int:
    """Cycles of work that are left once the last element of a row has come."""
    consumer = stages[index[edge.consumer]]
    if granularity == "pixel" or flow.head_pixels >= edge.tensor.row_pixels:
        return 0
    work = ceil_div(flow.tail_pixels, consumer.together) * consumer.interval_cycles
    return work - early_cycles(design, edge, spacing[edge.producer])


def _offers(stage: Stage, granularity: Granularity, pace: int) -> tuple[Ints, Ints]:
    """When the first and last pixel of each token is offered, tokens evenly spaced over `pace` cycles."""
    pixels = stage.fired.pixels
    per_token = stage.fired.row_pixels if granularity == "row" else 1
    begin = np.arange(pixels // per_token, dtype=np.int64) * per_token
    return _spread(begin, pace, pixels), _spread(begin + per_token - 1, pace, pixels)


def _spread(pixel: Ints, pace: int, pixels: int) -> Ints:
    """`pixel * pace // pixels` without the product, which 64 bits need not hold."""
    whole, rest = divmod(pace, pixels)
    if pixels >= 2**31:
        return np.array([int(p) * pace // pixels for p in pixel], np.int64)
    return pixel * whole + pixel * rest // pixels


def _starts(counts: Ints) -> Ints:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _packed(
    tables: Sequence[NDArray[np.generic] | None], dtype: type[np.generic] = np.int32
) -> tuple[NDArray[Any], Ints]:
    """Tables end to end and where each begins; equal objects are stored once, None begins at -1."""
    begins: dict[int, int] = {}
    offsets, kept, size = [], [], 0
    for table in tables:
        if table is None:
            offsets.append(-1)
            continue
        if id(table) not in begins:
            begins[id(table)] = size
            kept.append(table)
            size += table.size
        offsets.append(begins[id(table)])
    packed = np.concatenate(kept).astype(dtype, copy=False) if kept else np.zeros(0, dtype)
    return packed, np.array(offsets, np.int64)
