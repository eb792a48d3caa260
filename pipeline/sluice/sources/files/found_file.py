"""A file of a source, as it was found."""

from __future__ import annotations

from typing import NamedTuple


class FoundFile(NamedTuple):
    """A file that a pattern matches; `size` in bytes as stored, `modified` in epoch seconds, of the years 1 to 9999.

    `inode` identifies the file on a local disk: a file that replaces another one under its name has another.
    `copied_to` is where the content of a stream lies, see `streams`. `etag` is what an object store calls the content
    of an object: other content has another one.
    """

    uri: str
    size: int
    modified: float
    inode: int = 0
    copied_to: str = ""
    etag: str | None = None

    @property
    def path(self) -> str:
        """Where it can be opened."""
        return self.copied_to or self.uri

    @property
    def stored_size(self) -> int | None:
        """Its size, for the manifest: None of a stream, which is another one each time."""
        return None if self.copied_to else self.size
