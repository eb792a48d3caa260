"""The parts in which the manifest of a submitted job is written, as files beside its totals.

A part is fixed before it is appended to the manifest: whoever creates its file, create-only, says what it has. So it
has the same entries whoever appends them, how often, and how late, and the manifest takes each of them once. A part
whose writer died is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sluice.errors import ConfigError, StorageError
from sluice.provenance import Source
from sluice.source_tallies import SourceTally
from sluice.storage import open_store

_FOLDER = "manifest"
_OWNER = "manifest/run"
_DIGITS = 9


class Part(msgspec.Struct, frozen=True):
    """What the manifest has of each source with this part and those before it; `ended` is in epoch seconds."""

    ended: float
    tallies: list[tuple[str, int | None, SourceTally]]

    @classmethod
    def of(cls, sources: Mapping[Source, SourceTally], ended: float) -> Part:
        """Return the part with which the manifest has `sources`."""
        return cls(ended, [(*source, tally) for source, tally in sources.items()])

    @property
    def sources(self) -> dict[Source, SourceTally]:
        """The tally of each source."""
        return {Source(uri, partition): tally for uri, partition, tally in self.tallies}


class ManifestParts:
    """The parts of one run, numbered from 0."""

    def __init__(self, totals: str) -> None:
        """`totals` is the first folder of the run's totals."""
        self._store = open_store(totals)

    def count(self) -> int:
        """Return how many parts there are."""
        return sum(name.partition(".")[0].isdigit() for name in self._store.list(_FOLDER))

    def read(self, number: int) -> Part:
        """Return a part.

        Raises:
            StorageError: there is none, or it cannot be read.

        """
        path = self._path(number)
        try:
            return msgspec.json.decode(self._store.read(path), type=Part)
        except (msgspec.DecodeError, ValueError) as error:
            message = (
                f"{self._store.url(path)}: expected a part of a manifest, got {error}; the file was changed"
            )
            raise StorageError(message) from error

    def create(self, number: int, part: Part) -> None:
        """Create a part, unless somebody else has: the one that is there stays."""
        self._store.create(self._path(number), msgspec.json.encode(part))

    def _path(self, number: int) -> str:
        return f"{_FOLDER}/{number:0{_DIGITS}d}.json"


def claim_totals(url: str, run_id: str) -> None:
    """Note that the records of a totals folder are in the manifest of the run `run_id`.

    Raises:
        ConfigError: they are in that of another run.
        StorageError: it cannot be noted.

    """
    store = open_store(url)
    store.create(_OWNER, run_id.encode())
    owner = store.read(_OWNER).decode()
    if owner != run_id:
        message = (
            f"{url}: expected the folder of the run {owner} first, since the manifest has its records as those of that "
            f"run, got the one of {run_id} first; name the same folders as before, and further ones after them"
        )
        raise ConfigError(message)
