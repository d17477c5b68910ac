"""Which instructions the processor at hand has for products of integers."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba

from accelsim.arithmetic.kernels.tiles import PAIRS_128, PAIRS_256, PAIRS_512, VNNI_128, VNNI_256, VNNI_512, Form


class Instructions(NamedTuple):
    """Forms for 8-bit and for 16-bit values, and from widest to narrowest for depthwise layers; none where none."""

    name: str
    bytes: Form | None
    pairs: Form | None
    byte_channels: tuple[Form, ...] = ()
    pair_channels: tuple[Form, ...] = ()


PORTABLE = Instructions("portable", None, None)
AVX2 = Instructions("avx2", None, PAIRS_256, (), (PAIRS_256, PAIRS_128))
AVX512 = Instructions("avx512", None, PAIRS_512, (), (PAIRS_256, PAIRS_128))
AVX512_VNNI = Instructions("avx512-vnni", VNNI_512, PAIRS_512, (VNNI_512, VNNI_256, VNNI_128), (PAIRS_256, PAIRS_128))


@cache
def fuses() -> bool:
    """Whether a product and a sum are one instruction, rounded once."""
    return instructions() is not PORTABLE and "fma" in _features()


@cache
def instructions() -> Instructions:
    """The best there are; portable code where kernels are interpreted or compiled for a processor given by name."""
    if numba.config.DISABLE_JIT or numba.config.CPU_NAME:
        return PORTABLE
    has = _features()
    if {"avx512bw", "avx512vl", "avx512vnni"} <= has:
        return AVX512_VNNI
    if {"avx512f", "avx512bw"} <= has:
        return AVX512
    return AVX2 if "avx2" in has else PORTABLE


def _features() -> set[str]:
    from llvmlite import binding

    return {name for name, present in binding.get_host_cpu_features().items() if present}
