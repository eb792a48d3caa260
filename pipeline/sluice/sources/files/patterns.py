"""Patterns of file names, with one meaning on disks and in buckets, matched name by name in linear time.

`*` is any text, `?` any character, `[ab]`, `[a-z]` and `[!a]` one of a set, all within one name. `**` is any text that
may cross folders; as a whole name it is also no folder at all. There is no escape and no `{a,b}`: a file whose name
has such characters is named literally, see `listing.find_files`.

Wildcards leave out hidden and temporary names; see `is_left_out`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import TypeAlias

States: TypeAlias = frozenset[int]
"""How far a pattern has been matched by the names of a path so far; empty: no path that begins so can match."""

_REMOTE = ("gs", "s3")
_WILDCARDS = re.compile(r"[*?\[]")
_STARS = re.compile(r"\*{3,}")
_TEMPORARY_NAMES = frozenset(
    {"_SUCCESS", "_metadata", "_common_metadata", "_temporary", "_spark_metadata", "_delta_log", "_log.json"}
)
_TEMPORARY_PREFIXES = ("_committed_", "_started_")
_TEMPORARY_SUFFIXES = (".crc", ".tmp", "._COPYING_")


def is_left_out(name: str, pattern: str = "") -> bool:
    """Return whether folders and wildcards leave out a name, because it is hidden or belongs to an unfinished write.

    Left out are names that begin with a dot; what Hadoop, Spark and Delta Lake write beside data (`_SUCCESS`,
    `_metadata`, `_committed_…`, `_temporary`, `_delta_log`, …); Sluice's own `_log.json`; and names that end in
    `.crc`, `.tmp` or `._COPYING_`. A pattern that itself begins with the dot or `_`, or has the ending, matches them.
    """
    if name.startswith("."):
        return not pattern.startswith(".")
    if name in _TEMPORARY_NAMES or name.startswith(_TEMPORARY_PREFIXES):
        return not pattern.startswith("_")
    return any(name.endswith(suffix) and not pattern.endswith(suffix) for suffix in _TEMPORARY_SUFFIXES)


def scheme_of(url: str) -> str:
    """Return `gs`, `s3`, or `file` for all that lies on a local disk."""
    scheme = url.partition("://")[0]
    return scheme if scheme in _REMOTE else "file"


def split_pattern(path: str) -> tuple[str, str]:
    """Return the folder that holds all matches of a pattern, without wildcards, and the pattern below it.

    The folder ends with its slash, or is ''. Without wildcards the pattern is the name of the file.
    """
    wildcard = _WILDCARDS.search(path)
    slash = path.rfind("/", 0, wildcard.start() if wildcard else len(path))
    return path[: slash + 1], path[slash + 1 :]


def literal_start(pattern: str) -> str:
    """Return what stands before the first wildcard."""
    wildcard = _WILDCARDS.search(pattern)
    return pattern[: wildcard.start()] if wildcard else pattern


class Pattern:
    """A pattern of paths as a state machine that reads one name after the other.

    Every path below a folder matches `**`.
    """

    start: States = frozenset({0})

    def __init__(self, text: str) -> None:
        """Compile a pattern such as `2026-*/**/order_?.json`, relative to a folder."""
        self._edges: list[list[tuple[Callable[[str], bool], int]]] = [[]]
        self._deep: set[int] = set()
        self._final = 0
        for name in _STARS.sub("**", text).split("/"):
            if name == "**":
                self._deep.add(self._final)
            else:
                self._final = self._add_name(self._final, name.split("**"))
        if self._final in self._deep:
            end = self._new_state()
            self._edges[self._final].append((_matcher("*"), end))
            self._final = end

    def _new_state(self) -> int:
        self._edges.append([])
        return len(self._edges) - 1

    def _add_name(self, state: int, parts: list[str]) -> int:
        """Add a name whose `parts` have `**` between them; return the state behind it.

        `a**b` is the name `a*b`, or a name `a*`, any folders, and a name `*b`.
        """
        states = [state, *(self._new_state() for _ in parts)]
        for first, source in enumerate(states[:-1]):
            if first:
                self._deep.add(source)
            for last in range(first, len(parts)):
                text = "*".join(parts[first : last + 1])
                text = f"{'*' if first else ''}{text}{'*' if last + 1 < len(parts) else ''}"
                self._edges[source].append((_matcher(text), states[last + 1]))
        return states[-1]

    def step(self, states: States, name: str) -> States:
        """Return the states after one more name of a path."""
        following = {target for state in states for matches, target in self._edges[state] if matches(name)}
        if not self._deep.isdisjoint(states) and not is_left_out(name):
            following |= self._deep.intersection(states)
        return frozenset(following)

    def is_match(self, states: States) -> bool:
        """Return whether the path that led to `states` matches."""
        return self._final in states

    def matches(self, path: str) -> bool:
        """Return whether a whole path matches."""
        states = self.start
        for name in path.split("/"):
            states = self.step(states, name)
        return self.is_match(states)


def _matcher(pattern: str) -> Callable[[str], bool]:
    if not _WILDCARDS.search(pattern):
        return pattern.__eq__
    match = re.compile(fnmatch.translate(pattern)).match

    def matches(name: str) -> bool:
        return match(name) is not None and not is_left_out(name, pattern)

    return matches
