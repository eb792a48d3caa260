from __future__ import annotations

import io
from pathlib import Path

import pytest
from sluice.config.urls import Url
from sluice.errors import ConfigError
from sluice.tooling.inference.samples import has_secret, job_source, sample_batches, save_stream


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a/x1.json", "a/x2.json", "a/y.csv", "b/x3.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("".join(f'{{"n":{number}}}\n' for number in range(10)))
    return tmp_path


def urls(*paths: str) -> list[Url]:
    return [Url(path, where="SAMPLE") for path in paths]


@pytest.mark.parametrize(
    ("paths", "source"),
    [
        (["a/*"], "a/*"),
        (["a/x1.json", "a/x2.json"], "a/*.json"),
        (["a/x1.json", "a/x2.json", "a/y.csv"], "a"),
    ],
)
def test_job_reads_what_the_samples_name(folder: Path, paths: list[str], source: str) -> None:
    assert job_source(urls(*paths)) == source


def test_samples_without_an_address_of_their_own_are_a_mistake(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^SAMPLE: expected files that one path, folder or pattern names, got 2 paths;"
    ):
        job_source(urls("a/x1.json", "b/x3.json"))


@pytest.mark.parametrize(("number", "shares"), [(100, [10, 10]), (7, [4, 3]), (1, [1])])
def test_each_file_has_its_share_of_the_records(folder: Path, number: int, shares: list[int]) -> None:
    batches = sample_batches(urls("a/*.json"), number)
    assert [len(batch.records) for batch in batches if batch.records] == shares


@pytest.mark.parametrize(
    "address",
    [
        "a/x2.json",
        "http://127.0.0.1:1/x",
        "kafka://127.0.0.1:1/t?group=g",
        "mongodb://127.0.0.1:1/shop.orders",
    ],
)
def test_source_without_a_share_of_the_records_is_not_asked(folder: Path, address: str) -> None:
    (folder / "a/x2.json").unlink()
    batches = list(sample_batches(urls("a/x1.json", address), 1))
    assert [batch.records for batch in batches] == [[b'{"n":0}']]


def test_file_without_a_share_of_the_records_is_not_opened(folder: Path) -> None:
    """Nor counted as one that has none, as in the manifest of a run with `--limit`."""
    batches = list(sample_batches(urls("a/*.json"), 1))
    assert [(batch.provenance.uri, batch.records) for batch in batches] == [
        (str(folder / "a/x1.json"), [b'{"n":0}'])
    ]


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b' \n[{"a":1}]', ".ndjson"),
        (b"\xef\xbb\xbf{}", ".ndjson"),
        (b"a;b\n1;2\n", ".csv"),
        (b"Obj\x01\x04", ".avro"),
        (b"PAR1\x15\x04", ".parquet"),
        (b"PAR1,name\n1,a\n", ".csv"),
        (b"\x1f\x8b\x08", ".ndjson"),
    ],
)
def test_stream_is_kept_whole_under_the_suffix_of_its_format(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    path = save_stream(io.BytesIO(content + b" " * 10_000), tmp_path)
    assert (path.suffix, path.read_bytes()) == (suffix, content + b" " * 10_000)


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("data/*.json", False),
        ("file:///data/a.json", False),
        ("s3://bucket/a/*.json", False),
        ("s3://bucket/a.json?X-Amz-Signature=secret", True),
        ("kafka://h:9092/t?group=g&start=earliest", False),
        ("mongodb://user:secret@host/shop.orders", True),
    ],
)
def test_secret_of_an_address_is_found(address: str, secret: bool) -> None:
    assert has_secret(Url(address)) is secret
