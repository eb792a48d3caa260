"""Addresses of samples -> their records, and the one address that a job reads them by."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from sluice.config.urls import Url
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.formats.content import typed_format
from sluice.formats.json_lines import BOM
from sluice.sources import Sampled, open_source, parse_source
from sluice.sources.files.connector import GcsFilesConnector, LocalFilesConnector, S3FilesConnector
from sluice.sources.files.listing import find_files

_FILES = (GcsFilesConnector, LocalFilesConnector, S3FilesConnector)
_JSON_STARTS = (b"{", b"[")
_is_binary = re.compile(rb"[\x00-\x08\x0e-\x1f]").search
_HEAD_BYTES = 4096


def sample_batches(addresses: Sequence[Url], number: int) -> Iterator[RecordBatch]:
    """Yield at most `number` records of the sources at `addresses`, about as many of each.

    Raises:
        ConfigError: an address is wrong, or records of its source cannot be looked at without a run.
        SourceError: a source cannot be read.

    """
    for index, address in enumerate(addresses):
        source = open_source(address)
        if not isinstance(source, Sampled):
            message = (
                f"{address.where}: expected files, a topic or subscription, an API or a collection, got {address}, "
                "which has records that contracts have rejected"
            )
            raise ConfigError(message)
        share = -(-number // (len(addresses) - index))
        for batch in source.sample(share) if share else ():
            number -= len(batch.records)
            yield batch


def has_secret(address: Url) -> bool:
    """Tell whether an address has something that must not be written into a file, as its source declares it."""
    text = address.reveal()
    return str(parse_source(address).url) not in (text, text.removeprefix("file://"))


def job_source(addresses: Sequence[Url]) -> str:
    """Return the one address that names the same source as all of `addresses` together.

    Raises:
        ConfigError: there is none.

    """
    if len(addresses) == 1:
        return addresses[0].reveal()
    for address in addresses:
        if not isinstance(parse_source(address), _FILES):
            message = f"{address.where}: expected files, of which there may be several, or one source, got {address}"
            raise ConfigError(message)
    paths = [address.reveal() for address in addresses]
    folder = os.path.commonpath(paths) if len({os.path.isabs(path) for path in paths}) == 1 else ""
    suffix = os.path.commonprefix([os.path.basename(path)[::-1] for path in paths])[::-1]
    prefix = os.path.commonprefix([os.path.basename(path) for path in paths])
    dot = suffix.find(".")
    endings = [suffix[dot:]] if dot >= 0 else []
    wanted = {file.uri for path in paths for file in find_files(path)}
    for ending in [*(f"*{ending}" for ending in endings), *(f"{prefix}*{ending}" for ending in endings), ""]:
        pattern = os.path.join(folder, ending) if ending else folder
        if pattern and _names(pattern) == wanted:
            return pattern
    message = (
        f"SAMPLE: expected files that one path, folder or pattern names, got {len(paths)} paths; "
        "put them into a folder of their own, or give a pattern in quotes"
    )
    raise ConfigError(message)


def _names(pattern: str) -> set[str]:
    try:
        return {file.uri for file in find_files(pattern)}
    except SourceError:
        return set()


def save_stream(stream: BinaryIO, folder: Path) -> Path:
    """Write what a stream holds into a new file of `folder`, whose suffix says its format, and return its path."""
    head = stream.read(_HEAD_BYTES)
    path = folder / f"sample{_suffix(head)}"
    with path.open("xb") as file:
        file.write(head)
        shutil.copyfileobj(stream, file)
    return path


def _suffix(head: bytes) -> str:
    """Return the suffix that a file needs, or else has: all formats but CSV are detected by their content."""
    if typed := typed_format(head):
        return f".{typed.lower()}"
    is_json = head.removeprefix(BOM).lstrip().startswith(_JSON_STARTS)
    return ".ndjson" if is_json or _is_binary(head) else ".csv"
