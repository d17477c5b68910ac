"""What survives: parts of the table written whole or not at all, and a manifest of what they are parts of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from accelsim.errors import InputError
from accelsim.json_text import json_text
from accelsim.report.folder import versions
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.study import Speed

MANIFEST, TABLE, PARTS = "sweep.json", "table.parquet", "parts"
VERSION = 1

Kind = Literal["sweep", "search"]


@dataclass(frozen=True)
class Store:
    """A folder with a sweep in it."""

    folder: Path

    def has(self, speed: Speed, number: int) -> bool:
        """Whether a part is there, whole."""
        return self._part(speed, number).is_file()

    def write(self, speed: Speed, number: int, rows: pl.DataFrame) -> None:
        """Puts a part in place. Raises `OSError` where the disk does not take it, and leaves nothing of it then."""
        write_whole(self._part(speed, number), rows)

    def read(self, speed: Speed, parts: int) -> pl.DataFrame:
        """All parts of one speed, in order."""
        return pl.concat([pl.read_parquet(self._part(speed, number)) for number in range(parts)]).rechunk()

    def finish(self, table: pl.DataFrame) -> None:
        """The table of the whole study."""
        write_whole(self.folder / TABLE, table)

    def _part(self, speed: Speed, number: int) -> Path:
        return self.folder / PARTS / speed / f"{number:06}.parquet"


def write_whole(path: Path, rows: pl.DataFrame) -> None:
    """`rows` as a Parquet file that is either all there, on the disk, or not there."""
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            rows.write_parquet(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def opened(folder: str | Path, plan: Plan, kind: Kind = "sweep") -> Store:
    """The folder for a sweep or a search: new, empty, or one that the same study was begun in, to go on there.

    Raises `InputError` where it holds anything else, another study or one of other versions.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is no folder; name one that is new, empty or an earlier sweep")
    manifest = {"kind": kind, **_manifest(plan)}
    if (place / MANIFEST).is_file():
        _check_same(place, manifest)
    elif place.is_dir() and any(place.iterdir()):
        raise InputError(f"{place}: is neither empty nor an earlier sweep; name another folder")
    for speed in plan.speeds:
        (place / PARTS / speed).mkdir(parents=True, exist_ok=True)
    if not (place / MANIFEST).is_file():
        unfinished = place / f"{MANIFEST}.unfinished"
        unfinished.write_text(json_text(manifest) + "\n", encoding="utf-8")
        unfinished.replace(place / MANIFEST)
    return Store(place)


def _manifest(plan: Plan) -> dict[str, Any]:
    return {
        "format": VERSION,
        "study": plan.file.model_dump(mode="json"),
        "seed": plan.file.seed,
        "points": plan.space.points,
        "files": plan.files,
        "fingerprint": plan.fingerprint,
        "versions": versions(),
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in a folder. Raises `InputError` where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder / MANIFEST}: {error.strerror}; expected a sweep's folder, as -o writes it") from None
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("kind") not in get_args(Kind):
        raise InputError(f"{folder / MANIFEST}: is no manifest of a sweep")
    return manifest


def read_table(folder: str | Path) -> pl.DataFrame:
    """The table of a sweep that has ended. Raises `InputError` where there is none."""
    place = Path(folder)
    read_manifest(place)
    try:
        return pl.read_parquet(place / TABLE)
    except (pl.exceptions.PolarsError, OSError):
        raise InputError(f"{place / TABLE}: not there; run the sweep with -o {place} again, it goes on") from None


#: What must be the same for a sweep to go on, and how it is told where it is not.
SAME = {
    "kind": "another kind",
    "fingerprint": "another study, or other files",
    "versions": "other versions",
    "format": "another format",
}


def _check_same(folder: Path, manifest: dict[str, Any]) -> None:
    earlier = read_manifest(folder)
    for name, what in SAME.items():
        if earlier.get(name) != manifest[name]:
            raise InputError(f"{folder}: holds a sweep or search of {what}; name another folder, or remove this one")
