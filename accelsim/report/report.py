"""What a simulation says, as one frozen value: numbers, tables, JSON and text."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import polars as pl

#: Parts of a report that need hardware this version does not describe.
NOT_MODELLED = ("traffic", "memories", "energy")


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
    work_cycles: int = Field(description="cycles a frame the stage needs")
    busy_cycles: float
    waiting_input_cycles: float | None = Field(description="null, like all waiting, where there is no steady state")
    waiting_space_cycles: float | None
    waiting_port_cycles: float = Field(description="0: stages of this machine share no port")
    waiting_source_cycles: float | None
    slack_cycles: float | None = Field(
        description="work that could be added with unbounded buffers and the interval kept"
    )
    waits_most_on: str | None = Field(description="the edge to blame for most of its waiting")


class Work(_Part):
    """What a frame takes, whatever the machine."""

    macs: int
    parameters: int
    excitation_macs: int = Field(description="MACs of the layers between squeeze and gate")


class Segment(_Part):
    """Stages that are on the engine together."""

    name: str
    stages: int
    multipliers: int


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
    attention_buffering: AttentionBuffering
    buffering: dict[str, RoleBuffering]
    buffers: tuple[BufferRow, ...]
    stages: tuple[StageRow, ...]
    work: Work
    segments: tuple[Segment, ...]
    traffic: None = Field(description="not modelled: no memories are described")
    memories: None = Field(description="not modelled: no memories are described")
    energy: None = Field(description="not modelled: no technology is described")
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str


class Report:
    """Frozen result of `simulate`: `body` has every number, the properties give tables, `str` the text."""

    __slots__ = ("__dict__", "body")

    def __init__(self, body: Body) -> None:
        self.body = body

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
    def stages(self) -> pl.DataFrame:
        """One row a stage."""
        rows = [row.model_dump() for row in self.body.stages]
        return _table([row | {"fused": ", ".join(row["fused"]), "unroll": _unroll(row)} for row in rows], StageRow)

    def to_dict(self) -> dict[str, Any]:
        """The object that `to_json` writes."""
        body: dict[str, Any] = _whole(self.body.model_dump(mode="json"))
        return body

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, written to `path` too where given; the same inputs give the same bytes."""
        import json

        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
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
    return " ".join(f"{axis}={factor}" for axis, factor in row["unroll"].items() if factor > 1)


def _table(rows: list[dict[str, Any]], model: type[BaseModel]) -> pl.DataFrame:
    import polars as pl

    types: dict[Any, Any] = {int: pl.Int64, float: pl.Float64, int | None: pl.Int64, float | None: pl.Float64}
    schema = {name: types.get(field.annotation, pl.String) for name, field in model.model_fields.items()}
    return pl.DataFrame(rows, schema=schema)


def _whole(value: Any) -> Any:
    """`value` with floats that are whole numbers as integers, so that counts of cycles look like counts."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
