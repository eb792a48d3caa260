"""usage: link_duckdb_extensions.py HOME: links the extensions that are installed as packages to where DuckDB looks."""

import sys
import sysconfig
from pathlib import Path

import duckdb


def main() -> None:
    """Link every extension of this environment."""
    with duckdb.connect() as connection:
        row = connection.execute("PRAGMA platform").fetchone()
    assert row is not None
    folder = Path(sys.argv[1], ".duckdb", "extensions", f"v{duckdb.__version__}", row[0])
    folder.mkdir(parents=True, exist_ok=True)
    packages = Path(sysconfig.get_path("purelib"))
    for extension in packages.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
        (folder / extension.name).symlink_to(extension)


if __name__ == "__main__":
    main()
