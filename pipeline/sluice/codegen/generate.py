"""Contracts -> the files that are generated from them and committed: DDL, table JSON, JSON Schema, Avro, dbt, diagram.

No file depends on the clock, on the order of folders or on the machine, so a file is stale exactly when a contract or
the generator has changed. A new warehouse is one entry of `TARGETS`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.addresses import mask_text
from sluice.codegen.avro import avro_schema
from sluice.codegen.connector_docs import connector_pages
from sluice.codegen.dbt import docs_markdown, select_macros, sources_yaml, word
from sluice.codegen.dbt_latest import has_latest, latest_name, latest_sql, latest_yaml
from sluice.codegen.diagram import diagram_page
from sluice.codegen.json_schema import json_schema
from sluice.codegen.marked_blocks import MARK
from sluice.codegen.model_names import model_name_problems
from sluice.contracts import Contract, load_contracts
from sluice.elements import REDELIVERY
from sluice.errors import ConfigError, ContractError, alternatives, quote
from sluice.warehouses import sqlite_tables as sqlite
from sluice.warehouses.bigquery import tables as bigquery
from sluice.warehouses.duckdb import views as duckdb
from sluice.warehouses.own_tables import own_contracts
from sluice.warehouses.postgres import tables as postgres
from sluice.warehouses.snowflake import tables as snowflake

TABLE_JSON_MARK = '"generated_by": "sluice"'
"""The label that marks table JSON, where a comment is not allowed."""

DIAGRAM_TARGET = "diagram"
DIAGRAM = Path("docs/data-model.md")

OwnContracts = tuple[Contract, ...]
"""Those of the tables that every job has: dead letters, redeliveries, and the manifest of sources."""

Files = dict[Path, str]
"""Path below the root (or beside it, if the schemas lie there) -> whole text."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One folder of contracts: its name, its path as text for comments and as a path, and its contracts."""

    name: str
    source: str
    folder: Path
    contracts: Mapping[str, Contract]


def domains(schemas: Path) -> dict[str, Path]:
    """Return domain -> folder, for `schemas` itself and the folders in it, where they hold contracts.

    Raises:
        ConfigError: no folder holds contracts.

    """
    candidates = [schemas, *sorted(schemas.iterdir())] if schemas.is_dir() else []
    folders = {folder.resolve().name: folder for folder in candidates if any(folder.glob("*.odcs.yaml"))}
    if not folders:
        message = (
            f"{mask_text(str(schemas))}: expected contracts in schemas/<domain>/<type>.odcs.yaml, got none"
        )
        raise ConfigError(message)
    return folders


def generate(root: Path, schemas: Path | None = None, only: Collection[str] = ()) -> Files:
    """Return every generated file, made from the contracts under `schemas` (by default `root`/schemas).

    With `only`, it is the files of these targets. The file of the diagram is read, since only the block between its
    marks is generated.

    Raises:
        ConfigError: there are no contracts, or two domains make the same file.
        ContractError: a contract is invalid, or a warehouse cannot hold its table.

    """
    made: Files = {}
    makers: dict[Path, str] = {}
    own = own_contracts()
    schemas = schemas or root / "schemas"
    read = _read_domains(root, schemas)
    for domain in read:
        for target in (make for name, make in TARGETS.items() if not only or name in only):
            for path, text in target(domain, own).items():
                maker = makers.setdefault(path, domain.source)
                if made.setdefault(path, text) != text:
                    by = f"made by {maker} and by {domain.source}"
                    message = f"{path.as_posix()}: {by}; give one table another physicalName"
                    raise ConfigError(message)
    if not only or DIAGRAM_TARGET in only:
        contracts = {domain.name: domain.contracts.values() for domain in read}
        made[DIAGRAM] = diagram_page(root / DIAGRAM, contracts, every_domain=_has_all(root, schemas))
    if not only:
        made |= connector_pages(root)
    return dict(sorted(made.items()))


def check(
    root: Path, schemas: Path | None = None, only: Collection[str] = (), command: str = "sluice generate"
) -> list[str]:
    """Return a message for each file that is missing, stale or no longer made, in order of their paths.

    Messages name `command`, which writes these files.
    """
    schemas = schemas or root / "schemas"
    made = generate(root, schemas, only)
    messages = {path: _state(root / path, text) for path, text in made.items()}
    for path in _orphans(root, schemas, made, only):
        messages[path] = "orphan"
    return [f"{path.as_posix()}: {state}; run {command}" for path, state in sorted(messages.items()) if state]


