"""Sluice: one Apache Beam graph from raw events to trusted tables.

The public API is what `__all__` lists. Each name is imported when it is first used, so that `import sluice` is quick
and does not import Beam. Everything else may change between two versions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sluice.version import VERSION

if TYPE_CHECKING:
    from sluice.config.job import Job as Job
    from sluice.config.job import load_job as load_job
    from sluice.contracts import Contract as Contract
    from sluice.contracts import load_contract as load_contract
    from sluice.contracts import load_contracts as load_contracts
    from sluice.errors import SluiceError as SluiceError
    from sluice.graph.ledger import Report as Report
    from sluice.runtime.launch import load_log as load_log
    from sluice.runtime.launch import run_job as run_job
    from sluice.runtime.observers import RunObserver as RunObserver
    from sluice.runtime.submit import Submitted as Submitted

__version__ = VERSION

_MODULES = {
    "Contract": "sluice.contracts",
    "Job": "sluice.config.job",
    "Report": "sluice.graph.ledger",
    "RunObserver": "sluice.runtime.observers",
    "SluiceError": "sluice.errors",
    "Submitted": "sluice.runtime.submit",
    "load_contract": "sluice.contracts",
    "load_contracts": "sluice.contracts",
    "load_job": "sluice.config.job",
    "load_log": "sluice.runtime.launch",
    "run_job": "sluice.runtime.launch",
}
"""Public name -> module that defines it."""

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604  a test compares it with the names above


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Raises:
        AttributeError: the name is not public.

    """
    if name not in _MODULES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return what is public, for completion."""
    return sorted(__all__)
