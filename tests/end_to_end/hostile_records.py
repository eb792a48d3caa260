"""Records that no producer should send, and what each of them must become."""

from __future__ import annotations

from typing import NamedTuple

ACCEPTED = "accepted"
MINUTE = "2025/02/08/13/09"
UUID_TEXT = "9e107d9d-0000-4000-8000-00000000002a"
BIG = 20_000_000


def event(
    number: int, more: bytes = b"", time: bytes = b'"2025-02-08T13:09:00Z"', change: bytes = b"1"
) -> bytes:
    """Return an inventory event; `more` is put behind its last property."""
    return (
        b'{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","product_id":"%b",'
        b'"warehouse_id":"%b","reason":"sale","quantity_change":%b,"timestamp":%b%b}'
    ) % (number, UUID_TEXT.encode(), UUID_TEXT.encode(), change, time, more)


def nested(depth: int) -> bytes:
    return b',"x":' + b"[" * depth + b"]" * depth


class Case(NamedTuple):
    """What is sent, and what it must become: ACCEPTED or the code of its dead letter; where, if accepted."""

    record: bytes
    verdict: str
    minute: str = MINUTE
    extra: str | None = None
    events: tuple[bytes, ...] = ()
    """The events in the record, if it is not one itself."""

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The lines that are stored or rejected."""
        return self.events or (self.record,)


def unknown(number: int, text: bytes, verdict: str = ACCEPTED, extra: str | None = None) -> Case:
    """Return an event with the unknown property `x`, whose value is `text`, kept in `_extra` as it stands."""
    stored = extra or '{"x":' + text.decode("utf-8", "replace") + "}"
    return Case(event(number, b',"x":' + text), verdict, extra=stored if verdict == ACCEPTED else None)


def timed(number: int, time: str, verdict: str = ACCEPTED, minute: str = MINUTE) -> Case:
    return Case(event(number, time=f'"{time}"'.encode()), verdict, minute)


CASES: dict[str, Case] = {
    "plain": Case(event(1), ACCEPTED),
    "not UTF-8": Case(b"\xff\xfe", "not_json"),
    "not UTF-8 in an unknown property": unknown(2, b'"\xff"', "not_json"),
    "not UTF-8 in a key": Case(event(3, b',"\xc3":1'), "not_json"),
    "overlong UTF-8": unknown(4, b'"\xc0\xaf"', "not_json"),
    "a surrogate in UTF-8": unknown(5, b'"\xed\xa0\x80"', "not_json"),
    "a code point above the last": unknown(6, b'"\xf4\x90\x80\x80"', "not_json"),
    "an escaped lone surrogate": unknown(7, b'"\\ud800"', "not_json"),
    "surrogates in the wrong order": unknown(8, b'"\\udc00\\ud800"', "not_json"),
    "an escaped lone surrogate as key": Case(event(9, b',"\\ud800":1'), "not_json"),
    "an escaped pair of surrogates": unknown(10, b'"\\uD83D\\uDE00"'),
    "four bytes of UTF-8": unknown(11, '"😀"'.encode()),
    "NUL alone": Case(b"\0", "not_json"),
    "many NULs": Case(b"\0" * 100_000, "not_json"),
    "NUL in a string": unknown(12, b'"\0"', "not_json"),
    "NUL behind": Case(event(13) + b"\0", "not_json"),
    "an escaped NUL": unknown(14, b'"\\u0000"'),
    "a control character in a string": unknown(15, b'"\x1f"', "not_json"),
    "a tab in a string": unknown(16, b'"\t"', "not_json"),
    "DEL in a string": unknown(17, b'"\x7f"'),
    "100,000 brackets": Case(b"[" * 100_000, "not_json"),
    "100,000 braces": Case(b'{"a":' * 100_000, "not_json"),
    "100,000 balanced brackets": Case(b"[" * 100_000 + b"]" * 100_000, "not_json"),
    "100,000 brackets in an unknown property": Case(event(18, nested(100_000)), "not_json"),
    "200 deep": Case(event(19, nested(200)), ACCEPTED),
    "255 deep, with the event 256": Case(event(20, nested(255)), ACCEPTED),
    "256 deep, with the event 257": Case(event(21, nested(256)), "not_json"),
    "300 deep": Case(event(22, nested(300)), "not_json"),
    "1,000 deep": Case(event(23, nested(1000)), "not_json"),
    "brackets in a string": unknown(24, b'"' + b"[" * 100_000 + b'"'),
    "1e999": unknown(25, b"1e999"),
    "-1e999": unknown(26, b"-1e999"),
    "1e-999999999999": unknown(27, b"1e-999999999999"),
    "1e999 as an integer": Case(event(28, change=b"1e999"), "type"),
    "an integer of 5,000 digits": unknown(29, b"9" * 5000),
    "5,000 digits as an integer": Case(event(30, change=b"9" * 5000), "range"),
    "a fraction of 400 digits": unknown(31, b"0." + b"0" * 400 + b"1"),
    "-0": Case(event(32, change=b"-0"), ACCEPTED),
    "2 to the 63": Case(event(33, change=b"9223372036854775808"), "range"),
    "NaN": unknown(34, b"NaN", "not_json"),
    "Infinity": unknown(35, b"-Infinity", "not_json"),
    "NaN as an integer": Case(event(36, change=b"NaN"), "not_json"),
    "01": unknown(37, b"01", "not_json"),
    "1.": unknown(38, b"1.", "not_json"),
    "+1": unknown(39, b"+1", "not_json"),
    "tru": unknown(40, b"tru", "not_json"),
    "a comment": Case(event(41) + b"//", "not_json"),
    "a repeated key": Case(event(42, b',"reason":"sale"'), ACCEPTED),
    "a repeated unknown key": Case(event(43, b',"x":1,"x":2'), ACCEPTED, extra='{"x":2}'),
    "a repeated key whose last value is wrong": Case(event(44, b',"reason":"theft"'), "enum"),
    "a repeated event type": Case(event(45, b',"event_type":"inventory"'), ACCEPTED),
    "an empty key": Case(event(46, b',"":1'), ACCEPTED, extra='{"":1}'),
    "a key with escapes": Case(event(47, b',"\\u0078\\"\\n":1'), ACCEPTED, extra='{"x\\"\\n":1}'),
    "an escaped key of the contract": Case(event(48).replace(b'"reason"', b'"\\u0072eason"'), ACCEPTED),
    "a key of 100,000 bytes": Case(
        event(49, b',"' + b"k" * 100_000 + b'":1'), ACCEPTED, extra='{"' + "k" * 100_000 + '":1}'
    ),
    "10,000 unknown properties": Case(
        event(50, b"".join(b',"p%d":%d' % (n, n) for n in range(10_000))),
        ACCEPTED,
        extra="{" + ",".join(f'"p{n}":{n}' for n in range(10_000)) + "}",
    ),
    "keys that Sluice adds to rows": Case(
        event(51, b',"_id":"a","_extra":"b","_event_id":"c","event_date":"d"'),
        ACCEPTED,
        extra='{"_id":"a","_extra":"b","_event_id":"c","event_date":"d"}',
    ),
    "a byte order mark": Case(b"\xef\xbb\xbf" + event(52), ACCEPTED, events=(event(52),)),
    "a carriage return behind": Case(event(53) + b"\r", ACCEPTED),
    "spaces around": Case(b" \t" + event(54) + b"  ", ACCEPTED),
    "spaces alone": Case(b"   ", "not_json"),
    "a form feed": Case(b"\f", "not_json"),
    "two events": Case(event(55) + event(56), ACCEPTED, events=(event(55), event(56))),
    "half an event": Case(event(57)[:100], "not_json"),
    "a string": Case(b'"text"', "not_an_object"),
    "an empty array": Case(b"[]", "not_an_object"),
    "an event in an array": Case(b"[" + event(58) + b"]", "not_an_object"),
    "an empty object": Case(b"{}", "unknown_type"),
    "no type": Case(b'{"event_type":null}', "unknown_type"),
    "a type that is no text": Case(b'{"event_type":["order"]}', "unknown_type"),
    "a line of 20 MB, accepted": Case(event(59, b',"x":"' + b"a" * BIG + b'"'), ACCEPTED),
    "a line of 20 MB that is no JSON": Case(b"x" * BIG, "not_json"),
    "a line of 20 MB of backslashes": Case(b"\\" * BIG, "not_json"),
    "a line of 5 MB of NULs": Case(b"\0" * 5_000_000, "not_json"),
    "a line of 20 MB that is not UTF-8": Case(b"\xff" * BIG, "not_json"),
    "the first instant": timed(60, "0001-01-01T00:00:00Z", minute="0001/01/01/00/00"),
    "before the first instant": timed(61, "0001-01-01T00:00:00+23:59", "range"),
    "year 0": timed(62, "0000-01-01T00:00:00Z", "format"),
    "the last instant": timed(63, "9999-12-31T23:59:59Z", "in_future"),
    "the last microsecond": timed(64, "9999-12-31T23:59:59.999999Z", "in_future"),
    "after the last instant": timed(65, "9999-12-31T23:59:59-23:59", "range"),
    "year 10000": timed(66, "10000-01-01T00:00:00Z", "format"),
    "the last microsecond of a minute long ago": timed(
        67, "1000-01-01T00:00:59.999999Z", minute="1000/01/01/00/00"
    ),
    "the last microsecond of a minute in year 1": timed(
        68, "0001-01-01T00:00:59.999999Z", minute="0001/01/01/00/00"
    ),
    "the microsecond before 1970": timed(69, "1969-12-31T23:59:59.999999Z", minute="1969/12/31/23/59"),
    "lower case t and z": timed(70, "2025-02-08t13:09:00z"),
    "seven decimals": timed(71, "2025-02-08T13:09:00.1234567Z"),
    "thirty decimals": timed(72, "2025-02-08T13:09:00.123456789012345678901234567890Z"),
    "offset +14:00": timed(73, "2025-02-09T03:09:00+14:00"),
    "offset -23:59": timed(74, "2025-02-07T13:10:00-23:59"),
    "offset +05:45": timed(75, "2025-02-08T18:54:00+05:45"),
    "no offset": timed(76, "2025-02-08T13:09:00"),
    "offset +24:00": timed(77, "2025-02-08T13:09:00+24:00", "format"),
    "a leap second": timed(78, "2016-12-31T23:59:60Z", "format"),
    "24 o'clock": timed(79, "2025-02-08T24:00:00Z", "format"),
    "29 February of another year": timed(80, "2025-02-29T13:09:00Z", "format"),
    "29 February": timed(81, "2024-02-29T13:09:00Z", minute="2024/02/29/13/09"),
    "a week date": timed(82, "2025-W06-6T13:09:00Z", "format"),
    "Arabic digits": timed(83, "٢٠٢٥-02-08T13:09:00Z", "format"),
    "a time of epoch seconds": Case(event(84, time=b"1739020140"), "type"),
}
