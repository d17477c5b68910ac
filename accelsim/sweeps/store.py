"""What survives: parts of the table written whole or not at all, and a manifest of what they are parts of."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import polars as pl

from accelsim.errors import InputError
from accelsim.json_text import json_text
from accelsim.report.folder import versions
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.study import Direction, Speed

if sys.platform != "win32":
    import fcntl

MANIFEST, TABLE, PARTS, LOCK = "sweep.json", "table.parquet", "parts", "sweep.lock"
UNFINISHED = f"{MANIFEST}.unfinished"
#: How long workers of a sweep that was killed may take to end.
ENDING_SECONDS = 5.0
VERSION = 1

Kind = Literal["sweep", "search"]


@dataclass(frozen=True)
class Store:
    """A folder with a sweep in it."""

    folder: Path

    def has(self, speed: Speed, number: int) -> bool:
        """Whether a part is there, whole."""
        try:
            pl.read_parquet_schema(self._part(speed, number))
        except (pl.exceptions.PolarsError, OSError):
            return False
        return True

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
    unfinished, text = path.with_suffix(".unfinished"), BytesIO()
    rows.write_parquet(text)
    try:
        with unfinished.open("wb") as file:
            file.write(text.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write that fails does not say of what
        raise
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def opened(folder: str | Path, plan: Plan, kind: Kind = "sweep") -> Iterator[Store]:
    """The folder for a sweep or a search: new, empty, or one that the same study was begun in, to go on there.

    Nobody else writes there meanwhile. Raises `InputError` where it holds anything else, another study or one of other
    versions, and where another sweep is at it.
    """
    place = Path(folder)
    _check_free(place)
    place.mkdir(parents=True, exist_ok=True)
    with _alone(place):
        _prepare(place, {"kind": kind, **_manifest(plan)})
        for speed in plan.speeds:
            (place / PARTS / speed).mkdir(parents=True, exist_ok=True)
        yield Store(place)


def _check_free(place: Path) -> None:
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is no folder; name one that is new, empty or an earlier sweep")
    begun = (LOCK, UNFINISHED)
    if place.is_dir() and not (place / MANIFEST).is_file() and any(path.name not in begun for path in place.iterdir()):
        raise InputError(f"{place}: is neither empty nor an earlier sweep; name another folder")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """While no other sweep has a folder; waits a little for workers of one that was killed."""
    if sys.platform == "win32":
        yield
        return
    with (place / LOCK).open("ab") as lock:
        end = time.monotonic() + ENDING_SECONDS
        while not _taken(lock):
            if time.monotonic() > end:
                raise InputError(f"{place}: another sweep is writing there; wait for it, or name another folder")
            time.sleep(0.1)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # copies of this process may still have it open


def _taken(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # file systems of some clusters have no locks
    return True


def _prepare(place: Path, manifest: dict[str, Any]) -> None:
    if (place / MANIFEST).is_file():
        _check_same(place, manifest)
        return
    (place / UNFINISHED).write_text(json_text(manifest) + "\n", encoding="utf-8")
    (place / UNFINISHED).replace(place / MANIFEST)


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
    if not _is_manifest(manifest):
        raise InputError(f"{folder / MANIFEST}: is no manifest of a sweep")
    found: dict[str, Any] = manifest
    return found


def _is_manifest(manifest: Any) -> bool:
    if not isinstance(manifest, dict) or manifest.get("kind") not in get_args(Kind):
        return False
    study, points = manifest.get("study"), manifest.get("points")
    if not isinstance(study, dict) or not isinstance(points, int):
        return False
    name, objectives = study.get("name"), study.get("objectives")
    directions = objectives.values() if isinstance(objectives, dict) else [None]
    return isinstance(name, str) and all(direction in get_args(Direction) for direction in directions)


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
