"""The language of file patterns: one meaning of every wildcard, hidden and temporary names, and linear time."""

from __future__ import annotations

import pytest
from sluice.sources.files.patterns import Pattern, is_left_out, literal_start, split_pattern

from tests.growth import LINEAR, growth_of_cpu_time


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a.json", ["a.json"], ["b.json", "x/a.json", "a.json/x", "A.json"]),
        ("*", ["a", "a b", "žluť", "a\nb", "a\\b", "{a}"], [".a", "x/a", "_SUCCESS", "a.tmp"]),
        ("?", ["a", "ž", "*"], ["", "ab", ".", "/"]),
        ("[ab]x", ["ax", "bx"], ["cx", "[ab]x"]),
        ("[!a]x", ["bx", "!x"], ["ax", ".x"]),
        ("[a-c]?", ["b1"], ["d1", "b"]),
        ("[ab", ["[ab"], ["a"]),
        ("{a,b}", ["{a,b}"], ["a", "b"]),
        ("a\\*", ["a\\", "a\\b"], ["a*"]),
        ("a+b.#%c", ["a+b.#%c"], ["aab.#%c"]),
        ("*/a", ["x/a", "/a"], ["a", "x/y/a", ".x/a"]),
        ("**", ["a", "x/a", "x/y/a", "x//a"], [".a", ".x/a", "x/.y/a", "_temporary/a", "x/a.crc"]),
        ("**/a", ["a", "x/a", "x/y/a"], ["b", "xa", "x/a/b", ".x/a"]),
        ("x/**", ["x/a", "x/y/a"], ["x", "a", "y/x/a"]),
        ("x/**/a", ["x/a", "x/y/a", "x/y/z/a"], ["a", "x", "x/y"]),
        ("**/**/a", ["a", "x/a", "x/y/a"], ["x/y"]),
        ("**.gz", ["a.gz", "x/a.gz", "x/y/a.gz"], ["a.json", ".a.gz", ".x/a.gz"]),
        ("a**z", ["az", "abz", "ab/z", "a/x/y/z", "ab/cz"], ["a", "b/az", "az/b", "a/.x/z"]),
        ("a**m**z", ["amz", "a/m/z", "ab/cmd/ez", "a/x/m/y/z"], ["az", "a/z", "am", "m/z"]),
        ("***", ["a", "x/a"], [".a"]),
        (".*", [".a"], ["a"]),
        (".x/*", [".x/a"], ["x/a", ".x/.a"]),
        ("_*", ["_SUCCESS", "_a"], ["a"]),
        ("*.tmp", ["a.tmp"], ["a.json"]),
        ("_temporary/*", ["_temporary/a"], ["_temporary/a.crc"]),
    ],
)
def test_pattern_matches_exactly_these_paths(pattern: str, matching: list[str], others: list[str]) -> None:
    compiled = Pattern(pattern)
    assert [path for path in (*matching, *others) if compiled.matches(path)] == matching


@pytest.mark.parametrize(
    "name",
    [
        ".a",
        "_SUCCESS",
        "_metadata",
        "_common_metadata",
        "_committed_123",
        "_started_123",
        "_temporary",
        "_spark_metadata",
        "_delta_log",
        "_log.json",
        "part-0.crc",
        "a.json.tmp",
        "a.json._COPYING_",
    ],
)
def test_hidden_and_temporary_names_are_left_out(name: str) -> None:
    assert is_left_out(name)
    assert is_left_out(name, "*")
    assert not is_left_out(name, name)


@pytest.mark.parametrize("name", ["a", "_a.json", "_events", "tmp", "crc", "a.tmp.json", "SUCCESS", "a.part"])
def test_other_names_are_read(name: str) -> None:
    assert not is_left_out(name)


@pytest.mark.parametrize(
    ("path", "parts", "start"),
    [
        ("in/a.json", ("in/", "a.json"), "a.json"),
        ("in/day*/a?.json", ("in/", "day*/a?.json"), "day"),
        ("*.json", ("", "*.json"), ""),
        ("/x/[ab]", ("/x/", "[ab]"), ""),
        ("x//y/**", ("x//y/", "**"), ""),
    ],
)
def test_pattern_is_split_at_the_folder_of_all_matches(path: str, parts: tuple[str, str], start: str) -> None:
    assert split_pattern(path) == parts
    assert literal_start(parts[1]) == start


def test_time_to_match_grows_linearly_with_folders_stars_and_names() -> None:
    def match_names(size: int) -> None:
        pattern = Pattern("**/a*a*a*a*b/**/x*y*z")
        assert not pattern.matches("/".join(["aaaaaaaaaaaaaaaaaaaa"] * size))

    assert growth_of_cpu_time(match_names, 20_000) < LINEAR

    def match_long_name(size: int) -> None:
        assert not Pattern("*a" * 10 + "*b").matches("a" * size)

    assert growth_of_cpu_time(match_long_name, 200_000) < LINEAR
