"""BigQuery: contract -> table, as DDL and as the table JSON that Terraform, `bq` and the API take.

Both come from one list of fields, so they cannot differ. Tables are partitioned by the UTC day of the event
and clustered as the contract says, and reject a query without a filter on the partition. No primary or
foreign keys: BigQuery does not enforce them, but believes them when it rewrites joins.

`json` is a STRING of JSON text: load jobs reject a JSON column in Parquet, and the JSON type would round
numbers that the text keeps. `JSON_VALUE` and `JSON_QUERY` read the text as they read the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sluice.arrow.schema import table_columns
from sluice.contracts import (
    EVENT_ID_COLUMN,
    INGESTED_AT_COLUMN,
    ITEM,
    LEAF_TYPES,
    Contract,
    Path,
    Property,
    by_type,
)
from sluice.contracts.reserved import COUNTS_VIEW, STATUS_VIEW
from sluice.contracts.value_types import CLUSTERABLE_TYPES
from sluice.errors import ContractError
from sluice.warehouses.dialect import Dialect, NameRule
from sluice.warehouses.schema_diff import Column, TableSchema
from sluice.warehouses.status_view import STATUS_DESCRIPTION
from sluice.warehouses.status_view import status_query as query_of_status
from sluice.warehouses.system_tables import (
    COUNTS_VIEW_DESCRIPTION,
    ROW_ERRORS,
    SEGMENTS,
    WINDOW_COUNTS,
)

Field = dict[str, Any]
"""One column in table JSON: name, type, mode and, where there are any, description and fields."""

TIME_TRAVEL_HOURS = 168
"""Seven days, the longest that BigQuery offers; an option of the dataset, not of a table."""

MAX_CLUSTERS = 4
MAX_DESCRIPTION = 1024
"""BigQuery's limits: https://cloud.google.com/bigquery/quotas"""

_RESERVED = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER")
MAX_TABLE_BYTES = 1024
_TABLE = re.compile(r"[\w -]+")
"""https://cloud.google.com/bigquery/docs/tables#table_naming; what ends a quoted name is in none."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def quote_text(text: str) -> str:
    """Return a text as GoogleSQL has it, which takes a JSON string: the same escapes in double quotes."""
    return json.dumps(text, ensure_ascii=False)


DIALECT = Dialect(
    name="BigQuery",
    types=by_type(
        {
            "string": "STRING",
            "uuid": "STRING",
            "integer": "INTEGER",
            "float": "FLOAT",
            "decimal": "NUMERIC",  # exactly DECIMAL(38,9)
            "boolean": "BOOLEAN",
            "timestamp": "TIMESTAMP",
            "date": "DATE",
            "json": "STRING",
        },
        LEAF_TYPES,
    ),
    quote_name=lambda name: f"`{name}`",
    quote_text=quote_text,
    table_names=NameRule(
        lambda name: len(name.encode()) <= MAX_TABLE_BYTES and _TABLE.fullmatch(name) is not None,
        f"at most {MAX_TABLE_BYTES} bytes of letters, digits, _, - and blanks",
    ),
    column_names=NameRule(
        lambda name: _NAME.fullmatch(name) is not None and not name.upper().startswith(_RESERVED),
        f"at most 300 letters, digits and _, not beginning with a digit or {', '.join(_RESERVED)}",
    ),
    max_columns=10_000,
    max_levels=15,  # https://cloud.google.com/bigquery/docs/nested-repeated
)
"""Types are as the API names them; `SQL_TYPES` has those that SQL names otherwise."""

SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""Types that SQL names otherwise."""

API_TYPES = {sql: api for api, sql in SQL_TYPES.items()} | {"STRUCT": "RECORD"}
"""The API itself answers with either."""

DATASET_DESCRIPTION = "Trusted events, loaded by Sluice."


def _segments_with_row_errors() -> Contract:
    """Return `_segments` with the row errors of each segment inside it, in place of a table of their own."""
    columns = {prop.name: prop for prop in SEGMENTS.contract.properties}
    order = ("segment_id", "event_type", "path", "minute", "ingested_at", "events", "refused")
    members = tuple(prop for prop in ROW_ERRORS.contract.properties if prop.name != "segment_id")
    item = Property("item", "object", required=True, properties=members)
    refusals = Property("refusals", "array", description="Those lines.", items=item)
    return replace(
        SEGMENTS.contract,
        properties=(*(columns[name] for name in order), refusals),
        cluster_by=("event_type", "segment_id"),
    )


SYSTEM: dict[str, Contract] = {
    SEGMENTS.name: _segments_with_row_errors(),
    WINDOW_COUNTS.name: replace(WINDOW_COUNTS.contract, cluster_by=("event_type",)),
}
"""Tables that Sluice keeps beside those of the contracts, and that need no partition filter."""


def create_table_sql(contract: Contract, dataset: str | None = None) -> str:
    """Return `CREATE TABLE IF NOT EXISTS` for the contract's table in `dataset`, by default its domain.

    Raises:
        ContractError: BigQuery cannot hold such a table; the message names contract, property and fix.

    """
    return _table_sql(table_json(contract), f"{dataset or contract.domain}.{contract.table}")


