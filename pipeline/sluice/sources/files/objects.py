"""Objects of a bucket as files of a source, with their etags, through the clients of Beam's file systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.io.filesystem import FileSystem

from sluice.clock import storable
from sluice.sources.files.found_file import FoundFile
from sluice.storage.gcs import RETRY_SECONDS


def list_objects(files: FileSystem, prefix: str) -> Iterator[FoundFile]:
    """Yield the objects whose addresses begin with `prefix`, `s3://bucket/…` or `gs://bucket/…`.

    Raises:
        S3ClientError, GoogleAPIError and what else the client of the store raises: they cannot be listed.

    """
    scheme, _, place = prefix.partition("://")
    bucket, _, key = place.partition("/")
    yield from _LISTINGS[scheme](files, bucket, key)


def find_object(files: FileSystem, uri: str) -> FoundFile:
    """Return one object.

    Raises:
        S3ClientError, GoogleAPIError and what else the client of the store raises: it is not there, with the code
            `NOT_FOUND`, or cannot be read.

    """
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    return _OBJECTS[scheme](files, bucket, key)


def _list_s3(files: Any, bucket: str, prefix: str) -> Iterator[FoundFile]:
    from apache_beam.io.aws.clients.s3.messages import ListRequest, S3ClientError

    list_page = _retried(_s3_client(files).list)
    request = ListRequest(bucket=bucket, prefix=prefix)
    while True:
        try:
            page = list_page(request)
        except S3ClientError as error:
            if error.code == NOT_FOUND:  # so the client says that there is none
                return
            raise
        for item in page.items:
            yield _of_s3(bucket, item)
        if not page.next_token:
            return
        request.continuation_token = page.next_token


def _find_s3(files: Any, bucket: str, key: str) -> FoundFile:
    from apache_beam.io.aws.clients.s3.messages import GetRequest

    find = _retried(_s3_client(files).get_object_metadata)
    return _of_s3(bucket, find(GetRequest(bucket=bucket, object=key)))


def _retried(request: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a request that is repeated as Beam does, but for `RETRY_SECONDS` and not for minutes."""
    from apache_beam.utils import retry

    again = retry.with_exponential_backoff(
        retry_filter=retry.retry_on_server_errors_and_timeout_filter, stop_after_secs=RETRY_SECONDS
    )
    retried: Callable[[Any], Any] = again(request)
    return retried


def _of_s3(bucket: str, item: Any) -> FoundFile:
    modified = storable(item.last_modified.timestamp())
    return FoundFile(f"s3://{bucket}/{item.key}", item.size, modified, etag=item.etag.strip('"'))


def _s3_client(files: Any) -> Any:
    from apache_beam.io.aws.s3io import S3IO

    return S3IO(options=files._options).client


def _list_gcs(files: Any, bucket: str, prefix: str) -> Iterator[FoundFile]:
    client = _gcs_client(files)
    blobs = client.client.list_blobs(bucket, prefix=prefix, retry=client._storage_client_retry)
    return (_of_gcs(bucket, blob) for blob in blobs)


def _find_gcs(files: Any, bucket: str, key: str) -> FoundFile:
    return _of_gcs(bucket, _gcs_client(files)._gcs_object(f"gs://{bucket}/{key}"))


def _gcs_client(files: Any) -> Any:
    client = files._gcsIO()
    client._storage_client_retry = client._storage_client_retry.with_timeout(RETRY_SECONDS)
    return client


def _of_gcs(bucket: str, blob: Any) -> FoundFile:
    return FoundFile(
        f"gs://{bucket}/{blob.name}", blob.size, storable(blob.updated.timestamp()), etag=blob.etag
    )


NOT_FOUND = 404
_LISTINGS = {"s3": _list_s3, "gs": _list_gcs}
_OBJECTS = {"s3": _find_s3, "gs": _find_gcs}
