"""The kinds of streaming blocks: what each is made for, the words it takes and gives, its row for the kernel.

`words` is how many words a frame leave for those that come; it raises `InputError` where they do not fit the
block. `row` is the kernel's kind, parameters and pipeline length under a library's constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from accelsim.errors import InputError
from accelsim.hardware.streaming import Core, StreamBlocks
from accelsim.timing.kernels import words as kernel
from accelsim.units import ceil_div


class Row(NamedTuple):
    """A block for the kernel: its kind there, the parameters by column, and the slots of its pipeline."""

    kind: int
    parameters: dict[int, int]
    ring: int = 0
    registers: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True)
class Block:
    """Base of all kinds: most have one input and one output; -1 stands for two or more."""

    arity: ClassVar[tuple[int, int]] = (1, 1)

    def words(self, arriving: int) -> int:
        """Words a frame on each output for those on each input."""
        return arriving

    def row(self, constants: StreamBlocks) -> Row:
        """The block for the kernel."""
        raise NotImplementedError


def _exactly(arriving: int, expected: int, what: str) -> None:
    if arriving != expected:
        raise InputError(f"takes {expected:,} words a frame ({what}), {arriving:,} come")


def _divides(divisor: int, size: int, text: str) -> None:
    if size % divisor:
        raise InputError(f"{text}: {divisor} does not divide {size}")


@dataclass(frozen=True)
class Window(Block):
    """Sliding windows over a map of words of `simd` channels; `parallel` sends a window as one word.

    `depthwise` sends a window channel group after channel group. `buffer_words` None is what `buffer` gives.
    """

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    simd: int
    dilation: tuple[int, int] = (1, 1)
    depthwise: bool = False
    parallel: bool = False
    buffer_words: int | None = None

    def __post_init__(self) -> None:
        _divides(self.simd, self.channels, "SIMD into C")
        if min(self.outputs) < 1:
            raise InputError(f"a window of {self.span[0]}x{self.span[1]} does not fit {self.height}x{self.width}")
        if self.buffer_words is not None and not self.at_once and self.buffer_words < self.window_words:
            raise InputError(f"buffer_depth = {self.buffer_words} is less than a window, {self.window_words} words")

    @property
    def fold(self) -> int:
        """Words of a pixel."""
        return self.channels // self.simd

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns that a window reaches over."""
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1

    @property
    def outputs(self) -> tuple[int, int]:
        """Windows down and across."""
        return (
            (self.height - self.span[0]) // self.stride[0] + 1,
            (self.width - self.span[1]) // self.stride[1] + 1,
        )

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def at_once(self) -> bool:
        """Whether a window leaves as one word; one of a single pixel always does."""
        return self.parallel or self.taps == 1

    @property
    def window_words(self) -> int:
        """Words from the first to the last that a window reads."""
        return ((self.span[0] - 1) * self.width + self.span[1]) * self.fold

    def words(self, arriving: int) -> int:
        _exactly(arriving, self.height * self.width * self.fold, "H W C / SIMD")
        return self.outputs[0] * self.outputs[1] * self.fold * (1 if self.at_once else self.taps)

    def buffer(self, constants: StreamBlocks) -> int:
        """Words that a serial window's buffer has room for."""
        if self.buffer_words is not None:
            return self.buffer_words
        if not constants.window.stride_room:
            return self.window_words
        beside = max(0, self.stride[1] - 1 - self.taps) + max(0, (self.stride[0] - 1) * self.width - self.taps)
        return self.window_words + beside * self.fold

    def row(self, constants: StreamBlocks) -> Row:
        return self._parallel_row() if self.at_once else self._serial_row(constants)

    def _steps(self) -> tuple[int, int, int, int]:
        """Words from tap to tap across and down, and from window to window."""
        line = self.width * self.fold
        return (
            self.dilation[1] * self.fold,
            self.dilation[0] * line,
            self.stride[1] * self.fold,
            self.stride[0] * line,
        )

    def _serial_row(self, constants: StreamBlocks) -> Row:
        across, down, right, below = self._steps()
        taps = ((self.kernel[1], across), (self.kernel[0], down))
        windows = ((self.outputs[1], right), (self.outputs[0], below))
        channels = ((self.fold, 1),)
        by_group = self.depthwise and self.fold > 1
        loops = (*taps, (1, 0), *channels, *windows) if by_group else (*channels, *taps, *windows, (1, 0))
        parameters = {
            kernel.SW_INPUTS: self.height * self.width * self.fold,
            kernel.SW_BUFFER: self.buffer(constants),
            kernel.SW_SPAN: self.window_words,
            kernel.SW_WORDS: self.taps * (1 if by_group else self.fold),
            kernel.SW_DELAY: constants.window.store_cycles - 1,
        }
        parameters |= _loops(kernel.SW_SIZES, kernel.SW_STEPS, loops)
        return Row(kernel.SERIAL, parameters, registers={kernel.SW_NEWEST: -1})

    def _parallel_row(self) -> Row:
        _, _, right, below = self._steps()
        first = self.window_words - self.fold
        parameters = {kernel.PW_INPUTS: self.height * self.width * self.fold, kernel.PW_FIRST: first}
        loops = ((self.fold, 1), (self.outputs[1], right), (self.outputs[0], below))
        parameters |= _loops(kernel.PW_SIZES, kernel.PW_STEPS, loops)
        return Row(kernel.PARALLEL, parameters, registers={kernel.PW_NEWEST: -1, kernel.PW_CURRENT: first})


