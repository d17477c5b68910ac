"""Run folders: the inputs as used, the report, its tables and the versions, from which a run can be had again."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, NotModelled
from accelsim.json_text import json_text
from accelsim.report.bandwidth import Rates, rates_of
from accelsim.report.history import History, history_of
from accelsim.report.report import Body, Report

if TYPE_CHECKING:
    from accelsim.mapping.design import Design
    from accelsim.network.graph import Network
    from accelsim.report.attention_study import AttentionStudy
    from accelsim.report.sizing import Sized, Sizing
    from accelsim.report.trade import Trade
    from accelsim.report.ways_out import Way

#: The file that makes a folder a run folder.
MARK = "run.json"
NETWORK, ARRAYS, ACCELERATOR, MAPPING = "network.yaml", "network.npz", "accelerator.yaml", "mapping.yaml"
REPORT, VERSIONS = "report.json", "versions.json"
SIZES, LEAST_MAPPING, FULL_MAPPING = "sizes.json", "least.yaml", "full.yaml"
TRADE = "trade.json"
STUDY, STUDY_TABLE = "attention.json", "attention.parquet"
OCCUPANCY, ACTIVITY, BANDWIDTH = "occupancy.parquet", "activity.parquet", "bandwidth.parquet"
#: Tables of a report, each in a Parquet file of its name; without rows where memory is not modelled.
TABLES = (
    "buffers", "stages", "segments", "traffic", "memories", "bandwidth", "virtual_maps", "array",
    "energy", "area", "roofline", "statistics", "resources",
)  # fmt: skip
PACKAGES = ("accelsim", "numpy", "numba")
#: Firings at most of which what happens over time is kept; longer runs are simulated again where it is asked for.
MOST_FIRINGS_KEPT = 2**20

#: More than the report of any network that can be simulated.
LARGEST_JSON_BYTES = 2**30

Model = TypeVar("Model", bound=BaseModel)
Read = TypeVar("Read")


class Options(BaseModel):
    """How a run was simulated: what neither network, machine nor mapping says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["run"] = "run"
    granularity: Literal["row", "pixel", "word"]
    frames: int | None = Field(None, ge=1)


class RunNames(BaseModel):
    """The runs of a comparison, each in a folder of this name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["comparison"] = "comparison"
    runs: tuple[str, ...] = Field(min_length=1)


class SavedRun(NamedTuple):
    """A run folder: its name in tables, and where it is."""

    label: str
    folder: Path


def write_run(folder: str | Path, design: Design, report: Report, frames: int | None = None) -> None:
    """Writes a run folder; the same design and report give the same bytes.

    Weights are left out, since timing needs shapes only, unless which arrays are the same is part of the figures.
    Raises `InputError` where `folder` holds anything else than an earlier run, and leaves that alone.
    """
    from accelsim.mapping.mapping import mapping_text
    from accelsim.network.writers.yaml import write_yaml_network

    place = _claimed(folder, "run")
    for name in (ARRAYS, OCCUPANCY, ACTIVITY):
        (place / name).unlink(missing_ok=True)
    write_yaml_network(_without_idle_arrays(design.network), place / NETWORK)
    _write_yaml(place / ACCELERATOR, design.accelerator.model_dump(mode="json"))
    (place / MAPPING).write_text(mapping_text(design.mapping), encoding="utf-8")
    report.to_json(place / REPORT)
    for name in TABLES:
        getattr(report, name).write_parquet(place / f"{name}.parquet")
    _write_history(place, report)
    _write_json(place / VERSIONS, versions())
    granularity: Any = report.body.granularity
    _write_json(place / MARK, Options(granularity=granularity, frames=frames).model_dump())


def _write_history(place: Path, report: Report) -> None:
    """What happens over time, unless it is too long to keep or not known."""
    from accelsim.report.history import activity_table, occupancy_table

    if report.replay is None:
        return
    try:
        kept = report.replay(MOST_FIRINGS_KEPT)
    except (InputError, NotModelled):
        return
    occupancy_table(kept.held).write_parquet(place / OCCUPANCY)
    activity_table(kept.activity).write_parquet(place / ACTIVITY)


def _without_idle_arrays(net: Network) -> Network:
    bare = replace(net, parameters=MappingProxyType({}))
    return bare if bare.parameter_count == net.parameter_count else net


def write_comparison(folder: str | Path, names: Sequence[str]) -> list[Path]:
    """Makes a folder for runs that belong together; where each of them goes.

    Raises `InputError` where `folder` holds anything else than an earlier comparison.
    """
    place = _claimed(folder, "comparison")
    _write_json(place / MARK, RunNames(runs=tuple(names)).model_dump())
    return [place / name for name in names]


def write_study(folder: str | Path, study: AttentionStudy, ways: Sequence[Way]) -> None:
    """Writes a comparison's folder with a run a way out, and the study of all of them beside."""
    made = [(way.row.variant, way.design, way.report) for way in ways]
    runs = write_comparison(folder, [name for name, design, _ in made if design is not None])
    for place in runs:
        design, report = next((design, report) for name, design, report in made if name == place.name)
        assert design is not None
        assert report is not None
        write_run(place, design, report)
    _write_json(Path(folder) / STUDY, study.model_dump(mode="json"))
    study.table.write_parquet(Path(folder) / STUDY_TABLE)


