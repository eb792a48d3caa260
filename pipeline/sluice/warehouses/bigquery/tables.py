"""BigQuery: contract -> table, as DDL and as the table JSON that Terraform, `bq` and the API take.

Both come from one list of fields, so they cannot differ. Tables are partitioned by the UTC day of the event
and clustered as the contract says, and refuse a query without a filter on the partition. No primary or
foreign keys: BigQuery does not enforce them, but believes them when it rewrites joins.

`json` is a STRING of JSON text: load jobs refuse a JSON column in Parquet, and the JSON type would round
numbers that the text keeps. `JSON_VALUE` and `JSON_QUERY` read the text as they read the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sluice.arrow.schema import ADDED, arrow_schema
from sluice.contracts import Contract, Property, ValueType
from sluice.errors import ContractError
from sluice.warehouses.schema_diff import Column, TableSchema

Field = dict[str, Any]
"""One column in table JSON: name, type, mode and, where there are any, description and fields."""

TIME_TRAVEL_HOURS = 168
"""Seven days, the longest that BigQuery offers; an option of the dataset, not of a table."""

MAX_CLUSTERS = 4
MAX_DESCRIPTION = 1024
"""BigQuery's limits: https://cloud.google.com/bigquery/quotas"""

SCALARS: dict[ValueType, str] = {
    "string": "STRING",
    "uuid": "STRING",
    "integer": "INTEGER",
    "float": "FLOAT",
    "decimal": "NUMERIC",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "json": "STRING",
}
"""Types as the API names them; NUMERIC is exactly DECIMAL(38,9)."""

SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""Types that SQL names otherwise."""

API_TYPES = {sql: api for api, sql in SQL_TYPES.items()} | {"STRUCT": "RECORD"}
"""The API itself answers with either."""

NOT_CLUSTERED = frozenset({"float", "json", "object", "array"})

DATASET_DESCRIPTION = "Trusted events, loaded by Sluice."

SEGMENTS = "_segments"
COUNTS = "event_counts"
COUNT_PARTS = "_event_counts"
ONCE = "_once"
"""What the name of a table is followed by in the name of the view that shows each of its events once."""

COUNTS_DESCRIPTION = "Events by type and window, exact however often events come late or again."

SYSTEM: dict[str, Contract] = {
    SEGMENTS: Contract(
        event_type=SEGMENTS,
        table=SEGMENTS,
        id="sluice_segments",
        version="1.0.0",
        domain="",
        description="Segments of the log that are loaded, each once.",
        properties=(
            Property(
                "segment_id", "string", required=True, description="Hash of event type, minute and content."
            ),
            Property("event_type", "string", required=True, description="Type of the segment's events."),
            Property("path", "string", required=True, description="File of the log."),
            Property("minute", "timestamp", required=True, description="Minute of the segment's events."),
            Property("ingested_at", "timestamp", required=True, description="When the segment was loaded."),
            Property("events", "integer", required=True, description="Rows that were loaded."),
            Property("refused", "integer", required=True, description="Lines that could not become rows."),
            Property(
                "refusals",
                "array",
                description="Those lines.",
                items=Property(
                    "item",
                    "object",
                    required=True,
                    properties=(
                        Property(
                            "line", "integer", required=True, description="Index in the segment, from 0."
                        ),
                        Property("reason", "string", required=True, description="Why it is not a row."),
                    ),
                ),
            ),
        ),
        event_time="minute",
        cluster_by=("event_type", "segment_id"),
    ),
    COUNT_PARTS: Contract(
        event_type=COUNT_PARTS,
        table=COUNT_PARTS,
        id="sluice_event_counts",
        version="1.0.0",
        domain="",
        description=f"What each segment adds to the counts; {COUNTS} sums them.",
        properties=(
            Property("segment_id", "string", required=True, description="Segment that holds the events."),
            Property("event_type", "string", required=True, description="Type of the events."),
            Property(
                "window_start", "timestamp", required=True, description="Start of the window, inclusive."
            ),
            Property("window_end", "timestamp", required=True, description="End of the window, exclusive."),
            Property("events", "integer", required=True, description="Events of the segment in the window."),
        ),
        event_time="window_start",
        cluster_by=("event_type",),
    ),
}
"""Tables that Sluice keeps beside those of the contracts, and that need no partition filter."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
_RESERVED = ("_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER")


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
    columns = (*contract.columns, *ADDED)
    clusters = _clusters(contract, columns)
    arrow_schema(contract)  # refuses reserved names and objects without properties
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
    described = {"description": COUNTS_DESCRIPTION}
    view = f"""CREATE OR REPLACE VIEW `{dataset}.{COUNTS}`
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
FROM `{dataset}.{COUNT_PARTS}`
GROUP BY event_type, window_start, window_end"""


def once_query(contract: Contract, dataset: str) -> str:
    """Return the query of the view that shows each event of a table once, however often it was appended.

    Copies of an event differ in `_ingested_at` alone. They are looked for within one time of the event, so that a
    filter on it can pass the window and leave days unread. The view's own filter, which all rows pass, is for the
    table, which refuses a query without one.
    """
    key = "_event_id" if contract.event_time is None else f"_event_id, `{contract.event_time}`"
    return f"""SELECT *
FROM `{dataset}.{contract.table}`
WHERE `{contract.event_time or "_ingested_at"}` >= TIMESTAMP '0001-01-01'
QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY _ingested_at) = 1"""


