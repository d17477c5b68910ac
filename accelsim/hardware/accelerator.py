"""The machine: its schema, and reading it from a preset or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from accelsim.errors import InputError
from accelsim.hardware.streaming import StreamBlocks
from accelsim.units import parse_hertz
from accelsim.yaml_file import read_document, validated

PRESETS = ("streaming-asic", "fpga-stream")


def _hertz(value: object) -> object:
    try:
        return parse_hertz(value) if isinstance(value, str) else value
    except InputError as error:
        raise ValueError(str(error)) from None


Hertz = Annotated[
    int,
    BeforeValidator(_hertz),
    Field(gt=0, le=10**12),
    WithJsonSchema({"anyOf": [{"type": "integer", "exclusiveMinimum": 0, "maximum": 10**12}, {"type": "string"}]}),
]


class SpatialEngine(BaseModel):
    """Multipliers shared out over the layers of a pipeline, each layer a stage with hardware of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["spatial"] = "spatial"
    multipliers: int = Field(gt=0, le=10**9, description="multipliers to share out over all layers")
    lanes: int = Field(gt=0, le=10**9, description="elements a cycle that a stage without multiplications moves")
    mac_latency_cycles: int = Field(ge=0, le=10**9, description="cycles from the last multiplication to the output")
    lane_latency_cycles: int = Field(ge=0, le=10**9, description="the same for stages without multiplications")
    window_frames: Literal["overlap", "apart"] = Field(
        "overlap",
        description="whether a frame comes into the buffer of a sliding window while windows of the one before are "
        "still to be read, or only when the last of them is begun",
    )


class Accelerator(BaseModel):
    """A machine file: one clock, one engine, and how tensors are buffered between stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="name in reports")
    clock: Hertz = Field(description="cycles a second; text with a unit (400 MHz) or an integer in Hz")
    engine: SpatialEngine
    activation_bits: int = Field(8, ge=1, le=64, description="bits of an activation element in every buffer")
    fork: Literal["shared", "copy"] = Field(
        "shared", description="a tensor with several consumers is stored once, or once a consumer"
    )
    source: Literal["paced", "greedy"] = Field(
        "paced", description="frames offered evenly over the interval, or as fast as they are taken"
    )
    blocks: StreamBlocks | None = Field(
        None, description="the blocks that layers are built from; granularity word simulates these"
    )

    @property
    def clock_hz(self) -> int:
        return self.clock


def load_accelerator(accelerator: str | Path, settings: Mapping[str, Any] | None = None) -> Accelerator:
    """A preset by name, or a YAML file, with `settings` (dotted path to value) put in place.

    Raises `InputError` with file, line, dotted path, value and rule for everything that is wrong in it.
    """
    document = read_document(_locate(str(accelerator)))
    for path, value in (settings or {}).items():
        document.set(path, value)
    return validated(Accelerator, document)


def _locate(accelerator: str) -> Path:
    if accelerator in PRESETS:
        return Path(str(resources.files("accelsim.hardware") / "presets" / f"{accelerator}.yaml"))
    path = Path(accelerator)
    if not path.is_file():
        raise InputError(f"accelerator '{accelerator}' is neither a preset ({', '.join(PRESETS)}) nor a file")
    return path
