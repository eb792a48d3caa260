"""Where the programs of servers are installed: `.tools` (by scripts/tools), this environment, or the machine."""

from __future__ import annotations

import os
import shutil
import sys
from glob import glob
from pathlib import Path

from devservers.errors import MissingTool

ROOT = Path(__file__).parents[1]
"""The repository."""

TOOLS = ROOT / ".tools"

_POSTGRES = "/usr/lib/postgresql/*/bin"
"""Where Debian installs PostgreSQL's programs; it is not on PATH."""


def find_program(name: str) -> str | None:
    """Return the path of a program from `.tools/bin`, beside this interpreter, from PATH, or PostgreSQL's own."""
    folders = [str(TOOLS / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return shutil.which(name, path=os.pathsep.join([*folders, *sorted(glob(_POSTGRES), reverse=True)]))


def require_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        MissingTool: it is not installed.

    """
    path = find_program(name)
    if path is None:
        message = f"{name} is not installed; `scripts/tools` installs it into .tools/bin"
        raise MissingTool(message)
    return path


def require_path(path: str) -> Path:
    """Return a file or folder of a tool that has a folder of its own in `.tools`.

    Raises:
        MissingTool: the tool is not installed.

    """
    installed = TOOLS / path
    if not installed.exists():
        message = f".tools/{path} is not there; `scripts/tools {path.split('/', maxsplit=1)[0]}` installs it"
        raise MissingTool(message)
    return installed