def _loops(sizes: int, steps: int, loops: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Columns of loops, innermost first."""
    columns: dict[int, int] = {}
    for position, (size, step) in enumerate(loops):
        columns |= {sizes + position: size, steps + position: step}
    return columns


@dataclass(frozen=True)
class Matrix(Block):
    """A matrix of `rows` x `columns` times `vectors` vectors a frame, `simd` columns by `pe` rows a cycle.

    `per_channel` is the vector unit of depthwise layers: `rows` channels, `columns` taps, a vector a channel.
    """

    columns: int
    rows: int
    simd: int
    pe: int
    vectors: int
    core: Core = "dsp48"
    segment_inputs: int = 0
    per_channel: bool = False

    def __post_init__(self) -> None:
        _divides(self.simd, self.columns, "SIMD into MW")
        _divides(self.pe, self.rows, "PE into MH")

    @property
    def input_fold(self) -> int:
        return self.columns // self.simd

    @property
    def output_fold(self) -> int:
        return self.rows // self.pe

    def words(self, arriving: int) -> int:
        groups = self.output_fold if self.per_channel else 1
        _exactly(arriving, self.vectors * self.input_fold * groups, "vectors x MW / SIMD")
        return self.vectors * self.output_fold

    def latency(self, constants: StreamBlocks) -> int:
        """Cycles from the last word of a vector to its result."""
        matrix = constants.matrix
        if self.core == "dsp48":
            return matrix.dsp48_latency_cycles
        chain = ceil_div(self.simd, matrix.dsp58_inputs)
        return max(1, matrix.dsp58_latency_cycles + ceil_div(chain, self.segment_inputs or chain))

    def row(self, constants: StreamBlocks) -> Row:
        matrix, latency = constants.matrix, self.latency(constants)
        parameters = {
            kernel.MU_LENGTH: self.input_fold,
            kernel.MU_LATENCY: latency,
            kernel.MU_OUTPUTS: matrix.output_words,
        }
        if self.per_channel or self.output_fold == 1:
            return Row(kernel.DIRECT, parameters, latency)
        words = max(self.input_fold, matrix.replay_least_words)
        parameters |= {
            kernel.MU_REPEATS: self.output_fold,
            kernel.MU_BUFFER: 1 << (words - 1).bit_length() if matrix.replay_power_of_two else words,
            kernel.MU_DELAY: matrix.replay_latency_cycles - 2,
        }
        return Row(kernel.REPLAY, parameters, latency)


@dataclass(frozen=True)
class Threshold(Block):
    """Activation and requantisation of `frame_words` words a frame to `bits` bits."""

    frame_words: int
    bits: int

    def words(self, arriving: int) -> int:
        _exactly(arriving, self.frame_words, "npix C / PE")
        return arriving

    def row(self, constants: StreamBlocks) -> Row:
        stages = self.bits + constants.threshold.latency_cycles - 2
        most = self.bits + constants.threshold.inside_words
        return Row(kernel.THRESHOLD, {kernel.TH_STAGES: stages, kernel.TH_MOST: most}, stages)


@dataclass(frozen=True)
class Padding(Block):
    """Adds (top, left, bottom, right) pixels of `fold` words each round a map."""

    height: int
    width: int
    fold: int
    pads: tuple[int, int, int, int]

    def words(self, arriving: int) -> int:
        _exactly(arriving, self.height * self.width * self.fold, "H W C / SIMD")
        top, left, bottom, right = self.pads
        return (self.height + top + bottom) * (self.width + left + right) * self.fold

    def row(self, constants: StreamBlocks) -> Row:
        top, left, bottom, right = self.pads
        parameters = {
            kernel.PD_WORDS: self.fold,
            kernel.PD_COLUMNS: self.width + left + right,
            kernel.PD_ROWS: self.height + top + bottom,
            kernel.PD_LEFT: left,
            kernel.PD_RIGHT: left + self.width,
            kernel.PD_TOP: top,
            kernel.PD_BOTTOM: top + self.height,
            kernel.PD_AHEAD: int(constants.padding.ahead),
        }
        return Row(kernel.PADDING, parameters)


@dataclass(frozen=True)
class Fifo(Block):
    """A queue of `depth` words."""

    depth: int

    def row(self, constants: StreamBlocks) -> Row:
        delay = constants.fifo.latency_cycles - 1
        return Row(kernel.FIFO, {kernel.FF_DEPTH: self.depth, kernel.FF_DELAY: delay})


@dataclass(frozen=True)
class Converter(Block):
    """Words of `in_bits` to words of `out_bits`, one a whole multiple of the other."""

    in_bits: int
    out_bits: int

    def __post_init__(self) -> None:
        narrow, wide = sorted((self.in_bits, self.out_bits))
        _divides(narrow, wide, "a width converter's narrower word into its wider one")

    def words(self, arriving: int) -> int:
        if arriving * self.in_bits % self.out_bits:
            raise InputError(f"{arriving:,} words of {self.in_bits} bits are no whole words of {self.out_bits} bits")
        return arriving * self.in_bits // self.out_bits

    def row(self, constants: StreamBlocks) -> Row:
        if self.in_bits == self.out_bits:
            return Row(kernel.WIRE, {})
        if self.in_bits < self.out_bits:
            return Row(kernel.WIDEN, {kernel.WC_RATIO: self.out_bits // self.in_bits})
        return Row(kernel.NARROW, {kernel.WC_RATIO: self.in_bits // self.out_bits})


@dataclass(frozen=True)
class Fork(Block):
    """Copies every word to all outputs, each of which may take it when it can."""

    arity: ClassVar[tuple[int, int]] = (1, -1)

    def row(self, constants: StreamBlocks) -> Row:
        return Row(kernel.FORK, {})


@dataclass(frozen=True)
class Join(Block):
    """Combines a word of each input to one."""

    arity: ClassVar[tuple[int, int]] = (-1, 1)

    def row(self, constants: StreamBlocks) -> Row:
        return Row(kernel.JOIN, {})


@dataclass(frozen=True)
class Tap(Block):
    """A fork to a forwarded stream and a tapped one, both registered, the second through a skid buffer."""

    arity: ClassVar[tuple[int, int]] = (1, 2)

    def row(self, constants: StreamBlocks) -> Row:
        return Row(kernel.TAP, {})
