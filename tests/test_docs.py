"""The documentation keeps up with the product: commands, options, keys, codes, links and blocks."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
import yaml
from sluice.cli.main import build_parser
from sluice.config.job import Windows, option_fields
from sluice.contracts import Identity, ValueType
from sluice.errors import REJECT_CODES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((ROOT / "docs").rglob("*.md"))
)

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"^(?:\$ )?((?:\.venv/bin/)?sluice (?:.*\\\n)*.*)$", re.MULTILINE)
_SCRIPT = re.compile(r"^(?:\$ )?(scripts/\w+)", re.MULTILINE)


@cache
def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def blocks(text: str, *languages: str) -> Iterator[str]:
    for language, block in _BLOCK.findall(text):
        if language in languages:
            yield block


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError


def section(text: str, title: str) -> str:
    """Return what follows the heading `## title`, up to the next one of its level."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section {title!r}"
    return found[1]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_is_documented(command: str) -> None:
    text = section(read("docs/cli.md"), f"sluice {command}")
    for action in commands()[command]._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        names = action.option_strings or [str(action.metavar or action.dest)]
        missing = [name for name in names if not re.search(rf"{re.escape(name)}(?![\w.-])", text)]
        # Of an option with two spellings the second may be told once, where `sluice run` is described.
        assert missing in ([], names[1:]), f"docs/cli.md: sluice {command}: {', '.join(missing)}"


def test_every_spelling_of_an_option_is_documented() -> None:
    text = read("docs/cli.md")
    spelled = {
        name for parser in commands().values() for each in parser._actions for name in each.option_strings
    }
    assert sorted(name for name in spelled if name not in text) == []


def test_no_command_is_documented_that_does_not_exist() -> None:
    assert re.findall(r"^## sluice (\w+)$", read("docs/cli.md"), re.MULTILINE) == list(commands())


@pytest.mark.parametrize("code", REJECT_CODES)
def test_every_reject_code_is_documented_in_its_own_words(code: str) -> None:
    assert f"| `{code}` | {REJECT_CODES[code]} |" in read("docs/dead-letters.md")


def test_every_field_of_a_dead_letter_is_documented() -> None:
    document = yaml.safe_load(
        (ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml").read_text("utf-8")
    )
    names = [each["name"] for each in document["schema"][0]["properties"]]
    rows = "".join(re.findall(r"^\| `.*$", section(read("docs/dead-letters.md"), "A letter"), re.MULTILINE))
    assert [name for name in names if f"`{name}`" not in rows] == []


def test_every_job_key_is_documented_with_its_flag() -> None:
    text = section(read("docs/job-file.md"), "Keys")
    for each in option_fields():
        assert f"| `{each.name}` |" in text
        assert each.name == "windows" or f"`--{each.name.replace('_', '-')}`" in text
    for each in option_fields(Windows):
        assert f"| `{each.name}` | `--windows.{each.name.replace('_', '-')}` |" in text


def test_the_defaults_of_windows_are_documented() -> None:
    units = {"s": 1, "m": 60, "d": 86400}
    text = section(read("docs/job-file.md"), "Keys")
    for each in option_fields(Windows):
        found = re.search(rf"^\| `{each.name}` \| `[^`]+` \| `(\d+)([smd]?)` \|", text, re.MULTILINE)
        assert found is not None
        assert int(found[1]) * units.get(found[2], 1) == each.default


def test_every_kind_and_identity_is_documented() -> None:
    kinds = section(read("docs/contracts.md"), "Kinds")
    told = {
        "uuid": "format: uuid",
        "float": "FLOAT64",
        "decimal": "DECIMAL(38,9)",
        "json": "object of any shape",
    }
    assert [kind for kind in get_args(ValueType) if told.get(kind, f"`{kind}`") not in kinds] == []
    identities = section(read("docs/contracts.md"), "Identity")
    assert [each for each in get_args(Identity) if f"| `{each}` |" not in identities] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(page.read_text("utf-8")):
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"\w+:", path):
            continue
        place = page if not path else page.parent / path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_block_parses(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text("utf-8")
    for block in blocks(text, "sh", "console"):
        for line in _COMMAND.findall(block):
            if "[" in line:
                continue  # a synopsis
            words = shlex.split(line.replace("\\\n", " "), comments=True)[1:]
            assert not parse(words), f"{line}: {capsys.readouterr().err}"


def parse(words: list[str]) -> Any:
    """Return what the parser would leave to Beam; fail as it does."""
    _, rest = build_parser().parse_known_args(words)
    misspelt_on_purpose = ["--sorce", "history/*"]  # docs/cli.md shows what is said of it
    return [] if rest == misspelt_on_purpose else rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_script_in_a_block_can_be_run(page: Path) -> None:
    for block in blocks(page.read_text("utf-8"), "sh", "console"):
        for script in _SCRIPT.findall(block):
            assert os.access(ROOT / script, os.X_OK), script


def test_the_readme_shows_the_job_file() -> None:
    assert read("jobs/backend_events.yaml") in list(blocks(read("README.md"), "yaml"))


def test_the_job_file_page_shows_all_of_its_keys() -> None:
    (shown,) = blocks(read("docs/job-file.md"), "yaml")
    assert yaml.safe_load(shown) == yaml.safe_load(read("jobs/backend_events.yaml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"(?:/root|/tmp|/home|/work)/\S*", text) == []


def test_every_decision_is_listed_dated_and_whole() -> None:
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", read("docs/adr/README.md"))
    files = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert listed == [each.name for each in files]
    for file in files:
        title, _, date, *_ = file.read_text("utf-8").splitlines()
        assert title.startswith(f"# {file.name[:4]}: ")
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}, (accepted|superseded by \d{4})", date)
        assert re.findall(r"^## (\w+)$", file.read_text("utf-8"), re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ]
