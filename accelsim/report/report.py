"""What a simulation says, as one frozen value: numbers, tables, JSON and text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import NotModelled
from accelsim.json_text import json_text
from accelsim.report.certified import Certificate
from accelsim.report.cost import Area, AreaRow, Energy, EnergyRow, RooflineRow
from accelsim.report.resource_rows import ResourceRow, Resources
from accelsim.report.statistics import StatisticsRow

if TYPE_CHECKING:
    import polars as pl

    from accelsim.report.bandwidth import Rates
    from accelsim.report.history import History

#: Parts of a report that need a machine with memories.
NEED_MEMORIES = ("traffic", "memories", "roofline")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UtilisationLoss(_Part):
    """Where multipliers that were allotted stand idle, as shares of multipliers x interval; with use they sum to 1."""

    rounding: float = Field(description="work that unrolling adds beyond useful MACs")
    rate_mismatch: float = Field(description="waiting for a slower stage, or for the source's pace")
    stalls: float = Field(description="waiting that buffers or dependencies add to that")


class Throughput(_Part):
    """Frames in time. Cycles are of the machine's one clock."""

    interval_cycles: float = Field(description="mean cycles between completions of successive frames")
    interval_bound_cycles: int = Field(description="least possible: the busiest stage's work, or the source's pace")
    latency_cycles: int | None = Field(
        description="first input token to last output token of a frame, in the steady state under this run's source; "
        "null where there is none"
    )
    latency_bound_cycles: int | None = Field(description="least possible latency, from a closed form; null by words")
    first_output_cycles: int | None = Field(description="first input token to first output element of a frame")
    idle_latency_cycles: int = Field(description="latency of a frame alone on the machine")
    frames_in_flight: float | None = Field(description="latency / interval")
    frames_per_second: float = Field(description="clock / interval")
    mac_utilisation: float = Field(description="useful MACs / (multipliers allotted x interval)")
    mac_utilisation_of_total: float = Field(description="useful MACs / (all multipliers x interval)")
    utilisation_loss: UtilisationLoss
    bottleneck: str = Field(description="the stage with most work a frame")
    steady: bool = Field(description="whether successive frames repeated")
    frames_simulated: int


class Critical(_Part):
    """The cycle that sets the interval."""

    kind: Literal["source", "stage", "buffers"]
    interval_cycles: float
    stages: tuple[str, ...]
    edges: tuple[str, ...]
    steps: tuple[str, ...]


class AttentionBlockRow(_Part):
    """One squeeze-excite block in the accounting of the tiled squeeze-excite paper."""

    block: str
    rows: int = Field(description="rows of the map that wait: its height, or the tile's if smaller")
    gate_elements: int
    skip_elements: int


class AttentionBuffering(_Part):
    """The paper's accounting: static, exact, no line buffers. Not a simulated figure."""

    gate_elements: int
    skip_elements: int
    total_elements: int
    blocks: tuple[AttentionBlockRow, ...]


class RoleBuffering(_Part):
    """Sums over the edges of one role; with a paced source and unbounded buffers."""

    edges: int
    bound_elements: int | None = Field(
        description="least capacities of each edge alone without deadlock, one frame in flight; null by words"
    )
    one_frame_peak_elements: int = Field(description="most present at once on each edge, one frame in the machine")
    peak_elements: int = Field(description="most present at once on each edge, steady state")
    peak_bytes: int
    simultaneous_peak_elements: int | None = Field(description="peak of the sum over the edges; null by words")
    stored_elements: int = Field(description="peak_elements with a tensor that several edges read counted once")


class BufferRow(_Part):
    """One producer-consumer edge. Tokens are of the report's granularity."""

    edge: str
    producer: str
    consumer: str
    role: str
    tensor: str = Field(description="shape, channels first")
    token_elements: int
    frame_elements: int = Field(description="the whole tensor; peak / frame is how many frames wait on the edge")
    home: str | None = Field(description="the memory where the buffer lies; null for the engine's own")
    bound_elements: int | None
    one_frame_peak_elements: int
    peak_elements: int
    peak_bytes: int
    capacity_elements: int | None = Field(description="null where unbounded")
    held_elements: int | None = Field(
        description="most present at once under these capacities and this source; null where they grow for ever"
    )