def read_study(folder: str | Path) -> AttentionStudy:
    """The attention study in a folder. Raises `InputError` for any other folder."""
    from accelsim.report.attention_study import AttentionStudy

    path = Path(folder) / STUDY
    if not path.is_file():
        raise InputError(f"{path}: not there; accelsim attention NETWORK -o DIR writes it")
    return _checked(AttentionStudy, _read_json(path), path)


def write_sizes(folder: str | Path, sized: Sized) -> None:
    """Writes the sizes of all buffers, and mappings with the smallest and with those at full throughput.

    Raises `InputError` where `folder` holds anything else than earlier sizes.
    """
    from accelsim.mapping.mapping import mapping_text

    place = _claimed(folder, "sizing")
    _write_json(place / MARK, {"kind": "sizing"})
    _write_json(place / SIZES, sized.sizing.model_dump(mode="json"))
    for name, design in ((LEAST_MAPPING, sized.least), (FULL_MAPPING, sized.full)):
        (place / name).write_text(mapping_text(design.mapping), encoding="utf-8")


def read_sizes(folder: str | Path) -> Sizing:
    """The sizes in a folder. Raises `InputError` for any other folder."""
    from accelsim.report.sizing import Sizing

    path = Path(folder) / SIZES
    if not path.is_file():
        raise InputError(f"{path}: not there; accelsim size NETWORK -o DIR writes it")
    return _checked(Sizing, _read_json(path), path)


def write_trade(folder: str | Path, trade: Trade) -> None:
    """Writes multipliers against memory. Raises `InputError` where `folder` holds anything else than an earlier one."""
    place = _claimed(folder, "trade")
    _write_json(place / MARK, {"kind": "trade"})
    _write_json(place / TRADE, trade.model_dump(mode="json"))


def read_trade(folder: str | Path) -> Trade:
    """Multipliers against memory as a folder has them. Raises `InputError` for any other folder."""
    from accelsim.report.trade import Trade

    path = Path(folder) / TRADE
    if not path.is_file():
        raise InputError(f"{path}: not there; accelsim map NETWORK --objective buffering --curve -o DIR writes it")
    return _checked(Trade, _read_json(path), path)


def versions() -> dict[str, str]:
    """What the figures of a run may depend on besides its inputs."""
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}


def saved_runs(folder: str | Path) -> list[SavedRun]:
    """The run in a run folder, or all of a comparison's. Raises `InputError` for any other folder."""
    place = Path(folder)
    mark = _read_json(place / MARK)
    if mark.get("kind") == "run":
        return [SavedRun(place.name or str(place), place)]
    comparison = _checked(RunNames, mark, place / MARK)
    names = [name for name in comparison.runs if Path(name).name != name]
    if names:
        raise InputError(f"{place / MARK}: runs: {', '.join(names)} is no name of a folder in {place}")
    return [SavedRun(name, place / name) for name in comparison.runs]


