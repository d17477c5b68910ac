"""A study as a person writes it: what is varied, how, and what is asked of every design."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from accelsim.hardware.accelerator import PRESETS

Speed = Literal["bounds", "row", "pixel"]
Direction = Literal["minimise", "maximise"]
Method = Literal["random", "sobol", "halton"]

#: Above this the table itself is what does not fit a computer.
MOST_POINTS = 10**7
#: Results that the front of a search or a screen is taken over at most.
MOST_OBJECTIVES = 8


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Linear(_Entry):
    """Values at even distances, both ends included; of a field of whole numbers each is rounded to one."""

    linear: tuple[Any, Any] = Field(description="first and last value; text with a unit where the field takes it")
    count: int | None = Field(None, ge=1, le=MOST_POINTS, description="how many; needed unless points are sampled")


class Logarithmic(_Entry):
    """Values at even ratios, both ends included; of a field of whole numbers each is rounded to one."""

    log: tuple[Any, Any] = Field(description="first and last value, above zero; text with a unit as above")
    count: int | None = Field(None, ge=1, le=MOST_POINTS, description="how many; needed unless points are sampled")


def _shape(axis: Any) -> str:
    if isinstance(axis, dict):
        return "log" if "log" in axis else "linear"
    return "log" if isinstance(axis, Logarithmic) else "linear" if isinstance(axis, Linear) else "values"


AxisEntry = Annotated[
    Annotated[list[Any], Tag("values")] | Annotated[Linear, Tag("linear")] | Annotated[Logarithmic, Tag("log")],
    Discriminator(_shape),
]

#: One name, or a list of them, which is an axis.
Names = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class Sample(_Entry):
    """Points drawn from the space of the axes instead of every combination."""

    method: Method = Field(description="independent draws, or a sequence that leaves no gaps (scrambled)")
    points: int = Field(ge=1, le=MOST_POINTS, description="how many")


class Screen(_Entry):
    """What the closed forms must say of a design for it to be simulated."""

    keep: list[str] = Field([], description="conditions on axes and bounds, all to be met")
    front: dict[str, Direction] = Field(
        {}, max_length=MOST_OBJECTIVES, description="keep only what no other design is better than in all of these"
    )


class StudyFile(_Entry):
    """A study file. Paths are those of `--set` and of the options of `simulate`."""

    name: str = Field("study", min_length=1, max_length=200, description="name in tables and figures")
    network: Names | None = Field(None, min_length=1, description="a network, or a list of them: an axis")
    accelerator: Names = Field([PRESETS[0]], min_length=1, description="a machine, or a list: an axis")
    fixed: dict[str, Any] = Field({}, description="values of paths that do not vary")
    axes: dict[str, AxisEntry] = Field({}, description="by path: a list of values, or a range; every combination")
    zip: list[dict[str, AxisEntry]] = Field([], description="axes that go together, value by value, of equal length")
    sample: Sample | None = Field(None, description="draw points instead of taking every combination")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of everything that is drawn")
    where: list[str] = Field([], description="conditions on the axes; points that do not meet all are left out")
    speed: Speed = Field("row", description="closed forms alone (bounds), or simulated by rows or pixels")
    screen: Screen | None = Field(None, description="closed forms first, and only what passes is simulated")
    frames: int | None = Field(None, ge=1, description="frames to simulate; without, until frames repeat")
    metrics: list[str] | None = Field(
        None, min_length=1, description="figures of a simulated design: dotted names in its report, or sums over it"
    )
    objectives: dict[str, Direction] = Field(
        {}, max_length=MOST_OBJECTIVES, description="what a search optimises, and Pareto fronts are of"
    )
