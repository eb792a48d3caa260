from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sluice.arrow.schema import ADDED
from sluice.contracts import Contract, Property, load_contract, load_contracts
from sluice.errors import ContractError
from sluice.warehouses.bigquery.tables import (
    SYSTEM,
    Field,
    create_table_sql,
    system_json,
    system_sql,
    table_json,
    with_fields,
)
from sqlglot import exp

ROOT = Path(__file__).parents[3]
DEAD_LETTERS = load_contract(str(ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml"), internal=True)
CONTRACTS = [*load_contracts(str(ROOT / "schemas/backend_events")).values(), DEAD_LETTERS]

THING = Contract(
    event_type="thing",
    table="things",
    id="shop.thing",
    version="1.2.0",
    domain="shop",
    description='Things, "quoted",\nwith \\ and é.',
    properties=(
        Property("at", "timestamp", required=True, description="When."),
        Property("id", "uuid", required=True),
        Property("price", "decimal"),
        Property("count", "integer"),
        Property("weight", "float"),
        Property("sold", "boolean"),
        Property("day", "date"),
        Property("more", "json"),
        Property("tags", "array", required=True, items=Property("item", "string", required=True)),
        Property(
            "lines",
            "array",
            description="What was bought.",
            items=Property(
                "item",
                "object",
                required=True,
                properties=(
                    Property("sku", "string", required=True, description='It\'s "the" key.'),
                    Property("sizes", "array", items=Property("item", "integer", required=True)),
                    Property("maker", "object", properties=(Property("name", "string"),)),
                ),
            ),
        ),
        Property("place", "object", required=True, properties=(Property("city", "string", required=True),)),
    ),
    event_time="at",
    cluster_by=("id", "day"),
    path="schemas/shop/thing.odcs.yaml",
)

SYSTEM_COLUMNS = [
    ("_extra", "STRING", False),
    ("_event_id", "STRING", True),
    ("_segment_id", "STRING", True),
    ("_ingested_at", "TIMESTAMP", True),
]


def parse(sql: str) -> list[exp.Expr]:
    statements = sqlglot.parse(sql, dialect="bigquery")
    assert all(isinstance(statement, exp.Create) for statement in statements)
    return [statement for statement in statements if statement is not None]


def columns(table: exp.Expr) -> list[tuple[str, str, bool]]:
    """Name, type without options and NOT NULL of each column, from the parsed statement."""
    return [
        (column.name, type_of(column.args["kind"]), not_null(column)) for column in table.this.expressions
    ]


def type_of(kind: exp.DataType) -> str:
    inner = ", ".join(
        f"{inner_type.name} {type_of(inner_type.args['kind'])}{' NOT NULL' if not_null(inner_type) else ''}"
        if isinstance(inner_type, exp.ColumnDef)
        else type_of(inner_type)
        for inner_type in kind.expressions
    )
    name = kind.sql("bigquery").partition("<")[0]
    return f"{name}<{inner}>" if inner else name


def not_null(column: exp.ColumnDef) -> bool:
    return any(isinstance(constraint.kind, exp.NotNullColumnConstraint) for constraint in column.constraints)


def property_of(statement: exp.Expr, name: str) -> Any:
    (option,) = [option for option in statement.args["properties"].expressions if option.name == name]
    return option.args["value"]


def test_fields_are_added_at_any_depth_and_existing_ones_stay() -> None:
    there: list[Field] = [
        {"name": "Items", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "a", "type": "STRING"}]},
        {"name": "own", "type": "INTEGER"},
    ]
    more: list[Field] = [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in ("a", "b", "c")]
    wanted: list[Field] = [
        {"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": more},
        more[1],
        more[2],
    ]
    assert with_fields(there, wanted, [("items", "[]", "b"), ("c",)]) == [
        {**there[0], "fields": [{"name": "a", "type": "STRING"}, more[1]]},
        there[1],
        more[2],
    ]


def test_every_value_type_has_its_column() -> None:
    (table,) = parse(create_table_sql(THING))
    assert table.find(exp.Table).sql("bigquery") == "`shop.things`"  # type: ignore[union-attr]  # there is one
    assert columns(table) == [
        ("at", "TIMESTAMP", True),
        ("id", "STRING", True),
        ("price", "NUMERIC", False),
        ("count", "INT64", False),
        ("weight", "FLOAT64", False),
        ("sold", "BOOL", False),
        ("day", "DATE", False),
        ("more", "STRING", False),
        ("tags", "ARRAY<STRING>", False),
        ("lines", "ARRAY<STRUCT<sku STRING NOT NULL, sizes ARRAY<INT64>, maker STRUCT<name STRING>>>", False),
        ("place", "STRUCT<city STRING NOT NULL>", True),
        *SYSTEM_COLUMNS,
    ]


