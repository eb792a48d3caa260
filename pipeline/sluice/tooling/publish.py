"""Publish records of files, or generated events, to a topic at a steady rate; for load tests and demonstrations."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, repeat

from sluice.config.urls import Url
from sluice.errors import ConfigError, quote
from sluice.sources import open_source
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import FileSource, plan_reading, read_item
from sluice.tooling.publishers import Publisher

_RATE = re.compile(r"([0-9]{1,9})/s")
_TICKS = 20
"""Portions of a second's records; each is sent at once."""

_UNPACED_PORTION = 1000
"""Records of a portion where no rate is given."""


def publish(
    records: Iterable[bytes],
    publisher: Publisher,
    rate: float | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Publish records, and return how many, when all of them have arrived.

    Args:
        records: without end, if the caller ends it.
        publisher: of the topic.
        rate: records a second; None is as fast as possible.
        on_progress: called now and then with the number of records sent so far.

    Raises:
        PublishError: not everything arrived.

    """
    sent = 0
    try:
        for portion in _paced(records, rate):
            for record in portion:
                publisher.publish(record)
            sent += len(portion)
            on_progress(sent)
    finally:
        publisher.flush()
    return sent


def file_records(source: str, *, loop: bool = False) -> Iterator[bytes]:
    """Yield the records of the files at `source`, a path or a glob, unchanged; with `loop` again and again.

    Raises:
        ConfigError: `source` does not name files.
        SourceError: there are none, or they cannot be read.

    """
    return chain.from_iterable(_read_once(source) for _ in (repeat(None) if loop else range(1)))


def parse_rate(text: str) -> float:
    """Return records a second of `text`, such as 500/s."""
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]):
        message = f"--rate: expected records a second, such as 500/s, got {quote(text)}"
        raise ConfigError(message)
    return float(match[1])


def _read_once(source: str) -> Iterator[bytes]:
    files = open_source(Url(source, where="--source"))
    if not isinstance(files, FileSource):
        message = f"--source: expected files, got {Url(source)}"
        raise ConfigError(message)
    for item in plan_reading(find_files(files.url)):
        for batch in read_item(item):
            yield from batch.records


def _paced(records: Iterable[bytes], rate: float | None) -> Iterator[list[bytes]]:
    """Yield records in portions, `rate` of them a second; late portions are yielded at once."""
    remaining = iter(records)
    size = _UNPACED_PORTION if rate is None else max(round(rate / _TICKS), 1)
    started, sent = time.monotonic(), 0
    while portion := list(islice(remaining, size)):
        if rate is not None:
            time.sleep(max(started + sent / rate - time.monotonic(), 0))
        yield portion
        sent += len(portion)
