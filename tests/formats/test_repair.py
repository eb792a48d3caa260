"""Malformed lines: which are repaired, by which rules, and which are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.contracts import load_contract
from sluice.formats.repair import MAX_LINE_BYTES, LineRepairer

from tests.growth import LINEAR, growth_of_cpu_time

CONTRACT = load_contract(str(Path(__file__).parents[2] / "schemas/commerce/customer_log.odcs.yaml"))
REPAIRER = LineRepairer({"customer_log": CONTRACT}, None)

EVENT = {
    "user_id": "U1",
    "timestamp": "2025-01-10T10:00:00Z",
    "event_type": "view",
    "metadata": {"product_id": "P4", "device": "mobile"},
}
GOOD = json.dumps(EVENT)
SINGLE = GOOD.replace('"', "'")
BARE = GOOD.replace('"', "")
WITHOUT = {**EVENT, "metadata": {"product_id": "P4"}}
FLAT = "timestamp=2025-01-10T10:00:00Z user_id=U1 event_type=view product_id=P4 device=mobile"


def repair(line: str) -> tuple[object, list[str]] | None:
    repaired = REPAIRER.repair(line.encode())
    if repaired is None:
        return None
    event = json.loads(repaired)
    mark = event.pop("_repaired")
    assert mark["line"] == line
    return event, mark["rules"]


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        (SINGLE, "single_quotes"),
        (SINGLE[:-1], "missing_braces single_quotes"),
        (SINGLE.replace("'U1'", '"U1"'), "single_quotes"),
        (GOOD.replace('"', "\u201c"), "single_quotes"),
        (GOOD.replace('"}}', '",},}'), "trailing_commas"),
        (GOOD + ",", "trailing_commas"),
        (GOOD.replace(", ", ",, "), "trailing_commas"),
        (GOOD.replace("}}", "}, }"), "trailing_commas"),
        (GOOD[1:].replace("}}", "},}"), "missing_braces"),
        (GOOD[1:].replace("}}", ",}}"), "missing_braces trailing_commas"),
        (GOOD[1:].replace(", ", " "), "missing_braces missing_commas"),
        (
            GOOD.replace('"user_id"', "user_id").replace(", ", " ").replace("}}", "},}"),
            "bare_words missing_commas trailing_commas",
        ),
        (GOOD[:-1], "missing_braces"),
        (GOOD[:-2], "missing_braces"),
        (GOOD[1:], "missing_braces"),
        (GOOD[1:-1], "missing_braces"),
        (SINGLE[1:], "missing_braces single_quotes"),
        (GOOD + "}", "missing_braces"),
        ("2025-01-10 10:00:00,123 INFO shop - " + GOOD, "text_around"),
        ("[2025-01-10] [INFO] {req-1} " + GOOD, "text_around"),
        ("<13>Jan 10 host shop[12]: " + SINGLE, "single_quotes text_around"),
        (GOOD + " # end", "text_around"),
        ("\ufeff" + GOOD, "text_around"),
        ("[" + GOOD + ",", "text_around trailing_commas"),
        ("saw user_id=U9 " + GOOD, "text_around"),
        (FLAT, "key_value"),
        (FLAT.replace(" ", ", "), "key_value"),
        ("INFO " + FLAT.replace("view", '"view"'), "key_value text_around"),
        ("2025-01-10T10:00:00Z INFO " + FLAT.partition(" ")[2], "key_value line_time text_around"),
        (BARE.replace(": ", "="), "key_value"),
        (
            FLAT.replace("=", ": ").replace(" u", ", u").replace(" e", ", e"),
            "bare_words missing_braces missing_commas",
        ),
        (BARE, "bare_words"),
        (GOOD.replace(", ", " "), "missing_commas"),
        (GOOD.replace(", ", ""), "missing_commas"),
        (GOOD.replace(", ", "; "), "missing_commas"),
        (json.dumps(GOOD), "escaped"),
        (GOOD.replace('"', '\\"'), "escaped"),
        ("INFO " + GOOD.replace('"', '\\"'), "escaped text_around"),
        (SINGLE[:-2] + ",}}", "single_quotes trailing_commas"),
        (GOOD.replace('"user_id"', "user_id"), "bare_words"),
        (f"12:00 INFO {FLAT}", "key_value text_around"),
        (GOOD.replace("}}", ', "old": None, "new": True}}'), "literals"),
    ],
)
def test_malformed_event_is_repaired(line: str, rules: str) -> None:
    repaired = repair(line)
    assert repaired is not None
    event, used = repaired
    if rules == "literals":
        assert event == {
            **EVENT,
            "metadata": {"product_id": "P4", "device": "mobile", "old": None, "new": True},
        }
    else:
        assert event == EVENT
    assert " ".join(used) == rules


@pytest.mark.parametrize(
    ("line", "event", "rules"),
    [
        (GOOD[:-8], WITHOUT, "cut_off missing_braces"),
        (GOOD[:-12], WITHOUT, "cut_off missing_braces"),
        (GOOD[:60], {"user_id": "U1", "timestamp": "2025-01-10T10:00:00Z"}, "cut_off missing_braces"),
        (BARE[:-4], {**EVENT, "metadata": {"product_id": "P4"}}, "bare_words cut_off missing_braces"),
        ('{"user_id": "U1", "n": 12', {"user_id": "U1"}, "cut_off missing_braces"),
        ('{"user_id": "U1", "ok": true', {"user_id": "U1", "ok": True}, "missing_braces"),
        ('{"user_id": "U1", "n": [1, 2', {"user_id": "U1", "n": [1]}, "cut_off missing_braces"),
        (
            GOOD.replace("mobile", "mo\tbile"),
            {**EVENT, "metadata": {"product_id": "P4", "device": "mo\tbile"}},
            "control_characters",
        ),
        (
            "{'a': 'it\\'s \"so\"', 'b': [1, None, 'x',]}",
            {"a": 'it\'s "so"', "b": [1, None, "x"]},
            "literals single_quotes trailing_commas",
        ),
        (
            '{"a": "user_id=U9, {x: y}", "user_id": "U1"',
            {"a": "user_id=U9, {x: y}", "user_id": "U1"},
            "missing_braces",
        ),
        (
            "{'note': 'a, b,} c', 'user_id': 'U1',}",
            {"note": "a, b,} c", "user_id": "U1"},
            "single_quotes trailing_commas",
        ),
        ('{"a": "x ", "b": "e " "user_id": "U1"}', {"a": "x ", "b": "e ", "user_id": "U1"}, "missing_commas"),
        (
            "user_id=7 quantity=12 ok=true event_type='view'",
            {"user_id": "7", "quantity": "12", "ok": "true", "event_type": "view"},
            "key_value single_quotes",
        ),
        (
            "timestamp=2025-01-10 10:00:00,5 user_id=U1",
            {"timestamp": "2025-01-10 10:00:00.5Z", "user_id": "U1"},
            "key_value",
        ),
    ],
)
def test_only_certain_members_are_kept(line: str, event: object, rules: str) -> None:
    assert repair(line) == (event, rules.split())


@pytest.mark.parametrize(
    "line",
    [
        GOOD + GOOD,
        GOOD + " " + GOOD,
        GOOD[:40] + GOOD,
        GOOD[:75] + GOOD,
        GOOD + " user_id=U2",
        GOOD.replace('"user_id": "U1"', '"user_id": "U1", "user_id": "U2"')[:-1],
        "{'metadata': {'device': 'a', 'device': 'b'}}",
        GOOD.replace("mobile", '12" tablet'),
        SINGLE.replace("mobile", "it's"),
        GOOD.replace('"U1"', '"U1'),
        GOOD.replace('"user_id"', '"user_id'),
        GOOD.replace('"mobile"', ""),
        GOOD[:-1] + " /* x */}",
        "user_id=U1 category=home garden",
        "user_id=U1 user_id=U2",
        "user_id=U1 metadata={a:1} product_id=P1",
        "user_id=U1 device= category=x",
        "hello world",
        "   ",
        "{}",
        "{" * 100,
        '{"a":' * 100,
        '{"path": "C:\\dir", "user_id": "U1",}',
    ],
)
def test_ambiguous_line_is_not_repaired(line: str) -> None:
    repaired = REPAIRER.repair(line.encode())
    if repaired is not None:  # JSON that no decoder takes is no event either
        with pytest.raises(ValueError, match="escape"):
            json.loads(repaired)


def test_record_that_is_no_text_or_too_long_is_not_repaired() -> None:
    assert REPAIRER.repair(SINGLE.replace("mobile", "\xe9").encode("latin-1")) is None
    assert REPAIRER.repair(b"{'a': '" + b"x" * MAX_LINE_BYTES + b"'}") is None


def test_line_that_needs_a_rule_of_no_contract_is_not_repaired(tmp_path: Path) -> None:
    text = Path(CONTRACT.path).read_text().replace("          - single_quotes\n", "")
    path = tmp_path / "customer_log.odcs.yaml"
    path.write_text(text)
    strict = LineRepairer({"customer_log": load_contract(str(path))}, None)
    assert strict.repair(SINGLE.encode()) is None
    assert strict.repair(GOOD[:-1].encode()) is not None


def _repairer_of(rules: list[str], folder: Path) -> LineRepairer:
    text = Path(CONTRACT.path).read_text()
    start, end = text.index("          - text_around"), text.index("    properties:")
    path = folder / "customer_log.odcs.yaml"
    path.write_text(text[:start] + "".join(f"          - {rule}\n" for rule in rules) + text[end:])
    return LineRepairer({"customer_log": load_contract(str(path))}, None)


@pytest.mark.parametrize("line", [GOOD[:60], "{'user_id': 'U1', 'event_ty", '{"user_id": "U1", "n": 12'])
def test_line_cut_off_outside_inner_objects_needs_no_rule_for_its_brace(line: str, tmp_path: Path) -> None:
    quotes = ["single_quotes"] if "'" in line else []
    repaired = _repairer_of(["cut_off", *quotes], tmp_path).repair(line.encode())
    assert repaired is not None
    event = json.loads(repaired)
    assert event["user_id"] == "U1"
    assert event["_repaired"]["rules"] == ["cut_off", *quotes]


@pytest.mark.parametrize("line", [GOOD[:-8], BARE[:-4]])
def test_line_cut_off_within_an_inner_object_needs_the_rule_for_braces(line: str, tmp_path: Path) -> None:
    assert _repairer_of(["cut_off", "bare_words"], tmp_path).repair(line.encode()) is None
    assert (
        _repairer_of(["cut_off", "bare_words", "missing_braces"], tmp_path).repair(line.encode()) is not None
    )


@pytest.mark.parametrize(
    ("before", "repeated", "behind"),
    [
        ('{"user_id": "', r"\"", '",}'),
        ('{"user_id": "', r"\"", ""),
        ("{'user_id': '", r"\'", "',}"),
        (r"{\"user_id\": \"", r"\\\"", r"\"}"),
        ('{"user_id": ', '"', ""),
        ('"a":', '"', ""),
        ("", "{", ""),
        ("", "x{}", ""),
        ('{"user_id": 1', "}", ""),
        ('{"user_id": 1', ",", "}"),
        ("user_id=1", ",", ""),
        ('{"a": [', "1,", ""),
        ("", "user_id=1 ", ""),
        ("", "user_id=1 device=None ", ""),
        ("{", '"a": "b", "user_id": "U1" ', ""),
        ("{", '"a": {"b": 1}, ', ""),
        ("{", "'a': 'b', \"c\": 'd', ", ""),
    ],
)
def test_time_of_repair_is_linear_in_the_length_of_the_line(before: str, repeated: str, behind: str) -> None:
    def repair(times: int) -> None:
        REPAIRER.repair(f"{before}{repeated * times}{behind}".encode())

    assert growth_of_cpu_time(repair, 96_000 // len(repeated)) < LINEAR


def test_pattern_that_matches_twice_is_not_used(tmp_path: Path) -> None:
    own = r"'user (?P<user_id>U\d+)'"
    text = Path(CONTRACT.path).read_text()
    at = text.index("          - name: line_time")
    path = tmp_path / "customer_log.odcs.yaml"
    path.write_text(
        text[:at]
        + "          - name: user\n            pattern: "
        + own
        + "\n"
        + text[text.index("    properties:") :]
    )
    repairer = LineRepairer({"customer_log": load_contract(str(path))}, None)
    rest = "event_type=view timestamp=2025-01-10T10:00:00Z"
    one = repairer.repair(f"user U1 {rest}".encode())
    assert one is not None
    assert json.loads(one)["user_id"] == "U1"
    two = repairer.repair(f"user U1 user U2 {rest}".encode())
    assert two is not None
    assert "user_id" not in json.loads(two)


TEXTS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\"'\\\u2018\u2019\u201c\u201d")
)
OBJECTS = st.dictionaries(
    TEXTS, st.one_of(TEXTS, st.integers(-99, 99), st.booleans(), st.none()), min_size=1, max_size=4
)


@given(OBJECTS, st.integers(1, 400))
def test_line_cut_anywhere_keeps_only_values_of_the_event(event: dict[str, object], cut: int) -> None:
    line = json.dumps({**event, "user_id": "U1"}, ensure_ascii=False)
    repaired = repair(line[: max(len(line) - cut, 0)])
    members = {} if repaired is None else repaired[0]
    assert isinstance(members, dict)
    assert all({**event, "user_id": "U1"}.get(key, members) == value for key, value in members.items())