def table_json(contract: Contract, policy_tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the contract's table as the API's table resource, without project, dataset and name.

    Terraform wants `schema.fields` alone as its `schema`; the other keys are arguments of its table.
    `policy_tags` maps a property's classification to the policy tag of its column.

    Raises:
        ContractError: BigQuery cannot hold such a table; the message names contract, property and fix.

    """
    columns = table_columns(contract)
    clusters = _clusters(contract, columns)
    DIALECT.check_contract(contract, columns)
    return _resource(
        contract,
        columns,
        clusters,
        {"contract": contract.event_type, "contract_version": contract.version, "domain": contract.domain},
        policy_tags or {},
    )


def system_json(name: str) -> dict[str, Any]:
    """Return one of the `SYSTEM` tables as the API's table resource."""
    contract = SYSTEM[name]
    table = _resource(contract, contract.properties, contract.cluster_by, {}, {})
    return table | {"requirePartitionFilter": False}


def system_sql(dataset: str) -> str:
    """Return what makes the dataset, the tables that Sluice keeps in it, and the view of the counts."""
    options = {
        "description": DATASET_DESCRIPTION,
        "max_time_travel_hours": TIME_TRAVEL_HOURS,
    }
    tables = [_table_sql(system_json(name), f"{dataset}.{name}") for name in SYSTEM]
    described = {"description": COUNTS_VIEW_DESCRIPTION}
    view = f"""CREATE OR REPLACE VIEW `{dataset}.{COUNTS_VIEW}`
{_options(described, "")} AS
{counts_query(dataset)};
"""
    schema = f"CREATE SCHEMA IF NOT EXISTS `{dataset}`\n{_options(options, '')};\n"
    return "\n".join([schema, *tables, view])


def counts_query(dataset: str) -> str:
    """Return the query of the view `event_counts` in `dataset`, which may begin with its project."""
    return f"""SELECT
  event_type,
  window_start,
  window_end,
  SUM(events) AS events
FROM `{dataset}.{WINDOW_COUNTS.name}`
GROUP BY event_type, window_start, window_end"""


def status_query(dataset: str) -> str:
    """Return the query of the view of the status of dead letters; appended tables may have a row twice."""
    return query_of_status(
        table=lambda name: f"`{dataset}.{name}`", condition="time >= TIMESTAMP '0001-01-01'", distinct=True
    )


def status_view_sql(dataset: str) -> str:
    """Return what makes the view of the status of dead letters."""
    options = _options({"description": STATUS_DESCRIPTION}, "")
    return f"CREATE OR REPLACE VIEW `{dataset}.{STATUS_VIEW}`\n{options} AS\n{status_query(dataset)};\n"


def once_query(contract: Contract, dataset: str) -> str:
    """Return the query of the view that shows each event of a table once, however often it was appended.

    Copies of an event differ in `_ingested_at` alone. They are looked for within one time of the event, so that a
    filter on it can pass the window and leave days unread. The view's own filter, which all rows pass, is for the
    table, which rejects a query without one.
    """
    key = EVENT_ID_COLUMN if contract.event_time is None else f"{EVENT_ID_COLUMN}, `{contract.event_time}`"
    return f"""SELECT *
FROM `{dataset}.{contract.table}`
WHERE `{contract.event_time or INGESTED_AT_COLUMN}` >= TIMESTAMP '0001-01-01'
QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {INGESTED_AT_COLUMN}) = 1"""


def table_schema(table: Mapping[str, Any]) -> TableSchema:
    """Return what a table resource, ours or the API's, says of columns, partition and clusters."""
    partition = table.get("timePartitioning", {})
    layout = {"partition": f"{partition['type']} of {partition['field']}"} if "field" in partition else {}
    if clusters := table.get("clustering", {}).get("fields"):
        layout["cluster"] = ", ".join(clusters)
    return TableSchema(list(_columns(table["schema"]["fields"], ())), layout)


def _columns(fields: Sequence[Field], parent: Path) -> Iterator[Column]:
    for field in fields:
        path, mode = (*parent, field["name"]), field.get("mode", "NULLABLE")
        api_type = str(API_TYPES.get(field["type"], field["type"]))
        is_array = mode == "REPEATED"
        yield Column(path, f"ARRAY<{api_type}>" if is_array else api_type, mode == "REQUIRED")
        yield from _columns(field.get("fields", ()), (*path, ITEM) if is_array else path)


def with_fields(
    existing: Sequence[Field], expected: Sequence[Field], paths: Collection[Path], parent: Path = ()
) -> list[Field]:
    """Return the existing fields, unchanged, with those of the expected ones that `paths` names."""
    fields = {field["name"].lower(): dict(field) for field in existing}
    for field in expected:
        path, name = (*parent, field["name"]), field["name"].lower()
        below = (*path, ITEM) if field["mode"] == "REPEATED" else path
        if path in paths:
            fields[name] = field
        elif name in fields and "fields" in field:
            members = fields[name].get("fields", ())
            fields[name]["fields"] = with_fields(members, field["fields"], paths, below)
    return list(fields.values())


def _resource(
    contract: Contract,
    columns: Sequence[Property],
    clusters: Sequence[str],
    labels: dict[str, str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    where = contract.path or contract.label
    fields = [_field(column, column.name, f"{where}: property {column.name}", tags) for column in columns]
    table: dict[str, Any] = {"description": contract.description} if contract.description else {}
    table |= {
        "labels": {key: _label(value) for key, value in {"generated_by": "sluice", **labels}.items()},
        "schema": {"fields": fields},
        "timePartitioning": {"type": "DAY", "field": contract.event_time or INGESTED_AT_COLUMN},
    }
    if clusters:
        table["clustering"] = {"fields": list(clusters)}
    return table | {"requirePartitionFilter": True}


def _field(prop: Property, name: str, where: str, tags: Mapping[str, str], tag: str | None = None) -> Field:
    """Return one column; `tag` is the policy tag of the object that it is a part of."""
    value, mode = prop, "REQUIRED" if prop.required else "NULLABLE"
    if prop.items is not None:
        value, mode = prop.items, "REPEATED"
        if value.items is not None:
            message = (
                f"{where}: BigQuery has no arrays of arrays; put an object between them, or make it json"
            )
            raise ContractError(message)
    kind = "RECORD" if value.type == "object" else DIALECT.type_of(value)
    field: Field = {"name": name, "type": kind, "mode": mode}
    if description := prop.description or value.description:
        field["description"] = _shortened(description)
    classes = [name for name in (prop.classification, value.classification) if name and name in tags]
    tag = tags[classes[0]] if classes else tag
    if value.type == "object":  # BigQuery tags leaves only
        field["fields"] = [
            _field(member, member.name, f"{where}.{member.name}", tags, tag) for member in value.properties
        ]
    elif tag is not None:
        field["policyTags"] = {"names": [tag]}
    return field


def _clusters(contract: Contract, columns: Sequence[Property]) -> tuple[str, ...]:
    where = f"{contract.path or contract.label}: cluster columns"
    if len(contract.cluster_by) > MAX_CLUSTERS:
        message = (
            f"{where}: expected at most {MAX_CLUSTERS}, as BigQuery does, got {len(contract.cluster_by)}"
        )
        raise ContractError(message)
    types = {column.name: column.type for column in columns}
    for name in contract.cluster_by:
        if name not in types:
            message = f"{where}: expected properties of the contract, got {name!r}"
            raise ContractError(message)
        if types[name] not in CLUSTERABLE_TYPES:
            message = f"{where}: BigQuery cannot cluster by {name}, which is {types[name]}; leave it out"
            raise ContractError(message)
    return contract.cluster_by


def _table_sql(table: dict[str, Any], name: str) -> str:
    columns = ",\n".join(_column_sql(field, "  ") for field in table["schema"]["fields"])
    partition = table["timePartitioning"]["field"]
    lines = [
        f"CREATE TABLE IF NOT EXISTS `{name}` (\n{columns}\n)",
        f"PARTITION BY TIMESTAMP_TRUNC(`{partition}`, DAY)",
    ]
    if "clustering" in table:
        lines.append("CLUSTER BY " + ", ".join(map(DIALECT.quote_name, table["clustering"]["fields"])))
    options = {"description": table["description"]} if "description" in table else {}
    options |= {"labels": table["labels"], "require_partition_filter": table["requirePartitionFilter"]}
    return "\n".join([*lines, _options(options, "")]) + ";\n"


def _column_sql(field: Field, indent: str) -> str:
    parts = [f"{indent}`{field['name']}`", _type_sql(field, indent)]
    if field["mode"] == "REQUIRED":
        parts.append("NOT NULL")
    if "description" in field:
        parts.append(f"OPTIONS (description = {_literal(field['description'])})")
    return " ".join(parts)


def _type_sql(field: Field, indent: str) -> str:
    kind = SQL_TYPES.get(field["type"], field["type"])
    if kind == "RECORD":
        inner = ",\n".join(_column_sql(member, indent + "  ") for member in field["fields"])
        kind = f"STRUCT<\n{inner}\n{indent}>"
    return f"ARRAY<{kind}>" if field["mode"] == "REPEATED" else str(kind)


def _options(options: dict[str, Any], indent: str) -> str:
    lines = ",\n".join(f"{indent}  {key} = {_literal(value)}" for key, value in options.items())
    return f"{indent}OPTIONS (\n{lines}\n{indent})"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dict):
        return "[" + ", ".join(f"({_literal(key)}, {_literal(item)})" for key, item in value.items()) + "]"
    return quote_text(value) if isinstance(value, str) else json.dumps(value)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 1] + "…"


def _label(text: str) -> str:
    """Return `text` as a label: lower case, digits, `_` and `-`, at most 63 characters."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]
