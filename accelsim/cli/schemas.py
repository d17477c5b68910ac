"""JSON Schema of everything that is written as JSON or read as YAML."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator
from accelsim.mapping.mapping import MappingFile
from accelsim.report.attention_study import AttentionStudy
from accelsim.report.certified import Advised
from accelsim.report.compare import Comparison
from accelsim.report.inspection import AcceleratorInspection, NetworkInspection
from accelsim.report.report import Body
from accelsim.report.sizing import Sizing
from accelsim.report.trade import Trade
from accelsim.sweeps.study import StudyFile
from accelsim.sweeps.summary import SweepSummary

#: What `--json` prints, by the name its schema is asked for.
WRITTEN: dict[str, type[BaseModel]] = {
    "report": Body,
    "comparison": Comparison,
    "sizing": Sizing,
    "advice": Advised,
    "trade": Trade,
    "attention": AttentionStudy,
    "sweep": SweepSummary,
    "network-inspection": NetworkInspection,
    "accelerator-inspection": AcceleratorInspection,
}
#: Files that are read.
READ: dict[str, type[BaseModel]] = {"accelerator": Accelerator, "mapping": MappingFile, "study": StudyFile}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a `kind` in `WRITTEN` or `READ`; raises `InputError` for any other."""
    if kind in WRITTEN:
        return WRITTEN[kind].model_json_schema(mode="serialization")
    if kind in READ:
        return READ[kind].model_json_schema(mode="validation")
    raise InputError(f"schema {kind}: no such kind; use {', '.join((*WRITTEN, *READ))}")
