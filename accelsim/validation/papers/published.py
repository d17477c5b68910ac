"""Our figure beside a published one, with what has to be known to judge it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from accelsim.validation.comparison import Comparison, Row
from accelsim.validation.papers.lines import STATUSES, Status


@dataclass(frozen=True, kw_only=True)
class Published(Row):
    """`measured` is what is published, `predicted` ours.

    `bound_by` is what holds a frame up longest, `shares` the shares of its time by what holds it up, and `moved_bytes`
    what passes the off-chip memory in it.
    """

    status: Status
    source: str
    assumption: str
    bound_by: str | None = None
    shares: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    moved_bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a plain row does not have."""
        return {
            "status": self.status,
            "assumption": self.assumption,
            "source": self.source,
            "bound_by": self.bound_by,
            "shares": dict(self.shares),
            "moved_bytes": self.moved_bytes,
        }


@dataclass(frozen=True)
class PublishedFigures(Comparison):
    """All figures, in the order of their papers."""

    rows: tuple[Published, ...]

    @property
    def statuses(self) -> dict[str, int]:
        """How many figures have each status."""
        count: Counter[str] = Counter(row.status for row in self.rows)
        return {status: count[status] for status in STATUSES}

    def to_dict(self) -> dict[str, Any]:
        """Rows and summary as plain data."""
        plain = super().to_dict()
        plain["rows"] = [row | published.to_dict() for row, published in zip(plain["rows"], self.rows, strict=True)]
        plain["summary"]["statuses"] = self.statuses
        return plain


def longest(shares: Mapping[str, float]) -> str | None:
    """What has the largest share."""
    return max(shares, key=lambda name: shares[name], default=None)
