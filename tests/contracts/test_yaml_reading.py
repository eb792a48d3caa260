"""YAML as nobody should write it, for job files and contracts alike: one line that names the place."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.config.job import load_job
from sluice.contracts import load_contracts
from sluice.contracts.yaml_reading import read_yaml
from sluice.errors import ConfigError, ContractError

BOMB = "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10) if level else '1'}]" for level in range(12)
)

MISTAKES: list[tuple[bytes | str, str]] = [
    ("version: 2025-02-30", "line 1, column 10: '2025-02-30' is no valid timestamp; put it in quotes"),
    (
        "a: 2025-01-01T00:00:00+99:99",
        "line 1, column 4: '2025-01-01T00:00:00+99:99' is no valid timestamp; put it in quotes",
    ),
    ("a: 0b_", "line 1, column 4: '0b_' is no valid int; put it in quotes"),
    ("a: " + "9" * 5_000, f"line 1, column 4: '{'9' * 98}… is no valid int; put it in quotes"),
    ("a: 0x" + "f" * 5_000, "line 1, column 4: the number has more than 100 digits; put it in quotes"),
    ("a: 1" + ":1" * 5_000, "line 1, column 4: the number has more than 100 digits; put it in quotes"),
    ("a: " + "[" * 3_000, "line 1, column 103: values are nested more than 100 deep"),
    ("- " * 3_000, "line 1, column 201: values are nested more than 100 deep"),
    ("? " * 3_000, "line 1, column 201: values are nested more than 100 deep"),
    ("{a: " * 3_000, "line 1, column 398: values are nested more than 100 deep"),
    (BOMB, "line 6, column 25: aliases stand for more than 100,000 values"),
    ("a: &a [*a]", "line 1, column 8: the alias *a lies within its own anchor"),
    ("a: &a {b: {<<: *a}}", "line 1, column 16: the alias *a lies within its own anchor"),
    ("a: *b", "line 1, column 4: the alias has no anchor; put a text that begins with * in quotes"),
    (
        "a: !!python/object:os.system x",
        "line 1, column 4: the tag 'tag:yaml.org,2002:python/object:os.system' is not supported; remove it",
    ),
    ("a: !!int x", "line 1, column 4: the tag 'tag:yaml.org,2002:int' is not supported; remove it"),
    ("a: ! 1", "line 1, column 4: the tag '!' is not supported; remove it"),
    ("a: !x y", "line 1, column 4: the tag '!x' is not supported; remove it"),
    ("\ta: 1", "line 1, column 1: found character '\\t' that cannot start any token"),
    (
        "a: 1\nb: 2\na: 1",
        "line 3, column 1: the key 'a' is given twice, first in line 1; remove one",
    ),
    (
        "a:\n  b: 1\n  'b': 2",
        "line 3, column 3: the key 'b' is given twice, first in line 2; remove one",
    ),
    ("a: {x: 1, x: 2}", "line 1, column 11: the key 'x' is given twice, first in line 1; remove one"),
    ("1: a", "line 1, column 1: expected a text as key, got '1'; put it in quotes"),
    ("yes: a", "line 1, column 1: expected a text as key, got 'yes'; put it in quotes"),
    ("2025-02-03: a", "line 1, column 1: expected a text as key, got '2025-02-03'; put it in quotes"),
    ("? [a]\n: b", "line 1, column 3: expected a text as key, got a sequence; put it in quotes"),
    ('a: "\\0"', "line 1, column 4: the character U+0000 cannot be stored; remove it"),
    ('"a\\ud800": b', "line 1, column 1: the character U+D800 cannot be stored; remove it"),
    ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
    ("a: {<<: [1]}", "line 1, column 10: expected a mapping for merging, but found scalar"),
    ("a: =", "line 1, column 4: could not determine a constructor for the tag 'tag:yaml.org,2002:value'"),
]
UNREADABLE: list[tuple[bytes, str]] = [
    (b"a: \xff", "invalid start byte at position 3"),
    (b"a: \0", "special characters are not allowed at position 3"),
    (b"a: \x1b[2J", "special characters are not allowed at position 3"),
    ("a: ü".encode("utf-16-le"), "invalid start byte at position 6"),
    ("a: ü".encode("utf-32"), "special characters are not allowed at position 1"),
]
CASES = [
    *((text, problem.replace(": ", ": expected YAML, got a mistake: ", 1)) for text, problem in MISTAKES),
    *((text, f"expected YAML in UTF-8, got a mistake: {problem}") for text, problem in UNREADABLE),
]
VALUES: list[tuple[bytes | str, Any]] = [
    ("", None),
    ("# nothing", None),
    ("- a", ["a"]),
    (b"\xef\xbb\xbfa: 1", {"a": 1}),
    ("a: ü".encode("utf-16"), {"a": "ü"}),
    ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
    ("a: &x {k: 1}\nb: {<<: *x, k: 2}\nc: *x", {"a": {"k": 1}, "b": {"k": 2}, "c": {"k": 1}}),
    ("a: 2025-02-28\nb: '2025-02-30'", {"a": date(2025, 2, 28), "b": "2025-02-30"}),
    ("a: " + "[" * 99 + "]" * 99, {"a": eval("[" * 99 + "]" * 99)}),
    ("a: " + "9" * 100, {"a": 10**100 - 1}),
]


def write(folder: Path, text: bytes | str, name: str) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_document_is_read(tmp_path: Path, text: bytes | str, value: object) -> None:
    assert read_yaml(write(tmp_path, text, "x.yaml"), ConfigError) == value


@pytest.mark.parametrize(("text", "problem"), CASES)
def test_mistake_in_a_job_file_is_reported_with_its_place(
    tmp_path: Path, text: bytes | str, problem: str
) -> None:
    path = write(tmp_path, text, "job.yaml")
    with pytest.raises(ConfigError) as raised:
        load_job(path)
    assert str(raised.value) == f"{path}: {problem}"


@pytest.mark.parametrize(("text", "problem"), CASES)
def test_mistake_in_a_contract_is_reported_with_its_place(
    tmp_path: Path, text: bytes | str, problem: str
) -> None:
    path = write(tmp_path, text, "x.odcs.yaml")
    with pytest.raises(ContractError) as raised:
        load_contracts(path)
    assert str(raised.value) == f"{path}: {problem}"


def test_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError) as raised:
        read_yaml("/dev/zero", ConfigError)
    assert str(raised.value) == "/dev/zero: expected at most 16 MiB of YAML, got more"


def test_name_that_no_file_can_have_is_no_file() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        read_yaml("a\0b", ConfigError)


PIECES = (
    *"ab:  \n\n-'\"[]{},#&*!|>%@`?1.0~\t",
    *("\n  ", "- ", ": ", "a: ", "null", "1e3", "0x1f", "2020-01-01", "<<: ", "\\n", "\\u12", "é"),
    *("\x85", "\u2028", "\ufeff", "---\n", "...\n", "%YAML 1.1\n", "\r\n", "|\n  ", ">-\n  "),
)
CONTRACT = Path(__file__).parents[2] / "schemas" / "backend_events" / "order.odcs.yaml"


def outcome(path: str) -> object:
    try:
        return repr(read_yaml(path, ConfigError))  # of values, so that 1 is not True
    except ConfigError as error:
        return error.args


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=14),
    at=st.integers(0, CONTRACT.stat().st_size),
    length=st.integers(0, 600),
)
def test_libyaml_reads_what_pyyaml_reads(pieces: list[str], at: int, length: int) -> None:
    text = CONTRACT.read_text("utf-8")[:length]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), text[:at] + "".join(pieces) + text[at:], "x.yaml")
        fast = outcome(path)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("yaml.__with_libyaml__", False)
            assert outcome(path) == fast
