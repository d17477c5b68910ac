"""The machine: its schema, and reading it from a preset or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from accelsim.errors import InputError, collected
from accelsim.hardware.engine import Engine
from accelsim.hardware.figures import faults
from accelsim.hardware.fpga import Device
from accelsim.hardware.memory import Memory
from accelsim.hardware.quantities import Hertz, Node, SquareMillimetres
from accelsim.hardware.streaming import StreamBlocks
from accelsim.hardware.technology import load_technology
from accelsim.yaml_file import Document, read_document, suggestion, validated

PRESETS = ("streaming-asic", "fpga-stream", "systolic-npu", "feature-map-npu")

#: Level names are part of dotted paths and of tables.
LevelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]


class Leakage(BaseModel):
    """Power of the whole chip while nothing switches; no technology has a figure of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    power_mw: float = Field(ge=0, le=10**9, allow_inf_nan=False, description="milliwatts, busy or not")
    source: str = Field(min_length=1, max_length=400, description="where the figure is from")
    node: Node | None = Field(None, description="process node of the figure; null: that of the technology")


class Accelerator(BaseModel):
    """A machine file: one clock, one engine, its memories, and how tensors are buffered between stages.

    `memories` are named from the engine outwards. The first holds line buffers and the weights in use, each stage
    at a port of its own; the last is off chip: network inputs, outputs and weights lie there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="name in reports")
    clock: Hertz = Field(description="cycles a second; text with a unit (400 MHz) or an integer in Hz")
    engine: Engine = Field(description="what multiplies; its kind says which fields it has")
    memories: dict[LevelName, Memory] = Field(
        {},
        description="levels by name, from the engine outwards; none: memory is not modelled",
        json_schema_extra={"additionalProperties": False},
    )
    activation_bits: int = Field(8, ge=1, le=64, description="bits of an activation element in every buffer")
    weight_bits: int = Field(8, ge=1, le=64, description="bits of a weight")
    accumulator_bits: int = Field(32, ge=1, le=128, description="bits of a partial sum")
    fork: Literal["shared", "copy"] = Field(
        "shared", description="a tensor with several consumers is stored once, or once a consumer"
    )
    source: Literal["paced", "greedy"] = Field(
        "paced", description="frames offered evenly over the interval, or as fast as they are taken"
    )
    blocks: StreamBlocks | None = Field(
        None, description="the blocks that layers are built from; granularity word simulates these"
    )
    device: Device | None = Field(None, description="the FPGA that blocks are counted on; null: counted alone")
    interface: Literal["stream", "memory"] = Field(
        "stream",
        description="network inputs and outputs of a whole-network pipeline pass over links of their own, "
        "or through the port of the last memory",
    )
    weights: Literal["resident", "frame", "tile"] = Field(
        "resident",
        description="weights stay in the first memory for ever, or are loaded for every visit of a segment, "
        "or for every tile of one",
    )
    weights_ahead: bool = Field(
        True, description="the weights of the next segment or tile load while this one runs, where they have room"
    )
    channel_pooling: bool = Field(
        False, description="channels are pooled on the way out of a convolution, before anything is stored"
    )
    reconfigure_cycles: int = Field(0, ge=0, le=10**12, description="cycles to set the engine up for another segment")
    technology: str | None = Field(None, description="tables of energy and area, by name; null: neither is modelled")
    leakage: Leakage | None = Field(None, description="power while nothing switches; null: not modelled")
    area_budget: SquareMillimetres | None = Field(
        None, description="mm2 that multipliers and memories on chip may take; text with a unit (25 mm2) or a number"
    )

    @field_validator("memories")
    @classmethod
    def _make_a_hierarchy(cls, memories: dict[str, Memory]) -> dict[str, Memory]:
        if len(memories) == 1:
            raise ValueError("one level is no hierarchy; give an on-chip and an off-chip one, or none")
        return memories

    @field_validator("interface", "weights")
    @classmethod
    def _have_memories(cls, choice: str, info: ValidationInfo) -> str:
        if choice not in ("stream", "resident") and info.data.get("memories", True) == {}:
            raise ValueError("needs memories, and the machine describes none")
        return choice

    @field_validator("technology")
    @classmethod
    def _be_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                load_technology(name)
            except InputError as error:
                raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _have_figures_that_agree(self) -> Accelerator:
        found = [
            InitErrorDetails(type=PydanticCustomError("figure", "{told}", {"told": told}), loc=path, input=value)
            for path, value, told in faults(self)
        ]
        if found:
            raise ValidationError.from_exception_data("figures", found)
        return self

    @property
    def clock_hz(self) -> int:
        return self.clock

    @property
    def local_memory(self) -> str | None:
        """The first memory, or None where memory is not modelled."""
        return next(iter(self.memories), None)

    @property
    def off_chip_memory(self) -> str | None:
        """The last memory, or None where memory is not modelled."""
        return next(reversed(self.memories), None)


def load_accelerator(accelerator: str | Path, settings: Mapping[str, Any] | None = None) -> Accelerator:
    """A preset by name, or a YAML file, with `settings` (dotted path to value) put in place.

    Raises `InputError` with file, line, dotted path, value and rule for everything that is wrong in it.

    >>> load_accelerator("streaming-asic", {"engine.multipliers": 1024, "clock": "400 MHz"}).clock_hz
    400000000
    """
    return accelerator_from(accelerator_document(accelerator), settings or {})


def accelerator_document(accelerator: str | Path) -> Document:
    """The description of a preset by name, or of a YAML file."""
    return read_document(_locate(str(accelerator)))


def accelerator_from(document: Document, settings: Mapping[str, Any]) -> Accelerator:
    """The machine of a description with `settings` put in place, which the description itself keeps out of."""
    unknown = [problem for path in settings for problem in _unknown_level(path, document)]
    if unknown:
        raise collected(unknown)
    changed = Document(document.place, deepcopy(document.data), document.lines)
    for path, value in settings.items():
        changed.set(path, value)
    return validated(Accelerator, changed)


def _unknown_level(path: str, document: Document) -> list[str]:
    """A setting changes a memory the file has: where a new one would stand in the hierarchy, it could not say."""
    top, *below = path.split(".")
    levels = document.data.get("memories") or {}
    if top != "memories" or not below or not isinstance(levels, dict) or below[0] in levels:
        return []
    cure = suggestion(below[0], list(levels)) or " (the machine describes none)"
    return [f"settings: unknown name memories.{below[0]}{cure}"]


def _locate(accelerator: str) -> Path:
    if accelerator in PRESETS:
        return Path(str(resources.files("accelsim.hardware") / "presets" / f"{accelerator}.yaml"))
    path = Path(accelerator)
    if not path.is_file():
        raise InputError(f"accelerator '{accelerator}' is neither a preset ({', '.join(PRESETS)}) nor a file")
    return path
