"""Bytes as people read them."""

from __future__ import annotations

STEPS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(count: int) -> str:
    """Bytes with the unit that leaves few digits.

    >>> size_text(512), size_text(1536), size_text(44_064_768)
    ('512 B', '1.5 KiB', '42.0 MiB')
    """
    power = min((max(count, 1).bit_length() - 1) // 10, len(STEPS) - 1)
    return f"{count} B" if power == 0 else f"{count / 2 ** (10 * power):.1f} {STEPS[power]}"
