from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sluice.contracts import Contract, Property
from sluice.errors import ConfigError
from sluice.tooling.compatibility import breaking_changes, breaking_changes_against, contracts_at

ITEM = Property(
    "item",
    "object",
    required=True,
    properties=(
        Property("price", "decimal", required=True, minimum=0),
        Property("note", "string", max_length=9),
    ),
)
ORDER = Contract(
    event_type="order",
    table="order_events",
    id="shop.order",
    version="1.0.0",
    domain="shop",
    description="An order.",
    properties=(
        Property("at", "timestamp", required=True),
        Property("id", "uuid", required=True, unique=True),
        Property("status", "string", required=True, enum=("pending", "shipped")),
        Property("count", "integer", minimum=-100, maximum=100),
        Property("code", "string", min_length=2, max_length=4, pattern="^[A-Z]+$"),
        Property("address", "object", properties=(Property("city", "string", required=True),)),
        Property("items", "array", items=ITEM),
        Property("ip", "string", classification="restricted"),
    ),
    event_time="at",
    consumers=("finance dashboard",),
)


def changed(path: str, **fields: Any) -> Contract:
    """Return version 1.1.0 of the order with the property at `path` changed."""
    return replace(ORDER, version="1.1.0", properties=_changed(ORDER.properties, path.split("."), fields))


def _changed(
    properties: tuple[Property, ...], path: list[str], fields: dict[str, Any]
) -> tuple[Property, ...]:
    def change(prop: Property) -> Property:
        if prop.name != path[0]:
            return prop
        if not path[1:]:
            return replace(prop, **fields)
        if prop.items is not None:
            return replace(
                prop, items=replace(prop.items, properties=_changed(prop.items.properties, path[1:], fields))
            )
        return replace(prop, properties=_changed(prop.properties, path[1:], fields))

    return tuple(change(prop) for prop in properties)


def without(name: str) -> Contract:
    return replace(
        ORDER, version="1.1.0", properties=tuple(prop for prop in ORDER.properties if prop.name != name)
    )


def with_also(*properties: Property) -> Contract:
    return replace(ORDER, version="1.1.0", properties=(*ORDER.properties, *properties))


BREAKS: list[tuple[Contract, str]] = [
    (without("count"), "count: property removed"),
    (changed("address", properties=()), "address.city: property removed"),
    (with_also(Property("new", "string", required=True)), "new: required property added"),
    (changed("count", required=True), "count: made required"),
    (changed("items.note", required=True), "items[].note: made required"),
    (changed("items.note", nullable=False), "items[].note: no longer nullable"),
    (changed("status", enum=("pending",)), "status: enum narrowed: 'shipped' removed"),
    (changed("status", enum=("new",)), "status: enum narrowed: 'pending', 'shipped' removed"),
    (changed("code", enum=("AB", "CD")), "code: enum added: only 'AB', 'CD'"),
    (changed("count", minimum=0), "count: minimum raised: -100 -> 0"),
    (changed("count", maximum=50), "count: maximum lowered: 100 -> 50"),
    (changed("items.price", maximum=9.5), "items[].price: maximum added: 9.5"),
    (changed("items.price", minimum=1), "items[].price: minimum raised: 0 -> 1"),
    (changed("code", min_length=3), "code: minimum length raised: 2 -> 3"),
    (changed("code", max_length=3), "code: maximum length lowered: 4 -> 3"),
    (changed("items", min_length=1), "items: minimum length added: 1"),
    (changed("items", max_length=7), "items: maximum length added: 7"),
    (changed("ip", pattern="^1"), "ip: pattern added: ^1"),
    (changed("code", pattern="^[A-C]+$"), "code: pattern changed: ^[A-Z]+$ -> ^[A-C]+$"),
    (changed("count", type="string"), "count: type changed: integer -> string"),
    (
        changed("items", items=Property("item", "string", required=True)),
        "items[]: type changed: object -> string",
    ),
    (changed("address.city", type="json"), "address.city: type changed: string -> json"),
    (changed("id", unique=False), "id: no longer unique"),
    (changed("count", unique=True), "count: made unique"),
    (changed("ip", classification="internal"), "ip: classification loosened: restricted -> internal"),
    (changed("ip", classification=None), "ip: classification loosened: restricted -> none"),
    (replace(ORDER, version="1.1.0", table="orders"), "table changed: order_events -> orders"),
    (replace(ORDER, version="1.1.0", event_time=None), "event time changed: at -> arrival"),
    (replace(ORDER, version="1.1.0", identity="properties"), "identity changed: content -> properties"),
]


@pytest.mark.parametrize(("new", "message"), BREAKS, ids=[message for _, message in BREAKS])
def test_breaking_change_is_found(new: Contract, message: str) -> None:
    assert [str(change) for change in breaking_changes({"order": ORDER}, {"order": new})] == [
        f"order 1.0.0 -> 1.1.0: {message}; breaks: finance dashboard"
    ]


@pytest.mark.parametrize(("new", "message"), BREAKS, ids=[message for _, message in BREAKS])
def test_breaking_change_of_a_major_version_is_allowed(new: Contract, message: str) -> None:
    assert breaking_changes({"order": ORDER}, {"order": replace(new, version="2.0.0")}) == []


@pytest.mark.parametrize(
    "new",
    [
        ORDER,
        with_also(Property("new", "string")),
        changed("status", enum=("pending", "shipped", "lost")),
        changed("status", enum=()),
        changed("status", required=False),
        changed("count", minimum=-200, maximum=None),
        changed("code", min_length=None, max_length=9, pattern=None),
        changed("items", min_length=0),
        changed("ip", description="Address."),
        changed("id", references="orders.id", classification="internal"),
        replace(ORDER, cluster_by=("status",), description="Another.", consumers=()),
    ],
)
def test_compatible_change_is_allowed(new: Contract) -> None:
    assert breaking_changes({"order": ORDER}, {"order": new}) == []


