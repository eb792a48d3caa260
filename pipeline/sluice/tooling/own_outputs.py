"""Whether the source of a job holds what the job itself writes: such a job would read its own output again.

Paths decide, since on the first run nothing is written yet. On a local disk links are followed as well.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.contracts.reserved import OWN_TABLES
from sluice.elements import DEAD_LETTER, QUARANTINE, REDELIVERY, SOURCE_FILE
from sluice.eventlog.paths import segment_file
from sluice.eventlog.source_manifest import FOLDER
from sluice.sources import parse_source
from sluice.sources.files.connector import GcsFilesConnector, LocalFilesConnector, S3FilesConnector
from sluice.sources.files.patterns import Pattern, States, scheme_of, split_pattern
from sluice.warehouses import parse_warehouse

_MAX_ENTRIES = 10_000
"""Entries of the source's folders that are searched for links; more would delay the start of every run."""

_YEARS = tuple(f"{year:04d}" for year in range(1970, 2101))
_TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))

_ANY = ("x",)
"""A level whose names do not matter."""

_ALL = Pattern("**")


@dataclass(frozen=True, slots=True)
class _Output:
    """What a job writes at `place`: a file, or files below it, with one of these names at each level."""

    what: str
    place: str
    levels: tuple[tuple[str, ...], ...] = ()


def find_own_output(job: Job) -> str | None:
    """Return what the source of `job` holds of the job's own output, as `the event log out/files`; None: nothing."""
    if not isinstance(parse_source(job.source), LocalFilesConnector | S3FilesConnector | GcsFilesConnector):
        return None
    source = job.source.reveal()
    outputs = [output for output in _outputs(job) if scheme_of(output.place) == scheme_of(source)]
    if scheme_of(source) == "file":
        reaches = list(_local_reaches(source.removeprefix("file://")))
        outputs = [_Output(output.what, os.path.realpath(output.place), output.levels) for output in outputs]
    else:
        reaches = [_Reach(source.rstrip("/")), _reach_of_pattern(source)]
    return next((output.what for output in outputs if any(reach.holds(output) for reach in reaches)), None)


def _outputs(job: Job) -> Iterator[_Output]:
    types = tuple(job.contracts)
    dead_letters, redelivery = job.dead_letters, job.dead_letters.child(REDELIVERY)
    quarantine = job.quarantine or job.dead_letters.child(QUARANTINE)
    manifest = job.files.child(FOLDER)
    yield _Output(f"the event log {job.files}", _place(job.files), (types, *_minute(*types)))
    yield _Output(f"the manifest of sources {manifest}", _place(manifest), _minute(SOURCE_FILE))
    for what, url, name in (
        ("the dead letters", dead_letters, DEAD_LETTER),
        ("the redelivery log", redelivery, REDELIVERY),
        ("the quarantine", quarantine, DEAD_LETTER),
    ):
        yield _Output(f"{what} {url}", _place(url), _minute(name))
    warehouse = parse_warehouse(job.warehouse)
    path = getattr(warehouse, "path", None)
    if isinstance(path, str):  # DuckDB and SQLite
        what = f"the warehouse {warehouse.url}"
        yield _Output(what, os.path.abspath(path))
        if "duckdb" in warehouse.schemes:
            tables = (
                *(contract.table for contract in job.contracts.values()),
                *("_segments", *OWN_TABLES),
            )
            yield _Output(what, str(Path(path).absolute().with_suffix("")), (tables, _ANY, ("x.parquet",)))


def _minute(*types: str) -> tuple[tuple[str, ...], ...]:
    """Return the names of the folders of a minute and of segments in them; of their times only the year varies."""
    files = tuple(segment_file(f"{name}_{year}01010000", 1) for name in types for year in _YEARS)
    return (_YEARS, *[_TWO_DIGITS] * 4, files)


def _place(url: Url) -> str:
    text = url.reveal()
    return os.path.abspath(text.removeprefix("file://")) if scheme_of(text) == "file" else text.rstrip("/")


@dataclass(frozen=True, slots=True)
class _Reach:
    """The files below `folder` that `pattern` matches, of which `states` are matched; by default all files."""

    folder: str
    pattern: Pattern = _ALL
    states: States = Pattern.start

    def holds(self, output: _Output) -> bool:
        """Tell whether files of an output can be among them."""
        if output.place == self.folder and not output.levels:
            return True
        place, top, states = f"{output.place}/", f"{self.folder.rstrip('/')}/", self.states
        levels = output.levels
        if place.startswith(top):
            names = place[len(top) : -1]
            levels = (*((name,) for name in names.split("/") if name), *levels)
        elif top.startswith(place):  # in a folder that the job writes, or beside those
            inside = top[len(place) : -1].split("/")
            folders = zip(inside, levels[:-1], strict=False)
            if any(name not in level and level != _ANY for name, level in folders):
                return False
            levels = levels[len(inside) :]
            if not levels:  # the source is one file of it
                return True
        else:
            return False
        for names_of_level in levels:
            states = frozenset().union(*(self.pattern.step(states, name) for name in names_of_level))
        return self.pattern.is_match(states)


def _reach_of_pattern(source: str) -> _Reach:
    folder, pattern = split_pattern(source)
    return _Reach(folder.rstrip("/"), Pattern(pattern))


def _local_reaches(source: str) -> Iterator[_Reach]:
    """Yield what a path names, and where links lead that it crosses."""
    if os.path.isdir(source):
        reach = _Reach(os.path.realpath(source))
    elif os.path.lexists(source):
        yield _Reach(os.path.realpath(source))
        return
    else:
        yield _Reach(os.path.realpath(source))
        reach = _reach_of_pattern(os.path.abspath(source))
        reach = _Reach(os.path.realpath(reach.folder), reach.pattern)
    yield reach
    waiting, entries = deque([reach]), 0
    while waiting:
        reach = waiting.popleft()
        for entry in _entries(reach.folder):
            entries += 1
            if entries > _MAX_ENTRIES:
                return
            states = reach.pattern.step(reach.states, entry.name)
            if states and entry.is_symlink():
                yield _Reach(os.path.realpath(entry.path), reach.pattern, states)
            elif states and entry.is_dir():
                waiting.append(_Reach(entry.path, reach.pattern, states))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # the source reports it
        return []
