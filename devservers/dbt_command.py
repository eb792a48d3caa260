"""The `dbt` command, in a process that is forked from one that has imported dbt and parsed the project.

Both take dbt longer than most commands of tests work: 4 s and 12 s. What was parsed serves all commands that dbt would
parse the same for, whichever place the warehouse is in. Tests of the pipelines run `dbt` as a user does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from devservers.forked_process import Finished, ForkServer, run_forked
from devservers.tools import ROOT, require_path

_NAMES = ("DBT_", "GOOGLE_", "PG", "SLUICE_")
"""How the variables begin that name warehouses and what is in them."""

_PLACES = {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"}
"""Those that say where a warehouse is, or how it is entered; no name in it depends on them."""

_MOST_SERVERS = 2
"""Each has 200 MB."""

_servers: dict[tuple[object, ...], ForkServer] = {}


def dbt(
    arguments: Sequence[str], environment: Mapping[str, str], profiles: Path, seconds: float = 800
) -> Finished:
    """Run one command of dbt to its end in the repository, with its project and the profiles in a folder.

    Raises:
        subprocess.TimeoutExpired: it takes longer than `seconds`; it was killed.

    """
    project = ["--project-dir", "dbt", "--profiles-dir", str(profiles)]
    server = _server([*project, *_variables(arguments)], environment)
    return run_forked(server, ["dbt", *arguments, *project], environment, ROOT, seconds)


def _variables(arguments: Sequence[str]) -> list[str]:
    at = arguments.index("--vars") if "--vars" in arguments else len(arguments)
    return list(arguments[at : at + 2])


def _server(parsing: Sequence[str], environment: Mapping[str, str]) -> ForkServer:
    """Return a server that has parsed the project with these arguments, for this environment or one like it."""
    names = {
        name: value for name, value in environment.items() if name.startswith(_NAMES) and name not in _PLACES
    }
    # DuckDB calls its database as the file.
    names["SLUICE_DUCKDB"] = Path(names.get("SLUICE_DUCKDB", "")).stem
    key = (*parsing, *sorted(names.items()))
    if key not in _servers:
        if len(_servers) == _MOST_SERVERS:
            _servers.pop(next(iter(_servers))).end()
        python = [str(require_path("dbt/bin/python"))]
        _servers[key] = ForkServer(
            python, "devservers.programs.dbt_server", *parsing, environment=environment
        )
    return _servers[key]
