"""What multiplies: hardware for every layer at once, or one array on which layers take turns."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class SpatialEngine(BaseModel):
    """Multipliers shared out over the layers of a pipeline, each layer a stage with hardware of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["spatial"] = Field("spatial", description="hardware for every layer at once")
    multipliers: int = Field(
        gt=0, le=10**9, description="multipliers to share out over all layers, one product a cycle each"
    )
    lanes: int = Field(gt=0, le=10**9, description="elements a cycle that a stage without multiplications moves")
    mac_latency_cycles: int = Field(ge=0, le=10**9, description="cycles from the last multiplication to the output")
    lane_latency_cycles: int = Field(
        ge=0, le=10**9, description="cycles from the last element moved to the output, without multiplications"
    )
    window_frames: Literal["overlap", "apart", "streamed"] = Field(
        "overlap",
        description="whether a frame comes into the buffer of a sliding window while windows of the one before are "
        "still to be read, or only when the last of them is begun; or streamed, as blocks do that hand on words: only "
        "when the last has left, no further than the next window, and windows leave while they come. Capacities are "
        "words then, whatever the granularity",
    )
    stripe: int = Field(
        default=1,
        gt=0,
        le=10**6,
        description="pixels of a row for which a weight stays in its multiplier before the next is read, with as many "
        "sums under way; what weights take in energy depends on it, and no time does",
    )


class SystolicEngine(BaseModel):
    """An array of multipliers through which operands move from neighbour to neighbour; layers take turns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["systolic"] = Field(description="one array on which layers take turns")
    rows: int = Field(gt=0, le=10**5, description="multipliers in a column of the array")
    columns: int = Field(gt=0, le=10**5, description="multipliers in a row of the array")
    dataflow: Literal["output-stationary", "weight-stationary", "input-stationary"] = Field(
        description="the operand that stays in the array while the others move through it"
    )
    folds: Literal["apart", "overlap"] = Field(
        "apart",
        description="whether the next part of a product enters the array when the last has left it, or as soon as "
        "operands can follow each other, which takes a second register in every multiplier",
    )
    lanes: int = Field(gt=0, le=10**9, description="elements a cycle that a stage without multiplications moves")
    mac_latency_cycles: int = Field(0, ge=0, le=10**9, description="cycles from the array's edge to the output")
    lane_latency_cycles: int = Field(
        0, ge=0, le=10**9, description="cycles from the last element moved to the output, without multiplications"
    )

    @property
    def multipliers(self) -> int:
        """Products a cycle."""
        return self.rows * self.columns


def _kind(engine: Any) -> str:
    kind = engine.get("kind", "spatial") if isinstance(engine, dict) else getattr(engine, "kind", "spatial")
    return str(kind)


Engine = Annotated[
    Annotated[SpatialEngine, Tag("spatial")] | Annotated[SystolicEngine, Tag("systolic")], Discriminator(_kind)
]
