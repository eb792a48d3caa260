"""Objects in a Google Cloud Storage bucket, through Google's own client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

from sluice.config.connectors import Client
from sluice.storage.objects import CONTENT_TYPE, CREATED_AT, WRITER, ObjectStore, metadata_of

CLIENT = Client("google.cloud.storage", "gcp")

RETRY_SECONDS = 60.0
"""How long a request is repeated; the client's default of two minutes hides that there is no network."""


def bounded_retry() -> Any:
    """Return the client's own retry of requests, which ends after `RETRY_SECONDS`."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_SECONDS)


class GcsStore(ObjectStore):
    """A prefix of a Google Cloud Storage bucket; `STORAGE_EMULATOR_HOST` leads to an emulator."""

    @cached_property
    def _bucket(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        if os.environ.get("STORAGE_EMULATOR_HOST"):
            # The search for default credentials would take up to half a minute, and they are not used.
            anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
            return Client(credentials=anonymous, project="emulator").bucket(self._bucket_name)
        return Client().bucket(self._bucket_name)

    def _errors(self) -> tuple[type[Exception], ...]:
        try:
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError
            from google.cloud.storage.exceptions import DataCorruption
            from requests.exceptions import RequestException
        except ImportError as error:
            raise CLIENT.missing(self.root) from error
        return GoogleAPIError, GoogleAuthError, DataCorruption, RequestException

    def _names(self, prefix: str, delimiter: str | None, after: str = "") -> Iterator[str]:
        fields = "items(name),nextPageToken"
        start = prefix + after if after else None
        listed = self._bucket.list_blobs(
            prefix=prefix, delimiter=delimiter, fields=fields, start_offset=start, retry=bounded_retry()
        )
        for blob in listed:
            yield blob.name.removeprefix(prefix)

    def _get(self, key: str) -> bytes:
        data: bytes = self._bucket.blob(key).download_as_bytes(retry=bounded_retry())
        return data

    def _put(self, key: str, data: bytes, token: str) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(key)
        blob.metadata = metadata_of(token)
        try:
            blob.upload_from_string(
                data, content_type=CONTENT_TYPE, if_generation_match=0, retry=bounded_retry()
            )
        except PreconditionFailed:
            return False
        return True

    def _created_at(self, key: str) -> datetime:
        blob = self._bucket.blob(key)
        blob.reload(retry=bounded_retry())
        text = (blob.metadata or {}).get(CREATED_AT)
        time: datetime = datetime.fromisoformat(text) if text else blob.time_created
        return time

    def _writer(self, key: str) -> str | None:
        blob = self._bucket.get_blob(key, retry=bounded_retry())
        return None if blob is None else (blob.metadata or {}).get(WRITER, "")
