"""URLs and their messages; tests/live/test_object_stores.py has what all stores must do."""

from __future__ import annotations

import pickle
import sys

import pytest
from sluice.errors import ConfigError
from sluice.storage import open_store

SUPPORTED = "a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix"


@pytest.mark.parametrize(
    ("url", "root", "address"),
    [
        ("out/files", "out/files", "out/files/order/x.json"),
        ("out/files/", "out/files", "out/files/order/x.json"),
        ("/data", "/data", "/data/order/x.json"),
        ("/", "/", "/order/x.json"),
        (".", ".", "./order/x.json"),
        ("file:///data/log", "/data/log", "/data/log/order/x.json"),
        ("gs://bucket", "gs://bucket", "gs://bucket/order/x.json"),
        ("gs://bucket/output/", "gs://bucket/output", "gs://bucket/output/order/x.json"),
        ("s3://bucket/a/b", "s3://bucket/a/b", "s3://bucket/a/b/order/x.json"),
    ],
)
def test_url_is_opened_with_its_root_and_addresses(url: str, root: str, address: str) -> None:
    store = open_store(url)
    assert (store.root, store.url(""), store.url("order/x.json")) == (root, root, address)
    copy = pickle.loads(pickle.dumps(store))
    assert (type(copy), copy.root) == (type(store), root)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("azure://K:s3cr3t@box/x?sig=s3cr3t", f"expected {SUPPORTED}, got 'azure://box/x'"),
        ("", f"expected {SUPPORTED}, got ''"),
        ("file://", f"expected {SUPPORTED}, got 'file://'"),
        ("gs://", f"expected {SUPPORTED}, got 'gs://'"),
        ("s3:///prefix", f"expected {SUPPORTED}, got 's3:///prefix'"),
        (
            "s3://KEY:s3/cr3t@bucket/x",
            "s3://: expected no user or password in the URL; they come from the environment",
        ),
    ],
)
def test_invalid_url_is_rejected_without_its_secrets(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("gs://bucket/x", "google.cloud.storage.exceptions", "gcp"),
        ("s3://bucket/x", "obstore.exceptions", "aws"),
    ],
)
def test_missing_client_is_one_line_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as caught:
        open_store(url).list("")
    assert str(caught.value) == f"{url}: its client is not installed: pip install 'sluice-beam[{extra}]'"
