from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.provenance import (
    FileProvenance,
    Origin,
    RedeliveryProvenance,
)
from sluice.validation.age_limits import AgeLimits
from sluice.validation.deduplication_keys import compile_deduplication_key
from sluice.validation.masking import MASKED_VALUE, compile_masking, is_masked
from sluice.validation.records import RecordDecoder

from tests.validation.masking_fixture import (
    KEY,
    SIGNUP,
    STARTED,
    USER,
    decoder,
    digest,
    line,
    rejected,
)


def masked(record: bytes) -> dict[str, Any]:
    masking = compile_masking({"signup": SIGNUP}, "type", KEY)
    assert masking is not None
    stored = masking.lines["signup"](record)
    assert KEY not in stored
    members: dict[str, Any] = json.loads(stored)
    return members


def test_value_is_masked_by_its_method() -> None:
    made = masked(line(ip="10.81.166.94", note="call me", friends=[{"phone": "+371 2000", "since": 1}, {}]))
    assert made["email"] == digest("ann@example.com")
    assert UUID(made["user_id"]).version == 8
    assert made["user_id"].replace("-", "")[:12] == digest(USER.lower())[:12]
    assert (made["ip"], "note" in made) == ("10.81.166.0", False)
    assert made["friends"] == [{"phone": digest("+371 2000"), "since": 1}, {}]
    assert masked(line(phones=["+371 2000", "x"]))["phones"] == [digest("+371 2000"), digest("x")]
    assert masked(line(user_id=USER.lower()))["user_id"] == made["user_id"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("255.1.2.3", "255.1.2.0"),
        ("2001:db8:aaaa:bbbb::1", "2001:db8:aaaa::"),
        ("::ffff:10.1.2.3", "10.1.2.0"),
        ("fe80::1%eth0", "fe80::"),
        ("not an address", digest("not an address")),
        ("10.1.2.3, 10.4.5.6", digest("10.1.2.3, 10.4.5.6")),
    ],
)
def test_address_becomes_its_network_and_any_other_text_a_hash(address: str, network: str) -> None:
    assert masked(line(ip=address))["ip"] == network
    assert masked(line(ip=network))["ip"] == (
        network if ":" in network or "." in network else digest(network)
    )


def test_line_without_values_to_mask_is_not_changed() -> None:
    contract = replace(SIGNUP, properties=tuple(replace(p, required=False) for p in SIGNUP.properties))
    masking = compile_masking({"signup": contract}, "type", KEY)
    assert masking is not None
    record = b'{ "type":"signup", "price": 1.10, "email": null }'
    assert masking.lines["signup"](record) == record


def test_other_members_of_a_masked_line_keep_their_text() -> None:
    masking = compile_masking({"signup": SIGNUP}, "type", KEY)
    assert masking is not None
    record = rb'{ "n": 1.10, "email" : "a@b", "t": "\u00e9\/", "o": {"b": 1e2,  "a": [ 1 ]} }'
    expected = rb'{"n":1.10,"email":"%b","t":"\u00e9\/","o":{"b":1e2,"a":[1]}}' % digest("a@b").encode()
    assert masking.lines["signup"](record) == expected


@pytest.mark.parametrize(
    "stray",
    [
        b'"Mail":"ann@example.com"',
        b'"device":{"os":"x","EMAIL":"ann@example.com"}',
        b'"details":{"deep":[{"email":"ann@example.com"},[{"email":["ann@example.com"]}]]}',
        b'"other":{"e\\u006dail":"ann@example.com"}',
        b'"other":[[{"phone":{"email":"ann@example.com"}}]]',
        b'"email":"ann@example.com"',
        b'"x":{"email":"ann@example.com"},"x":1',
        b'"device":{"os":"x","email":"ann@example.com"},"device":null',
        b'"_repaired":{"rules":["cut_off"],"line":"ann@example.com"}',
    ],
)
def test_value_in_an_undeclared_place_is_masked(stray: bytes) -> None:
    record = b"{" + stray + b"," + line()[1:]
    (accepted,) = (
        decoder().decode(RecordBatch([record], FileProvenance("topic", STARTED, [0]))).events.values()
    )
    assert b"ann@example.com" not in accepted[0]
    broken = rejected(b"{" + stray + b"," + line(plan="gold")[1:])
    assert b"ann@example.com" not in broken.record or broken.quarantine_hash is not None


def test_record_of_an_unknown_type_is_masked_by_names() -> None:
    result = rejected(line(type="oops", nested={"email": 42, "plan": "free"}))
    assert [violation.code for violation in result.violations] == ["unknown_type"]
    assert result.masked == {"email", "user_id", "nested.email"}
    made = json.loads(result.record)
    assert made["email"] == digest("ann@example.com")
    assert made["nested"] == {"email": {"_protected": digest("42")}, "plan": "free"}


