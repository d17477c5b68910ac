"""What a figure shows: one report, or several beside each other under names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from accelsim.errors import InputError
from accelsim.report.report import Body, Report

#: A report, or reports by what their panels are called.
Runs = Report | Mapping[str, Report]
#: Panels at most, as many as fit a picture.
MOST_RUNS = 24


class Shown(NamedTuple):
    """A report with the name of its panel."""

    label: str
    report: Report

    @property
    def body(self) -> Body:
        return self.report.body

    @property
    def subject(self) -> str:
        """What was simulated on what."""
        return f"{self.body.network} on {self.body.accelerator}"


def shown(runs: Runs) -> list[Shown]:
    """What there is to show. Raises `InputError` for anything but reports, for none, and for too many."""
    named = runs if isinstance(runs, Mapping) else {runs.body.network: runs} if isinstance(runs, Report) else None
    if named is None or not all(isinstance(report, Report) for report in named.values()):
        wrong = runs if named is None else next(one for one in named.values() if not isinstance(one, Report))
        raise InputError(
            f"a {type(wrong).__name__} is no Report; simulate gives one, and load_reports those of a folder; "
            'several go beside each other as {"name": report, ...}'
        )
    if not 0 < len(named) <= MOST_RUNS:
        raise InputError(f"{len(named)} reports in one figure; it takes 1 to {MOST_RUNS}")
    return [Shown(str(label), report) for label, report in named.items()]
