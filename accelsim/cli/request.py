"""From options to a design: one frozen value with what was asked for, and the steps to what it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.errors import InputError, NotModelled

if TYPE_CHECKING:
    from accelsim.arithmetic.tiling import AnyNetwork
    from accelsim.hardware.accelerator import Accelerator
    from accelsim.mapping.design import Design
    from accelsim.mapping.mapping import Granularity
    from accelsim.network.graph import Network
    from accelsim.network.load import InputShape
    from accelsim.network.reach import Granularity as TokenGranularity

GRANULARITIES: tuple[Granularity, ...] = ("row", "pixel", "word")
#: Mappings that are chosen, by name, and those that choose segments.
MAPPINGS = ("pipeline", "layer-by-layer", "fused")
CHOOSING_SEGMENTS = ("layer-by-layer", "fused")
SEGMENT_OPTIONS = ("objective", "frames_per_visit")
#: What the multipliers of a pipeline are chosen for.
BUFFERING = "buffering"
DEFAULT_ACCELERATOR = "streaming-asic"


@dataclass(frozen=True)
class Request:
    """Options as given, before anything is loaded."""

    network: str
    accelerator: str = DEFAULT_ACCELERATOR
    mapping: str | None = None
    tile_attention: int | None = None
    tile_count: int | None = None
    tile_columns: int | None = None
    target_fps: float | None = None
    granularity: str | None = None
    source: str | None = None
    settings: Sequence[str] = ()
    input_shapes: Sequence[str] = ()
    objective: str | None = None
    frames_per_visit: int | None = None
    materialised: bool = False


@dataclass(frozen=True)
class Prepared:
    """A design ready to be simulated, the granularity to do it at, and what the user should know."""

    design: Design
    granularity: Granularity
    warnings: tuple[str, ...] = ()


def prepare(request: Request, network: Network | None = None) -> Prepared:
    """Everything that was asked for, loaded, rewritten and mapped; `network` saves loading it again."""
    net, warnings = tiled(request, network or load(request))
    design = mapped(request, net, machine(request))
    granularity = granularity_of(request, design)
    if granularity == "word" and request.mapping in (None, "pipeline"):
        design, replaced = as_blocks(design)
        warnings = (*warnings, *replaced)
    return Prepared(design, granularity, warnings)


def as_blocks(design: Design) -> tuple[Design, tuple[str, ...]]:
    """A chosen design with unrollings that blocks have, and a warning of what that changes."""
    from accelsim.mapping.blocks import in_blocks

    fitting = in_blocks(design)
    changed = [n for n, unroll in fitting.mapping.unroll.items() if unroll != design.mapping.unroll[n]]
    if not changed:
        return design, ()
    return fitting, (
        f"blocks take one tap of a window or all of them, and one pixel: {len(changed)} unrollings are others, "
        f"{fitting.multipliers:,} multipliers instead of {design.multipliers:,} ({', '.join(changed[:4])}"
        f"{', ...' if len(changed) > 4 else ''})",
    )


def prepare_like(request: Request, network: Network, baseline: Design) -> Prepared:
    """The same, with the unrolling and the pace of `baseline` for all layers that both have.

    Segments have the whole engine one after the other, so that none takes from another what it had in `baseline`:
    they are chosen, or read, as those were.
    """
    from accelsim.mapping.design import with_interval
    from accelsim.mapping.mapper import map_network

    net, warnings = tiled(request, network)
    if baseline.mapping.segments:
        design = mapped(request, net, baseline.accelerator)
        return Prepared(design, granularity_of(request, design), warnings)
    design = map_network(net, baseline.accelerator, target_fps=request.target_fps, like=baseline)
    design = with_interval(design, baseline.mapping.interval_cycles)
    return Prepared(design, granularity_of(request, baseline), warnings)


def load(request: Request) -> Network:
    """The network, at the shapes asked for."""
    from accelsim.arithmetic.load import load_network

    return load_network(request.network, input_shape=input_shape(request.input_shapes))


def machine(request: Request) -> Accelerator:
    """The accelerator with all settings in place."""
    from accelsim.hardware.accelerator import load_accelerator

    settings = dict(setting(text) for text in request.settings)
    if request.source is not None:
        settings["source"] = request.source
    return load_accelerator(request.accelerator, settings)


def mapped(request: Request, net: Network, accelerator: Accelerator) -> Design:
    """`net` on `accelerator` as the mapping file says, or as the mapper chooses."""
    from accelsim.timing.map_network import map_network

    _check_mapping(request.mapping)
    _check_target(request, accelerator)
    options = _segment_options(request, accelerator) | ({"materialised": True} if request.materialised else {})
    design = map_network(net, accelerator, target_fps=request.target_fps, mapping=request.mapping, **options)
    if design.mapping.segments and request.source == "paced":
        raise NotModelled(
            "--source paced: the frames of a visit are in memory before it begins, so that a paced source of segments "
            "that take turns is not modelled; leave it out"
        )
    return design


def _check_mapping(mapping: str | None) -> None:
    """What is no name of a mapping is a file's; a name misspelt is told as such."""
    if mapping is None or mapping in MAPPINGS or Path(mapping).suffix or Path(mapping).exists():
        return
    raise InputError(f"--mapping {mapping}: no such file; {_meant(mapping, MAPPINGS)}, or name a mapping file")


