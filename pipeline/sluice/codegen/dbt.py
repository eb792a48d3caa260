"""Contracts -> the files of dbt/ about Sluice's tables: sources, descriptions of columns, and select lists.

The sources carry the tests that follow from the contracts. The macros select a table's columns for a staging
model; how a column or a member of an object is read on each warehouse is written by hand, in dbt/macros/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import yaml

from sluice.arrow.schema import table_columns
from sluice.contracts import (
    EVENT_ID_COLUMN,
    INGESTED_AT_COLUMN,
    ITEM,
    Contract,
    Path,
    Property,
    Scalar,
    ValueType,
    walk,
)

_ELEMENT = "item"
"""Name of an element of an array in the macros that are written by hand."""

_SEGMENTS = {
    "name": "_segments",
    "description": "Segments of the log that are loaded, each once.",
    "config": {"loaded_at_field": "ingested_at", "meta": {"partitioned_by": "minute"}},
    "columns": [
        {
            "name": "segment_id",
            "description": "Hash of event type, minute and content.",
            "data_tests": ["unique", "not_null"],
        },
        {"name": "event_type", "description": "Type of the segment's events."},
        {"name": "path", "description": "File of the log."},
        {"name": "minute", "description": "Minute of the segment's events."},
        {"name": "events", "description": "Rows that were loaded."},
        {"name": "refused", "description": "Lines that could not become rows."},
        {"name": "ingested_at", "description": "When the segment was loaded."},
    ],
}
"""Every warehouse has these columns of it, named without quotes."""

_JINJA = re.compile(r"\{[{%#]")

_WORD = re.compile(r"\W+", re.ASCII)


class Dumper(yaml.SafeDumper):
    """Writes YAML with indented lists in mappings, as is usual in dbt projects."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the items of every list."""
        del indentless
        super().increase_indent(flow, False)


def sources_yaml(domain: str, contracts: Sequence[Contract]) -> str:
    """Return the source `domain` with a table for each contract and the one of loaded segments.

    Its schema is the target's own, or the value of the environment variable `SLUICE_<DOMAIN>_SCHEMA`. The column that
    partitions a table is in its `meta`, since BigQuery rejects a query without a filter on it.
    """
    variable = f"SLUICE_{word(domain).upper()}_SCHEMA"
    source = {
        "name": domain,
        "description": f"Tables that Sluice loads from the contracts of {domain}.",
        "schema": f"{{{{ env_var('{variable}', target.schema) }}}}",
        "tables": [*(_table(contract) for contract in contracts), _SEGMENTS],
    }
    return yaml.dump({"sources": [source]}, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


def docs_markdown(domain: str, contracts: Iterable[Contract]) -> str:
    """Return a docs block `<domain>__<type>__<column>` for each column that a select list has."""
    blocks = []
    for contract in contracts:
        columns = table_columns(contract)
        descriptions = {path: prop.description for path, prop in walk(columns)}
        for path, name in column_aliases(columns).items():
            block = f"{model_name(domain, contract)}__{name}"
            # What looks like a tag would end the block.
            description = descriptions[path].replace("{%", "{ %")
            blocks.append(f"{{% docs {block} %}}\n{description}\n{{% enddocs %}}\n")
    return "\n".join(blocks)


def select_macros(domain: str, contracts: Iterable[Contract]) -> str:
    """Return a macro `<domain>__<type>_columns` for each contract, and one for each array of objects in it.

    An object's members are columns of their own, `<object>_<member>`; a uuid becomes a text.
    """
    macros = []
    for contract in contracts:
        name = model_name(domain, contract)
        columns = table_columns(contract)
        macros.append(_macro(f"{name}_columns", _select_list(columns)))
        for path, prop in walk(columns):
            *array, last = path
            if prop.type == "object" and last == ITEM and ITEM not in array:
                macro = f"{name}_{_alias(path)}_columns"
                macros.append(_macro(macro, _select_list(prop.properties, (_ELEMENT,))))
    return "\n\n".join(macros) + "\n"


def _table(contract: Contract) -> dict[str, Any]:
    table: dict[str, Any] = {"name": contract.table}
    if contract.description:
        table["description"] = _literal(contract.description)
    time = contract.event_time or INGESTED_AT_COLUMN
    table["config"] = {"loaded_at_field": INGESTED_AT_COLUMN, "meta": {"partitioned_by": time}}
    # With `keep_both` a key comes with several contents.
    unique = contract.on_conflict == "keep_first"
    table["columns"] = [_column(column, unique=unique) for column in table_columns(contract)]
    return table


def _column(prop: Property, *, unique: bool) -> dict[str, Any]:
    """Return a column; `unique` says whether the properties of the key are.

    It is quoted except on Snowflake, whose unquoted names are in upper case, as Sluice's are.
    """
    tests: list[Any] = []
    if (prop.unique and unique) or prop.name == EVENT_ID_COLUMN:
        tests.append("unique")
    if prop.required:
        tests.append("not_null")
    if prop.enum:
        quote = {} if prop.type == "string" else {"quote": False}
        tests.append({"accepted_values": {"arguments": {"values": [*map(_literal, prop.enum)], **quote}}})
    column: dict[str, Any] = {"name": _literal(prop.name)}
    if prop.description:
        column["description"] = _literal(prop.description)
    column["quote"] = "{{ target.type != 'snowflake' }}"
    return column | ({"data_tests": tests} if tests else {})


def _select_list(properties: Iterable[Property], parents: Path = ()) -> Iterator[str]:
    """Yield an expression for each value outside arrays; its alias is its path below the table or the element."""
    properties = tuple(properties)
    aliases = column_aliases(properties)
    for path, prop in walk(properties):
        if prop.type != "object" and ITEM not in path:
            yield _expression((*parents, *path), prop.type, aliases[path])


def _expression(path: Path, value_type: ValueType, alias: str) -> str:
    if len(path) == 1:
        return f"{{{{ sluice_column({path[0]!r}, {value_type!r}) }}}} as {alias}"
    return f"{{{{ sluice_member({list(path)!r}, {value_type!r}) }}}} as {alias}"


def _alias(path: Path) -> str:
    return word("_".join(name for name in path if name != ITEM))


def column_aliases(columns: Iterable[Property]) -> dict[Path, str]:
    """Return path -> alias of each column and member that holds a value; a number makes an alias unique."""
    aliases: dict[Path, str] = {}
    taken: set[str] = set()
    for path, prop in walk(columns):
        if prop.type == "object" or path[-1] == ITEM:
            continue
        base = alias = _alias(path)
        number = 2
        while alias.lower() in taken:
            alias, number = f"{base}_{number}", number + 1
        taken.add(alias.lower())
        aliases[path] = alias
    return aliases


def _macro(name: str, expressions: Iterable[str]) -> str:
    lines = ",\n        ".join(expressions)
    return f"{{% macro {name}() %}}\n        {lines}\n{{% endmacro %}}"


def model_name(domain: str, contract: Contract) -> str:
    """Return the name with which the macros and docs blocks of a contract begin."""
    return f"{word(domain)}__{word(contract.event_type)}"


def _literal(value: Scalar) -> Scalar:
    """Return a value of a contract as dbt reads it, which takes texts in YAML for Jinja."""
    return _JINJA.sub(r"{{ '\g<0>' }}", value) if isinstance(value, str) else value


def word(text: str) -> str:
    """Return `text` as a name that needs no quotes in SQL and Jinja, unless it is a keyword."""
    word = _WORD.sub("_", text)
    return f"_{word}" if word[:1].isdigit() else word
