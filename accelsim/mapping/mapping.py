"""Who runs where: unrollings, buffer capacities and the source's pace, as a file a person can edit."""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from accelsim.errors import InputError
from accelsim.mapping.unrolling import Unroll
from accelsim.yaml_file import Document, read_document, validated

Granularity = Literal["row", "pixel", "word"]

#: Longest interval or latency: thousands of frames of it still are exact in 64 bits.
MOST_CYCLES = 2**40


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers that replace the model's for one stage: cycles a firing of a pixel, and pipeline latency.

    Where a layer's unrolling takes several pixels of a row together, these share one interval.
    """

    interval_cycles: int | None = None
    latency_cycles: int | None = None


@dataclass(frozen=True)
class Mapping:
    """One pipeline of all layers.

    `unroll` by layer; `capacities` in tokens of `granularity`, by edge ("producer -> consumer"), unbounded
    where absent; `interval_cycles` is the pace of the source, None for the pace of the slowest stage.
    """

    unroll: ReadOnly[str, Unroll]
    capacities: ReadOnly[str, int] = field(default_factory=lambda: MappingProxyType({}))
    granularity: Granularity = "row"
    interval_cycles: int | None = None
    measured: ReadOnly[str, Measured] = field(default_factory=lambda: MappingProxyType({}))
    place: str = field(default="mapping", compare=False)
    document: Document | None = field(default=None, repr=False, compare=False)

    def where(self, *path: str | int) -> str:
        """`file:line` of a dotted path for messages, or `mapping` where there is no file."""
        return self.document.where(path) if self.document else self.place


class _UnrollEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: int = Field(1, gt=0)
    outputs: int = Field(1, gt=0)
    window: int = Field(1, gt=0)
    pixels: int = Field(1, gt=0)


class _MeasuredEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    interval_cycles: int | None = Field(None, gt=0, le=MOST_CYCLES)
    latency_cycles: int | None = Field(None, ge=0, le=MOST_CYCLES)


class _SegmentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    unroll: dict[str, _UnrollEntry] = {}
    measured: dict[str, _MeasuredEntry] = {}
    buffers: dict[str, int] = {}


class MappingFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    granularity: Granularity = "row"
    interval_cycles: int | None = Field(None, gt=0, le=MOST_CYCLES)
    segments: list[_SegmentEntry] = Field(min_length=1)


def read_mapping(path: str | Path) -> Mapping:
    """A mapping file. Raises `InputError` with file, line, dotted path, value and rule."""
    document = read_document(Path(path))
    entry = validated(MappingFile, document)
    if len(entry.segments) > 1:
        raise InputError(
            f"{document.where(('segments', 1))}: segments has {len(entry.segments)} entries; "
            "a mapping is one segment, the whole network as one pipeline"
        )
    segment = entry.segments[0]
    return Mapping(
        unroll=MappingProxyType({name: Unroll(**u.model_dump()) for name, u in segment.unroll.items()}),
        capacities=MappingProxyType(dict(segment.buffers)),
        granularity=entry.granularity,
        interval_cycles=entry.interval_cycles,
        measured=MappingProxyType({name: Measured(**m.model_dump()) for name, m in segment.measured.items()}),
        place=str(path),
        document=document,
    )


def mapping_text(mapping: Mapping) -> str:
    """The file `read_mapping` reads back to an equal mapping."""
    segment: dict[str, object] = {"unroll": {name: _flow(u) for name, u in mapping.unroll.items()}}
    if mapping.measured:
        segment["measured"] = {name: _flow(m) for name, m in mapping.measured.items()}
    if mapping.capacities:
        segment["buffers"] = dict(mapping.capacities)
    data: dict[str, object] = {"granularity": mapping.granularity}
    if mapping.interval_cycles is not None:
        data["interval_cycles"] = mapping.interval_cycles
    data["segments"] = [segment]
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.representer.sort_base_mapping_type_on_output = False
    writer.representer.add_representer(_OneLine, _in_braces)
    writer.width = 120
    writer.allow_unicode = False  # left as it is, a line break of Unicode in a name would come back as a space
    stream = StringIO()
    writer.dump(data, stream)
    return stream.getvalue()


class _OneLine(dict[str, int]):
    """An entry that stands on the line of its name."""


def _in_braces(representer: Any, entry: _OneLine) -> Any:
    return representer.represent_mapping("tag:yaml.org,2002:map", entry, flow_style=True)


def _flow(entry: Unroll | Measured) -> _OneLine:
    values = ((name, getattr(entry, name)) for name in type(entry).__dataclass_fields__)
    return _OneLine({name: value for name, value in values if value is not None})
