"""Which lines given to an append have the deduplication key of a stored line, and other content.

Such a line is a duplicate, and not a copy: something in it would be lost if it were dropped. Content is compared only
where lines with the same key differ in their bytes, so an append without duplicates pays nothing for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sluice.elements import Segment
from sluice.eventlog.minute_folders import MinuteFolder
from sluice.validation.content import ContentFunction


@dataclass(frozen=True, slots=True)
class Conflict:
    """A line that was not stored, since `segment` has its key with other content; contents are hashes, 16 bytes."""

    index: int
    """Of the line, among those given to the append."""
    key: bytes
    content: bytes
    stored_content: bytes
    segment: str
    """Address of the segment."""


class ConflictFinder:
    """Compares the lines of one append with the segments of their folder, one segment at a time.

    A line conflicts with the stored line of its key if its content is another. Without `content_of` none does.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        lines: Sequence[bytes],
        first: Mapping[bytes, bytes],
        content_of: ContentFunction | None,
    ) -> None:
        """`keys` are those of `lines`, and `first` has the first line of each key."""
        self._keys, self._lines, self._first = keys, lines, first
        self._content_of = content_of
        self._suspects: dict[bytes, tuple[bytes, str]] = {}
        """Key -> the stored line, from which a given one differs in its bytes, and the address of its segment."""
        self._varying = frozenset[bytes]()
        """Keys whose given lines differ in their bytes."""
        if content_of is not None and len(first) < len(lines):
            self._varying = frozenset(
                key for key, line in zip(keys, lines, strict=True) if first[key] != line
            )
        self._compared: set[int] = set()

    def compare(self, number: int, segment: Segment, keys: Sequence[bytes]) -> None:
        """Compare with the lines of a stored segment, and `keys` of them."""
        self._compared.add(number)
        if self._content_of is None:
            return
        first, varying = self._first, self._varying
        self._suspects |= {
            key: (stored, segment.path)
            for key, stored in zip(keys, segment.lines, strict=True)
            if first.get(key, stored) != stored or key in varying
        }

    def compare_new(self, segment: Segment, keys: Iterable[bytes]) -> None:
        """Compare with a new segment, which has the first line of each of `keys`."""
        if self._varying:
            varying = self._varying.intersection(keys)
            self._suspects |= {key: (self._first[key], segment.path) for key in varying}

    def to_read(self, folder: MinuteFolder) -> dict[int, set[bytes]]:
        """Return the numbers of the segments to compare with yet, and the keys of given lines in each."""
        to_read: dict[int, set[bytes]] = defaultdict(set)
        if self._content_of is None:
            return to_read
        numbers = folder.numbers
        if not numbers.keys().isdisjoint(self._first):
            for key in self._first:
                if key in numbers and numbers[key] not in self._compared:
                    to_read[numbers[key]].add(key)
        return to_read

    def copies(self, segment: Segment, keys: Iterable[bytes]) -> bool:
        """Tell whether all given lines with `keys` are in a segment as they are: then there is nothing to compare."""
        stored = frozenset(segment.lines)
        return all(key not in self._varying and self._first[key] in stored for key in keys)

    def conflicts(self) -> tuple[Conflict, ...]:
        """Return the conflicts, in the order of the lines."""
        if self._content_of is None:
            return ()
        stored_contents = {key: self._content_of(stored) for key, (stored, _) in self._suspects.items()}
        if not stored_contents:
            return ()
        conflicts = []
        for index, (key, line) in enumerate(zip(self._keys, self._lines, strict=True)):
            if key in stored_contents and (content := self._content_of(line)) != stored_contents[key]:
                path = self._suspects[key][1]
                conflicts.append(Conflict(index, key, content, stored_contents[key], path))
        return tuple(conflicts)
