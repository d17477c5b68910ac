"""Ready studies by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from accelsim.errors import InputError
from accelsim.yaml_file import suggestion

FILE_KINDS = (".yaml", ".yml")


@cache
def registered_studies() -> Mapping[str, Path]:
    """Study files by name: those in the folder `studies` of every package that registers networks."""
    modules = sorted({point.module for point in entry_points(group="accelsim.workloads")})
    packages = [Path(place) for module in modules for place in _places(module)]
    files = [path for package in packages for path in (package / "studies").glob("*") if path.suffix in FILE_KINDS]
    return {path.stem: path for path in sorted(files)}


def _places(module: str) -> list[str]:
    """The folders of a package; none of a module that is a file."""
    found = find_spec(module)
    return list(found.submodule_search_locations or ()) if found is not None else []


def study_file(study: str | Path) -> Path:
    """The file of a registered study, or the file itself. Raises `InputError` for a name that is neither."""
    path, ready = Path(study), registered_studies()
    if str(study) in ready:
        return ready[str(study)]
    if path.suffix.lower() in FILE_KINDS or path.exists():
        return path
    raise InputError(f"study '{study}' is neither registered nor a file{suggestion(str(study), list(ready))}")
