"""What all figures have in common: colours, panels, legends, and files that are the same for the same figure.

Matplotlib is loaded here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from accelsim.errors import InputError
from accelsim.report.facts import takes_turns
from accelsim.report.report import Body
from accelsim.report.tables import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that also those tell apart who see fewer (Okabe and Ito, "Color Universal Design", 2008).
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "red": "#D55E00",
    "grey": "#999999",
}
#: Colour and dash of one curve after another: told apart in black and white as well.
CURVES = tuple(
    (PALETTE[colour], dash) for dash in ("-", "--", ":") for colour in ("blue", "red", "green", "orange", "pink", "sky")
)
STYLE: Any = {
    "svg.hashsalt": "accelsim",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "legend.fontsize": 8,
    "savefig.dpi": 150,
}
#: Metadata that would differ from run to run, by file format.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}
#: Letters of a legend in an inch, and letters that the mark of each label takes.
LABELS_AN_INCH, LABEL_MARK = 15, 8


def thousands(value: float, _position: float) -> str:
    return f"{value:,.10g}"


def short(name: str, longest: int = 44) -> str:
    """A name that leaves room for the figure; a dollar sign would start mathematics."""
    short = name if len(name) <= longest else f"...{name[3 - longest :]}"
    return printable(short).replace("$", r"\$")


def time_axis(clock_hz: int) -> str:
    """The name of an axis of time."""
    return f"time (cycles at {clock_hz / 10**6:,g} MHz)"


def span_title(body: Body, cycles: int) -> str:
    """What a figure over time shows of a run."""
    if not body.throughput.steady:
        return f"the first {cycles:,} cycles"
    return f"a {'round' if takes_turns(body) else 'period'} of {cycles:,} cycles"


def by_ratios(panel: Axes, *names: Literal["x", "y"]) -> None:
    """Makes axes logarithmic, with plain numbers on them."""
    from matplotlib.ticker import LogLocator, NullLocator

    for name in names:
        panel.set(**{f"{name}scale": "log"})
        axis = panel.xaxis if name == "x" else panel.yaxis
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(thousands)


def styled() -> AbstractContextManager[None]:
    from matplotlib import rc_context

    return rc_context(STYLE)


def panels_of(count: int, size: tuple[float, float], sharex: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    wide = size[0] if count <= 2 else size[0] * 0.65
    figure = Figure(figsize=(wide * count + 1.6, size[1]), layout="constrained")
    panels = figure.subplots(1, count, sharex=sharex, sharey=True, squeeze=False)
    if count > 2:
        for panel in panels[0]:
            panel.xaxis.get_major_locator().set_params(nbins=4)
    return figure, list(panels[0])


def matrix_of(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """Panels in rows, each with a scale of its own upwards."""
    from matplotlib.figure import Figure

    wide = size[0] if columns <= 2 else size[0] * 0.65
    figure = Figure(figsize=(wide * columns + 1.6, size[1] * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, sharex="col", sharey="row", squeeze=False)
    return figure, [list(row) for row in panels]


def finish(figure: Figure, panels: Sequence[Axes], subjects: Sequence[str], columns: int | None = None) -> None:
    """What all panels show above them, and one legend below, every look once; long names get a line each."""
    wide = columns or len(panels)
    figure.suptitle(short("; ".join(dict.fromkeys(subjects)), 100 * wide), x=0.01, ha="left")
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    room = figure.get_figwidth() * LABELS_AN_INCH
    most = int(room // (max(map(len, found), default=0) + LABEL_MARK))
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=max(1, min(most, 4)))


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure into an .svg, .png or .pdf file, so that the same figure gives the same bytes.

    Raises `InputError` for any other file.
    """
    target = Path(path)
    kind = target.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise InputError(f"{target}: a figure's file ends in {', '.join(f'.{name}' for name in METADATA)}")
    with styled():
        figure.savefig(target, format=kind, metadata=METADATA[kind])