class StageRow(_Part):
    """One stage; its cycles a frame add up to the interval."""

    stage: str
    kind: str
    fused: tuple[str, ...] = Field(description="point-wise layers done on the way out")
    output: str = Field(description="shape, channels first")
    macs: int
    parameters: int
    multipliers: int
    unroll: dict[str, int]
    work_cycles: int = Field(
        description="cycles a frame the stage needs; on an array it is busy a few more, its rows all as long"
    )
    busy_cycles: float
    waiting_input_cycles: float | None = Field(description="null, like all waiting, where there is no steady state")
    waiting_space_cycles: float | None
    waiting_port_cycles: float | None = Field(description="for a port, or an array, that other stages use too")
    waiting_source_cycles: float | None
    waiting_turn_cycles: float = Field(description="of those for input: while other segments had the engine")
    port: str | None = Field(description="the shared port or array that the stage needs")
    slack_cycles: float | None = Field(
        description="work that could be added with unbounded buffers and the interval kept"
    )
    waits_most_on: str | None = Field(description="the edge to blame for most of its waiting")


class ArrayRow(_Part):
    """A layer on a systolic array, a frame. Its products of matrices are cut into folds of the array's size.

    Counts of reads and writes are elements that enter or leave the array on the side of the first memory.
    """

    layer: str
    dataflow: str = Field(description="what stays in the array: outputs, weights or inputs")
    overlap: bool = Field(description="whether a fold enters while the one before is still in the array")
    turns: int = Field(description="times a frame that it finds the array empty: of a tile, or of a row where shared")
    products: int = Field(description="of matrices: one a channel group, tile, and turn of its own on the array")
    product_rows: int = Field(description="of a product, along the rows of the array; of the longest, if they differ")
    product_columns: int = Field(description="of that product, along the columns of the array")
    product_steps: int = Field(description="of that product, one after the other through the array")
    row_folds: int = Field(description="of that product")
    column_folds: int = Field(description="of that product")
    folds: int = Field(description="of all products")
    compute_cycles: int = Field(
        description="of all folds, memory always in time: what the stage needs, unless its interval was measured"
    )
    macs: int
    utilisation: float = Field(description="MACs / (multipliers of the array x compute cycles)")
    mapped_share: float = Field(description="multipliers that have a part of a fold, of all, on average over the folds")
    input_reads: int = Field(description="elements of inputs, again for every fold of outputs")
    weight_reads: int = Field(description="elements of weights, again for every fold of pixels")
    output_writes: int = Field(description="results: outputs, and before them a partial sum for each fold of inputs")
    partial_sum_reads: int = Field(description="of those sums, all of which are read back to be added to")


class Work(_Part):
    """What a frame takes, whatever the machine."""

    macs: int
    parameters: int
    excitation_macs: int = Field(description="MACs of the layers between squeeze and gate")


class SegmentDemand(_Part):
    """Bytes of the first memory while a segment runs."""

    weights_bytes: int = Field(description="of the tile that has most of them")
    buffers_bytes: int = Field(description="of the tile whose buffers are largest")
    halo_bytes: int = Field(description="points of a tile that the next needs too")
    inputs_bytes: int = Field(description="inputs that stay for other tiles of output channels")
    partial_sums_bytes: int = Field(description="sums that wait for other tiles of input channels")
    held_bytes: int = Field(description="tensors and weights that other segments keep there")
    total_bytes: int = Field(description="sum of the above: no more than the memory has")