def labelled_runs(folders: Sequence[str | Path]) -> list[SavedRun]:
    """The runs of several folders, under names that tell them apart: paths where two folders are named alike."""
    runs = [run for folder in folders for run in saved_runs(folder)]
    if len({run.label for run in runs}) == len(runs):
        return runs
    return [SavedRun(str(run.folder), run.folder) for run in runs]


def is_run_folder(path: str | Path) -> bool:
    return (Path(path) / MARK).is_file()


def load_reports(folder: str | Path) -> dict[str, Report]:
    """The reports in a folder written by `-o`, by the names of its runs; as many as it compares, or one.

    Raises `InputError` for any other folder.
    """
    return {run.label: read_report(run.folder) for run in saved_runs(folder)}


def read_report(folder: Path) -> Report:
    """The report in a run folder."""
    body = _checked(Body, _read_json(folder / REPORT), folder / REPORT)
    return Report(body, read_rates(folder), replay=partial(_read_history, folder))


def read_rates(folder: Path) -> tuple[Rates, ...]:
    """What passed each memory over time, as a run folder holds it."""
    return _of_tables(rates_of, folder / BANDWIDTH)


def _read_history(folder: Path, most_firings: int | None) -> History:
    """As the folder holds it, or simulated again from its inputs where that was too long to keep."""
    from accelsim.report.history import history

    if (folder / OCCUPANCY).is_file():
        return _of_tables(history_of, folder / OCCUPANCY, folder / ACTIVITY)
    design, options = read_design(folder)
    return history(design, options.granularity, None, options.frames, most_firings)


def _of_tables(made: Callable[..., Read], *paths: Path) -> Read:
    """What is `made` of the tables in some files."""
    import polars as pl

    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: not there; simulate with -o again, which writes it")
    try:
        return made(*map(pl.read_parquet, paths))
    except (pl.exceptions.PolarsError, OSError, ValueError, TypeError, IndexError) as error:
        cause = (str(error).splitlines() or [""])[0]
        raise InputError(f"{paths[-1]}: not readable as {paths[-1].stem} over time ({cause})") from None


def read_versions(folder: Path) -> dict[str, str]:
    """The versions that a run folder was made with, by package."""
    path = folder / VERSIONS
    found = _read_json(path)
    if not all(isinstance(value, str) for value in found.values()):
        raise InputError(f"{path}: expected a version, as text, for every package")
    return found


def read_design(folder: Path) -> tuple[Design, Options]:
    """The design that a run folder was made from, and how it was simulated."""
    from accelsim.hardware.accelerator import load_accelerator
    from accelsim.mapping.design import bind
    from accelsim.mapping.mapping import read_mapping
    from accelsim.network.load import load_network

    options = _checked(Options, _read_json(folder / MARK), folder / MARK)
    accelerator = load_accelerator(folder / ACCELERATOR)
    return bind(load_network(folder / NETWORK), accelerator, read_mapping(folder / MAPPING)), options


def _claimed(folder: str | Path, kind: str) -> Path:
    """The folder, made if need be, once it is sure that nothing but a run of the same kind is in it."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{place}: is no folder; name one that is new, empty or an earlier {kind}")
    if place.is_dir() and any(place.iterdir()):
        earlier = _read_json(place / MARK).get("kind") if is_run_folder(place) else None
        if earlier != kind:
            raise InputError(f"{place}: is neither empty nor an earlier {kind}; name another folder")
    place.mkdir(parents=True, exist_ok=True)
    return place


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json_text(data) + "\n", encoding="utf-8")


def _write_yaml(path: Path, data: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    with path.open("w", encoding="utf-8") as stream:
        writer.dump(data, stream)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_JSON_BYTES:
            raise InputError(f"{path}: {path.stat().st_size:,} bytes; the most is {LARGEST_JSON_BYTES:,}")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; expected a run folder, as -o writes it") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected an object at the top")
    return data


def _checked(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {place}: {first['msg']} ({error.error_count()} problems in all)") from None
