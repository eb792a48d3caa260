"""What a topic of any broker can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class Topic(Protocol):
    """A topic that records are published to and that a job reads."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What leads clients to its server."""
        ...

    @property
    def source(self) -> str:
        """What a job reads."""
        ...

    def publish(self, records: Iterable[bytes]) -> object:
        """Send records, and wait until all have arrived."""
        ...

    def unacknowledged(self) -> int:
        """Return how many records a job that starts now would get."""
        ...