def write(root: Path, schemas: Path | None = None, only: Collection[str] = ()) -> list[str]:
    """Write what is missing or stale, remove orphans, and return a message for each.

    Raises:
        ConfigError: a file cannot be written.

    """
    schemas = schemas or root / "schemas"
    made = generate(root, schemas, only)
    messages = []
    try:
        for path, text in made.items():
            if _state(root / path, text):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text, "utf-8", newline="\n")
                messages.append(f"{path.as_posix()}: written")
        for path in _orphans(root, schemas, made, only):
            (root / path).unlink()
            messages.append(f"{path.as_posix()}: removed, no contract makes it")
    except OSError as error:
        message = f"{error.filename}: cannot write a generated file: {error.strerror}"
        raise ConfigError(message) from error
    return messages


def run_generate(
    schemas: Path,
    root: Path,
    check_only: bool = False,
    only: Collection[str] = (),
    command: str = "sluice generate",
) -> list[str]:
    """Run `sluice generate [--check]`; return its messages. With `check_only`, none means that no file is stale.

    Those of `check_only` name `command`, which writes the files.

    Raises:
        ConfigError: as of `generate` and `write`, or a target of `only` is unknown.

    """
    for name in only:
        if name not in (*TARGETS, DIAGRAM_TARGET):
            message = (
                f"--only: {quote(name)}: unknown target; {alternatives(name, [*TARGETS, DIAGRAM_TARGET])}"
            )
            raise ConfigError(message)
    return check(root, schemas, only, command) if check_only else write(root, schemas, only)


def _duckdb(domain: Domain, own: OwnContracts) -> Files:
    return _tables("duckdb", domain, own, duckdb.create_table_sql, duckdb.STATUS_VIEW_SQL)


def _postgres(domain: Domain, own: OwnContracts) -> Files:
    system = {
        Path("ddl/postgres/_system.sql"): _sql("pipeline/sluice/warehouses/postgres", postgres.system_sql())
    }
    return system | _tables("postgres", domain, own, postgres.create_table_sql, postgres.STATUS_VIEW_SQL)


def _sqlite(domain: Domain, own: OwnContracts) -> Files:
    system = {
        Path("ddl/sqlite/_system.sql"): _sql(
            "pipeline/sluice/warehouses/sqlite_tables.py", sqlite.system_sql()
        )
    }
    return system | _tables("sqlite", domain, own, sqlite.create_table_sql, sqlite.STATUS_VIEW_SQL)


def _snowflake(domain: Domain, own: OwnContracts) -> Files:
    system = {
        Path("ddl/snowflake/_system.sql"): _sql(
            "pipeline/sluice/warehouses/snowflake", snowflake.system_sql()
        )
    }
    return system | _tables("snowflake", domain, own, snowflake.create_table_sql, snowflake.STATUS_VIEW_SQL)


def _tables(
    name: str,
    domain: Domain,
    own: OwnContracts,
    create_table_sql: Callable[[Contract], str],
    status_view_sql: str,
) -> Files:
    """Return a file for each table; what Sluice notes of segments and counts is in `_system.sql`.

    The view of the status of dead letters is in the file of the second of the tables that it reads.
    """
    return {
        Path(f"ddl/{name}/{contract.table}.sql"): _sql(
            _source(domain, contract),
            create_table_sql(contract)
            + ("\n" + status_view_sql if contract.event_type == REDELIVERY else ""),
        )
        for contract in (*domain.contracts.values(), *own)
    }


def _bigquery(domain: Domain, own: OwnContracts) -> Files:
    """Tables in files of their own; `_<domain>.sql` creates the dataset and the tables of Sluice itself."""
    folder, dataset = Path("ddl/bigquery"), word(domain.name)  # a dataset has no hyphens and dots
    made = {}
    for contract in domain.contracts.values():
        text = bigquery.create_table_sql(contract, dataset)
        made[folder / f"{contract.table}.sql"] = _sql(_source(domain, contract), text)
        made[folder / f"{contract.table}.json"] = _json(bigquery.table_json(contract))
    tables = (bigquery.create_table_sql(contract, dataset) for contract in own)
    made[folder / f"_{domain.name}.sql"] = _sql(
        domain.source, "\n".join((bigquery.system_sql(dataset), *tables, bigquery.status_view_sql(dataset)))
    )
    for contract in own:
        made[folder / f"{contract.table}.json"] = _json(bigquery.table_json(contract))
    for name in bigquery.SYSTEM:
        made[folder / f"{name}.json"] = _json(bigquery.system_json(name))
    return made


def _json_schema(domain: Domain, _: OwnContracts) -> Files:
    made = {}
    for contract in domain.contracts.values():
        schema = json_schema(contract)
        comment = f"{_comment(_source(domain, contract))} {schema.get('$comment', '')}".strip()
        path = domain.folder / "json_schema" / f"{contract.event_type}.schema.json"
        made[path] = _json({**schema, "$comment": comment})
    return made


