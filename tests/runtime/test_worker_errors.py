from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from sluice.errors import SluiceError, StorageError, WarehouseError, decode_error
from sluice.runtime.worker_errors import worker_errors

from tests.runtime.error_run import TEXT, subclasses

ROOT = Path(__file__).parents[2]
NAMES = [known.__name__ for known in subclasses() if known.__module__ == "sluice.errors"]


@pytest.fixture(scope="module")
def raised() -> Mapping[str, Sequence[str]]:
    """Return what the launcher got, by the class that a forked worker raised."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.error_run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: Mapping[str, Sequence[str]] = json.loads(done.stdout)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_error_of_a_forked_worker_arrives_as_itself(name: str, raised: Mapping[str, Sequence[str]]) -> None:
    assert raised[name] == [name, TEXT]


@pytest.mark.parametrize("known", list(subclasses()), ids=lambda known: known.__name__)
@pytest.mark.parametrize("text", ["", "two\nlines", "sluice-error:", "ü \\ \" ' %s"])
def test_error_is_decoded_from_its_traceback(known: type[SluiceError], text: str) -> None:
    error = decode_error("".join(traceback.format_exception(known(text))))
    assert type(error) is known
    assert str(error) == text


def test_error_that_was_translated_is_decoded_as_the_last() -> None:
    failure, message = StorageError("disk full"), "cannot load"
    try:
        try:
            raise failure
        except StorageError as cause:
            raise WarehouseError(message) from cause
    except WarehouseError as error:
        decoded = decode_error(f"Pipeline failed: {''.join(traceback.format_exception(error))}, stage: 3")
    assert isinstance(decoded, WarehouseError)
    assert str(decoded) == "cannot load"


@pytest.mark.parametrize(
    "text", ["", "Traceback: a bug", "sluice-error:", "sluice-error:W1siU3R", "sluice-error:!"]
)
def test_text_without_data_of_an_error_is_none(text: str) -> None:
    assert decode_error(text) is None


def test_failure_that_is_none_of_ours_is_raised_as_it_is() -> None:
    failure = RuntimeError("a bug")
    with pytest.raises(RuntimeError) as raised, worker_errors():
        raise failure
    assert raised.value is failure
