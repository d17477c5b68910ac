"""Reading `specs.jsonl`: one run of a chain of blocks a line.

What a run gives that no prediction needs (what it measured, the library's own estimates, traces) is not looked
at. Parameters of blocks are: one that is not known would silently change what the block does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim.errors import InputError, collected
from accelsim.timing.words import blocks
from accelsim.timing.words.chain import Chain, Placed, Traffic, chain
from accelsim.validation.measured import read_text
from accelsim.yaml_file import Document, validated

Made = TypeVar("Made")
Size = Annotated[int, Field(ge=1, le=2**24)]
Count = Annotated[int, Field(ge=0, le=2**24)]
Name = Annotated[str, Field(min_length=1, max_length=1024)]
Flag = Annotated[int, Field(ge=0, le=1)]

#: Most words on all links of a run: what takes longer than minutes to clock is refused.
MOST_WORDS = 2**31


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def block(self) -> blocks.Block:
        """The block with these parameters."""
        raise NotImplementedError


class _Window(_Parameters):
    H: Size
    W: Size
    C: Size
    KH: Size
    KW: Size
    S: Size
    SIMD: Size
    dw: Flag = 0
    par: Flag = 0
    style: Literal["default", "parallel"] | None = None
    buffer_depth: Size | None = None
    OH: Size | None = None
    OW: Size | None = None

    def block(self) -> blocks.Block:
        parallel = bool(self.par) or self.style == "parallel"
        window = blocks.Window(
            self.H,
            self.W,
            self.C,
            (self.KH, self.KW),
            (self.S, self.S),
            self.SIMD,
            depthwise=bool(self.dw),
            parallel=parallel,
            buffer_words=None if parallel else self.buffer_depth,
        )
        _agrees("OH", self.OH, window.outputs[0])
        _agrees("OW", self.OW, window.outputs[1])
        return window


#: Arithmetic of the library's compute cores.
CORES: Mapping[str, Literal["dsp48", "dsp58"]] = MappingProxyType(
    {
        "mvu_4sx4u_dsp48e1": "dsp48",
        "mvu_4sx4u_dsp48e2": "dsp48",
        "mvu_8sx8u_dsp48": "dsp48",
        "mvu_vvu_8sx9_dsp58": "dsp58",
    }
)


class _Matrix(_Parameters):
    MW: Size
    MH: Size
    SIMD: Size
    PE: Size
    nvec: Size
    SF: Size | None = None
    NF: Size | None = None
    core: Literal["mvu_4sx4u_dsp48e1", "mvu_4sx4u_dsp48e2", "mvu_8sx8u_dsp48", "mvu_vvu_8sx9_dsp58"]
    seglen: Count = 0
    memstream: Flag = 0

    def block(self) -> blocks.Block:
        matrix = blocks.Matrix(
            self.MW, self.MH, self.SIMD, self.PE, self.nvec, CORES[self.core], self.seglen, self._per_channel()
        )
        _agrees("SF", self.SF, matrix.input_fold)
        _agrees("NF", self.NF, matrix.output_fold)
        return matrix

    def _per_channel(self) -> bool:
        return False


class _Vector(_Matrix):
    def _per_channel(self) -> bool:
        return True


class _Threshold(_Parameters):
    C: Size
    PE: Size
    N: Annotated[int, Field(ge=1, le=64)]
    npix: Size

    @model_validator(mode="after")
    def _folds(self) -> _Threshold:
        if self.C % self.PE:
            raise ValueError(f"PE = {self.PE} does not divide C = {self.C}")
        return self

    def block(self) -> blocks.Block:
        return blocks.Threshold(self.npix * self.C // self.PE, self.N)


class _Padding(_Parameters):
    H: Size
    W: Size
    C: Size
    SIMD: Size
    pads: Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]

    @model_validator(mode="after")
    def _folds(self) -> _Padding:
        if self.C % self.SIMD:
            raise ValueError(f"SIMD = {self.SIMD} does not divide C = {self.C}")
        return self

    def block(self) -> blocks.Block:
        top, left, bottom, right = self.pads
        return blocks.Padding(self.H, self.W, self.C // self.SIMD, (top, left, bottom, right))


class _Fifo(_Parameters):
    depth: Annotated[int, Field(ge=1, le=2**40)]

    def block(self) -> blocks.Block:
        return blocks.Fifo(self.depth)


class _Converter(_Parameters):
    ibits: Size
    obits: Size

    def block(self) -> blocks.Block:
        return blocks.Converter(self.ibits, self.obits)


class _Nothing(_Parameters):
    """Blocks that need no parameters."""


class _Fork(_Nothing):
    def block(self) -> blocks.Block:
        return blocks.Fork()


class _Join(_Nothing):
    def block(self) -> blocks.Block:
        return blocks.Join()


class _Tap(_Nothing):
    def block(self) -> blocks.Block:
        return blocks.Tap()


KINDS: Mapping[str, type[_Parameters]] = MappingProxyType(
    {
        "swg": _Window,
        "mvu": _Matrix,
        "vvu": _Vector,
        "thresholding": _Threshold,
        "fmpadding": _Padding,
        "fifo": _Fifo,
        "dwc": _Converter,
        "fork": _Fork,
        "join": _Join,
        "tap_fork": _Tap,
    }
)


def _agrees(name: str, given: int | None, found: int) -> None:
    if given is not None and given != found:
        raise InputError(f"{name} = {given}, but the other parameters make it {found}")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _End(_Record):
    link: Name
    words_per_frame: Annotated[int, Field(ge=1, le=2**40)]
    p256: Annotated[int, Field(ge=0, le=256)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]

    def traffic(self) -> Traffic:
        return Traffic(self.link, self.p256, self.seed)


class _Link(_Record):
    words_per_frame: Annotated[int, Field(ge=1, le=2**40)]


class _Module(_Record):
    name: Name
    kind: Name
    ins: tuple[Name, ...]
    outs: tuple[Name, ...]
    params: dict[str, Any] = {}


class _Line(_Record):
    key: Name
    frames: Annotated[int, Field(ge=1, le=2**20)]
    source: _End
    sink: _End
    links: dict[str, _Link] = {}
    modules: Annotated[tuple[_Module, ...], Field(min_length=1, max_length=2**16)]
    case: Name | None = None
    skip_fifos: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Spec:
    """One run: a chain, how many frames of it, and, for a study of skips, its case and the queues sought."""

    place: str
    key: str
    frames: int
    chain: Chain
    case: str | None
    skip_fifos: tuple[str, ...]


def read_specs(path: Path) -> dict[str, Spec]:
    """All runs of a file by key.

    Raises `InputError` with file, line, key, value and rule for everything that is wrong in it.
    """
    specs: dict[str, Spec] = {}
    problems: list[str] = []
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            spec = _spec(f"{path}:{number}", text)
            if spec.key in specs:
                raise InputError(f"{spec.place}: {spec.key} is the key of an earlier run ({specs[spec.key].place})")
            specs[spec.key] = spec
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise collected(problems)
    return specs


def _spec(place: str, text: str) -> Spec:
    data = _object(place, text)
    key = data.get("key")
    where = f"{place}: {key}" if isinstance(key, str) and key.isprintable() and len(key) < 200 else place
    line = validated(_Line, Document(where, data, {}))
    made = _chain(where, line)
    _check_links(where, line, made)
    skips = [name for name in line.skip_fifos if name not in made.fifos]
    if skips:
        raise InputError(f"{where}: skip_fifos: {', '.join(skips)} is no fifo of modules")
    if sum(made.words.values()) * line.frames > MOST_WORDS:
        raise InputError(f"{where}: {line.frames:,} frames are more than {MOST_WORDS:,} words; ask for fewer frames")
    return Spec(where, line.key, line.frames, made, line.case, line.skip_fifos)


def _object(place: str, text: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InputError(f"{place}: '{name[:60]}' is given twice in one object")
            found[name] = value
        return found

    try:
        data = json.loads(text, object_pairs_hook=once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not readable as JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise InputError(f"{place}: expected one JSON object a line")
    return data


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number of JSON")


def _chain(where: str, line: _Line) -> Chain:
    placed, problems = [], []
    for position, module in enumerate(line.modules):
        spot = f"{where}: modules[{position}] ({module.name})"
        try:
            placed.append(Placed(module.name, _block(spot, module), module.ins, module.outs))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise collected(problems)
    words = {line.source.link: line.source.words_per_frame}
    return _located(where, lambda: chain(placed, words, [line.source.traffic()], [line.sink.traffic()]))


def _block(spot: str, module: _Module) -> blocks.Block:
    kind = KINDS.get(module.kind)
    if kind is None:
        raise InputError(f"{spot}: kind = '{module.kind}' is not known; kinds are {', '.join(KINDS)}")
    parameters = validated(kind, Document(spot, module.params, {}))
    return _located(spot, parameters.block)


def _located(place: str, make: Callable[[], Made]) -> Made:
    """What `make` gives, its problems with `place` before them."""
    try:
        return make()
    except InputError as error:
        raise collected([f"{place}: {problem}" for problem in str(error).splitlines()]) from None


def _check_links(where: str, line: _Line, made: Chain) -> None:
    ends = {"source": line.source, "sink": line.sink}
    given = {name: link.words_per_frame for name, link in line.links.items()}
    problems = [
        f"{where}: links.{name}.words_per_frame = {words:,}, the blocks make it {made.words[name]:,}"
        for name, words in given.items()
        if name in made.words and made.words[name] != words
    ]
    problems += [f"{where}: links.{name} is no link of a module" for name in given if name not in made.words]
    problems += [
        f"{where}: {name}.words_per_frame = {end.words_per_frame:,}, the blocks make it {made.words[end.link]:,}"
        for name, end in ends.items()
        if end.words_per_frame != made.words[end.link]
    ]
    if problems:
        raise collected(problems)
