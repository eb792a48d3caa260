"""The file source on emulators of GCS and S3, through the clients that users have."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from contextlib import closing

import apache_beam as beam
import boto3
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.sources import open_source
from sluice.sources.files.listing import find_files
from sluice.sources.files.pieces import Piece
from sluice.sources.files.source import WorkItem, plan_reading, read_item
from sluice.storage import open_store

from devservers import gcs, s3
from devservers.waiting import wait_until
from tests.origins import offsets_of

BUCKET = "events"
LINES = b"\n".join(b'{"n":%d,"text":"%s"}' % (number, b"x" * 200) for number in range(200_000))
FILES = {
    "in/a.json": LINES,
    "in/day/b.json.gz": gzip.compress(b"1\n2\n", mtime=0),
    "in/day/.hidden.json": b"3\n",
    "in2/c.json": b"4\n",
}
SERVERS = {"gs": gcs, "s3": s3}


@pytest.fixture(scope="module", params=SERVERS)
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a bucket that holds FILES."""
    with SERVERS[request.param].start(BUCKET) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.environment, "AWS_DEFAULT_REGION": "us-east-1"}.items():
            patch.setenv(name, value)
        # Samples are read without a pipeline, whose options those of S3 would be.
        patch.setattr(FileSystems, "_pipeline_options", None)
        patch.setattr(RuntimeValueProvider, "runtime_options", None)
        store = open_store(f"{request.param}://{BUCKET}")
        for path, data in FILES.items():
            assert store.create(path, data)
        yield f"{request.param}://{BUCKET}"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("/in/a.json", ["in/a.json"]),
        ("/in/*", ["in/a.json"]),
        ("/in/**.gz", ["in/day/b.json.gz"]),
        ("/in", ["in/a.json", "in/day/b.json.gz"]),
        ("/in/", ["in/a.json", "in/day/b.json.gz"]),
        ("/in*/*.json", ["in/a.json", "in2/c.json"]),
        ("/in/day/.*", ["in/day/.hidden.json"]),
        ("", ["in/a.json", "in/day/b.json.gz", "in2/c.json"]),
        ("/", ["in/a.json", "in/day/b.json.gz", "in2/c.json"]),
    ],
)
def test_pattern_selects_files(bucket: str, pattern: str, names: list[str]) -> None:
    files = find_files(bucket + pattern)
    assert [file.uri for file in files] == [f"{bucket}/{name}" for name in names]
    assert [file.size for file in files] == [len(FILES[name]) for name in names]
    assert all(file.modified > 1_700_000_000 for file in files)


KEYS = (
    "[ab].json",
    "a[1].json",
    "what?.json",
    "all*.json",
    "{a,b}.json",
    "back\\slash.json",
    "two words .json",
    "#1%20+&=;@:.json",
    "caf\u00e9.json",  # composed
    "cafe\u0301.json",  # decomposed
    "//x.json",
    "..a",
    "a.tmp",
    "_SUCCESS",
)
OTHER_KEYS = ("a.json", "b.json", "a1.json", "whatx.json", "all1.json")


def test_objects_have_etags_that_tell_their_content(bucket: str) -> None:
    place = f"{bucket}/etags"
    for name, data in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        put(f"{place}/{name}", data)
    before = {file.uri: file.etag for file in find_files(place)}
    assert None not in before.values()
    assert find_files(f"{place}/a")[0].etag == before[f"{place}/a"]
    put(f"{place}/a", b"3")
    after = {file.uri: file.etag for file in find_files(place)}
    assert {uri for uri in before if after[uri] != before[uri]} == {f"{place}/a"}


@pytest.fixture(scope="module")
def keys(bucket: str) -> str:
    """Address of a prefix with KEYS, others that they would match as patterns, and markers of folders."""
    for key in (*OTHER_KEYS, *KEYS):
        put(f"{bucket}/keys/file/{key}", b"{}\n")
        put(f"{bucket}/keys/folder/{key}/x.json", b"{}\n")
    put(f"{bucket}/keys/file/x/", b"")
    return f"{bucket}/keys"


def put(url: str, data: bytes) -> None:
    """Create or replace an object through the vendor's client, since obstore takes no key with `//`."""
    scheme, _, place = url.partition("://")
    bucket, _, key = place.partition("/")
    if scheme == "s3":
        client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
        client.put_object(Bucket=bucket, Key=key, Body=data)
    else:
        anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]  # the client has no types
        with closing(storage.Client(credentials=anonymous, project="emulator")) as client:
            client.bucket(bucket).blob(key).upload_from_string(data)


@pytest.mark.parametrize("key", KEYS)
def test_key_that_exists_is_taken_literally(keys: str, key: str) -> None:
    (file,) = find_files(f"{keys}/file/{key}")
    assert file.uri == f"{keys}/file/{key}"
    (piece,) = plan_reading([file])[0]
    assert [batch.records for batch in read_item((piece,))] == [[b"{}"]]
    folder = f"{keys}/folder/{key}"
    for address in (folder, f"{folder}/", f"{folder}/x.json"):
        assert [file.uri for file in find_files(address)] == [f"{folder}/x.json"]


