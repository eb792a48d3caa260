"""Job files, contracts and command lines as nobody should write them, made from those of this repository."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from sluice.cli.commands import build_parser

from devservers.tools import ROOT

JOBS = sorted(path for path in (ROOT / "jobs").glob("*.yaml"))
CONTRACTS = sorted((ROOT / "schemas").rglob("*.odcs.yaml"))

ODD_TEXTS = (
    "", " ", "\t", "a\nb", "\x00", "\x1b[31m", "\u202e", "\ud800", "[bold]x[/]", "null", "true", "..", "/", "-", "--",
    "*", "**/*", "[", "[::1", "%", "%zz", "${", "${HOME}", "${NOT_SET_HERE}", "a=b", "=", ",", "é", "x" * 5_000,
    "9" * 400, "9" * 5_000, "-1", "0", "1e999", "nan", "0x10", "1:1:1", "2025-02-30", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00", "99999999999d", "0s", "10s", "7d", "500/s", "1%", "://", "x://", "file:", "file:///",
    "sqlite://", "sqlite:///a/b", "duckdb:///x?y=z", "kafka://", "kafka://h/t?group=", "pubsub://x", "s3://", "gs://",
    "bigquery://", "postgresql://[::1", "mongodb://a/b@c", "http://", "https://[", "dead-letters:", "contract=", "(",
    "contract=nowhere", "code=enum", "code=", "HEAD", "9090", "0.0.0.0:99999", "^(a+)+$", "(?<x>a)", "a{99999}",
)  # fmt: skip
"""Texts that are wrong somewhere."""

odd_texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)

odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**99), 2**63, 0])
    | st.floats()
    | st.dates()
    | st.datetimes()
    | odd_texts,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(odd_texts, values, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each member, at any depth."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, member in members:
        yield (*path, key)
        yield from _places(member, (*path, key))


def _replace(parent: Any, key: Any, draw: Callable[..., Any]) -> None:
    parent[key] = draw(odd_values)


def _delete(parent: Any, key: Any, _draw: Callable[..., Any]) -> None:
    del parent[key]


def _rename(parent: Any, key: Any, draw: Callable[..., Any]) -> None:
    if isinstance(parent, dict):
        parent[draw(odd_texts)] = parent.pop(key)


def _repeat(parent: Any, key: Any, _draw: Callable[..., Any]) -> None:
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))


def _add(parent: Any, _key: Any, draw: Callable[..., Any]) -> None:
    if isinstance(parent, dict):
        parent[draw(odd_texts)] = draw(odd_values)


CHANGES = (_replace, _replace, _replace, _delete, _rename, _repeat, _add)


@st.composite
def changed_documents(draw: Callable[..., Any], files: Sequence[Path], changes: Any = CHANGES) -> bytes:
    """Return a file of ours in which one to three values, keys or items are others."""
    document = yaml.safe_load(draw(st.sampled_from(files)).read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(document))
        if not places:
            break
        *parents, key = draw(st.sampled_from(places))
        parent = document
        for name in parents:
            parent = parent[name]
        draw(st.sampled_from(changes))(parent, key, draw)
    text = yaml.safe_dump(document, allow_unicode=draw(st.booleans()), sort_keys=False)
    return str(text).encode("utf-8", "backslashreplace")


@st.composite
def changed_bytes(draw: Callable[..., Any], files: Sequence[Path]) -> bytes:
    """Return a file of ours in which a range of bytes is replaced."""
    data: bytes = draw(st.sampled_from(files)).read_bytes()
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 40)))
    new: bytes = draw(
        st.binary(max_size=6)
        | st.sampled_from([b"\t", b"\r", b"&a ", b"*a", b"<<: ", b"!!x ", b"\n", b"- ", b"? "])
    )
    return data[:start] + new * int(draw(st.sampled_from([1, 1, 1, 1, 2, 500]))) + data[end:]


yaml_texts = st.text(alphabet="ab:-?[]{}&*!|>'\"%@`#,~<= \n\t\\0129.\u00e9", max_size=60).map(str.encode)


def files_like(files: Sequence[Path]) -> st.SearchStrategy[bytes]:
    """Return texts that are nearly such files, and some that are nothing like it."""
    likely = changed_documents(files) | changed_bytes(files)
    return likely | likely | likely | yaml_texts | st.binary(max_size=60)


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    [commands] = [
        action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(commands.choices)


@st.composite
def command_lines(draw: Callable[..., Any], job: str) -> list[str]:
    """Return a command with flags of its own, whichever it has, with odd values; `job` is a job file that is right."""
    name = draw(st.sampled_from(sorted(commands())))
    values = odd_texts.filter(lambda text: "\0" not in text and _encodes(text))
    line: list[str] = []
    for action in commands()[name]._actions:
        flags = action.option_strings
        if isinstance(action, argparse._HelpAction) or action.dest == "debug":
            continue
        if not flags and draw(st.integers(0, 9)):
            line.append(job if action.dest == "job" and draw(st.integers(0, 4)) else draw(values))
        elif flags and not draw(st.integers(0, 4)):
            flag = draw(st.sampled_from(flags))
            line.append(flag if action.nargs == 0 else f"{flag}={draw(values)}")
    if not draw(st.integers(0, 9)):
        line.insert(draw(st.integers(0, len(line))), draw(values))
    return [name, *draw(st.permutations(line))]


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
