"""Reads YAML that people wrote, contracts and job files alike: strictly, within bounds, one line for each mistake.

A key that is given twice, a key that is no text, a tag, a text that no file can store, and a document that is much
larger than its file are mistakes; each is reported with its line.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from sluice.errors import ConfigError, quote

_MOST_BYTES = 16 * 1024 * 1024
_MOST_DEPTH = 100
_MOST_NODES_BY_ALIASES = 100_000
"""What aliases may add to a document: ten lines of them can stand for more nodes than any memory holds."""

_LARGEST = 10**100
"""Numbers are below this: Python prints no integer of more than 4,300 digits."""

_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_READ_OTHERWISE = re.compile(
    rb"[\t\r?]|[|>][-+0-9]*#|\xef\xbb\xbf|\xc2\x85|\xe2\x80[\xa8\xa9]"  # U+FEFF, U+0085, U+2028, U+2029
)
"""What libyaml takes, or reads as another value, where PyYAML's own parser sees a mistake."""


def read_yaml(path: str, error: type[ConfigError]) -> Any:
    """Return the document of the file at `path`, in UTF-8 or, with a byte order mark, UTF-16; None if it is empty.

    Raises:
        ConfigError: of the class `error`, naming file, line and column of the first mistake.
        OSError: the file cannot be read.

    """
    try:
        return _load(_read_bytes(path, error))
    except yaml.reader.ReaderError as mistake:
        problem = f"{mistake.reason} at position {mistake.position}"
        message = f"{path}: expected YAML in UTF-8, got a mistake: {problem}"
        raise error(message) from mistake
    except yaml.MarkedYAMLError as mistake:
        mark = mistake.problem_mark or mistake.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        message = f"{path}: {place}expected YAML, got a mistake: {mistake.problem}"
        raise error(message) from None  # the mistake quotes the line, which may hold a password


def read_mapping(path: str, kind: str, keys: str) -> dict[str, Any]:
    """Return the keys of the file at `path`; messages call it by its `kind`, such as `job file`, and name some `keys`.

    Raises:
        ConfigError: the file cannot be read, has a mistake, or holds no mapping.

    """
    try:
        document = read_yaml(path, ConfigError)
    except OSError as error:
        message = f"{path}: cannot read the {kind}: {error.strerror}"
        raise ConfigError(message) from error
    if not isinstance(document, dict):
        got = "nothing" if document is None else type(document).__name__
        message = f"{path}: expected a mapping of keys such as {keys}, got {got}"
        raise ConfigError(message)
    return document


def _read_bytes(path: str, error: type[ConfigError]) -> bytes:
    if "\0" in path:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    with Path(path).open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        message = f"{path}: expected at most {_MOST_BYTES >> 20} MiB of YAML, got more"
        raise error(message)
    return data


def _load(data: bytes) -> Any:
    if yaml.__with_libyaml__ and not _READ_OTHERWISE.search(data):
        try:
            return _document(_FastLoader(data))
        except (yaml.YAMLError, RecursionError):
            pass  # its mistakes have other words and places
    return _document(_Loader(data))


def _document(loader: Any) -> Any:
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Strict(Composer, SafeConstructor):
    """What PyYAML would drop, run or expand without a word is a mistake."""

    peek_event: Callable[[], Any]

    def __init__(self) -> None:
        self._depth = 0
        self._open: set[str] = set()
        """Anchors whose nodes are not complete: an alias to one of them would be a circle."""
        self._sizes: dict[int, int] = {}
        """Identity of a node -> how many nodes it stands for."""
        self._by_aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, which may be one that an alias names."""
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                _fail("the alias has no anchor; put a text that begins with * in quotes", mark)
            if event.anchor in self._open:
                _fail(f"the alias *{event.anchor} lies within its own anchor", mark)
            node = super().compose_node(parent, index)
            self._by_aliases += self._sizes[id(node)]
            if self._by_aliases > _MOST_NODES_BY_ALIASES:
                _fail(f"aliases stand for more than {_MOST_NODES_BY_ALIASES:,} values", mark)
            return node
        if event.tag is not None:
            _fail(f"the tag {quote(event.tag)} is not supported; remove it", mark)
        if self._depth == _MOST_DEPTH:
            _fail(f"values are nested more than {_MOST_DEPTH} deep", mark)
        self._depth += 1
        self._open.add(event.anchor)
        node = super().compose_node(parent, index)
        self._open.discard(event.anchor)
        self._depth -= 1
        self._sizes[id(node)] = 1 + sum(self._sizes[id(member)] for member in _members(node))
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Return a scalar, which can be written to a file."""
        node = super().compose_scalar_node(anchor)
        bad = _UNSTORABLE.search(node.value)
        if bad is not None:
            problem = f"the character U+{ord(bad[0]):04X} cannot be stored; remove it"
            _fail(problem, node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return a mapping whose keys are texts, each given once."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            mark = key.start_mark
            if key.tag not in (_TEXT, _MERGE):
                got = quote(key.value) if isinstance(key, yaml.ScalarNode) else f"a {key.id}"
                _fail(f"expected a text as key, got {got}; put it in quotes", mark)
            if key.value in lines:
                problem = (
                    f"the key {quote(key.value)} is given twice, first in line {lines[key.value]}; remove one"
                )
                _fail(problem, mark)
            lines[key.value] = mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; a number or a date that does not exist is a mistake."""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError):
            problem = f"{quote(node.value)} is no valid {node.tag.rpartition(':')[2]}"
            _fail(f"{problem}; put it in quotes", node.start_mark)
        if isinstance(value, int) and abs(value) >= _LARGEST:
            _fail("the number has more than 100 digits; put it in quotes", node.start_mark)
        return value


class _Loader(_Strict, yaml.SafeLoader):
    """Reads all in Python."""

    def __init__(self, data: bytes) -> None:
        yaml.SafeLoader.__init__(self, data)
        _Strict.__init__(self)


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _FastLoader(_Strict, CParser, Resolver):
        """Reads the events of a document in C, in a fifth of the time."""

        def __init__(self, data: bytes) -> None:
            CParser.__init__(self, data)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)
            _Strict.__init__(self)


def _fail(problem: str, mark: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _members(node: yaml.Node | None) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
