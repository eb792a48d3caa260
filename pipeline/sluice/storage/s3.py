"""Objects in an S3 bucket, or a service that speaks S3, through obstore."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sluice.config.connectors import Client
from sluice.storage.objects import CONTENT_TYPE, CREATED_AT, WRITER, ObjectStore, metadata_of

CLIENT = Client("obstore", "aws")

RETRY_TIMEOUT = timedelta(seconds=60)
"""How long obstore retries a request by itself; its default of 3 minutes hides an unreachable endpoint."""

REQUEST_TIMEOUT = timedelta(seconds=120)
"""A segment of 100 MB must pass an uplink of 1 MB/s; obstore's default of 30 s would cut it off."""


class S3Store(ObjectStore):
    """A prefix of an S3 bucket; credentials, region and endpoint come from the usual `AWS_*` variables."""

    @cached_property
    def _store(self) -> Any:
        import obstore.store

        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        options: Any = {"timeout": REQUEST_TIMEOUT}
        if endpoint.startswith("http://"):
            options["allow_http"] = (
                True  # the endpoint says http; obstore would require AWS_ALLOW_HTTP=true as well
            )
        return obstore.store.S3Store(
            self._bucket_name,
            client_options=options,
            retry_config={"retry_timeout": RETRY_TIMEOUT},
        )

    def _errors(self) -> tuple[type[Exception], ...]:
        try:
            from obstore.exceptions import BaseError
        except ImportError as error:
            raise CLIENT.missing(self.root) from error
        # A missing object raises Python's FileNotFoundError, a key with `//` or a line feed a ValueError.
        return BaseError, OSError, ValueError

    def _names(self, prefix: str, delimiter: str | None, after: str = "") -> Iterator[str]:
        if delimiter:
            chunks = [self._store.list_with_delimiter(prefix.rstrip("/") or None)["objects"]]
        else:
            chunks = self._store.list(prefix.rstrip("/") or None, offset=prefix + after if after else None)
        for chunk in chunks:
            for item in chunk:
                yield item["path"].removeprefix(prefix)

    def _get(self, key: str) -> bytes:
        return bytes(self._store.get(key).bytes())

    def _put(self, key: str, data: bytes, token: str) -> bool:
        from obstore.exceptions import AlreadyExistsError

        attributes = {**metadata_of(token), "Content-Type": CONTENT_TYPE}
        try:
            # A multipart upload, obstore's choice for more than 5 MB, has no create-only mode.
            self._store.put(key, data, mode="create", attributes=attributes, use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def _created_at(self, key: str) -> datetime:
        answer = self._store.get(key, options={"head": True})
        text = answer.attributes.get(CREATED_AT)
        time: datetime = datetime.fromisoformat(text) if text else answer.meta["last_modified"]
        return time

    def _writer(self, key: str) -> str | None:
        try:
            attributes = self._store.get(key, options={"head": True}).attributes
        except FileNotFoundError:
            return None
        token: str = attributes.get(WRITER, "")
        return token
