"""What all tests share: a test whose server is not installed is skipped, and in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from devservers.errors import MissingTool

# A slow machine is no failure.
settings.register_profile("sluice", settings.default, deadline=None)
settings.load_profile("sluice")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: given out last, one of them would keep one process busy and others idle."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


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