def test_folder_of_keys_has_all_but_hidden_and_temporary_ones(keys: str) -> None:
    expected = {f"{keys}/file/{key}" for key in KEYS if key not in ("..a", "a.tmp", "_SUCCESS")}
    for pattern in ("/file", "/file/", "/file/**"):
        found = {file.uri for file in find_files(keys + pattern)}
        assert found == expected | {f"{keys}/file/{key}" for key in OTHER_KEYS}


@pytest.mark.parametrize("path", ["/missing.json", "/missing/*.json"])
def test_pattern_without_match_is_rejected(bucket: str, path: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(bucket + path).check()
    assert str(caught.value) == f"no file matches '{bucket}{path}'"


def test_missing_bucket_is_a_one_line_error(bucket: str) -> None:
    url = bucket.replace(BUCKET, "missing") + "/*.json"
    with pytest.raises(SourceError) as caught:
        open_source(url).check()
    # Beam's file system for S3 takes a missing bucket for an empty one.
    assert str(caught.value).startswith((f"{url}: cannot list: ", f"no file matches '{url}'"))
    assert "\n" not in str(caught.value)


def test_splits_contain_every_line_once(bucket: str) -> None:
    (item,) = plan_reading(find_files(f"{bucket}/in2/c.json"))
    assert [batch.records for batch in read_item(item)] == [[b"4"]]
    items = plan_reading(find_files(f"{bucket}/in/a.json"))
    assert [len(item) for item in items] == [1, 1, 1, 1]
    pieces: list[Piece] = sorted(piece for item in items for piece in item)
    batches = [batch for piece in pieces for batch in read_item((piece,))]
    assert [record for batch in batches for record in batch.records] == LINES.split(b"\n")
    assert offsets_of(batches[-1])[-1] == LINES.rindex(b"\n") + 1


def test_file_removed_while_read_is_an_error(bucket: str) -> None:
    (item,) = plan_reading(find_files(f"{bucket}/in2/c.json"))
    gone = item[0].file._replace(uri=f"{bucket}/in2/gone.json")
    with pytest.raises(SourceError) as caught:
        list(read_item((item[0]._replace(file=gone),)))
    assert str(caught.value).startswith(f"{bucket}/in2/gone.json: cannot ")
    assert "\n" not in str(caught.value)


OBJECT = b"".join(b'{"n":%06d}\n' % number for number in range(100_000))
REPLACEMENTS = {
    "shorter": OBJECT[:12_000],
    "longer": OBJECT + OBJECT,
    "as long": OBJECT.replace(b"n", b"m"),
}
CASES = [
    (content, moment) for content in REPLACEMENTS for moment in ("before it is read", "while it is read")
]


@pytest.fixture(scope="module")
def listed(bucket: str) -> dict[tuple[str, str], WorkItem]:
    """Return what runs read of objects that they have listed more than a second ago, one for each case."""
    items = {}
    for number, case in enumerate([*CASES, ("unchanged", "")]):
        put(f"{bucket}/replaced/{number}.json", OBJECT)
        (items[case],) = plan_reading(find_files(f"{bucket}/replaced/{number}.json"))
    written = time.monotonic()
    wait_until(lambda: time.monotonic() > written + 1.1, "the second of the objects' time is over")
    return items


@pytest.mark.parametrize(("content", "moment"), CASES)
def test_object_that_was_replaced_since_it_was_listed_is_an_error(
    listed: dict[tuple[str, str], WorkItem], content: str, moment: str
) -> None:
    item = listed[content, moment]
    url = item[0].file.uri
    batches = read_item(item)
    if moment == "while it is read":
        assert next(batches).records[0] == b'{"n":000000}'
    put(url, REPLACEMENTS[content])
    with pytest.raises(SourceError) as caught:
        list(batches)
    shrunk = f"{url}: cannot read at byte 12000: expected 1300000 bytes, the file has shrunk"
    another = (
        f"{url}: cannot read: expected the file that was there when the run began, got another one under its name; "
        "run again"
    )
    assert str(caught.value) in ((shrunk, another) if content == "shorter" else (another,))


def test_unchanged_object_is_read_to_its_end(listed: dict[tuple[str, str], WorkItem]) -> None:
    batches = read_item(listed["unchanged", ""])
    assert [record for batch in batches for record in batch.records] == OBJECT.splitlines()


def records_of(batch: RecordBatch) -> list[bytes]:
    return list(batch.records)


def test_source_reads_all_files_in_a_pipeline(bucket: str) -> None:
    with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
        records = pipeline | "Read" >> open_source(f"{bucket}/in*/**") | "Flatten" >> beam.FlatMap(records_of)
        numbers = records | "Keep the packed and the small" >> beam.Filter(lambda record: len(record) == 1)
        assert_that(numbers, equal_to([b"1", b"2", b"4"]))
