from __future__ import annotations

import copy
import pickle

import pytest
from sluice.config.urls import Url

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("out/files", "out/files"),
        ("/data/10:00@noon?.json#1", "/data/10:00@noon?.json#1"),
        ("file:///data/x", "file:///data/x"),
        ("s3://bucket/in/*.json", "s3://bucket/in/*.json"),
        ("s3://bucket/user:a@b/x", "s3://bucket/user:a@b/x"),
        (f"s3://KEY:{SECRET}@bucket/x", "s3://bucket/x"),
        (f"s3://KEY:{SECRET}/with/slashes@bucket/x", "s3://"),
        (f"S3://KEY:{SECRET}@bucket/x", "S3://bucket/x"),
        (f"s3:KEY:{SECRET}@bucket/x", "s3:"),
        (f"mysql://u:{SECRET}@host/d", "mysql://host/d"),
        (f"mysql://{SECRET}@host/d", "mysql://host/d"),
        (f"postgresql://u:p/?#@:{SECRET}@h/d", "postgresql://"),
        (f"postgresql://u:{SECRET}/1@h/d", "postgresql://"),
        (f"postgresql://u:12/{SECRET}@h/d", "postgresql://"),
        (f"postgresql://u:p@h/d?password=x@{SECRET}", "postgresql://"),
        (f"postgresql://h:5432/d?password=x@{SECRET}", "postgresql://"),
        (f"postgresql://h/d;password={SECRET}", "postgresql://h/d"),
        (f"postgresql:/u:{SECRET}@h/d", "postgresql:"),
        (f"https:/h?x=a@{SECRET}", "https:"),
        (f"mysql:{SECRET}", "mysql:"),
        (f"jdbc:oracle:thin:u/{SECRET}@h:1521", "jdbc:"),
        (f"jdbc:postgresql://h/d?user=u&password={SECRET}", "jdbc:postgresql://h/d"),
        (f"u:{SECRET}@h/d", "***"),
        (f"user:{SECRET}@h/d", "user:"),
        (f"//u:{SECRET}@h/d", "***"),
        (f"KEY:{SECRET}@s3://bucket", "***"),
        (f" POSTGRES://u:{SECRET}@h/d", " POSTGRES://h/d"),
        (f"s3://bucket/x?X-Amz-Signature={SECRET}", "s3://bucket/x"),
        ("C:\\data\\x", "C:\\data\\x"),
        ("data:/x", "data:/x"),
        (f"postgresql://h/d?schema=x&password={SECRET}", "postgresql://h/d"),
        (f"https://h:8080/x?api_key={SECRET}&page=2#token={SECRET}", "https://h:8080/x"),
        (f"dead-letters:s3://KEY:{SECRET}@b/x?code=enum", "dead-letters:s3://b/x"),
        (f"http://u:{SECRET}", "http://"),
        (f"https://h:{SECRET}/x?page=1", "https://"),
        (f"s3://KEY:{SECRET}", "s3://"),
        ("postgresql://[::1]:5432,h:1/d", "postgresql://[::1]:5432,h:1/d"),
        (f"mongodb://u:{SECRET}@a:1,b:2/d.c?authSource={SECRET}", "mongodb://a:1,b:2/d.c"),
    ],
)
def test_address_is_printed_without_its_secrets(text: str, shown: str) -> None:
    url = Url(text, where="--source")
    assert (str(url), f"{url}", f"{url:>1}", repr(url)) == (shown, shown, shown, f"Url({shown!r})")
    assert SECRET not in str([url, {"url": url}])
    assert SECRET.encode() not in pickle.dumps(url)
    copied = pickle.loads(pickle.dumps(url))
    for same in (copied, copy.copy(url), copy.deepcopy(url)):
        assert (same, str(same), same.where, same.reveal()) == (url, shown, "--source", text)
    assert hash(copied) == hash(url)


def test_addresses_are_compared_with_their_secrets() -> None:
    assert Url("https://h/x?key=1") != Url("https://h/x?key=2")
    assert Url("https://h/x") != "https://h/x"
