"""What dead letters say of where a record came from, if its contract masks values."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from sluice.elements import RecordBatch
from sluice.provenance import FileProvenance, MessageProvenance, PartitionProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.masking import MASKED_VALUE
from sluice.validation.records import RecordDecoder

from tests.validation.masking_fixture import KEY, SIGNUP, STARTED, decoder, digest, line, rejected


def test_attributes_are_left_out_or_hashed() -> None:
    attributes = {
        "key": "ann@example.com",
        "Email": "x@y",
        "trace": "1-2",
        "kafka.key": "k",
        "orderingKey": "o",
    }
    result = rejected(line(plan="gold"), **attributes)
    assert result.origin.attributes == {
        "Email": digest("x@y"),
        "kafka.key": digest("k"),
        "orderingKey": digest("o"),
    }


PERSON = "Bob.Übel@Example.com"
ENCODINGS: dict[str, Callable[[str], str]] = {
    "exact": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "percent": quote,
    "percent twice": lambda text: quote(quote(text)),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(f"?{text}".encode()).decode().rstrip("="),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "JSON escapes": lambda text: json.dumps({"user": text}),
    "all escaped": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "HTML": lambda text: text.replace("@", "&#64;"),
    "reversed": lambda text: text[::-1],
    "UTF-16": lambda text: base64.b64encode(text.encode("utf-16")).decode(),
    "Punycode": lambda text: text.encode("punycode").decode(),
    "part": lambda text: text.partition("@")[0],
}


def in_places(text: str) -> dict[str, str]:
    """Return attributes that hold a text in every place: keys, values and names of headers."""
    names = (
        "kafka.key",
        "kafka.key;base64",
        "kafka.key#2",
        "orderingKey",
        "email#2",
        "x",
        "deliveryAttempt",
        "page",
    )
    return {name: text for name in names} | {text: "1", f"{text};base64": "MQ==", f"kafka.key-{text}": "2"}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "record",
    [
        line(email=PERSON, plan="gold"),
        line(type="other", mail=PERSON),
        line(email=PERSON, at="never"),
    ],
)
def test_no_encoding_of_a_masked_value_stays_in_an_attribute(record: bytes, encoding: str) -> None:
    text = ENCODINGS[encoding](PERSON)
    result = rejected(record, **in_places(text))
    stored = json.dumps([result.record.decode(), dict(result.origin.attributes)], ensure_ascii=False)
    assert text not in stored
    assert result.origin.attributes == {
        name: digest(text)
        for name in ("kafka.key", "kafka.key;base64", "kafka.key#2", "orderingKey", "email#2")
    }


def test_safe_attributes_are_kept_unless_they_hold_the_value() -> None:
    attributes = {
        "trace": "1-2",
        "trace#2": "3",
        "trace;base64": "/w==",
        "trace;base64#2": "/w==",
        "traces": "4",
        "kafka.key": "k",
        "agent": f"for {PERSON.lower()}",
        "link": f"/u/{quote(PERSON)}",
    }
    safe = ("trace", "kafka.key", "agent", "link")
    batch = RecordBatch(
        [line(email=PERSON, plan="gold")],
        PartitionProvenance("topic", STARTED, 0, [7], [STARTED], attributes=[attributes]),
    )
    ages = AgeLimits(600, 3600, STARTED)
    decoded = RecordDecoder({"signup": SIGNUP}, "type", ages, 1, KEY, safe_attributes=safe).decode(batch)
    assert decoded.rejected[0].origin.attributes == {
        "trace": "1-2",
        "trace#2": "3",
        "trace;base64": "/w==",
        "trace;base64#2": "/w==",
        "kafka.key": "k",
        "agent": digest(f"for {PERSON.lower()}"),
        "link": digest(f"/u/{quote(PERSON)}"),
    }


FOUND = [
    PERSON,
    PERSON.lower(),
    unicodedata.normalize("NFD", PERSON),
    *(ENCODINGS[name](PERSON) for name in ("percent", "percent twice", "base64", "base64 for URLs", "hex")),
    *(f"{ENCODINGS['base64 for URLs'](PERSON)}/{digits}" for digits in ("", "a", "ab", "abc")),
    quote(quote(quote(quote(PERSON)))),
    f"id={quote(base64.b64encode(f'user:{PERSON.upper()}'.encode()).decode(), safe='')}",
]
"""What a file or a message may be named, so that the person can be read from it."""


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize(
    ("prefix", "scheme"), [("/data/", "file"), ("s3://bucket/", "s3"), ("C:\\data\\", "file"), ("", "file")]
)
def test_file_name_and_message_id_that_hold_the_value_are_hashed(name: str, prefix: str, scheme: str) -> None:
    record = line(email=PERSON, plan="gold")
    batches = [
        RecordBatch([record], FileProvenance(f"{prefix}{name}.json", STARTED, [7])),
        RecordBatch([record], MessageProvenance("mongodb://h/d.c", STARTED, [name], [STARTED])),
    ]
    origins = [decoder().decode(batch).rejected[0].origin for batch in batches]
    assert [(origin.uri, origin.offset, origin.message_id) for origin in origins] == [
        (f"{scheme}://{digest(f'{prefix}{name}.json')}", 7, None),
        ("mongodb://h/d.c", None, digest(name)),
    ]


def test_violation_does_not_show_the_value_in_another_case() -> None:
    assert rejected(line(email=PERSON, plan=f"for {PERSON.upper()}")).violations[0].got == MASKED_VALUE
