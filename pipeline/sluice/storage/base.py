"""What all stores share: an address that everything lies below, one-line errors, and what is hidden."""

from __future__ import annotations

from typing import TypeAlias

from sluice.errors import StorageError

Names: TypeAlias = list[str]
"""What `Store.list` returns; inside a store, `list` is that method."""


class Rooted:
    """A store below an address. It pickles as this address alone: connections belong to one process."""

    def __init__(self, root: str) -> None:
        """Keep the address without a slash at its end."""
        self.root = root.rstrip("/") or "/"

    def __reduce__(self) -> tuple[type[Rooted], tuple[str]]:
        """Leave connections behind: the copy makes its own."""
        return type(self), (self.root,)

    def __repr__(self) -> str:
        """Return the call that makes this store."""
        return f"{type(self).__name__}({self.root!r})"

    def url(self, path: str) -> str:
        """Return the full address of `path`; '' is the root."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root


def failure(store: Rooted, action: str, path: str, error: BaseException) -> StorageError:
    """Say what failed: `out/files/order: cannot write order_….json: No space left on device`."""
    folder, _, name = path.rpartition("/")
    return StorageError(
        f"{store.url(folder)}: cannot {' '.join(filter(None, (action, name)))}: {_reason(error)}"
    )


def is_visible(path: str) -> bool:
    """Tell whether no part of the path begins with a dot."""
    return not path.startswith(".") and "/." not in path


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line; obstore appends a page for its own developers, which is cut off."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.partition("Debug source")[0].split()) or type(error).__name__
