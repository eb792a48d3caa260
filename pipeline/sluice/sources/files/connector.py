"""How files are named as a source: a path or pattern on a local disk, in S3 or in Google Cloud Storage."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sluice.addresses import STANDARD_INPUT, mask
from sluice.config.connectors import Client, Connector
from sluice.config.options import option
from sluice.config.urls import Url

if TYPE_CHECKING:
    from sluice.sources.files.source import FileSource
    from sluice.sources.files.streams import StreamSource


@dataclass(frozen=True, kw_only=True)
class LocalFilesConnector(Connector["FileSource | StreamSource"]):
    """Files on a local disk: JSON lines, JSON documents, CSV, Avro and Parquet, compressed or not."""

    schemes = ("file",)
    shape = "PATH or file://PATH"
    place = re.compile(r"(?P<path>.*)", re.DOTALL)
    options_after = ""
    has_authority = False

    path: str = option(
        "path, folder or glob pattern; `-` is standard input", example="history/*.json.gz", part=True
    )

    @classmethod
    def parse(cls, address: str | Url, **defaults: object) -> Self:
        """Return the connector for a path: it may hold any character, and needs no scheme."""
        del defaults
        url = Url.of(address)
        path = url.reveal().removeprefix("file://")
        return cls(url=url.showing(mask(path)), path=path)

    @property
    def is_stream(self) -> bool:
        """Tell whether it is standard input or a named pipe, which can be read only once."""
        try:
            return self.path == STANDARD_INPUT or stat.S_ISFIFO(os.stat(self.path).st_mode)
        except (OSError, ValueError):
            return False

    def open(self) -> FileSource | StreamSource:
        """Return the source."""
        from sluice.sources.files.source import FileSource
        from sluice.sources.files.streams import StreamSource

        return StreamSource(self.path) if self.is_stream else FileSource(self.url.reveal())


@dataclass(frozen=True, kw_only=True)
class _BucketConnector(Connector["FileSource"]):
    place = re.compile(r"(?P<path>[^/]+.*)", re.DOTALL)
    options_after = ""

    path: str = option(
        "bucket, with the path, folder or glob pattern in it", example="bucket/history/*", part=True
    )

    def open(self) -> FileSource:
        """Return the source."""
        from sluice.sources.files.source import FileSource

        return FileSource(self.url.reveal())


@dataclass(frozen=True, kw_only=True)
class S3FilesConnector(_BucketConnector):
    """Files in a bucket of Amazon S3, or of a service that speaks S3."""

    schemes = ("s3",)
    shape = "s3://BUCKET/PATH"
    client = Client("boto3", "aws")
    credentials = "they come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


@dataclass(frozen=True, kw_only=True)
class GcsFilesConnector(_BucketConnector):
    """Files in a bucket of Google Cloud Storage."""

    schemes = ("gs",)
    shape = "gs://BUCKET/PATH"
    client = Client("google.cloud.storage", "gcp")
    credentials = "they are Google's application default credentials"
