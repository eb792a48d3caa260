"""What tests of the native core need."""

from __future__ import annotations

from sluice.native_core import native_core

from devservers.errors import MissingTool


def require_native_core() -> None:
    """Find the core in this environment.

    Raises:
        MissingTool: it is not installed.

    """
    if native_core() is None:
        message = "the native core is not installed; `scripts/setup` builds it where cargo is on PATH"
        raise MissingTool(message)
