"""The warehouses of the suites that run over all of them."""

from __future__ import annotations

from tests.warehouses.backend_fixture import backend, make_backend

__all__ = ["backend", "make_backend"]