def test_ddl_has_partition_clusters_and_options() -> None:
    (table,) = parse(create_table_sql(THING, "elsewhere"))
    assert table.find(exp.Table).sql("bigquery") == "`elsewhere.things`"  # type: ignore[union-attr]  # there is one
    assert table.args["exists"] is True
    partition = table.find(exp.PartitionedByProperty)
    assert partition is not None and partition.this.sql("bigquery") == "TIMESTAMP_TRUNC(`at`, DAY)"
    clusters = table.find(exp.ClusterProperty)
    assert clusters is not None and [column.name for column in clusters.expressions] == ["id", "day"]
    assert property_of(table, "require_partition_filter").sql("bigquery") == "TRUE"
    assert property_of(table, "labels").sql("bigquery") == (
        "[('generated_by', 'sluice'), ('contract', 'thing'), ('contract_version', '1_2_0'),"
        " ('domain', 'shop')]"
    )


def test_descriptions_survive_quotes_and_line_breaks() -> None:
    (table,) = parse(create_table_sql(THING))
    assert property_of(table, "description").name == THING.description
    described = {
        column.name: option.args["value"].name
        for column in table.find_all(exp.ColumnDef)
        for option in (column.constraints[-1].kind.expressions if column.constraints else [])
        if isinstance(option, exp.Property)
    }
    assert described == {
        "at": "When.",
        "sku": 'It\'s "the" key.',
        "lines": "What was bought.",
        **{column.name: column.description for column in ADDED},
    }


TABLE_OF_THING = {
    "description": THING.description,
    "labels": {
        "generated_by": "sluice",
        "contract": "thing",
        "contract_version": "1_2_0",
        "domain": "shop",
    },
    "schema": {
        "fields": [
            {"name": "at", "type": "TIMESTAMP", "mode": "REQUIRED", "description": "When."},
            {"name": "tags", "type": "STRING", "mode": "REPEATED"},
            {
                "name": "lines",
                "type": "RECORD",
                "mode": "REPEATED",
                "description": "What was bought.",
                "fields": [
                    {
                        "name": "sku",
                        "type": "STRING",
                        "mode": "REQUIRED",
                        "description": 'It\'s "the" key.',
                    },
                    {"name": "sizes", "type": "INTEGER", "mode": "REPEATED"},
                    {
                        "name": "maker",
                        "type": "RECORD",
                        "mode": "NULLABLE",
                        "fields": [{"name": "name", "type": "STRING", "mode": "NULLABLE"}],
                    },
                ],
            },
            {
                "name": "place",
                "type": "RECORD",
                "mode": "REQUIRED",
                "fields": [{"name": "city", "type": "STRING", "mode": "REQUIRED"}],
            },
        ]
    },
    "timePartitioning": {"type": "DAY", "field": "at"},
    "requirePartitionFilter": True,
}


def test_table_json_has_every_part_of_the_contract() -> None:
    table = table_json(replace(THING, properties=(THING.properties[0], *THING.properties[8:]), cluster_by=()))
    table["schema"]["fields"] = table["schema"]["fields"][:-4]
    assert table == TABLE_OF_THING


def test_policy_tags_follow_the_classification() -> None:
    name = Property("name", "string", classification="restricted")
    properties = (
        THING.properties[0],
        name,
        Property("emails", "array", classification="internal", items=name),
        Property(
            "person", "object", classification="restricted", properties=(name, Property("age", "integer"))
        ),
    )
    tag = "projects/p/locations/eu/taxonomies/1/policyTags/2"
    table = table_json(replace(THING, properties=properties, cluster_by=()), {"restricted": tag})
    fields = {field["name"]: field for field in table["schema"]["fields"]}
    tagged = {"name": "name", "type": "STRING", "mode": "NULLABLE", "policyTags": {"names": [tag]}}
    assert fields["name"] == tagged
    assert fields["person"] == {
        "name": "person",
        "type": "RECORD",
        "mode": "NULLABLE",
        "fields": [
            tagged,
            {"name": "age", "type": "INTEGER", "mode": "NULLABLE", "policyTags": {"names": [tag]}},
        ],
    }
    assert fields["emails"]["policyTags"] == {"names": [tag]}
    assert "policyTags" not in fields["at"]


def test_table_json_has_the_api_names_of_types() -> None:
    fields = table_json(THING)["schema"]["fields"]
    assert [field["type"] for field in fields] == (
        [
            "TIMESTAMP",
            "STRING",
            "NUMERIC",
            "INTEGER",
            "FLOAT",
            "BOOLEAN",
            "DATE",
            "STRING",
            "STRING",
            "RECORD",
            "RECORD",
        ]
        + ["STRING", "STRING", "STRING", "TIMESTAMP"]
    )
    assert table_json(THING)["clustering"] == {"fields": ["id", "day"]}


