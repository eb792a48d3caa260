from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.codegen.generate import generate
from sluice.codegen.model_names import model_name_problems
from sluice.contracts import Contract, Property
from sluice.errors import ContractError
from sluice.tooling.lint import check_files

KEYED = Contract(
    event_type="order",
    table="orders",
    id="shop",
    version="1.0.0",
    domain="shop",
    description="",
    properties=(Property("id", "string", required=True, unique=True),),
    event_time=None,
    identity="properties",
    path="shop.yaml",
)
PLAIN = replace(KEYED, identity="content")


def other(contract: Contract, domain: str, event_type: str) -> Contract:
    return replace(contract, domain=domain, event_type=event_type, path="other.yaml")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (KEYED, other(KEYED, "store", "order"), "model of its own, got order_latest"),
        (KEYED, other(KEYED, "store", "ORDER"), "model of its own, got ORDER_latest"),
        (replace(KEYED, event_type="a-b"), other(KEYED, "store", "a.b"), "model of its own, got a_b_latest"),
        (KEYED, other(PLAIN, "store", "order"), None),
        (PLAIN, other(PLAIN, "store", "order"), None),
        (KEYED, other(KEYED, "store", "sale"), None),
        (
            replace(PLAIN, domain="a__b", event_type="c"),
            other(PLAIN, "a", "b__c"),
            "macro of its own, got a__b__c_columns",
        ),
        (PLAIN, other(PLAIN, "Shop", "order"), "macro of its own, got Shop__order_columns"),
        (
            replace(PLAIN, domain="my-shop"),
            other(PLAIN, "my.shop", "order"),
            "macro of its own, got my_shop__order_columns",
        ),
        (
            replace(PLAIN, domain="1st"),
            other(PLAIN, "_1st", "order"),
            "macro of its own, got _1st__order_columns",
        ),
    ],
)
def test_names_that_dbt_cannot_tell_apart_are_problems(
    first: Contract, second: Contract, same: str | None
) -> None:
    expected = (
        f"other.yaml: {second.event_type}: expected a dbt {same}, which {first.event_type} (shop.yaml) has as well; "
        "rename one event type"
    )
    assert list(model_name_problems([first, second])) == ([] if same is None else [expected])


YAML = """\
apiVersion: v3.2.0
kind: DataContract
id: shop
version: 1.0.0
domain: DOMAIN
schema:
  - name: order
    physicalName: TABLE
    description: An order.
    customProperties: [{property: eventTime, value: at}, {property: identity, value: properties}]
    properties:
      - {name: at, logicalType: timestamp, required: true, description: When.}
      - {name: id, logicalType: string, required: true, unique: true, description: Key.}
"""


def test_two_domains_with_one_keyed_type_fail_in_check_and_in_generate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for domain, table in (("shop", "shop_orders"), ("store", "store_orders")):
        examples = tmp_path / "schemas" / domain / "examples"
        examples.mkdir(parents=True)
        (examples.parent / "order.odcs.yaml").write_text(
            YAML.replace("DOMAIN", domain).replace("TABLE", table)
        )
        (examples / "order.accepts.ndjson").write_text('{"at":"2025-02-08T13:09:00Z","id":"1"}\n')
        (examples / "order.rejects.ndjson").write_text("{}\n")
    problem = (
        "schemas/store/order.odcs.yaml: order: expected a dbt model of its own, got order_latest, which order "
        "(schemas/shop/order.odcs.yaml) has as well; rename one event type"
    )
    assert check_files(["schemas"]) == [problem]
    with pytest.raises(ContractError) as raised:
        generate(Path())
    assert str(raised.value) == problem
    assert check_files(["schemas/shop"]) == []