def _meant(name: str, names: Sequence[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return (f"did you mean '{close[0]}'? " if close else "") + f"use {', '.join(names)}"


def chooses_segments(mapping: str | None, accelerator: Accelerator) -> bool:
    """Whether the mapper cuts the network into segments; without a mapping's name it is the machine's to say."""
    takes_turns = accelerator.engine.kind == "systolic" and bool(accelerator.memories)
    return mapping in CHOOSING_SEGMENTS or (mapping is None and takes_turns)


def _check_target(request: Request, accelerator: Accelerator) -> None:
    """Multipliers are chosen for a rate where layers share them out, in a pipeline."""
    if request.target_fps is None:
        return
    if chooses_segments(request.mapping, accelerator):
        name = request.mapping or "layer-by-layer"
        raise InputError(
            f"--target-fps chooses the multipliers of a pipeline; in mapping {name} every segment has the whole "
            "engine: leave it out and see what rate it reaches, or set engine.multipliers, or use --mapping pipeline"
        )
    if request.mapping not in (None, "pipeline"):
        raise InputError(
            f"--target-fps chooses an unrolling, and {request.mapping} has one; set interval_cycles in it instead"
        )


def _segment_options(request: Request, accelerator: Accelerator) -> dict[str, Any]:
    """Those options of the mapper that were given, checked."""
    from accelsim.mapping.search.objective import OBJECTIVES

    given = {name: getattr(request, name) for name in SEGMENT_OPTIONS if getattr(request, name) is not None}
    if not given:
        return {}
    option = f"--{next(iter(given)).replace('_', '-')}"
    if given == {"objective": BUFFERING} and request.mapping in (None, "pipeline"):
        return given
    if not chooses_segments(request.mapping, accelerator):
        cure = f"use --mapping {' or '.join(CHOOSING_SEGMENTS)}"
        what = (
            "a pipeline has no segments" if request.mapping in (None, "pipeline") else f"{request.mapping} has its own"
        )
        known = f"; of a pipeline there is --objective {BUFFERING}" if "objective" in given else ""
        raise InputError(f"{option} is for choosing segments, and {what}; {cure}{known}")
    if request.objective == BUFFERING:
        raise InputError(
            f"--objective {BUFFERING} chooses the multipliers of a pipeline; use it with --mapping pipeline"
        )
    if request.objective is not None and request.objective not in OBJECTIVES:
        raise InputError(f"--objective {request.objective}: {_meant(request.objective, (*OBJECTIVES, BUFFERING))}")
    if request.frames_per_visit is not None and request.frames_per_visit < 1:
        raise InputError(f"--frames-per-visit {request.frames_per_visit}: expected a whole number from 1")
    return given


def tiled(request: Request, net: Network) -> tuple[Network, tuple[str, ...]]:
    """`net` with its squeeze-excite tiled if that was asked for, and a warning where it has none."""
    return in_tiles(net, net, request.tile_attention, request.tile_count, request.tile_columns)


def in_tiles(
    net: AnyNetwork, graph: Network, rows: int | None, count: int | None, columns: int | None
) -> tuple[AnyNetwork, tuple[str, ...]]:
    """The same of a network of real numbers or of integers, whose graph is `graph`."""
    from accelsim.arithmetic.tiling import tile_attention
    from accelsim.network.attention import find_attention

    if rows is None:
        given = [name for name, value in (("count", count), ("columns", columns)) if value is not None]
        if given:
            raise InputError(f"--tile-{given[0]} needs --tile-attention ROWS")
        return net, ()
    rewritten = tile_attention(net, rows, count, columns)
    if find_attention(graph):
        return rewritten, ()
    return rewritten, (f"{graph.name} has no squeeze-excite block; tile_attention changes nothing",)


def granularity_of(request: Request, design: Design) -> Granularity:
    """What was asked for, or what the mapping is in."""
    if request.granularity is None:
        return design.mapping.granularity
    return known_granularity(request.granularity)


def known_granularity(text: str) -> Granularity:
    """`text` if it names one."""
    for granularity in GRANULARITIES:
        if text == granularity:
            return granularity
    raise InputError(f"--granularity {text}: use {', '.join(GRANULARITIES)}")


def of_tokens(granularity: Granularity) -> TokenGranularity:
    """`granularity` where words are not modelled."""
    if granularity == "word":
        raise NotModelled("word by word a design is only simulated; for this use granularity row or pixel")
    return granularity


def setting(text: str) -> tuple[str, Any]:
    """Path and value of `path=value`, the value read as YAML reads it."""
    from accelsim.yaml_file import parse_document

    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        raise InputError(f"--set {text}: expected a path and a value, such as engine.lanes=128")
    if len(value.splitlines()) > 1:
        raise InputError(f"--set {path}: the value must be one line")
    parsed = parse_document(f"value: {value}", f"--set {path}").data["value"]
    if isinstance(parsed, dict | list):
        raise InputError(f"--set {path} = {value}: expected a single value")
    return path, parsed


def input_shape(texts: Sequence[str]) -> InputShape | None:
    """One shape, or shapes by input name; None where none is given."""
    if not texts:
        return None
    shapes = [_named_shape(text) for text in texts]
    if len(shapes) == 1 and shapes[0][0] is None:
        return shapes[0][1]
    unnamed = [text for text, (name, _) in zip(texts, shapes, strict=True) if name is None]
    if unnamed:
        raise InputError(f"--input-shape {unnamed[0]}: with several shapes each needs its input's name (name=1,3,8,8)")
    named = {str(name): shape for name, shape in shapes}
    if len(named) < len(shapes):
        raise InputError(f"--input-shape: an input's shape is given twice ({', '.join(texts)})")
    return named


def _named_shape(text: str) -> tuple[str | None, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    parts = sizes.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts) or (equals and not name):
        raise InputError(f"--input-shape {text}: expected sizes such as 1,3,224,224, or name=1,3,224,224")
    if any(len(part) > 18 or int(part) == 0 for part in parts):
        raise InputError(f"--input-shape {text}: sizes must be positive and below 10^18")
    return name if equals else None, tuple(int(part) for part in parts)


def with_tiles(request: Request, rows: int | None) -> Request:
    """The same request at other tile rows; None for no tiles at all."""
    if rows is None:
        return replace(request, tile_attention=None, tile_count=None, tile_columns=None)
    return replace(request, tile_attention=rows)
