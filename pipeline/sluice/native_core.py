"""The native core, if it is installed (docs/adr/0133).

It takes what is plain and never refuses anything: what it does not take, Python reads, as it reads everything without
the core.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from sluice.version import VERSION

_INTERFACE = 5
"""What this version of Sluice expects of a core."""


@cache
def native_core() -> Any:
    """Return the module of the core; None if it is not installed, or is one for another version of Sluice."""
    try:
        core = importlib.import_module("sluice_native")
    except ImportError:
        return None
    return core if core.INTERFACE == _INTERFACE else None


def running_version() -> str:
    """Return the version of Sluice; with `+native` behind it if this process reads with the core."""
    return VERSION if native_core() is None else f"{VERSION}+native"