def test_removed_event_type_breaks_and_new_one_does_not() -> None:
    changes = breaking_changes({"order": ORDER}, {"refund": replace(ORDER, event_type="refund")})
    assert [str(change) for change in changes] == [
        "order 1.0.0: event type removed; breaks: finance dashboard"
    ]


def test_change_names_the_consumers_of_both_versions() -> None:
    new = replace(without("count"), event_time=None, consumers=("fraud", "finance dashboard"))
    assert [str(change) for change in breaking_changes({"order": ORDER}, {"order": new})] == [
        "order 1.0.0 -> 1.1.0: event time changed: at -> arrival; breaks: finance dashboard, fraud",
        "order 1.0.0 -> 1.1.0: count: property removed; breaks: finance dashboard, fraud",
    ]


def test_change_without_consumers_says_so() -> None:
    old, new = replace(ORDER, consumers=()), replace(without("count"), consumers=())
    (change,) = breaking_changes({"order": old}, {"order": new})
    assert (
        str(change)
        == "order 1.0.0 -> 1.1.0: count: property removed; breaks: no consumer that the contract names"
    )


YAML = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-click
version: 1.0.0
domain: shop
customProperties: [{property: consumers, value: [reports]}]
schema:
  - name: click
    physicalName: clicks
    properties:
      - {name: at, logicalType: timestamp, required: true}
      - {name: page, logicalType: string}
"""


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    folder = tmp_path / "schemas" / "shop"
    folder.mkdir(parents=True)
    (folder / "click.odcs.yaml").write_text(YAML)
    return tmp_path / "schemas"


@pytest.fixture
def git(tmp_path: Path, schemas: Path) -> Callable[..., None]:
    def run(*arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, env=environment
        )

    run("init", "-q")
    return run


def remove_page(schemas: Path) -> None:
    file = schemas / "shop" / "click.odcs.yaml"
    file.write_text("\n".join(line for line in YAML.splitlines() if "page" not in line))


REMOVED = "click 1.0.0 -> 1.0.0: page: property removed; breaks: reports"


def test_git_revision_is_compared(schemas: Path, git: Callable[..., None]) -> None:
    git("add", ".")
    git("commit", "-qm", "first")
    git("tag", "released")
    assert breaking_changes_against("HEAD", schemas) == []
    remove_page(schemas)
    assert [str(change) for change in breaking_changes_against("HEAD", schemas)] == [REMOVED]
    assert [str(change) for change in breaking_changes_against("released", schemas / "shop")] == [REMOVED]
    git("commit", "-qam", "second")
    assert breaking_changes_against("HEAD", schemas) == []
    assert [str(change) for change in breaking_changes_against("HEAD~1", schemas)] == [REMOVED]


def test_revision_before_the_first_contract_has_none(schemas: Path, git: Callable[..., None]) -> None:
    git("commit", "-q", "--allow-empty", "-m", "empty")
    assert contracts_at("HEAD", schemas) == {}


def test_folder_is_compared(schemas: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    (old / "shop").mkdir(parents=True)
    (old / "shop" / "click.odcs.yaml").write_text(YAML)
    remove_page(schemas)
    assert [str(change) for change in breaking_changes_against(str(old), schemas)] == [REMOVED]
    (old / "shop").rename(tmp_path / "older")
    assert [
        str(change) for change in breaking_changes_against(str(tmp_path / "older"), schemas / "shop")
    ] == [REMOVED]


def test_removed_domain_breaks(schemas: Path, git: Callable[..., None]) -> None:
    git("add", ".")
    git("commit", "-qm", "first")
    (schemas / "shop").rename(schemas / "store")
    assert [str(change) for change in breaking_changes_against("HEAD", schemas)] == [
        "click 1.0.0: event type removed; breaks: reports"
    ]


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("nothing", "git rev-parse: no such revision"),
        ("HEAD:schemas", "got 'HEAD:schemas'"),
        ("--all", "got '--all'"),
        ("", "got ''"),
    ],
)
def test_wrong_revision_is_an_error(
    schemas: Path, git: Callable[..., None], against: str, message: str
) -> None:
    git("commit", "-q", "--allow-empty", "-m", "empty")
    with pytest.raises(ConfigError) as raised:
        contracts_at(against, schemas)
    end = f"; {message}" if message.startswith("git") else f", {message}"
    assert str(raised.value) == f"--against {against}: expected a folder or a git revision{end}"


def test_folder_outside_a_repository_is_an_error(schemas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(schemas.parent.parent))
    with pytest.raises(ConfigError) as raised:
        contracts_at("HEAD", schemas)
    assert str(raised.value).startswith(
        "--against HEAD: expected a folder or a git revision; git rev-parse: fatal: not a git repository"
    )


def test_wrong_contract_of_a_revision_is_an_error(schemas: Path, git: Callable[..., None]) -> None:
    file = schemas / "shop" / "click.odcs.yaml"
    file.write_text(YAML.replace("v3.2.0", "v1"))
    git("add", ".")
    git("commit", "-qm", "first")
    file.write_text(YAML)
    with pytest.raises(ConfigError) as raised:
        contracts_at("HEAD", schemas)
    assert str(raised.value) == (
        f"HEAD:{schemas}/shop/click.odcs.yaml: apiVersion: expected v3.0, v3.1 or v3.2, as in v3.2.0, got 'v1'"
    )
