"""Builds the models of collaboration in SQLite, for which dbt has no maintained adapter.

The SQL is that of the dbt project: its models are rendered with the same macros, in the order of their references. A
`keyed_table` gets the same statements as in PostgreSQL; its foreign keys are part of `create table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import yaml

from examples.collaboration.warehouse import SQLite

PROJECT = Path(__file__).parents[2] / "dbt"
MODELS = PROJECT / "models/collaboration"
MACROS = (
    "_collaboration",
    "collaboration",
    "columns",
    "incremental",
    "keyed_table",
    "partitions",
    "times",
    "types",
)
_REFERENCE = re.compile(r"\bref\('(\w+)'\)")
_MATERIALIZATION = re.compile(r"\{% materialization .*?\{% endmaterialization %\}", re.DOTALL)
_MACRO = re.compile(r"\{% macro (\w+)\(")
_TYPES = {"timestamptz": "text", "date": "text", "float8": "real", "bigint": "integer"}
"""Types of the models -> those of SQLite."""


@dataclass(frozen=True)
class Model:
    """A model of the dbt project, and what its yml says."""

    name: str
    sql: str
    properties: Mapping[str, Any]
    materialized: str

    @property
    def references(self) -> list[str]:
        """The models that it reads."""
        return _REFERENCE.findall(self.sql)

    @property
    def columns(self) -> dict[str, SimpleNamespace]:
        """Its columns, as dbt shows them to macros."""
        return {
            column["name"]: SimpleNamespace(
                name=column["name"],
                data_type=_TYPES.get(column.get("data_type", ""), column.get("data_type", "")),
                constraints=[SimpleNamespace(**constraint) for constraint in column.get("constraints", ())],
            )
            for column in self.properties["columns"]
        }

    @property
    def foreign_keys(self) -> Mapping[str, str]:
        """Column -> the model that it refers to."""
        keys: Mapping[str, str] = self.properties.get("config", {}).get("meta", {}).get("foreign_keys", {})
        return keys


def read_models() -> dict[str, Model]:
    """Return the models of collaboration by name, each after those that it reads."""
    materialized = {"marts": "keyed_table", "reporting": "view"}
    models = {}
    for path in sorted(MODELS.glob("*/*.sql")):
        if path.stem.endswith("_latest"):
            continue
        (properties,) = yaml.safe_load(path.with_suffix(".yml").read_text("utf-8"))["models"]
        kind = materialized.get(path.parent.name, "table")
        models[path.stem] = Model(path.stem, path.read_text("utf-8"), properties, kind)
    ordered: dict[str, Model] = {}

    def add(name: str) -> None:
        for reference in models[name].references:
            add(reference)
        ordered.setdefault(name, models[name])

    for name in models:
        add(name)
    return ordered


class Renderer:
    """Renders models as dbt does for a target of the type `sqlite`."""

    def __init__(self, started: datetime) -> None:
        """Read the macros; rows that were loaded after `started` are left to the next build."""
        self._started = started
        project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text("utf-8"))
        self._variables: Mapping[str, Any] = project["vars"]
        texts = [(PROJECT / f"macros/{name}.sql").read_text("utf-8") for name in MACROS]
        self._prelude = _MATERIALIZATION.sub("", "\n".join(texts))
        self._names = _MACRO.findall(self._prelude)

    @cached_property
    def _environment(self) -> jinja2.Environment:
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], undefined=jinja2.StrictUndefined)
        environment.globals |= {
            "target": SimpleNamespace(type="sqlite"),
            "adapter": SimpleNamespace(quote=lambda name: f'"{name}"', dispatch=self._dispatch),
            "dbt": SimpleNamespace(type_string=lambda: "text", type_bigint=lambda: "integer"),
            "var": self._variables.__getitem__,
            # A name with its schema is never one of a CTE.
            "ref": "main.{}".format,
            "source": lambda _domain, table: f'main."{table}"',
            "run_started_at": self._started,
            "return": lambda value: value,
        }
        return environment

    @cached_property
    def _macros(self) -> Mapping[str, Callable[..., str]]:
        module = self._environment.from_string(self._prelude).module
        macros: dict[str, Callable[..., str]] = {name: getattr(module, name) for name in self._names}
        self._environment.globals |= macros
        self._environment.globals["context"] = macros
        return macros

    def _dispatch(self, name: str) -> Callable[..., str]:
        return self._macros.get(f"sqlite__{name}") or self._macros[f"default__{name}"]

    def query(self, model: Model) -> str:
        """Return the query of a model."""
        self._macros  # noqa: B018  they become globals
        return self._environment.from_string(model.sql).render()

    def table(self, model: Model, keys: Mapping[str, str]) -> str:
        """Return `create table` of a keyed table; `keys`: column -> what its foreign key refers to."""
        return self._macros["create_keyed_table"](model.name, model.columns, keys)

    def changes(self, model: Model) -> Iterator[str]:
        """Yield the statements that make a keyed table have the rows of `rows_of_now`."""
        yield from self._macros["replace_rows"](model.name, model.columns).split(";")


def build(warehouse: SQLite) -> list[str]:
    """Build all models in one transaction; return their names."""
    models = read_models()
    renderer = Renderer(datetime.now(UTC))
    statements = [
        f"drop view if exists {model.name}" for model in models.values() if model.materialized == "view"
    ]
    for model in models.values():
        statements += _statements(model, models, renderer)
    warehouse.execute(*statements)
    return list(models)


def _statements(model: Model, models: Mapping[str, Model], renderer: Renderer) -> Iterator[str]:
    query = renderer.query(model)
    if model.materialized == "view":
        yield f"create view {model.name} as {query}"
        return
    if model.materialized == "table":
        yield f"drop table if exists {model.name}"
        yield f"create table {model.name} as {query}"
        return
    keys = {column: f"{parent} ({_key(models[parent])})" for column, parent in model.foreign_keys.items()}
    yield renderer.table(model, keys)
    yield f"create temporary table rows_of_now as {query}"
    yield from renderer.changes(model)
    yield "drop table rows_of_now"


def _key(model: Model) -> str:
    names: list[str] = [
        column.name
        for column in model.columns.values()
        if any(constraint.type == "primary_key" for constraint in column.constraints)
    ]
    return names[0]
