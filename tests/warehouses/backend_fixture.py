"""The fixtures of suites that run over warehouses; the conftest of a folder takes them over.

A suite of some warehouses alone chooses them with `pytest.mark.parametrize("make_backend", NAMES, indirect=True)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.warehouses.backends import BACKENDS, Backend, MakeBackend


@pytest.fixture(scope="session", params=BACKENDS)
def make_backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeBackend]:
    with BACKENDS[request.param](tmp_path_factory.mktemp("server")) as make:
        yield make


@pytest.fixture
def backend(make_backend: MakeBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    made = make_backend(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made
