"""`${NAME}` in YAML stands for the value of an environment variable."""

from __future__ import annotations

from typing import Any

import pytest
from sluice.config.variables import expand_variables, is_variable, unset_variables
from sluice.errors import ConfigError


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "h1")
    monkeypatch.setenv("NESTED", "${HOST}")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("", ""),
        ("a", "a"),
        ("${HOST}", "h1"),
        ("a/${HOST}/${HOST}", "a/h1/h1"),
        ("$HOST ${} ${a-b} $${HOST}", "$HOST ${} ${a-b} $h1"),
        ("${NESTED}", "${HOST}"),  # values are not expanded again
        ("${HOST:-h2}/${ABSENT:-a/b:-c}", "h1/a/b:-c"),
        ("${ABSENT:-}|${EMPTY:-e}|${EMPTY}", "|e|"),
        ("${ABSENT-a} ${:-a}", "${ABSENT-a} ${:-a}"),
        (7, 7),
        (None, None),
        (["${HOST}"], ["${HOST}"]),
    ],
)
def test_variables_are_replaced_by_their_values_once(value: Any, expanded: Any) -> None:
    assert expand_variables(value, "x.yaml: key") == expanded


def test_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(ConfigError) as error:
        expand_variables("${HOST}${ABSENT}", "x.yaml: key")
    assert str(error.value) == "x.yaml: key: expected the environment variable ABSENT, got nothing; set it"


def test_name_stands_in_for_a_variable_that_is_not_needed() -> None:
    assert expand_variables("${ABSENT}/${HOST}", "x.yaml: key", needed=False) == "ABSENT/h1"


@pytest.mark.parametrize(
    ("value", "names"), [("${ABSENT}${HOST}${ABSENT}", ["ABSENT", "ABSENT"]), ("${HOST}", []), (7, [])]
)
def test_unset_variables_are_listed(value: Any, names: list[str]) -> None:
    assert unset_variables(value) == names


@pytest.mark.parametrize(
    ("value", "alone"),
    [
        ("${HOST}", True),
        ("${ABSENT}", True),
        ("${HOST}x", False),
        ("${HOST}${HOST}", False),
        ("HOST", False),
        (7, False),
    ],
)
def test_variable_alone_is_told_from_text_with_variables(value: Any, alone: bool) -> None:
    assert is_variable(value) is alone


def test_variable_with_a_default_is_not_missing_and_is_no_place_for_a_secret() -> None:
    assert unset_variables("${ABSENT:-a}${ABSENT}") == ["ABSENT"]
    assert not is_variable("${ABSENT:-secret}")
    assert is_variable("${ABSENT}")
