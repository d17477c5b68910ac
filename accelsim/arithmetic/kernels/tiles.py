"""Register-blocked products for the processor at hand, written as LLVM instructions.

A tile is `rows` output points by `vectors` times `lanes` output channels, kept in registers. Operands lie packed: of
an input point's window, `segments` runs of `steps` words of 32 bits, each of four values of 8 bits or two of 16; of
the weights, a word for every lane, step by step. Every form gives the same sums as `portable_tile`.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Values = NDArray[Any]

BYTE, WORD, ADDRESS = ir.IntType(8), ir.IntType(32), ir.IntType(64)


#: Digest of all that instructions are made from.
SOURCE = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


class Form(NamedTuple):
    """An instruction that multiplies and adds within words: its LLVM name and the types it takes."""

    instruction: str
    lanes: int
    bits: int
    adds: bool

    @property
    def depth(self) -> int:
        """Values of a word."""
        return 32 // self.bits


VNNI_512 = Form("llvm.x86.avx512.vpdpbusd.512", 16, 8, True)
VNNI_256 = Form("llvm.x86.avx512.vpdpbusd.256", 8, 8, True)
PAIRS_512 = Form("llvm.x86.avx512.pmaddw.d.512", 16, 16, False)
PAIRS_256 = Form("llvm.x86.avx2.pmadd.wd", 8, 16, False)
PAIRS_128 = Form("llvm.x86.sse2.pmadd.wd", 4, 16, False)


def multiply_add(builder: Any, form: Form, total: Any, first: Any, second: Any) -> Any:
    """`total` plus the products within each word of `first` and `second`, vectors of words."""
    words = ir.VectorType(WORD, form.lanes)
    if form.adds:
        kind = ir.FunctionType(words, [words] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, form.instruction)
        return builder.call(function, [total, first, second])
    halves = ir.VectorType(ir.IntType(16), 2 * form.lanes)
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(words, [halves] * 2), form.instruction)
    pairs = [builder.bitcast(value, halves) for value in (first, second)]
    return builder.add(total, builder.call(function, pairs))


def kept_in_cache(made: Any, *key: Any) -> Any:
    """`made`, known to numba's cache on disk by `key` and the text of this folder rather than by a random number.

    Functions made here differ by what they enclose, which the cache tells apart by these names. So does whoever links
    them: processes count what they compile, each from 1, and what two of them left on disk may meet in a third.
    """
    name = " ".join(map(str, key))
    made._set_uuid(f"accelsim {SOURCE} {name}")
    if hasattr(made, "py_func"):
        made.py_func.__qualname__ = f"{made.py_func.__qualname__} {name}"
    return made


def kept(made: Any) -> Any:
    """The same for functions of a module, by their names, which are found within functions that are made."""
    interpreted = not hasattr(made, "_set_uuid")
    return made if interpreted else kept_in_cache(made, made.__name__)


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def load(builder: Any, address: Any, kind: Any) -> Any:
    return builder.load(pointer(builder, address, kind), align=1)


def splat(builder: Any, value: Any, lanes: int) -> Any:
    vector = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(WORD, 0))
    zeros = ir.Constant(ir.VectorType(WORD, lanes), [0] * lanes)
    return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)


def rounded_words(builder: Any, lanes: int, sums: Any, scale: Any, least: Any, most: Any, zero: Any) -> Any:
    """Words clamp(round half even(float(sums) * scale)) + zero, the clamp before the rounding."""
    value = builder.fmul(builder.sitofp(sums, ir.VectorType(ir.FloatType(), lanes)), scale)
    value = builder.select(builder.fcmp_ordered(">", value, least), value, least)
    value = builder.select(builder.fcmp_ordered("<", value, most), value, most)
    # Adding 1.5 * 2^23 leaves the integer, rounded half to even, in the low bits.
    magic = splat(builder, ir.Constant(ir.FloatType(), 12582912.0), lanes)
    bits = builder.bitcast(builder.fadd(value, magic), ir.VectorType(WORD, lanes))
    whole = builder.sub(bits, splat(builder, ir.Constant(WORD, 0x4B400000), lanes))
    return builder.add(whole, zero)


def _accumulate(builder: Any, form: Form, rows: int, vectors: int, at: dict[str, Any]) -> list[list[Any]]:
    """Emits the sums of a tile; they are in the returned stack slots, which LLVM keeps in registers."""
    words = ir.VectorType(WORD, form.lanes)
    width = form.lanes * 4
    sums = [[cgutils.alloca_once(builder, words) for _ in range(vectors)] for _ in range(rows)]
    for vector in range(vectors):
        bias = load(builder, builder.add(at["bias"], ADDRESS(vector * width)), words)
        for row in range(rows):
            builder.store(bias, sums[row][vector])
    points = [load(builder, builder.add(at["points"], ADDRESS(8 * row)), ADDRESS) for row in range(rows)]
    bases = [builder.add(at["source"], point) for point in points]
    weights = cgutils.alloca_once_value(builder, at["weights"])
    with cgutils.for_range(builder, at["segments"]) as outer:
        offset = load(builder, builder.add(at["offsets"], builder.mul(outer.index, ADDRESS(8))), ADDRESS)
        starts = [builder.add(base, offset) for base in bases]
        with cgutils.for_range(builder, at["steps"]) as inner:
            here = builder.load(weights)
            taps = [load(builder, builder.add(here, ADDRESS(v * width)), words) for v in range(vectors)]
            builder.store(builder.add(here, ADDRESS(vectors * width)), weights)
            along = builder.mul(inner.index, ADDRESS(4))
            for row in range(rows):
                value = splat(builder, load(builder, builder.add(starts[row], along), WORD), form.lanes)
                for vector in range(vectors):
                    slot = sums[row][vector]
                    builder.store(multiply_add(builder, form, builder.load(slot), value, taps[vector]), slot)
    return sums


#: What a tile is told: addresses and byte counts, then how sums become bytes.
NAMES = (
    "source", "points", "offsets", "segments", "steps", "weights", "bias", "out", "stride", "scale", "least", "most",
    "zero",
)  # fmt: skip
SIGNATURE = types.void(*[types.intp] * 10, types.float32, types.float32, types.int32)


def tile_of(form: Form, rows: int, vectors: int, whole: bool) -> Any:
    """A tile that writes its sums as words (`whole`), or bytes requantised with a multiplier a channel.

    `stride` is in bytes from point to point of the output; `scale` and what follows it is for bytes only.
    """
    write = _write_words if whole else _write_bytes

    @intrinsic
    def tile(
        typing_context: Any, source: Any, points: Any, offsets: Any, segments: Any, steps: Any, weights: Any,
        bias: Any, out: Any, stride: Any, scale: Any, least: Any, most: Any, zero: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = dict(zip(NAMES, arguments, strict=True))
            write(builder, form, at, _accumulate(builder, form, rows, vectors, at))
            return context.get_dummy_value()

        return SIGNATURE, generate

    return kept_in_cache(tile, "tile", form.instruction, rows, vectors, whole)


def _write_words(builder: Any, form: Form, at: dict[str, Any], sums: list[list[Any]]) -> None:
    words = ir.VectorType(WORD, form.lanes)
    for row, line in enumerate(sums):
        start = builder.add(at["out"], builder.mul(at["stride"], ADDRESS(row)))
        for vector, slot in enumerate(line):
            place = builder.add(start, ADDRESS(vector * form.lanes * 4))
            builder.store(builder.load(slot), pointer(builder, place, words), align=1)


def _write_bytes(builder: Any, form: Form, at: dict[str, Any], sums: list[list[Any]]) -> None:
    limits = [splat(builder, at[name], form.lanes) for name in ("least", "most", "zero")]
    kind = ir.VectorType(BYTE, form.lanes)
    for vector in range(len(sums[0])):
        scale_at = builder.add(at["scale"], ADDRESS(vector * form.lanes * 4))
        factor = load(builder, scale_at, ir.VectorType(ir.FloatType(), form.lanes))
        for row, line in enumerate(sums):
            words = rounded_words(builder, form.lanes, builder.load(line[vector]), factor, *limits)
            start = builder.add(at["out"], builder.mul(at["stride"], ADDRESS(row)))
            place = builder.add(start, ADDRESS(vector * form.lanes))
            builder.store(builder.trunc(words, kind), pointer(builder, place, kind), align=1)


#: Points of a depthwise tile.
DEPTHWISE_ROWS = 4
#: Instructions that narrow two vectors to one, by lanes: 32 to 16 bits and 16 to 8, both saturating.
NARROWING = {
    16: ("llvm.x86.avx512.packssdw.512", "llvm.x86.avx512.packuswb.512"),
    8: ("llvm.x86.avx2.packssdw", "llvm.x86.avx2.packuswb"),
    4: ("llvm.x86.sse2.packssdw.128", "llvm.x86.sse2.packuswb.128"),
}
VNNI_128 = Form("llvm.x86.avx512.vpdpbusd.128", 4, 8, True)


def _interleaved(builder: Any, first: Any, second: Any, upper: bool) -> Any:
    """Elements of two vectors in turn, from the lower or upper half of every 128 bits, as unpack instructions do.

    An element of one and its neighbour of the other are one element, twice as wide, of the result.
    """
    count, bits = first.type.count, first.type.element.width
    each = 128 // bits
    start = each // 2 if upper else 0
    indices = [
        index for k in range(0, count, each) for i in range(k + start, k + start + each // 2)
        for index in (i, count + i)
    ]  # fmt: skip
    mixed = builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(WORD, count), indices))
    return builder.bitcast(mixed, ir.VectorType(ir.IntType(2 * bits), count // 2))


def _words_of_taps(builder: Any, taps: list[Any]) -> list[Any]:
    """As many vectors of words as `taps` (two or four), each word one channel at all of them, in `depthwise_order`."""
    if len(taps) == 1:
        return taps
    firsts, seconds = (_words_of_taps(builder, half) for half in (taps[: len(taps) // 2], taps[len(taps) // 2 :]))
    return [
        _interleaved(builder, one, other, upper)
        for one, other in zip(firsts, seconds, strict=True)
        for upper in (False, True)
    ]


def depthwise_tile_of(form: Form, rows: int, whole: bool) -> Any:
    """Products of every channel with its own taps, for `depth` * lanes channels of `rows` points.

    `segments` counts groups of `depth` taps, `offsets` holds that of each tap; weights, bias and scale lie in the order
    `depthwise_order` of the channels. `steps` is not used.
    """
    write = _write_channel_words if whole else _write_channel_bytes

    @intrinsic
    def tile(
        typing_context: Any, source: Any, points: Any, offsets: Any, segments: Any, steps: Any, weights: Any,
        bias: Any, out: Any, stride: Any, scale: Any, least: Any, most: Any, zero: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = dict(zip(NAMES, arguments, strict=True))
            write(builder, form, at, _accumulate_channels(builder, form, rows, at))
            return context.get_dummy_value()

        return SIGNATURE, generate

    return kept_in_cache(tile, "depthwise", form.instruction, rows, whole)


def _accumulate_channels(builder: Any, form: Form, rows: int, at: dict[str, Any]) -> list[list[Any]]:
    words, width, depth = ir.VectorType(WORD, form.lanes), form.lanes * 4, form.depth
    channels = ir.VectorType(ir.IntType(form.bits), form.lanes * depth)
    sums = [[cgutils.alloca_once(builder, words) for _ in range(depth)] for _ in range(rows)]
    for vector in range(depth):
        bias = load(builder, builder.add(at["bias"], ADDRESS(vector * width)), words)
        for row in range(rows):
            builder.store(bias, sums[row][vector])
    points = [load(builder, builder.add(at["points"], ADDRESS(8 * row)), ADDRESS) for row in range(rows)]
    bases = [builder.add(at["source"], point) for point in points]
    with cgutils.for_range(builder, at["segments"]) as loop:
        here = builder.add(at["weights"], builder.mul(loop.index, ADDRESS(depth * width)))
        weights = [load(builder, builder.add(here, ADDRESS(v * width)), words) for v in range(depth)]
        table = builder.add(at["offsets"], builder.mul(loop.index, ADDRESS(8 * depth)))
        offsets = [load(builder, builder.add(table, ADDRESS(8 * tap)), ADDRESS) for tap in range(depth)]
        for row in range(rows):
            taps = [load(builder, builder.add(bases[row], offset), channels) for offset in offsets]
            for vector, value in enumerate(_words_of_taps(builder, taps)):
                slot = sums[row][vector]
                builder.store(multiply_add(builder, form, builder.load(slot), value, weights[vector]), slot)
    return sums


def _write_channel_bytes(builder: Any, form: Form, at: dict[str, Any], sums: list[list[Any]]) -> None:
    limits = [splat(builder, at[name], form.lanes) for name in ("least", "most", "zero")]
    width = form.lanes * 4
    reals = ir.VectorType(ir.FloatType(), form.lanes)
    factors = [load(builder, builder.add(at["scale"], ADDRESS(v * width)), reals) for v in range(form.depth)]
    low_byte = splat(builder, ir.Constant(WORD, 255), form.lanes)
    for row, line in enumerate(sums):
        made = [
            builder.and_(rounded_words(builder, form.lanes, builder.load(slot), factor, *limits), low_byte)
            for slot, factor in zip(line, factors, strict=True)
        ]
        place = builder.add(at["out"], builder.mul(at["stride"], ADDRESS(row)))
        narrow = _narrowed(builder, form.lanes, made)
        builder.store(narrow, pointer(builder, place, narrow.type), align=1)


def _narrowed(builder: Any, lanes: int, words: list[Any]) -> Any:
    """Two or four vectors of words from 0 to 255 as one of bytes, in the order the channels had at first."""
    to_halves, to_bytes = NARROWING[lanes]
    vector, halves = ir.VectorType(WORD, lanes), ir.VectorType(ir.IntType(16), 2 * lanes)
    pack = cgutils.get_or_insert_function(builder.module, ir.FunctionType(halves, [vector] * 2), to_halves)
    pairs = [builder.call(pack, words[k : k + 2]) for k in range(0, len(words), 2)]
    if len(pairs) == 1:
        return builder.trunc(pairs[0], ir.VectorType(BYTE, 2 * lanes))
    kind = ir.FunctionType(ir.VectorType(BYTE, 4 * lanes), [halves] * 2)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, to_bytes), pairs)


def _write_channel_words(builder: Any, form: Form, at: dict[str, Any], sums: list[list[Any]]) -> None:
    quarter = ir.VectorType(WORD, 4)
    for row, line in enumerate(sums):
        start = builder.add(at["out"], builder.mul(at["stride"], ADDRESS(row)))
        for vector, slot in enumerate(line):
            value = builder.load(slot)
            for part in range(form.lanes // 4):
                taken = ir.Constant(ir.VectorType(WORD, 4), [4 * part + k for k in range(4)])
                piece = builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), taken)
                place = builder.add(start, ADDRESS(4 * (form.depth * part + vector) * 4))
                builder.store(piece, pointer(builder, place, quarter), align=1)


def depthwise_order(form: Form) -> NDArray[np.int64]:
    """Channel of every word of a depthwise tile's vectors."""
    depth = form.depth
    vector, part, word = np.meshgrid(np.arange(depth), np.arange(form.lanes // 4), np.arange(4), indexing="ij")
    return (4 * (depth * part + vector) + word).reshape(-1)


@njit(cache=True, nogil=True)
def portable_tile(source: Values, points: Values, offsets: Values, steps: int, depth: int, weights: Values,
                  bias: Values, sums: Values) -> None:  # fmt: skip
    """What a tile computes: sums (points, channels) of packed weights (segments, steps, channels, depth).

    Offsets are in elements of `source`, which is flat.
    """
    for row in range(points.size):
        for channel in range(bias.size):
            total = np.int64(bias[channel])
            for segment in range(offsets.size):
                for step in range(steps):
                    start = points[row] + offsets[segment] + step * depth
                    for k in range(depth):
                        total += np.int64(source[start + k]) * np.int64(weights[segment, step, channel, k])
            sums[row, channel] = total


@njit(cache=True, nogil=True)
def portable_depthwise_tile(source: Values, points: Values, offsets: Values, weights: Values, bias: Values,
                            sums: Values) -> None:  # fmt: skip
    """What a depthwise tile computes: sums (points, channels) of weights (taps, channels)."""
    for row in range(points.size):
        for channel in range(bias.size):
            total = np.int64(bias[channel])
            for tap in range(offsets.size):
                total += np.int64(source[points[row] + offsets[tap] + channel]) * np.int64(weights[tap, channel])
            sums[row, channel] = total