def _avro(domain: Domain, _: OwnContracts) -> Files:
    made = {}
    for contract in domain.contracts.values():
        schema = avro_schema(contract)
        doc = f"{schema.get('doc', '')} {_comment(_source(domain, contract))}".strip()
        head = {key: schema[key] for key in ("type", "name", "namespace")}
        path = domain.folder / "avro" / f"{contract.event_type}.avsc"
        made[path] = _json({**head, **schema, "doc": doc})
    return made


def _dbt(domain: Domain, own: OwnContracts) -> Files:
    contracts = [*domain.contracts.values()]
    staging = Path(f"dbt/models/{domain.name}/staging")
    comment = _comment(domain.source)
    sources = sources_yaml(domain.name, [*contracts, own[0]])
    return {
        staging / f"_{domain.name}__sources.yml": f"# {comment}\n\n{sources}",
        staging
        / f"_{domain.name}__docs.md": f"<!-- {comment} -->\n\n{docs_markdown(domain.name, contracts)}",
        Path(
            f"dbt/macros/_{domain.name}.sql"
        ): f"{{# {comment} #}}\n\n{select_macros(domain.name, contracts)}",
    } | _dbt_latest(domain, staging)


def _dbt_latest(domain: Domain, staging: Path) -> Files:
    """Return the models `<type>_latest` of the contracts with keys, and their tests."""
    contracts = [contract for contract in domain.contracts.values() if has_latest(contract)]
    if not contracts:
        return {}
    made = {
        staging / f"{latest_name(contract)}.sql": _sql(
            _source(domain, contract), latest_sql(domain.name, contract)
        )
        for contract in contracts
    }
    tests = f"# {_comment(domain.source)}\n\n{latest_yaml(domain.name, contracts)}"
    return made | {staging / f"_{domain.name}__latest.yml": tests}


TARGETS: Mapping[str, Callable[[Domain, OwnContracts], Files]] = {
    "duckdb": _duckdb,
    "bigquery": _bigquery,
    "postgres": _postgres,
    "sqlite": _sqlite,
    "snowflake": _snowflake,
    "json_schema": _json_schema,
    "avro": _avro,
    "dbt": _dbt,
}
"""Target -> function that makes its files of a domain and of the tables of Sluice itself."""


def _read_domains(root: Path, schemas: Path) -> list[Domain]:
    read: list[Domain] = []
    for name, folder in domains(schemas).items():
        below = Path(os.path.relpath(folder.resolve(), root.resolve()))
        if below.parts[:1] == ("..",):  # what is made of them goes below `root` all the same
            below = Path("schemas") / name
        contracts = load_contracts(str(folder))
        for contract in contracts.values():
            if contract.domain != name:
                message = f"{contract.path}: domain: expected {name}, as its folder, got {contract.domain!r}"
                raise ContractError(message)
        read.append(Domain(name, below.as_posix(), below, contracts))
    for problem in model_name_problems(contract for domain in read for contract in domain.contracts.values()):
        raise ContractError(problem)
    return read


def _source(domain: Domain, contract: Contract) -> str:
    if contract.event_type not in domain.contracts:
        return Path("pipeline/sluice", *Path(contract.path).parts[-2:]).as_posix()
    return f"{domain.source}/{Path(contract.path).name}"


def _comment(source: str) -> str:
    return f"{MARK} from {source}; do not edit."


def _sql(source: str, text: str) -> str:
    return f"-- {_comment(source)}\n\n{text}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _state(path: Path, text: str) -> str:
    """Return the state of a generated file: `stale`, `missing`, or '' if it is up to date."""
    try:
        return "" if path.read_bytes() == text.encode() else "stale"
    except OSError:
        return "missing"


def _orphans(root: Path, schemas: Path, made: Files, only: Collection[str]) -> list[Path]:
    """Return the files with the mark of generated files that no contract makes any more; with `only`, of these targets.

    If `schemas` may be but a part of the contracts for which files were made below `root`, there is none.
    """
    if not _has_all(root, schemas):
        return []
    places = [path for path in root.glob("ddl/*/*") if not only or path.parent.name in only]
    if not only or "dbt" in only:
        places += [*root.glob("dbt/macros/*"), *root.glob("dbt/models/*/staging/*")]
    for folder in (schemas, *(path for path in schemas.iterdir() if path.is_dir())):
        for target in ("json_schema", "avro"):
            places += folder.glob(f"{target}/*") if not only or target in only else ()
    expected = {(root / path).resolve() for path in made}
    left = sorted(path for path in places if path.is_file() and path.resolve() not in expected)
    return [Path(os.path.relpath(path.resolve(), root.resolve())) for path in left if _is_generated(path)]


def _has_all(root: Path, schemas: Path) -> bool:
    """Tell whether `schemas` has all contracts for which files are made below `root`."""
    return schemas.resolve() == (root / "schemas").resolve()


def _is_generated(path: Path) -> bool:
    text = path.read_text("utf-8", errors="replace")
    return MARK in text or TABLE_JSON_MARK in text
