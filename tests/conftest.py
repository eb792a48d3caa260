"""What all tests share: a test whose server is not installed is skipped, and in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from devservers.errors import MissingTool


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    try:
        yield
    except MissingTool as error:
        skip_or_fail(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    try:
        yield
    except MissingTool as error:
        skip_or_fail(error)


def skip_or_fail(error: MissingTool) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))
