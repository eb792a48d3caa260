from __future__ import annotations

import re
from pathlib import Path

import pytest
from sluice.arrow.schema import ADDED as ADDED_COLUMNS
from sluice.codegen.diagram import mermaid
from sluice.contracts import Contract, Property, load_contracts

from tests.names import ALLOWED_NAMES, WORDS_OF_SCHEMAS

SCHEMAS = Path(__file__).parents[2] / "schemas" / "backend_events"

DESCRIBED = {column.name: column.description.rstrip(".") for column in ADDED_COLUMNS}
ADDED = f"""\
        json _extra "{DESCRIBED["_extra"]}; optional"
        string _event_id PK "{DESCRIBED["_event_id"]}"
        string _segment_id "{DESCRIBED["_segment_id"]}"
        timestamp _ingested_at "{DESCRIBED["_ingested_at"]}"
    }}
"""

# The grammar of Mermaid's erDiagram, as far as it is used here.
NAME = r'"[^"%\r\n\\]+"'
RELATION = re.compile(rf"    {NAME} (\|\||\|o|}}o)--(o\||\|\||o\{{|\|\{{) {NAME} : {NAME}")
ENTITY = re.compile(rf"    {NAME} \{{")
ATTRIBUTE = re.compile(
    r"        [A-Za-z_][\w\-\[\]]* (?!(?i:pk|fk|uk)\b)[A-Za-z_][\w\-]*"
    r'( (PK|FK|UK)(, (PK|FK|UK))*)?( "[^"\n]*")?'
)


def contract_of(table: str, *properties: Property) -> Contract:
    return Contract(table, table, table, "1.0.0", "shop", "", properties, None)


def test_diagram_has_tables_objects_and_references() -> None:
    sales = contract_of(
        "sales",
        Property("id", "uuid", required=True, unique=True, description="The sale."),
        Property("status", "string", required=True, enum=("new", "old"), classification="internal"),
        Property("buyer", "uuid", references="people.person_id"),
        Property("tags", "array", required=True, items=Property("item", "string", required=True)),
        Property(
            "lines",
            "array",
            required=True,
            min_length=1,
            items=Property(
                "item",
                "object",
                required=True,
                properties=(Property("sku", "string", required=True, references="products.sku"),),
            ),
        ),
        Property(
            "place",
            "object",
            properties=(Property("city", "string", required=True, description='A "city".'),),
        ),
    )
    people = contract_of("people", Property("person_id", "uuid", required=True, unique=True))
    assert mermaid([sales, people]) == (
        """\
erDiagram
    "people" |o--o{ "sales" : "buyer"
    "sales" ||--|{ "sales.lines" : "lines"
    "products" ||--o{ "sales.lines" : "sku"
    "sales" ||--o| "sales.place" : "place"
    "people" {
        uuid person_id UK
"""
        + ADDED
        + """\
    "sales" {
        uuid id UK "The sale"
        string status "one of new | old; internal"
        uuid buyer FK "optional"
        string[] tags
        object[] lines
        object place "optional"
"""
        + ADDED
        + """\
    "sales.lines" {
        string sku FK
    }
    "sales.place" {
        string city "A 'city'"
    }
    "products" {
        string sku PK
    }
"""
    )


def lines_that_are_not_mermaid(text: str) -> list[str]:
    first, *rest = text.splitlines()
    assert first == "erDiagram"
    known = (RELATION, ENTITY, ATTRIBUTE, re.compile("    }"))
    return [line for line in rest if not any(pattern.fullmatch(line) for pattern in known)]


def test_diagram_of_the_products_contracts_is_mermaid() -> None:
    text = mermaid(load_contracts(str(SCHEMAS)).values())
    assert lines_that_are_not_mermaid(text) == []
    entities = re.findall(r'^    "([^"]+)" \{$', text, re.MULTILINE)
    assert entities[:5] == [
        "inventory_events",
        "order_events",
        "order_events.items",
        "order_events.shipping_address",
        "user_activity_events",
    ]
    assert set(re.findall(r'"([^"]+)" [|}o]', text)) <= set(entities)


@pytest.mark.parametrize("name", ["to", "pk", "1st", "user-id", "é%", "a.b", 'q"\\'])
def test_diagram_with_special_names_is_mermaid(name: str) -> None:
    inner = Property(name, "object", properties=(Property(name, "string", description='"%\n'),))
    assert lines_that_are_not_mermaid(mermaid([contract_of(name, inner)])) == []


def test_diagram_is_the_same_for_any_order_of_contracts() -> None:
    one, two = contract_of("a", Property("x", "string")), contract_of("b", Property("y", "string"))
    assert mermaid([one, two]) == mermaid([two, one])


@pytest.mark.parametrize("name", [*ALLOWED_NAMES, *WORDS_OF_SCHEMAS])
def test_diagram_of_any_name_keeps_to_the_grammar(name: str) -> None:
    text = Property(name, "string", description=f'What is "{name}"?', unique=True, classification=name)
    item = Property("item", "object", required=True, properties=(text,))
    table = contract_of(
        "odd_events",
        text,
        Property(
            f"{name} o", "object", properties=(text, Property(f"{name} p", "object", properties=(text,)))
        ),
        Property(f"{name} l", "array", items=item),
        Property("kind", "string", enum=(name, f"{name}\n")),
    )
    first, *lines = mermaid([table]).removesuffix("\n").split("\n")
    assert first == "erDiagram"
    wrong = [
        line
        for line in lines
        if not any(form.fullmatch(line) for form in (RELATION, ENTITY, ATTRIBUTE)) and line != "    }"
    ]
    assert wrong == []
    assert len([line for line in lines if RELATION.fullmatch(line)]) == 3
    assert len([line for line in lines if ENTITY.fullmatch(line)]) == 4
