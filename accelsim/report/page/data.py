"""Tables of a page that are sorted and filtered there: as data, drawn by the page's own script."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from pydantic import BaseModel

from accelsim.report import report as parts
from accelsim.report.compare import Run
from accelsim.report.cost import AreaRow, RooflineRow
from accelsim.report.page.elements import tag
from accelsim.report.resource_rows import ResourceRow
from accelsim.report.statistics import StatisticsRow
from accelsim.report.tables import printable

if TYPE_CHECKING:
    import polars as pl

#: Tables of a report with their titles and the model that says what their columns mean.
TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "buffers": ("Buffers, a row an edge", parts.BufferRow),
    "stages": ("Stages, cycles a frame", parts.StageRow),
    "segments": ("Segments", parts.Segment),
    "traffic": ("Traffic, bytes a frame at the ports of memories", parts.TrafficRow),
    "memories": ("Memories, bytes a frame", parts.MemoryRow),
    "virtual_maps": ("Maps whose channels are pooled", parts.VirtualMapRow),
    "array": ("Layers on the systolic array", parts.ArrayRow),
    "roofline": ("Roofline", RooflineRow),
    "resources": ("FPGA primitives", ResourceRow),
    "area": ("Area", AreaRow),
    "statistics": ("Ranges and zeros of the layers' numbers", StatisticsRow),
}
#: Columns that another says already.
LEFT_OUT = ("producer", "consumer")


def report_data(body: parts.Body) -> list[Element]:
    """Every table of a report that has rows; energy by layer."""
    report, found = parts.Report(body), []
    for name, (title, model) in TABLES.items():
        meanings = {key: field.description or "" for key, field in model.model_fields.items()}
        found.append(data_table(title, getattr(report, name), meanings))
    if report.energy.height:
        found.append(data_table("Energy a frame by layer, pJ", energy_by_layer(report.energy)))
    return [table for table in found if table is not None]


def energy_by_layer(energy: pl.DataFrame) -> pl.DataFrame:
    """Picojoules a frame, a row a layer and a column a kind of access."""
    import polars as pl

    wide = energy.pivot("part", index="layer", values="energy_pj", aggregate_function="sum", maintain_order=True)
    return wide.select("layer", pl.sum_horizontal(pl.exclude("layer")).alias("in all"), pl.exclude("layer"))


def compared_buffers(runs: Sequence[Run]) -> Element | None:
    """Peak bytes of every edge, a column a run; with two runs what changes."""
    import polars as pl

    edges = {row.edge: row.role for run in runs for row in run.body.buffers}
    peaks = [{row.edge: row.peak_bytes for row in run.body.buffers} for run in runs]
    columns: dict[str, list[Any]] = {"edge": [*edges], "role": [*edges.values()]}
    columns |= {f"{run.label} (B)": [found.get(edge) for edge in edges] for run, found in zip(runs, peaks, strict=True)}
    if len(runs) == 2:
        columns["change (B)"] = [peaks[1].get(edge, 0) - peaks[0].get(edge, 0) for edge in edges]
    return data_table("Buffers of all runs, peak bytes", pl.DataFrame(columns, strict=False))


def data_table(title: str, table: pl.DataFrame, meanings: Mapping[str, str] | None = None) -> Element | None:
    """A table as data, without columns that are empty; None where it has no rows."""
    import polars as pl

    if not table.height:
        return None
    told = [name for name in table.columns if name not in LEFT_OUT and table[name].null_count() < table.height]
    columns = [
        {
            "name": printable(name),
            "help": (meanings or {}).get(name, ""),
            "text": table.schema[name] == pl.String,
            "values": [printable(cell) if isinstance(cell, str) else cell for cell in table[name].to_list()],
        }
        for name in told
    ]
    data = tag("script", json_text({"rows": table.height, "columns": columns}), type="application/json")
    return tag("details", tag("summary", f"{title} ({table.height:,})"), data, class_="data")


def json_text(data: Any) -> str:
    """JSON without a character that could end the element it is in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&"})
