"""Whether the files and folders of a local warehouse are still those that a run began with.

A process that has a deleted file open, or that makes a missing folder again, gets no error of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from sluice.errors import WarehouseError


@runtime_checkable
class LocalFiles(Protocol):
    """A warehouse whose tables are files on this machine."""

    def local_files(self, tables: Collection[str]) -> Collection[Path]:
        """Return the files and folders that must stay while a run loads into `tables`."""
        ...


@dataclass(frozen=True, slots=True)
class FilePresence:
    """Files and folders, and the device and inode of each: what replaces one has others."""

    inodes: Mapping[Path, tuple[int, int]]

    @classmethod
    def of(cls, warehouse: object, tables: Collection[str]) -> FilePresence:
        """Note those of a warehouse that has been prepared; none if its tables are no files."""
        paths = warehouse.local_files(tables) if isinstance(warehouse, LocalFiles) else ()
        inodes = {path: _inode(path) for path in paths}
        # A table that is not prepared, as the job does not load it, may be made by another run.
        return cls({path: inode for path, inode in inodes.items() if inode is not None})

    def check(self) -> None:
        """Check that all are there.

        Raises:
            WarehouseError: one was deleted or replaced, so that nobody knows what is loaded.

        """
        for path, inode in self.inodes.items():
            now = _inode(path)
            if now != inode:
                message = (
                    f"{path}: expected the warehouse that was there when the run started, got "
                    f"{'none' if now is None else 'another'}: it was deleted or replaced; restore it, or empty the "
                    "warehouse and run sluice load"
                )
                raise WarehouseError(message)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
