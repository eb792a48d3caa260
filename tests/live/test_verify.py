"""`sluice verify` of logs in buckets: what it finds in a folder it finds in emulators of S3 and GCS, too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import boto3
import pytest
from sluice.errors import StorageError
from sluice.eventlog.log import EventLog
from sluice.eventlog.paths import segment_id
from sluice.eventlog.type_log import TypeLog
from sluice.storage import open_store
from sluice.tooling.verify import TypeTotals
from sluice.warehouses.segment_records import changed_segment

from devservers import gcs, s3
from tests.tooling.test_verify import CLICK, SHARDS, LoadedLog

BUCKET = "verified"
SERVERS = {"gs": gcs.start, "s3": s3.start}


class Bucket:
    """A bucket of an emulator, in which anybody may overwrite and delete."""

    def __init__(self, scheme: str, url: str) -> None:
        self.scheme, self.url = scheme, url
        self.root = f"{scheme}://{BUCKET}"

    def write(self, address: str, data: bytes) -> None:
        key = address.removeprefix(f"{self.root}/")
        if self.scheme == "s3":
            boto3.client("s3", endpoint_url=self.url).put_object(Bucket=BUCKET, Key=key, Body=data)
            return
        upload = f"{self.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(key, safe='')}"
        urlopen(
            Request(upload, data, {"Content-Type": "application/json"}, method="POST"), timeout=30
        ).close()

    def delete(self, address: str) -> None:
        key = address.removeprefix(f"{self.root}/")
        if self.scheme == "s3":
            boto3.client("s3", endpoint_url=self.url).delete_object(Bucket=BUCKET, Key=key)
            return
        place = f"{self.url}/storage/v1/b/{BUCKET}/o/{quote(key, safe='')}"
        urlopen(Request(place, method="DELETE"), timeout=30).close()


@pytest.fixture(scope="module", params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    with SERVERS[request.param](BUCKET) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield Bucket(request.param, server.address)


@pytest.fixture
def loaded(bucket: Bucket, tmp_path: Path) -> LoadedLog:
    return LoadedLog(tmp_path, root=f"{bucket.root}/{uuid.uuid4().hex}")


def test_log_in_a_bucket_that_agrees_has_no_problem(loaded: LoadedLog) -> None:
    assert loaded.verify() == (
        [],
        {"click": TypeTotals(12, 120, 12, 120, 0), "dead_letter": TypeTotals(0, 0, 0, 0, 0)},
    )


def test_segment_of_a_bucket_that_was_cut_is_named_with_both_ids(loaded: LoadedLog, bucket: Bucket) -> None:
    segment = loaded.segments[0]
    data = b"".join(line + b"\n" for line in segment.lines[:-1])
    bucket.write(segment.path, data)
    changed = segment_id("click", segment.minute, data)
    assert loaded.verify()[0] == [str(changed_segment(segment.path, segment.id, changed))]


def test_segment_of_a_bucket_that_was_deleted_is_named(loaded: LoadedLog, bucket: Bucket) -> None:
    first, last = loaded.segments[0], loaded.segments[-1]
    bucket.delete(first.path)
    bucket.delete(last.path)
    assert loaded.verify()[0] == [
        f"{first.path}: expected a segment, since there is a later one, got none; restore it",
        f"{first.path}: expected the file of segment {first.id}, got none; restore it",
        f"{last.path}: expected the file of segment {last.id}, got none; restore it",
    ]


def test_object_in_a_bucket_that_is_no_segment_is_named(loaded: LoadedLog, bucket: Bucket) -> None:
    path = loaded.segments[0].path.replace(".json", ".json.bak")
    bucket.write(path, b"{}\n")
    assert loaded.verify()[0] == [
        f"{path}: expected segments of click alone, got another file; move it away, or give it its name again"
    ]


def test_settings_missing_in_a_bucket_are_named_and_not_made_again(loaded: LoadedLog, bucket: Bucket) -> None:
    path = f"{loaded.job.files}/click/_log.json"
    bucket.delete(path)
    assert loaded.verify()[0] == [f"{path}: expected the settings of the log, got none; restore it"]
    log = EventLog(open_store(loaded.job.files), {"click": TypeLog.of(CLICK)}, SHARDS)
    with pytest.raises(StorageError) as caught:
        log.open()
    assert str(caught.value).startswith(
        f"{path}: expected the settings of this log, since it has {loaded.segments[0].path}, got none; restore the file"
    )
    bucket.write(path, str(caught.value).rpartition(" with ")[2].encode())
    log.open()
    assert loaded.verify()[0] == []
