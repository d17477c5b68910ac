"""Who runs where: unrollings, buffer capacities and the source's pace, as a file a person can edit."""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from accelsim.errors import collected
from accelsim.mapping.segments.segment import Halo, Segment, Tile, Weights
from accelsim.mapping.unrolling import Unroll
from accelsim.yaml_file import Document, dotted_name, read_document, validated

Granularity = Literal["row", "pixel", "word"]

#: Longest interval or latency: thousands of frames of it still are exact in 64 bits.
MOST_CYCLES = 2**40
#: Least and most of what is measured.
MEASURED_CYCLES: MappingProxyType[str, tuple[int, int]] = MappingProxyType(
    {
        "interval_cycles": (1, MOST_CYCLES),
        "latency_cycles": (0, MOST_CYCLES),
        "pipeline_cycles": (0, 2**16),
        "gap_cycles": (0, MOST_CYCLES),
    }
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers that replace the model's for one stage: cycles a firing of a pixel, and pipeline latency.

    Of the latency of a matrix unit, `pipeline_cycles` are those for which a result is in what stands still while
    results wait at its end. In `gap_cycles` between frames a stage takes nothing. Both are looked at where streaming
    blocks hand on words.

    Where a layer's unrolling takes several pixels of a row together, these share one interval. Of an edge it is the
    latency of what stands on it, which only its consumer sees.
    """

    interval_cycles: int | None = None
    latency_cycles: int | None = None
    pipeline_cycles: int | None = None
    gap_cycles: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """How segments were chosen: no choice is below `bound`, and where `exact` none is below `value`.

    `made_for` tells network, machine and segments from all others; "" until they are bound.
    """

    objective: str
    value: float
    bound: float
    exact: bool
    made_for: str = ""


@dataclass(frozen=True)
class Mapping:
    """Who runs where.

    `unroll` by layer; `capacities` in tokens of `granularity`, by edge ("producer -> consumer"), unbounded
    where absent; `interval_cycles` is the pace of the source, None for the pace of the slowest stage.
    `segments` in the order in which they take the engine, none for one pipeline of all layers; each visit of one
    processes `frames_per_visit` frames. `homes` names the memory where a tensor that crosses a cut lies (by the
    stage that makes it), and of a buffer inside a segment that is spilled (by edge). `materialised` are
    layers whose results are stored though the machine could pool their channels on the way out.
    """

    unroll: ReadOnly[str, Unroll]
    capacities: ReadOnly[str, int] = field(default_factory=lambda: MappingProxyType({}))
    granularity: Granularity = "row"
    interval_cycles: int | None = None
    measured: ReadOnly[str, Measured] = field(default_factory=lambda: MappingProxyType({}))
    segments: tuple[Segment, ...] = ()
    frames_per_visit: int = 1
    homes: ReadOnly[str, str] = field(default_factory=lambda: MappingProxyType({}))
    materialised: frozenset[str] = frozenset()
    choice: Choice | None = field(default=None, compare=False)
    place: str = field(default="mapping", compare=False)
    document: Document | None = field(default=None, repr=False, compare=False)

    def where(self, *path: str | int) -> str:
        """`file:line` of a dotted path for messages, or `mapping` where there is no file."""
        return self.document.where(path) if self.document else self.place

    def path_of(self, table: str, *names: str) -> tuple[str | int, ...]:
        """The path in a file of an entry of a segment's table, such as unroll."""
        segments = self.document.data["segments"] if self.document else ()
        for position, segment in enumerate(segments):
            if names and names[0] in segment.get(table, ()):
                return ("segments", position, table, *names)
        return ("segments", 0, table, *names)


class _UnrollEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: int = Field(1, gt=0, description="input channels at a time; divides the loop")
    outputs: int = Field(1, gt=0, description="output channels at a time; divides the loop")
    window: int = Field(1, gt=0, description="points of the window at a time; divides the loop")
    pixels: int = Field(1, gt=0, description="pixels of a row at a time; divides the loop")


class _MeasuredEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    interval_cycles: int | None = Field(
        None, gt=0, le=MOST_CYCLES, description="cycles a firing of a pixel, in place of the model's"
    )
    latency_cycles: int | None = Field(
        None, ge=0, le=MOST_CYCLES, description="cycles from the last input of a firing to its output, likewise"
    )
    pipeline_cycles: int | None = Field(
        None,
        ge=0,
        le=MEASURED_CYCLES["pipeline_cycles"][1],
        description="those of a matrix unit's latency for which a result is in what stands still while results wait",
    )
    gap_cycles: int | None = Field(
        None,
        ge=0,
        le=MOST_CYCLES,
        description="cycles between frames in which a streaming block takes nothing",
    )


class _TileEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: int | None = Field(
        default=None, gt=0, description="rows of the map that leaves the segment; all where left out"
    )
    columns: int | None = Field(default=None, gt=0, description="columns of that map; all where left out")
    outputs: int | None = Field(default=None, gt=0, description="output channels of its last layer; all where left out")
    inputs: int | None = Field(default=None, gt=0, description="input channels of its first layer; all where left out")


class _SegmentEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    layers: list[str] | None = Field(None, min_length=1, description="its layers; all where there is one segment")
    tile: _TileEntry = Field(_TileEntry(), description="what is worked on at a time")
    halo: Halo = Field("cache", description="points that two neighbouring tiles need: read again, computed again, kept")
    weights: Weights | None = Field(
        None, description="resident on chip, loaded for every visit (frame) or tile; null: as the machine says"
    )
    unroll: dict[str, _UnrollEntry] = Field({}, description="multipliers of a layer along its loops, by layer")
    measured: dict[str, _MeasuredEntry] = Field({}, description="numbers in place of the model's, by layer")
    buffers: dict[str, int] = Field(
        {}, description="capacities in tokens of the granularity, by edge (producer -> consumer); else unbounded"
    )


class _ChoiceEntry(BaseModel):
    """How segments were chosen; forgotten where they, the network or the machine are others now."""

    model_config = ConfigDict(extra="forbid")

    objective: str = Field(description="what there was to be least of, a frame: bytes off chip, cycles or energy")
    value: float = Field(allow_inf_nan=False, description="of these segments, as the choice counts it")
    bound: float = Field(allow_inf_nan=False, description="no choice of segments is below this")
    exact: bool = Field(description="whether none is better under the same tiles")
    made_for: str = Field(min_length=1, description="tells network, machine and segments from all others")


class MappingFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    granularity: Granularity = Field("row", description="what a token is: a row, a pixel with all channels, or a word")
    interval_cycles: int | None = Field(
        None, gt=0, le=MOST_CYCLES, description="cycles between frames of a paced source; null: the slowest stage's"
    )
    frames_per_visit: int = Field(1, gt=0, le=10**6, description="frames that a segment works on while it has its turn")
    homes: dict[str, str] = Field(
        {}, description="memory of a tensor that crosses a cut, by its stage; of a spilled buffer, by its edge"
    )
    materialised: list[str] = Field(
        [], description="layers whose maps are stored though their channels could be pooled on the way out"
    )
    choice: _ChoiceEntry | None = Field(None, description="how the segments were chosen; null where they were not")
    segments: list[_SegmentEntry] = Field(
        min_length=1, description="in the order in which they take the engine; one without layers: one pipeline"
    )


def read_mapping(path: str | Path) -> Mapping:
    """A mapping file. Raises `InputError` with file, line, dotted path, value and rule."""
    document = read_document(Path(path))
    entry = validated(MappingFile, document)
    problems = [*_segment_problems(document, entry), *_twice(document, entry)]
    if problems:
        raise collected(problems)
    cut = any(segment.layers is not None for segment in entry.segments)
    unroll = {name: Unroll(**u.model_dump()) for segment in entry.segments for name, u in segment.unroll.items()}
    measured = {name: Measured(**m.model_dump()) for segment in entry.segments for name, m in segment.measured.items()}
    return Mapping(
        unroll=MappingProxyType(unroll),
        capacities=MappingProxyType({name: n for segment in entry.segments for name, n in segment.buffers.items()}),
        granularity=entry.granularity,
        interval_cycles=entry.interval_cycles,
        measured=MappingProxyType(measured),
        segments=tuple(_segment(segment) for segment in entry.segments) if cut else (),
        frames_per_visit=entry.frames_per_visit,
        homes=MappingProxyType(dict(entry.homes)),
        materialised=frozenset(entry.materialised),
        choice=None if entry.choice is None else Choice(**entry.choice.model_dump()),
        place=str(path),
        document=document,
    )


def _segment(entry: _SegmentEntry) -> Segment:
    return Segment(tuple(entry.layers or ()), Tile(**entry.tile.model_dump()), entry.halo, entry.weights)


def _segment_problems(document: Document, entry: MappingFile) -> list[str]:
    if len(entry.segments) == 1 and entry.segments[0].layers is None:
        segment = entry.segments[0]
        tiled = segment.tile != _TileEntry() or segment.weights is not None or entry.frames_per_visit > 1
        rule = "segments[0] has a tile, weights or frames_per_visit but no layers; name its layers"
        return [f"{document.where(('segments', 0))}: {rule}"] if tiled else []
    nameless = [k for k, segment in enumerate(entry.segments) if segment.layers is None]
    if not nameless:
        return []
    place = document.where(("segments", nameless[0]))
    which = ", ".join(f"segments[{k}]" for k in nameless)
    return [f"{place}: {which} without layers; where segments has {len(entry.segments)} entries each names its own"]


def _twice(document: Document, entry: MappingFile) -> list[str]:
    """Entries of one name in the same table of two segments."""
    problems = []
    for table in ("unroll", "measured", "buffers"):
        seen: set[str] = set()
        for k, segment in enumerate(entry.segments):
            names = getattr(segment, table)
            problems += [
                f"{document.where(('segments', k, table, name))}: {dotted_name(('segments', k, table, name))} "
                "is in another segment too; keep one"
                for name in names
                if name in seen
            ]
            seen |= set(names)
    return problems


def mapping_text(mapping: Mapping) -> str:
    """The file `read_mapping` reads back to an equal mapping."""
    data: dict[str, object] = {"granularity": mapping.granularity}
    if mapping.interval_cycles is not None:
        data["interval_cycles"] = mapping.interval_cycles
    if mapping.frames_per_visit > 1:
        data["frames_per_visit"] = mapping.frames_per_visit
    if mapping.homes:
        data["homes"] = dict(mapping.homes)
    if mapping.materialised:
        data["materialised"] = sorted(mapping.materialised)
    if mapping.choice is not None:
        data["choice"] = asdict(mapping.choice)
    data["segments"] = _segment_entries(mapping)
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.representer.sort_base_mapping_type_on_output = False
    writer.representer.add_representer(_OneLine, _in_braces)
    writer.width = 120
    writer.allow_unicode = False  # left as it is, a line break of Unicode in a name would come back as a space
    stream = StringIO()
    writer.dump(data, stream)
    return stream.getvalue()


def _segment_entries(mapping: Mapping) -> list[dict[str, object]]:
    """An entry a segment, each with its own layers' unrolling; buffers and what is in no segment go to the first."""
    home = {name: k for k, segment in enumerate(mapping.segments) for name in segment.layers}
    entries = [_segment_entry(segment) for segment in mapping.segments or (Segment(()),)]
    for table, values in (("unroll", mapping.unroll), ("measured", mapping.measured)):
        for name, value in values.items():
            rows = entries[home.get(name, 0)].setdefault(table, {})
            assert isinstance(rows, dict)
            rows[name] = _flow(value)
    entries[0].setdefault("unroll", {})
    if mapping.capacities:
        entries[0]["buffers"] = dict(mapping.capacities)
    return entries


def _segment_entry(segment: Segment) -> dict[str, object]:
    entry: dict[str, object] = {"layers": list(segment.layers)} if segment.layers else {}
    if not segment.tile.is_whole:
        entry["tile"] = _flow(segment.tile)
    if segment.halo != Segment.halo:
        entry["halo"] = segment.halo
    if segment.weights is not None:
        entry["weights"] = segment.weights
    return entry


class _OneLine(dict[str, int]):
    """An entry that stands on the line of its name."""


def _in_braces(representer: Any, entry: _OneLine) -> Any:
    return representer.represent_mapping("tag:yaml.org,2002:map", entry, flow_style=True)


def _flow(entry: Unroll | Measured | Tile) -> _OneLine:
    values = ((name, getattr(entry, name)) for name in type(entry).__dataclass_fields__)
    return _OneLine({name: value for name, value in values if value is not None})
