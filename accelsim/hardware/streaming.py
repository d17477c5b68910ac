"""Streaming blocks: the timing of the modules that a streaming library builds a layer from.

Every constant is a field, so that another library, or another version of one, is another section of a
machine file. What a field does not say is how the blocks are built: registered outputs, words handed over by
valid and ready, frames one after the other.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Core = Literal["dsp48", "dsp58"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowBlock(_Section):
    """Sliding-window generator: keeps the rows a window needs and sends windows word by word, or whole."""

    store_cycles: int = Field(
        default=1, ge=1, le=32, description="cycles from taking a word until it can be sent (serial)"
    )
    stride_room: bool = Field(
        default=True,
        description="whether the serial buffer has room for the pixels that a stride skips, so that they come in "
        "while a window is sent: max(0, S-1 - KH KW) and max(0, (S-1) W - KH KW) pixels",
    )


class MatrixBlock(_Section):
    """Matrix-vector unit, and vector-vector unit for depthwise layers: SIMD inputs by PE outputs a cycle."""

    dsp48_latency_cycles: int = Field(
        default=5, ge=1, le=1024, description="from the last word of a vector to its result"
    )
    dsp58_latency_cycles: int = Field(
        default=2,
        ge=0,
        le=1024,
        description="the same for a chain of DSP58s, to which each segment of the chain adds one",
    )
    dsp58_inputs: int = Field(
        default=3, ge=1, le=1024, description="inputs of one DSP58; ceil(SIMD / this) make a chain"
    )
    replay_latency_cycles: int = Field(
        default=2, ge=2, le=32, description="through the buffer that repeats a vector for every group of outputs"
    )
    replay_power_of_two: bool = Field(
        default=True, description="whether that buffer's words are rounded up to a power of two"
    )
    replay_least_words: int = Field(default=2, ge=1, le=2**20, description="least words of that buffer")
    output_words: int = Field(
        default=2, ge=1, le=1024, description="results held at the output; the pipeline stands still while it is full"
    )


class ThresholdBlock(_Section):
    """Activation and requantisation to N bits by comparisons, one stage a bit."""

    latency_cycles: int = Field(default=2, ge=2, le=1024, description="beyond one cycle a bit")
    inside_words: int = Field(default=3, ge=1, le=1024, description="most words inside, beyond one a bit")


class PaddingBlock(_Section):
    """Feature-map padding."""

    ahead: bool = Field(
        default=True, description="whether a frame's first padding is sent before its first word has come"
    )


class FifoBlock(_Section):
    """Queue between two blocks."""

    latency_cycles: int = Field(default=1, ge=1, le=32, description="from a word's coming to its being offered")
    least_depth: int = Field(default=2, ge=1, le=2**30, description="least words that one can be built for")


class TapBlock(_Section):
    """Registered fork to two readers as rows and pixels see it; word by word its registers are built in."""

    first_cycles: int = Field(default=1, ge=0, le=32, description="from taking a word to the first reader's having it")
    second_cycles: int = Field(default=2, ge=0, le=32, description="the same for the second reader")
    words: int = Field(
        default=3,
        ge=1,
        le=1024,
        description="held for the second reader where they come back to back, one less where they come apart",
    )
    late_cycles: int = Field(
        default=1, ge=0, le=32, description="by which a word that waits for room there takes longer to see it"
    )


class StreamBlocks(_Section):
    """All blocks of a streaming library, and what a layer is made of where a mapping does not say."""

    window: WindowBlock = Field(default=WindowBlock(), description="sliding-window generator")
    matrix: MatrixBlock = Field(default=MatrixBlock(), description="matrix-vector and vector-vector units")
    threshold: ThresholdBlock = Field(default=ThresholdBlock(), description="activation and requantisation")
    padding: PaddingBlock = Field(default=PaddingBlock(), description="feature-map padding")
    fifo: FifoBlock = Field(default=FifoBlock(), description="queues")
    fork: Literal["combinational", "registered"] = Field(
        default="combinational",
        description="what hands a word to several readers: wires, or where there are two a register for both and a "
        "queue of three words before the second",
    )
    tap: TapBlock = Field(default=TapBlock(), description="registered forks")
    core: Core = Field(default="dsp48", description="multipliers of dense layers; depthwise ones are made of DSP58s")
    segment_inputs: int = Field(
        default=0, ge=0, le=2**20, description="DSP58s of a chain between registers; 0 for the whole chain"
    )
    fifo_depth: int | None = Field(
        default=None,
        ge=0,
        le=2**30,
        description="words of a buffer whose capacity no mapping gives; without a value as many as come, 0 for none",
    )
    idle_cycles: int = Field(
        default=20_000, ge=1, le=10**9, description="cycles without any transfer after which a run is stuck for ever"
    )
