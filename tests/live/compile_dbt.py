"""usage: compile_dbt.py FOLDER TARGET: compiles the dbt project for a warehouse that is not there.

It compiles into FOLDER/False as if the warehouse was empty, and into FOLDER/True as if it had all tables.
"""

import importlib
import sys
import types
from typing import Any

from dbt.cli.main import dbtRunner


def opened(manager: Any, connection: Any) -> Any:
    """Return a connection that was never made."""
    connection.state, connection.handle = "open", types.SimpleNamespace(close=bool, is_closed=bool)
    return connection


def compile_models(adapter: Any, folder: str, target: str, selection: list[str], incremental: bool) -> None:
    """Compile the selected models; where `incremental`, as if their tables were there."""

    def get_relation(self: Any, database: str, schema: str, identifier: str) -> Any:
        parts = {"database": database, "schema": schema, "identifier": identifier}
        return self.Relation.create(**parts, type="table") if incremental else None

    adapter.get_relation = get_relation
    command = ["--log-level-file=none", "--quiet", "compile", "--target", target, "--no-introspect"]
    command += ["--no-populate-cache", "--project-dir", "dbt", "--profiles-dir", "dbt"]
    command += ["--select", *selection, "--target-path", f"{folder}/{incremental}"]
    result = dbtRunner().invoke(command)
    if not result.success:
        raise SystemExit(str(result.exception))


def main() -> None:
    """Compile all models, and then the incremental ones."""
    folder, target = sys.argv[1:]
    adapter = importlib.import_module(f"dbt.adapters.{target}").Plugin.adapter
    adapter.ConnectionManager.open = classmethod(opened)
    compile_models(adapter, folder, target, ["commerce", "backend_events", "audit"], incremental=False)
    parsed = f"--partial-parse-file-path={folder}/False/partial_parse.msgpack"
    selection = ["config.materialized:incremental,resource_type:model", parsed]
    compile_models(adapter, folder, target, selection, incremental=True)


if __name__ == "__main__":
    main()