def test_table_without_event_time_is_partitioned_by_load_time() -> None:
    assert table_json(replace(THING, event_time=None))["timePartitioning"]["field"] == "_ingested_at"


def test_description_is_cut_at_the_limit() -> None:
    long = replace(
        THING, properties=(Property("at", "timestamp", required=True, description="x" * 2000),), cluster_by=()
    )
    assert table_json(long)["schema"]["fields"][0]["description"] == "x" * 1023 + "…"


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.event_type)
def test_every_committed_contract_makes_a_table(contract: Contract) -> None:
    (table,) = parse(create_table_sql(contract))
    stored = columns(table)
    assert [name for name, _, _ in stored[:-4]] == [prop.name for prop in contract.properties]
    assert stored[-4:] == SYSTEM_COLUMNS
    required = {prop.name for prop in contract.properties if prop.required and prop.type != "array"}
    assert {name for name, _, is_required in stored[:-4] if is_required} == required
    json.dumps(table_json(contract))


def test_orders_have_repeated_items() -> None:
    (table,) = parse(
        create_table_sql(next(contract for contract in CONTRACTS if contract.event_type == "order"))
    )
    assert dict((name, kind) for name, kind, _ in columns(table))["items"] == (
        "ARRAY<STRUCT<product_id STRING NOT NULL, product_name STRING NOT NULL, quantity INT64 NOT NULL,"
        " price NUMERIC NOT NULL>>"
    )


def test_system_sql_makes_dataset_tables_and_view() -> None:
    schema, segments, counts, view = parse(system_sql("shop"))
    assert (schema.args["kind"], schema.this.sql("bigquery")) == ("SCHEMA", "`shop`")
    assert property_of(schema, "max_time_travel_hours").this == "168"
    assert columns(segments) == [
        ("segment_id", "STRING", True),
        ("event_type", "STRING", True),
        ("path", "STRING", True),
        ("minute", "TIMESTAMP", True),
        ("ingested_at", "TIMESTAMP", True),
        ("events", "INT64", True),
        ("refused", "INT64", True),
        ("refusals", "ARRAY<STRUCT<line INT64 NOT NULL, reason STRING NOT NULL>>", False),
    ]
    assert columns(counts) == [
        ("segment_id", "STRING", True),
        ("event_type", "STRING", True),
        ("window_start", "TIMESTAMP", True),
        ("window_end", "TIMESTAMP", True),
        ("events", "INT64", True),
    ]
    assert (view.args["kind"], view.find(exp.Table).sql("bigquery")) == ("VIEW", "`shop.event_counts`")  # type: ignore[union-attr]  # there is one
    select = view.expression
    assert [column.alias_or_name for column in select.expressions] == [
        "event_type",
        "window_start",
        "window_end",
        "events",
    ]
    assert [column.name for column in select.args["group"].expressions] == [
        "event_type",
        "window_start",
        "window_end",
    ]
    assert [table.sql("bigquery") for table in select.find_all(exp.Table)] == ["`shop._event_counts`"]


def test_system_tables_can_be_read_without_a_filter() -> None:
    assert [system_json(name)["requirePartitionFilter"] for name in SYSTEM] == [False, False]


ARRAYS = Property("a", "array", items=Property("item", "array", items=Property("item", "string")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"properties": (Property("o", "object", properties=(ARRAYS,)),), "cluster_by": ()},
            "property o.a: BigQuery has no arrays of arrays; put an object between them, or make it json",
        ),
        (
            {"properties": (Property("user-id", "string"),), "cluster_by": ()},
            "property user-id: expected a column name for BigQuery (at most 300 letters, digits and _, not"
            " beginning with a digit or _TABLE_, _FILE_, _PARTITION, _ROW_TIMESTAMP, __ROOT__, _COLIDENTIFIER), got"
            " 'user-id'; rename it",
        ),
        (
            {"properties": (Property("Id", "string"), Property("id", "string")), "cluster_by": ()},
            "property id: BigQuery cannot tell it from Id; rename one",
        ),
        (
            {"cluster_by": ("a", "b", "c", "d", "e")},
            "cluster columns: expected at most 4, as BigQuery does, got 5",
        ),
        (
            {"cluster_by": ("weight",)},
            "cluster columns: BigQuery cannot cluster by weight, which is float; leave it out",
        ),
        (
            {"cluster_by": ("tags",)},
            "cluster columns: BigQuery cannot cluster by tags, which is array; leave it out",
        ),
        ({"cluster_by": ("nothing",)}, "cluster columns: expected properties of the contract, got 'nothing'"),
    ],
)
def test_contract_that_bigquery_cannot_store_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as raised:
        create_table_sql(replace(THING, **change))
    assert str(raised.value) == f"schemas/shop/thing.odcs.yaml: {message}"
