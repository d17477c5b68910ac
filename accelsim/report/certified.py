"""What certificates and advice look like as plain data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Part):
    """One change: a stage's multipliers, or a buffer's capacity in tokens of the granularity."""

    kind: Literal["multipliers", "capacity"]
    name: str = Field(description="the stage; the edge, or where a fork shares a buffer the stage that fills it")
    before: int
    after: int
    unroll: dict[str, int] | None = Field(description="of a stage, as it would be; null for buffers")
    edges: tuple[str, ...] = Field(description="that share the buffer; empty for stages")


class Gain(_Part):
    """What one step comes to by itself, simulated."""

    step: Step
    interval_cycles: float | None = Field(description="null where it would deadlock")
    gain_percent: float | None = Field(description="of the interval without it; below 0 where it would be slower")
    fits: bool = Field(description="whether the machine has the multipliers")


class Certificate(_Part):
    """The proof of an interval, and what one step more of anything on the critical cycle would buy."""

    certified: bool
    reason: str | None = Field(description="why it is not certified; else null")
    granularity: str
    interval_cycles: float | None = Field(description="null where segments take turns")
    kind: Literal["source", "stage", "buffers", "queues", "blocks"] | None = Field(
        description="what holds it: the source's pace, a busy stage, a cycle through buffers; by words queues, or the "
        "blocks whatever the queues"
    )
    weight_cycles: int | None = Field(description="that the cycle takes to go on by `frames`")
    frames: int | None
    stages: tuple[str, ...] = Field(description="on the cycle")
    edges: tuple[str, ...] = Field(description="on the cycle; by words queues of which one word more gains")
    steps: tuple[str, ...] = Field(description="the cycle as text, one line a stay in a stage")
    alone_cycles: float | None = Field(
        description="the interval simulated with every other buffer unbounded: the same is the proof; by words with "
        "all queues unbounded"
    )
    gains: tuple[Gain, ...]


class Advice(_Part):
    """The fewest multipliers, and the least room beside them, that shorten the interval by `percent`."""

    percent: float
    interval_cycles: float
    sought_cycles: float
    reached_cycles: float = Field(description="as simulated with all steps taken")
    added_multipliers: int
    added_elements: int = Field(description="of all buffers, each counted once")
    fits: bool = Field(description="whether the machine has the multipliers")
    steps: tuple[Step, ...]
    alone: tuple[Gain, ...] = Field(description="what each step comes to without the others")


class Advised(_Part):
    """What `advise --json` prints."""

    network: str
    accelerator: str
    granularity: str
    certificate: Certificate
    advice: Advice