class Segment(_Part):
    """Stages that are on the engine together, and their turn. Cycles and tiles are those of one visit."""

    name: str = Field(description="by its first and last layer; pipeline where it is the only one")
    stages: int = Field(description="how many")
    multipliers: int = Field(description="how many it has been given")
    layers: tuple[str, ...] = Field(description="that are stages of it, in order; the source and movers are none")
    frames: int | None = Field(description="frames of a visit; null where the segment never leaves the engine")
    cycles: int | None = Field(description="of a visit, waiting for weights included; null as above")
    load_cycles: int | None = Field(description="of these, waiting for weights with nothing running")
    setup_cycles: int | None = Field(description="of these, setting the engine up")
    tiles: int = Field(description="pipelines that run one after the other a frame")
    tile: dict[str, int] = Field(description="sizes of a tile, by axis that is tiled")
    halo: str | None = Field(description="what happens to points that two tiles need; null without tiles in space")
    weights: str | None = Field(description="resident, or loaded for every visit (frame) or tile")
    demand: SegmentDemand | None = Field(description="null where memory is not modelled")
    slowest: str = Field(description="the stage, mover or port with most to do")


class TrafficRow(_Part):
    """Bytes a frame of one tensor at the port of a memory."""

    layer: str = Field(description="that reads or makes it")
    tensor: str = Field(description="by the layer that makes it, or `weights of` the one that has them")
    memory: str
    kind: Literal["input", "output", "weight", "partial", "spill"] = Field(
        description="map that is read, map that is stored, weights, sums of some input channels, buffer kept away"
    )
    read_bytes: float = Field(description="from the memory, a frame; as often as it is read")
    written_bytes: float = Field(description="to the memory, a frame; as often as it is written")


class MemoryRow(_Part):
    """What a memory holds and passes. Bytes are a frame's; rates are of its port."""

    size_bytes: int = Field(description="what it has")
    used_bytes: int = Field(description="most in use at once: buffers, weights, and tensors for as long as they live")
    off_chip: bool = Field(description="the last memory, where network inputs, outputs and weights lie")
    read_bytes: float = Field(description="a frame: the sum of traffic rows")
    written_bytes: float = Field(description="a frame: the sum of traffic rows")
    average_bytes_per_second: float = Field(description="read and written, over the interval")
    sustained_bytes_per_second: float = Field(
        description="least rate that would still keep the interval: the most that any turn needs"
    )
    peak_window_bytes: int = Field(description="most in any window of peak_window_cycles")
    peak_window_cycles: int = Field(description="cycles of that window")
    available_bytes_per_second: float = Field(description="what the port can do, reading")


class VirtualMapRow(_Part):
    """A convolution whose channels are pooled. Bytes are a frame's, and of maps alone unless they say otherwise.

    The closed forms move every map once: `virtual_bytes` I + S, `materialised_bytes` I + 2 f P + S.
    """

    layer: str
    pool: str
    operation: str
    factor: int = Field(description="f, channels that become one")
    mode: Literal["virtual", "streamed", "materialised"] = Field(
        description="pooled on the way out; by a stage of its own, rows at a time; or stored whole, then pooled"
    )
    home: str | None = Field(description="the memory where the map lies that is pooled; null unless materialised")
    input_bytes: int = Field(description="I, the maps that the convolution reads")
    virtual_map_bytes: int = Field(description="f P, the map before its channels are pooled")
    pooled_map_bytes: int = Field(description="P, the map after that")
    stored_map_bytes: int = Field(description="S, what is stored: P, or the map behind a joined spatial pooling")
    spatial_pooling: str | None = Field(description="the only reader, where that pools in space")
    spatial_pooling_joined: bool = Field(description="whether it runs in the same segment, so that P is not stored")
    weight_bytes: int = Field(description="weights of the convolution, each once")
    virtual_bytes: int = Field(description="closed form: I + S")
    materialised_bytes: int = Field(description="closed form: I + 2 f P + S")
    saving: float = Field(description="1 - virtual / materialised, maps alone")
    saving_with_weights: float = Field(description="the same with the weights once in both")
    read_bytes: float | None = Field(description="as simulated, from all memories; null where none are modelled")
    written_bytes: float | None = Field(description="as simulated, to all memories; null as above")
    off_chip_bytes: float | None = Field(description="of these two, what passes the last memory")
    weight_read_bytes: float | None = Field(description="as simulated: weights as often as they are loaded")


