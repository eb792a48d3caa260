"""How often Python looks for cycles of objects: by itself among every 700 new ones, at times among all of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

STARTING = 1_000_000
"""New objects until Python looks, in a command that starts: the start of a run makes 500,000 that stay."""

WORKING = 50_000
"""New objects until Python looks, in what may last for ever: a batch of Kafka's messages are 20,000 that all stay."""


@contextmanager
def rare_collections(new_objects: int) -> Iterator[None]:
    """Have Python look for cycles only among so many new objects at once."""
    before = gc.get_threshold()
    gc.set_threshold(new_objects, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def heap_frozen() -> Iterator[None]:
    """Have Python look for no cycles among the objects that exist now, unless the program does so already."""
    freeze = gc.get_freeze_count() == 0  # who has frozen objects before would find them unfrozen
    if freeze:
        gc.freeze()
    try:
        yield
    finally:
        if freeze:
            gc.unfreeze()
