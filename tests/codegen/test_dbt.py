"""dbt files of contracts whose names and texts mean something in SQL, YAML or Jinja."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import jinja2
import yaml
from sluice.codegen.dbt import docs_markdown, select_macros, sources_yaml
from sluice.contracts import Contract, Property

from tests.names import ALLOWED_NAMES

TEXT = '{{ no }} {% no %} {# no #} {% enddocs %} it\'s "quoted": - #'
CONTRACT = Contract(
    event_type="odd-type",
    table="odd_events",
    id="odd",
    version="1.0.0",
    domain="odd",
    description=TEXT,
    properties=(
        *(Property(name, "string", description=TEXT, enum=(TEXT, "x")) for name in ALLOWED_NAMES),
        Property("a", "object", properties=(Property("b", "string", description="A member."),)),
    ),
    event_time=None,
)


def render(text: str, **functions: Any) -> str:
    return jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(**functions)


def rendered(value: Any) -> Any:
    """Return YAML as dbt reads it: every text is a template."""
    if isinstance(value, dict):
        return {key: rendered(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rendered(inner) for inner in value]
    if not isinstance(value, str):
        return value
    return render(value, env_var=lambda _, default: default, target={"schema": "odd", "type": "duckdb"})


def test_names_and_texts_of_sources_are_as_in_the_contract() -> None:
    (source,) = rendered(yaml.safe_load(sources_yaml("odd", [CONTRACT])))["sources"]
    table = source["tables"][0]
    columns = {column["name"]: column for column in table["columns"]}
    assert list(columns)[: len(ALLOWED_NAMES)] == list(ALLOWED_NAMES)
    assert (table["description"], columns["ok?"]["description"]) == (TEXT, TEXT)
    assert columns["ok?"]["data_tests"] == [{"accepted_values": {"arguments": {"values": [TEXT, "x"]}}}]


def test_every_name_has_an_alias_of_its_own_that_needs_no_quotes() -> None:
    def column(name: str, _: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def member(path: list[str], _: str) -> str:
        return ".".join(column(name, "") for name in path)

    text = f"{select_macros('odd', [CONTRACT])} select {{{{ odd__odd_type_columns() }}}} from odd"
    sql = render(text, sluice_column=column, sluice_member=member)
    aliases = re.findall(r" as (\S+?),?$", sql.rpartition(" from ")[0], re.MULTILINE)
    assert len({alias.lower() for alias in aliases}) == len(aliases) == len(ALLOWED_NAMES) + 1 + 4
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", alias) for alias in aliases)
    assert aliases[ALLOWED_NAMES.index("a.b")] == "a_b"
    assert aliases[len(ALLOWED_NAMES)].startswith("a_b_")
    with duckdb.connect() as connection:
        names = ", ".join(f"'{number}' AS {column(name, '')}" for number, name in enumerate(ALLOWED_NAMES))
        added = "'' AS _extra, '' AS _event_id, '' AS _segment_id, '' AS _ingested_at"
        connection.execute(f"CREATE TABLE odd AS SELECT {names}, {{'b': 'B'}} AS a, {added}")
        (row,) = connection.execute(sql).fetchall()
    assert row == (*map(str, range(len(ALLOWED_NAMES))), "B", "", "", "", "")


def test_docs_have_a_block_for_each_alias() -> None:
    text = docs_markdown("odd", [CONTRACT])
    blocks = re.findall(r"{% docs (\S+) %}\n(.*)\n{% enddocs %}", text)
    assert len({name.lower() for name, _ in blocks}) == len(blocks) == len(ALLOWED_NAMES) + 1 + 4
    assert text.count("{%") == 2 * len(blocks)
    assert blocks[len(ALLOWED_NAMES)][1] == "A member."