@pytest.mark.parametrize(
    ("record", "path", "code"),
    [
        (line(email="nobody"), "email", "format"),
        (line(email=42), "email", "type"),
        (line(user_id="nobody"), "user_id", "format"),
        (line(friends="+371 2000"), "friends", "type"),
        (line(friends=[{"phone": 3712000}]), "friends.0.phone", "type"),
        (line(friends=["+371 2000"]), "friends.0", "type"),
    ],
)
def test_violation_does_not_show_a_masked_value(record: bytes, path: str, code: str) -> None:
    result = rejected(record)
    assert [(violation.code, violation.path, violation.got) for violation in result.violations] == [
        (code, path, MASKED_VALUE)
    ]
    text = result.record + repr(result).encode()
    assert not any(raw in text for raw in (b"nobody", b"42,", b"3712000", b"+371"))


def test_violation_of_another_property_shows_its_value() -> None:
    result = rejected(line(plan="gold", email=None))
    assert [(violation.path, violation.got) for violation in result.violations] == [
        ("email", "null"),
        ("plan", '"gold"'),
    ]
    assert rejected(line(plan="for ann@example.com")).violations[0].got == MASKED_VALUE


@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"\xff",
        b"[1]",
        b'"ann@example.com"',
        b'{"email":"ann@example.com","email":1,"type":"signup"}',
        b"[" * 999,
    ],
)
def test_record_that_cannot_be_searched_is_quarantined_under_a_keyed_hash(record: bytes) -> None:
    result = rejected(record)
    assert result.record == record
    assert result.quarantine_hash == hmac.new(KEY, record, hashlib.sha256).digest()


def test_deduplication_key_is_that_of_the_masked_line() -> None:
    limited = tuple(
        replace(prop, pattern="^[0-9A-F-]+$") if prop.name == "user_id" else prop
        for prop in SIGNUP.properties
    )
    identify = compile_deduplication_key(replace(SIGNUP, properties=limited))
    first, again = (json.dumps(masked(line(user_id=user))).encode() for user in (USER, USER.lower()))
    assert identify(first) == identify(again) != identify(line())


def test_masked_value_is_not_hashed_again_on_redelivery() -> None:
    record = line(plan="gold", ip="10.81.166.94", note="call me", details={"email": "a@b"})
    result = rejected(record)
    assert result.masked == {"email", "user_id", "ip", "note", "details.email"}
    wider = replace(
        SIGNUP,
        properties=tuple(
            replace(prop, enum=("free", "paid", "gold")) if prop.name == "plan" else prop
            for prop in SIGNUP.properties
        ),
    )
    ages = AgeLimits(600, 3600, STARTED)
    origins = [Origin("topic", STARTED, offset=7)]
    again = RecordBatch([result.record], RedeliveryProvenance(origins, STARTED, result.masked))
    redelivered = RecordDecoder({"signup": wider}, "type", ages, 1, KEY, result.masked).decode(again)
    direct = RecordDecoder({"signup": wider}, "type", ages, 1, KEY).decode(
        RecordBatch([record], FileProvenance("t", STARTED, [7]))
    )
    assert redelivered.rejected == []
    assert redelivered.events == direct.events


def test_value_masked_since_rejection_is_masked_on_redelivery() -> None:
    payload = line(email=digest("a@b"), ip="10.81.166.94")
    batch = RecordBatch([payload], FileProvenance("topic", STARTED, [0]))
    (lines,) = decoder(frozenset({"email", "user_id"})).decode(batch).events.values()
    made = json.loads(lines[0])
    assert (made["email"], made["user_id"], made["ip"]) == (digest("a@b"), USER, "10.81.166.0")


def test_contracts_without_masks_compile_to_none() -> None:
    plain = replace(SIGNUP, properties=SIGNUP.properties[:2])
    assert not is_masked([plain])
    assert compile_masking({"signup": plain}, "type", None) is None


def test_masked_property_that_routes_is_rejected() -> None:
    with pytest.raises(ConfigError, match="events are routed by it, so it cannot be masked, got mask: hash"):
        compile_masking({"signup": SIGNUP}, "email", KEY)


NAMES = st.sampled_from(["email", "EMAIL", "mail", "phone", "details", "device", "friends", "x"])
VALUES = st.recursive(
    st.sampled_from([None, True, 17, "ann@example.com", "plain"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def called(value: Any, names: set[str], wanted: bool = False) -> bool:
    """Tell whether the address stands anywhere below one of `names`, in any case of letters."""
    if isinstance(value, dict):
        return any(called(inner, names, wanted or name.casefold() in names) for name, inner in value.items())
    if isinstance(value, list):
        return any(called(inner, names, wanted) for inner in value)
    return wanted and value == "ann@example.com"


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=5), st.sampled_from(["signup", "oops"]))
def test_no_value_of_a_masked_name_is_left_in_any_record(members: dict[str, Any], kind: str) -> None:
    result = rejected(msgspec.json.encode({**members, "type": kind, "at": "never"}))
    assert result.quarantine_hash is None
    remaining = json.loads(result.record)
    assert not called(remaining, {"email", "mail", "phone"})
    again = RecordBatch([result.record], FileProvenance("topic", STARTED, [7]))
    (once_more,) = decoder(result.masked).decode(again).rejected
    assert (once_more.record, once_more.masked) == (result.record, result.masked)