def shape(table: Mapping[str, Any]) -> TableSchema:
    """Return what a table resource, ours or the API's, says of columns, partition and clusters."""
    partition = table.get("timePartitioning", {})
    layout = {"partition": f"{partition['type']} of {partition['field']}"} if "field" in partition else {}
    if clusters := table.get("clustering", {}).get("fields"):
        layout["cluster"] = ", ".join(clusters)
    return TableSchema(list(_columns(table["schema"]["fields"], "")), layout)


def _columns(fields: Sequence[Field], prefix: str) -> Iterator[Column]:
    for each in fields:
        path, mode = f"{prefix}{each['name']}", each.get("mode", "NULLABLE")
        kind = str(API_TYPES.get(each["type"], each["type"]))
        duplicates = mode == "REPEATED"
        yield Column(path, f"ARRAY<{kind}>" if duplicates else kind, mode == "REQUIRED")
        yield from _columns(each.get("fields", ()), f"{path}[]." if duplicates else f"{path}.")


def with_fields(
    there: Sequence[Field], wanted: Sequence[Field], paths: Collection[str], prefix: str = ""
) -> list[Field]:
    """Return the fields that are there, as they are, with those of the `wanted` ones that `paths` names."""
    fields = {each["name"].lower(): dict(each) for each in there}
    for each in wanted:
        path, name = f"{prefix}{each['name']}", each["name"].lower()
        below = f"{path}[]." if each["mode"] == "REPEATED" else f"{path}."
        if path in paths:
            fields[name] = each
        elif name in fields and "fields" in each:
            fields[name]["fields"] = with_fields(fields[name].get("fields", ()), each["fields"], paths, below)
    return list(fields.values())


def _resource(
    contract: Contract,
    columns: Sequence[Property],
    clusters: Sequence[str],
    labels: dict[str, str],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    where = contract.path or contract.label
    _check_names(columns, f"{where}: property ")
    fields = [_field(column, column.name, f"{where}: property {column.name}", tags) for column in columns]
    table: dict[str, Any] = {"description": contract.description} if contract.description else {}
    table |= {
        "labels": {key: _label(value) for key, value in {"generated_by": "sluice", **labels}.items()},
        "schema": {"fields": fields},
        "timePartitioning": {"type": "DAY", "field": contract.event_time or "_ingested_at"},
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
    kind = "RECORD" if value.type == "object" else SCALARS[value.type]
    field: Field = {"name": name, "type": kind, "mode": mode}
    if description := prop.description or value.description:
        field["description"] = _shortened(description)
    classes = [each for each in (prop.classification, value.classification) if each and each in tags]
    tag = tags[classes[0]] if classes else tag
    if value.type == "object":  # BigQuery tags leaves only
        inner = [(each, f"{where}.{each.name}") for each in value.properties]
        field["fields"] = [_field(each, each.name, here, tags, tag) for each, here in inner]
    elif tag is not None:
        field["policyTags"] = {"names": [tag]}
    return field


def _check_names(properties: Sequence[Property], where: str) -> None:
    seen: dict[str, str] = {}
    for prop in properties:
        name = prop.name
        if not _NAME.fullmatch(name) or name.upper().startswith(_RESERVED):
            message = (
                f"{where}{name}: expected a column name for BigQuery (letters, digits and _, not beginning"
                f" with a digit or {', '.join(_RESERVED)}), got {name!r}; rename it"
            )
            raise ContractError(message)
        if other := seen.get(name.lower()):
            message = f"{where}{name}: BigQuery cannot tell it from the column {other}; rename one"
            raise ContractError(message)
        seen[name.lower()] = name
        inner = prop.items or prop
        _check_names(inner.properties, f"{where}{name}.")


def _clusters(contract: Contract, columns: Sequence[Property]) -> tuple[str, ...]:
    where = f"{contract.path or contract.label}: cluster columns"
    if len(contract.cluster_by) > MAX_CLUSTERS:
        message = (
            f"{where}: expected at most {MAX_CLUSTERS}, as BigQuery does, got {len(contract.cluster_by)}"
        )
        raise ContractError(message)
    kinds = {column.name: column.type for column in columns}
    for name in contract.cluster_by:
        if name not in kinds:
            message = f"{where}: expected properties of the contract, got {name!r}"
            raise ContractError(message)
        if kinds[name] in NOT_CLUSTERED:
            message = f"{where}: BigQuery cannot cluster by {name}, which is {kinds[name]}; leave it out"
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
        lines.append("CLUSTER BY " + ", ".join(f"`{each}`" for each in table["clustering"]["fields"]))
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
        inner = ",\n".join(_column_sql(each, indent + "  ") for each in field["fields"])
        kind = f"STRUCT<\n{inner}\n{indent}>"
    return f"ARRAY<{kind}>" if field["mode"] == "REPEATED" else str(kind)


def _options(options: dict[str, Any], indent: str) -> str:
    lines = ",\n".join(f"{indent}  {key} = {_literal(value)}" for key, value in options.items())
    return f"{indent}OPTIONS (\n{lines}\n{indent})"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, dict):
        return "[" + ", ".join(f"({_literal(key)}, {_literal(each)})" for key, each in value.items()) + "]"
    # A JSON string is a GoogleSQL string: the same escapes in double quotes.
    return json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 1] + "…"


def _label(text: str) -> str:
    """Return `text` as a label: lower case, digits, `_` and `-`, at most 63 characters."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]
