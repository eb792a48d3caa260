"""The documentation keeps up with the product: commands, options, keys, codes, links and blocks."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import duckdb
import pytest
import yaml
from sluice.cli.commands import build_parser
from sluice.config.job import Windows, option_fields
from sluice.contracts import Identity, ValueType
from sluice.errors import REJECT_CODES

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    + [ROOT / "benchmarks/README.md", ROOT / "terraform/README.md"]
    + list((ROOT / "docs").rglob("*.md"))
)
TUTORIAL = "docs/tutorials/your-own-data.md"

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
    match = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {title!r}"
    return match[1]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_is_documented(command: str) -> None:
    text = section(read("docs/cli.md"), f"sluice {command}")
    for action in commands()[command]._actions:
        if isinstance(action, argparse._HelpAction) or action.dest == "debug":  # documented once for all
            continue
        names = action.option_strings or [str(action.metavar or action.dest)]
        missing = [name for name in names if not re.search(rf"{re.escape(name)}(?![\w.-])", text)]
        # The second spelling of an option needs to be documented only once, at `sluice run`.
        assert missing in ([], names[1:]), f"docs/cli.md: sluice {command}: {', '.join(missing)}"


def test_every_spelling_of_an_option_is_documented() -> None:
    text = read("docs/cli.md")
    spelled = {
        name for parser in commands().values() for action in parser._actions for name in action.option_strings
    }
    assert sorted(name for name in spelled if name not in text) == []


def test_documented_commands_exist() -> None:
    assert re.findall(r"^## sluice ([\w-]+)$", read("docs/cli.md"), re.MULTILINE) == list(commands())


@pytest.mark.parametrize("code", REJECT_CODES)
def test_every_reject_code_is_documented_in_its_own_words(code: str) -> None:
    assert f"| `{code}` | {REJECT_CODES[code]} |" in read("docs/dead-letters.md")


def test_every_field_of_a_dead_letter_is_documented() -> None:
    document = yaml.safe_load(
        (ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml").read_text("utf-8")
    )
    names = [field["name"] for field in document["schema"][0]["properties"]]
    rows = "".join(re.findall(r"^\| `.*$", section(read("docs/dead-letters.md"), "Fields"), re.MULTILINE))
    assert [name for name in names if f"`{name}`" not in rows] == []


def test_every_job_key_is_documented_with_its_flag() -> None:
    text = section(read("docs/job-file.md"), "Keys")
    for key in option_fields():
        assert f"| `{key.name}` |" in text
        assert key.name == "windows" or f"`--{key.name.replace('_', '-')}`" in text
    for key in option_fields(Windows):
        assert f"| `{key.name}` | `--windows.{key.name.replace('_', '-')}` |" in text


def test_default_of_every_window_key_is_documented() -> None:
    units = {"s": 1, "m": 60, "d": 86400}
    text = section(read("docs/job-file.md"), "Keys")
    for key in option_fields(Windows):
        match = re.search(rf"^\| `{key.name}` \| `[^`]+` \| `(\d+)([smd]?)` \|", text, re.MULTILINE)
        assert match is not None
        assert int(match[1]) * units.get(match[2], 1) == key.default


def test_every_type_and_deduplication_key_is_documented() -> None:
    types = section(read("docs/contracts.md"), "Types")
    documented_as = {
        "uuid": "format: uuid",
        "float": "FLOAT64",
        "decimal": "DECIMAL(38,9)",
        "json": "object of any shape",
    }
    assert [name for name in get_args(ValueType) if documented_as.get(name, f"`{name}`") not in types] == []
    keys = section(read("docs/contracts.md"), "Deduplication key")
    assert [name for name in get_args(Identity) if f"| `{name}` |" not in keys] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in _LINK.findall(page.read_text("utf-8")):
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"\w+:", path):
            continue
        linked = page if not path else page.parent / path
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
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
    misspelt_on_purpose = ["--sorce", "history/*"]  # docs/cli.md shows the error
    return [] if rest == misspelt_on_purpose else rest


@pytest.mark.parametrize("page", ["docs/cli.md", "docs/how-to/bigquery.md"])
def test_quoted_errors_are_those_of_the_command(page: str, tmp_path: Path) -> None:
    for folder in ("jobs", "schemas"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    quoted = re.findall(r"^\$ sluice (.*)\n(sluice: .*)$", read(page), re.MULTILINE)
    assert quoted
    assert [message for command, message in quoted if run(command, tmp_path).stderr != f"{message}\n"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_script_in_a_block_can_be_run(page: Path) -> None:
    for block in blocks(page.read_text("utf-8"), "sh", "console"):
        for script in _SCRIPT.findall(block):
            assert os.access(ROOT / script, os.X_OK), script


def test_readme_shows_the_committed_job_file() -> None:
    assert read("jobs/backend_events.yaml") in list(blocks(read("README.md"), "yaml"))


def test_job_file_page_shows_the_committed_job_file() -> None:
    (shown,) = blocks(read("docs/job-file.md"), "yaml")
    assert yaml.safe_load(shown) == yaml.safe_load(read("jobs/backend_events.yaml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_no_path_of_a_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"(?:/root|/tmp|/home|/work)/\S*", text) == []


def test_every_decision_is_listed_dated_and_complete() -> None:
    listed = re.findall(
        r"^\| \[\d{4}\]\((\d{4}-[\w-]+\.md)\) \| (.*) \| (.*) \| (.*) \|$", read("docs/adr/README.md"), re.M
    )
    files = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [name for name, *_ in listed] == [file.name for file in files]
    for file, (_, *row) in zip(files, listed, strict=True):
        title, _, date, *_ = file.read_text("utf-8").splitlines()
        assert (title, date) == (f"# {file.name[:4]}: {row[0]}", f"{row[1]}, {row[2]}")
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}, (accepted|superseded by \d{4})", date)
        assert re.findall(r"^## (\w+)$", file.read_text("utf-8"), re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ]


def test_every_page_is_on_the_map() -> None:
    linked = {target.partition("#")[0] for target in _LINK.findall(read("docs/README.md"))}
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    decisions = {page for page in pages if page.startswith("adr/0")}
    assert pages - decisions - linked == {"README.md"}


def test_readme_shows_the_figures_of_the_sample_history() -> None:
    expected = json.loads(read("examples/backend_events/expected.json"))
    shown = {
        row[0]: [int(number.replace(",", "")) for number in row[1:5]]
        for row in re.findall(
            r"^│ (\w+) +│ +([\d,]+) │ +([\d,]+) │ +([\d,]+) │ +([\d,]+) │", read("README.md"), re.M
        )
    }
    figures = ("read", "accepted", "duplicates", "rejected")
    counted = {**expected["by_type"], "all": expected}
    assert shown == {name: [counts[figure] for figure in figures] for name, counts in counted.items()}


def test_tutorial_commands_give_the_results_that_it_shows(tmp_path: Path) -> None:
    saved = re.findall(r"[Ss]ave (?:this|it) as `([^`]+)`.*?```\w+\n(.*?)```", read(TUTORIAL), re.DOTALL)
    for path, content in saved:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    results: list[str] = []
    for language, block in _BLOCK.findall(read(TUTORIAL)):
        if language == "console":
            if "redeliver" in block:
                make_station_optional(tmp_path)
            results.append(run(block.splitlines()[0].removeprefix("$ sluice "), tmp_path).stdout)
        elif language == "sql":
            results.append(query(block, tmp_path / "out/parcels/warehouse.duckdb"))
        if language in ("console", "text"):
            rows = [line for line in block.splitlines() if line.startswith("│")]
            assert [row for row in rows if row not in results[-1]] == []
            shown = [line for line in block.splitlines()[1:] if re.match(r"wrote |now run|\w+: ", line)]
            assert [line for line in shown if language == "console" and line not in results[-1]] == []
    assert len(results) == 7  # noqa: PLR2004  five commands, two queries


def make_station_optional(folder: Path) -> None:
    """Do what step 6 of the tutorial says."""
    contract = folder / "schemas/parcels/parcels.odcs.yaml"
    required = "name: station\n        logicalType: string\n        required: true\n"
    assert required in contract.read_text()
    contract.write_text(
        contract.read_text().replace(required, required.replace("        required: true\n", ""))
    )


def run(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `sluice` in `folder`."""
    command = [sys.executable, "-m", "sluice", *shlex.split(arguments)]
    environment = {**os.environ, "COLUMNS": "110"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def query(sql: str, warehouse: Path) -> str:
    """Return the result of a query as DuckDB prints it."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return str(connection.sql(sql))


def test_fault_matrix_names_existing_tests() -> None:
    names = re.findall(
        r"\| `(\w+)(?: and \w+)?` \|$", (ROOT / "docs/reliability.md").read_text(), re.MULTILINE
    )
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests/live").glob("test_*.py")))
    missing = [name for name in names if not re.search(rf"def test_\w*{name}", tests)]
    assert (missing, len(names) > 20) == ([], True)


_REPOSITORY_PATH = re.compile(
    r"`((?:benchmarks|dbt|deploy|devservers|docs|examples|jobs|pipeline|scripts|terraform|tests)/[\w./-]*\w)(?=[`\s])"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_of_the_repository_exists(page: Path) -> None:
    paths = _REPOSITORY_PATH.findall(
        re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.M | re.S)
    )
    theirs = {
        "jobs/NAME.yaml",
        "jobs/parcels.yaml",
        "terraform/production.auto.tfvars",
    }  # files that users write
    assert [path for path in paths if path not in theirs and not (ROOT / path).exists()] == []


def test_every_name_on_the_architecture_page_is_in_its_file() -> None:
    rows = re.findall(
        r"^\| [^|]+\? \| `([^`]+)` \| `([^`]+)`",
        section(read("docs/architecture.md"), "Where is …"),
        re.MULTILINE,
    )
    assert rows
    parts = [(path, part) for path, name in rows for part in name.split(".")]
    assert [(path, part) for path, part in parts if not re.search(rf"\b{part}\b", read(path))] == []


_QUOTED = re.compile(
    r"<!--.*?begin.*?end.*?-->|^ *```.*?^ *```|`[^`]*`|\]\([^)]*\)", re.MULTILINE | re.DOTALL
)
_PRIVATE_WORDS = re.compile(
    r"refus\w+|salvag\w+|\bmend\w*|unbalanced?|live jobs?|histories|(?<!dead[ -])\bletters\b", re.IGNORECASE
)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in ("CHANGELOG.md", "0051-terms.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_uses_the_words_of_the_glossary(page: Path) -> None:
    """What is quoted, and the record of the renaming itself, may have earlier words."""
    prose = " ".join(_QUOTED.sub("", page.read_text("utf-8")).split())
    assert _PRIVATE_WORDS.findall(prose) == []