class VirtualMapSaving(_Part):
    """What virtual maps save of the bytes of a frame, with and without those of weights."""

    virtual_bytes: float = Field(description="bytes of maps with every virtual map virtual")
    materialised_bytes: float = Field(description="bytes of maps with every virtual map written and read once")
    weight_bytes: float
    saving: float = Field(description="1 - virtual / materialised")
    saving_with_weights: float = Field(description="the same with weights in both")


class VirtualMapHardware(_Part):
    """What pools channels on the way out. Gates are equivalents of a two-input NAND."""

    block_outputs: int = Field(description="pooled outputs that are made side by side, by the unrolling")
    register_bits: int = Field(description="one register for each of these")
    memory_bits: int | None = Field(description="all memories on chip; null where none are modelled")
    register_share: float | None = Field(description="register / memory")
    operators: int = Field(description="comparators, or adders for a mean or a sum")
    gates: float | None = Field(description="operators and registers; null for operations without a count")
    engine_gates: float = Field(description="multipliers and accumulators, at the least")
    gate_share: float | None = Field(description="gates / engine_gates")
    library: str = Field(description="the standard cells whose areas are taken")


class VirtualMaps(_Part):
    """Maps whose channels are pooled before they are stored, or could be."""

    layers: tuple[VirtualMapRow, ...]
    pooled_layers: VirtualMapSaving = Field(description="closed forms, summed over the layers above")
    network: VirtualMapSaving | None = Field(
        description="all that passes the last memory as simulated, with every virtual map virtual, or written there "
        "and read once; null where no memory is modelled"
    )
    hardware: VirtualMapHardware | None = Field(description="null where nothing is pooled on the way out")
    rules: tuple[str, ...] = Field(description="how all this is counted")


class Choice(_Part):
    """How the segments were chosen."""

    objective: str = Field(description="what there was to be least of: bytes off chip, cycles or energy, a frame")
    value: float = Field(description="of the segments chosen, as the choice counts it; cycles are estimated")
    bound: float = Field(description="no choice of segments is below this")
    exact: bool = Field(description="whether none is better under the same tiles")


class Body(_Part):
    """All of a report that JSON carries."""

    network: str
    inputs: dict[str, str] = Field(description="shape of each input, channels first")
    accelerator: str
    granularity: str
    source: str
    fork: str
    pace_cycles: int = Field(description="cycles between frames offered by a paced source")
    clock_hz: int
    activation_bits: int
    throughput: Throughput
    critical: Critical | None
    certificate: Certificate | None = Field(None, description="null where it was not asked for")
    attention_buffering: AttentionBuffering
    buffering: dict[str, RoleBuffering]
    buffers: tuple[BufferRow, ...]
    stages: tuple[StageRow, ...]
    array: tuple[ArrayRow, ...] | None = Field(description="null where layers do not share a systolic array")
    work: Work
    segments: tuple[Segment, ...]
    choice: Choice | None = Field(description="null where the segments were given or edited, or there is one")
    traffic: tuple[TrafficRow, ...] | None = Field(description="null where the machine describes no memories")
    memories: dict[str, MemoryRow] | None = Field(description="null as above; from the engine outwards")
    virtual_maps: VirtualMaps | None = Field(description="null where no convolution has its channels pooled")
    resources: Resources | None = Field(description="FPGA primitives; null without streaming blocks, and in turns")
    energy: Energy | None = Field(description="null where the machine has no technology or no memories, and by words")
    area: Area | None = Field(description="null where the machine has no technology with areas")
    roofline: tuple[RooflineRow, ...] | None = Field(
        description="a row a layer with MACs; null where the machine describes no memories, and by words"
    )
    statistics: tuple[StatisticsRow, ...] | None = Field(
        description="what the layers' numbers were like when the network was executed; null where it does not say"
    )
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str


