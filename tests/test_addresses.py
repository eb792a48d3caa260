"""What is printed of addresses, of texts that may hold one, and of command lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sluice.addresses import mask, mask_addresses, mask_flags, mask_given, mask_text

from tests.growth import LINEAR, growth_of_cpu_time

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x://u@h/d?a=1&secret=2&c", "x://u@h/d?a=1"),
        (f"x://u:{SECRET}@h/d", "x://u@h/d"),
        (f"x://u:{SECRET}/@h/d", "x://"),
        (f"x://h/d?a=s3%3A%2F%2FK:{SECRET}@b/x", "x://h/d?a=s3://b/x"),
        ("x://h/d?label.team=data&label=1", "x://h/d?label.team=data&label=1"),
    ],
)
def test_harmless_options_are_printed(text: str, shown: str) -> None:
    assert mask(text, ("a", "label"), user=True) == shown


def test_path_is_printed_without_the_values_of_secrets() -> None:
    assert mask(f"in/Server=h;PWD={SECRET};/a.json") == "in/Server=h;PWD=***;/a.json"
    assert mask(f"/x?sig={SECRET}") == "/x?sig=***"
    assert mask("in/day=2025-02-08/a.json") == "in/day=2025-02-08/a.json"


def test_address_without_passwords_may_have_an_at_sign_behind_its_port() -> None:
    assert mask("https://h:80/x?to=a@b", ("to",), passwords=False) == "https://h:80/x?to=a@b"
    assert mask(f"https://u:{SECRET}/@h/x", passwords=False) == "https://"


def test_addresses_in_the_text_of_others_are_masked() -> None:
    text = f"GET 'https://h/x?api_key={SECRET}' failed: postgresql://u:{SECRET}@h/d: no such host"
    assert mask_addresses(text) == "GET 'https://h/x' failed: postgresql://h/d: no such host"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"kafka://u:{SECRET}@h/t?group={SECRET}", "kafka://h/t"),
        (f"kafka://u:a {SECRET} b@h/t", "kafka://h/t"),
        (f"u:{SECRET}@h/d", "***"),
        (f"u:{SECRET}@kafka://h/t", "***"),
        (f"code=kafka://u:{SECRET}@h/t", "***"),
        (f"code=x of kafka://h/t?a={SECRET}", "code=x of kafka://h/t"),
        (f"Server=h;Password={SECRET};Port=1", "Server=h;Password=***;Port=1"),
        (f"/x?token={SECRET}&a=1", "/x?token=***&a=1"),
        ("2025-02-30T10:00:00Z", "2025-02-30T10:00:00Z"),
        ("no such: thing", "no such: thing"),
        ("a@b", "a@b"),
        ("", ""),
    ],
)
def test_text_in_the_place_of_another_is_printed_without_an_address(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--pasword=x", "--y", "z"], "--pasword --y"),
        (["-px", "z"], "-p"),
        (["more", f"kafka://u:{SECRET}@h/t"], "more kafka://h/t"),
    ],
)
def test_unknown_flags_are_printed_without_what_follows_them(arguments: list[str], shown: str) -> None:
    assert mask_flags(arguments) == shown


def test_message_about_a_command_line_has_no_secret_of_it() -> None:
    given = [f"--count=http://u:a 'b' {SECRET}@h/x", f"kafka://u:{SECRET}@h/t"]
    message = f"invalid int value: {given[0].partition('=')[2]!r} and {given[1]!r} and {given[1]}"
    assert mask_given(message, given) == ("invalid int value: 'http://h/x' and 'kafka://h/t' and kafka://h/t")


@pytest.mark.parametrize("unit", ["x", "a1", "x:/", "-", "x://", "x://y ", "x://u:p@", "://", "?a=b;", "@"])
@pytest.mark.parametrize("masked", [mask, mask_addresses, mask_text])
def test_addresses_in_a_text_are_masked_in_linear_time(masked: Callable[[str], str], unit: str) -> None:
    def work(size: int) -> None:
        masked(unit * (size // len(unit)))

    assert growth_of_cpu_time(work, 100_000) < LINEAR


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to=postgresql://u:s3cret@h/d end", "to=postgresql://h/d end"),
        ("1postgresql://u:s3cret@h/d", "1postgresql://h/d"),
        ("a,postgresql://u:s3cret@h/d", "a,postgresql://h/d"),
        ("_postgresql://u:s3cret@h/d", "_postgresql://h/d"),
        ("://u:s3cret", "://u:s3cret"),  # no address
    ],
)
def test_address_is_masked_wherever_it_begins(text: str, masked: str) -> None:
    assert mask_addresses(text) == masked
