"""The common part of all stores: a root address, one-line errors, hidden names."""

from __future__ import annotations

from typing import TypeAlias

from sluice.errors import StorageError

Names: TypeAlias = list[str]
"""What `Store.list` returns; inside a store, `list` is that method."""


class Rooted:
    """A store below an address. Only the address is pickled: connections belong to one process."""

    def __init__(self, root: str) -> None:
        """`root` is the address; a slash at its end is removed."""
        self.root = root.rstrip("/") or "/"

    def __reduce__(self) -> tuple[type[Rooted], tuple[str]]:
        """Pickle the address alone: the copy makes its own connections."""
        return type(self), (self.root,)

    def __repr__(self) -> str:
        """Return the call that makes this store."""
        return f"{type(self).__name__}({self.root!r})"

    def url(self, path: str) -> str:
        """Return the full address of `path`; '' is the root."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root


def failure(store: Rooted, action: str, path: str, error: BaseException) -> StorageError:
    """Return the error of a failed action: `out/files/order: cannot write order_….json: No space left on device`."""
    folder, _, name = path.rpartition("/")
    message = f"{store.url(folder)}: cannot {' '.join(filter(None, (action, name)))}: {_reason(error)}"
    return StorageError(printable(message))


def printable(text: str) -> str:
    """Return a text with the names of files in one line: line feeds and other control characters are escaped."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def is_visible(path: str) -> bool:
    """Return whether no part of the path begins with a dot."""
    return not path.startswith(".") and "/." not in path


def _reason(error: BaseException) -> str:
    """Return the reason in one line; obstore appends a page for its own developers, which is cut off."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.partition("Debug source")[0].split()) or type(error).__name__