class Report:
    """Frozen result of `simulate`: `body` has every number, the properties give tables, `str` the text.

    What passed each memory over time is in `rates`, which JSON leaves out. `certify` finds the certificate, when that
    is asked for first; without it there is that of `body`, or none. `replay` simulates again for what stages do and
    buffers hold over time, of at most so many firings.
    """

    __slots__ = ("__dict__", "body", "certify", "rates", "replay")

    def __init__(
        self,
        body: Body,
        rates: tuple[Rates, ...] = (),
        certify: Callable[[], Certificate] | None = None,
        replay: Callable[[int | None], History] | None = None,
    ) -> None:
        self.body = body
        self.rates = rates
        self.certify = certify
        self.replay = replay

    @property
    def throughput(self) -> Throughput:
        return self.body.throughput

    @property
    def attention_buffering(self) -> AttentionBuffering:
        return self.body.attention_buffering

    @property
    def buffering(self) -> dict[str, RoleBuffering]:
        return self.body.buffering

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.body.warnings

    @cached_property
    def buffers(self) -> pl.DataFrame:
        """One row an edge."""
        return _table([row.model_dump() for row in self.body.buffers], BufferRow)

    @cached_property
    def traffic(self) -> pl.DataFrame:
        """One row a layer, tensor and memory; without rows where memory is not modelled."""
        return _table([row.model_dump() for row in self.body.traffic or ()], TrafficRow)

    @cached_property
    def memories(self) -> pl.DataFrame:
        """One row a memory, from the engine outwards; without rows where memory is not modelled."""
        rows = [{"memory": name, **row.model_dump()} for name, row in (self.body.memories or {}).items()]
        return _table(rows, MemoryRow, "memory")

    @cached_property
    def certificate(self) -> Certificate | None:
        """The proof of the interval, and what one step more would buy; found when it is asked for first.

        None where a report was read from a file that has none.
        """
        return self.body.certificate if self.certify is None else self.certify()

    def certified(self) -> Report:
        """The same with its certificate in `body`, and so in JSON and text."""
        return Report(self.body.model_copy(update={"certificate": self.certificate}), self.rates, replay=self.replay)

    def with_warnings(self, warnings: Iterable[str]) -> Report:
        """The same with more warnings in front."""
        body = self.body.model_copy(update={"warnings": (*warnings, *self.warnings)})
        return Report(body, self.rates, self.certify, self.replay)

    @cached_property
    def virtual_maps(self) -> pl.DataFrame:
        """One row a convolution whose channels are pooled."""
        part = self.body.virtual_maps
        return _table([row.model_dump() for row in (part.layers if part else ())], VirtualMapRow)

    @cached_property
    def energy(self) -> pl.DataFrame:
        """One row a layer, kind of access and memory; without rows where energy is not modelled."""
        part = self.body.energy
        return _table([row.model_dump() for row in (part.rows if part else ())], EnergyRow)

    @cached_property
    def area(self) -> pl.DataFrame:
        """One row a part of the chip; without rows where area is not modelled."""
        part = self.body.area
        return _table([row.model_dump() for row in (part.rows if part else ())], AreaRow)

    @cached_property
    def resources(self) -> pl.DataFrame:
        """One row a part of a layer; without rows where FPGA primitives are not counted."""
        part = self.body.resources
        return _table([row.model_dump() for row in (part.rows if part else ())], ResourceRow)

    @cached_property
    def roofline(self) -> pl.DataFrame:
        """One row a layer with MACs; without rows where memory is not modelled."""
        return _table([row.model_dump() for row in self.body.roofline or ()], RooflineRow)

    @cached_property
    def statistics(self) -> pl.DataFrame:
        """One row a layer whose numbers are known; without rows where the network was not executed."""
        return _table([row.model_dump() for row in self.body.statistics or ()], StatisticsRow)

    @cached_property
    def segments(self) -> pl.DataFrame:
        """One row a segment, in turn; sizes of a tile and of what it takes of memory are columns of their own."""
        parts = (row.model_dump() for row in self.body.segments)
        rows = [row | {"layers": ", ".join(row["layers"]), "tile": _axes(row["tile"])} for row in parts]
        flat = _table([{**row, "demand": None} for row in rows], Segment).drop("demand")
        demands = [row["demand"] or dict.fromkeys(SegmentDemand.model_fields) for row in rows]
        return flat.hstack(_table(demands, SegmentDemand))

    @cached_property
    def bandwidth(self) -> pl.DataFrame:
        """Bytes a cycle over time, one row a memory and span of cycles."""
        from accelsim.report.bandwidth import rates_table

        return rates_table(self.rates)

    @cached_property
    def history(self) -> History:
        """What stages do and buffers hold over a period, a round of segments, or all of a run that is not steady.

        Simulated again when it is asked for first. Raises `NotModelled` for words, of which no times are kept, and
        `InputError` where there are too many firings.
        """
        if self.replay is None:
            raise NotModelled(f"{self.body.network}: times of single firings are kept neither by words nor in JSON")
        return self.replay(None)

    @cached_property
    def occupancy(self) -> pl.DataFrame:
        """Elements held over time, one row an edge and change; raises what `history` does."""
        from accelsim.report.history import occupancy_table

        return occupancy_table(self.history.held)

    @cached_property
    def activity(self) -> pl.DataFrame:
        """Cycles at work and waiting, one row a stage and span of cycles; raises what `history` does."""
        from accelsim.report.history import activity_table

        return activity_table(self.history.activity)

    @cached_property
    def stages(self) -> pl.DataFrame:
        """One row a stage."""
        rows = [row.model_dump() for row in self.body.stages]
        return _table([row | {"fused": ", ".join(row["fused"]), "unroll": _unroll(row)} for row in rows], StageRow)

    @cached_property
    def array(self) -> pl.DataFrame:
        """One row a layer that multiplies; without rows where there is no systolic array."""
        return _table([row.model_dump() for row in self.body.array or ()], ArrayRow)

    def to_dict(self) -> dict[str, Any]:
        """The object that `to_json` writes."""
        body: dict[str, Any] = _whole(self.body.model_dump(mode="json"))
        return body

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, written to `path` too where given; the same inputs give the same bytes."""
        text = json_text(self.to_dict())
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def __str__(self) -> str:
        from accelsim.report.text import report_text

        return report_text(self.body)

    def __repr__(self) -> str:
        return f"<Report {self.body.network} on {self.body.accelerator}: {self.throughput.interval_cycles:,} cycles>"


def report_schema() -> dict[str, Any]:
    """JSON Schema of what `to_json` writes."""
    return Body.model_json_schema(mode="serialization")


def _unroll(row: dict[str, Any]) -> str:
    return _axes({axis: factor for axis, factor in row["unroll"].items() if factor > 1})


def _axes(sizes: dict[str, int]) -> str:
    return " ".join(f"{axis}={size}" for axis, size in sizes.items())


def _table(rows: list[dict[str, Any]], model: type[BaseModel], *names: str) -> pl.DataFrame:
    """Columns of text called `names`, then those of the fields."""
    import polars as pl

    types: dict[Any, Any] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}
    types |= {int | None: pl.Int64, float | None: pl.Float64}
    fields = {name: types.get(field.annotation, pl.String) for name, field in model.model_fields.items()}
    schema = dict.fromkeys(names, pl.String) | fields
    return pl.DataFrame(rows, schema=schema)


def _whole(value: Any) -> Any:
    """`value` with floats that are whole numbers as integers, so that counts of cycles look like counts."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
