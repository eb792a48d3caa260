from __future__ import annotations

import gc

import pytest
from sluice.cli.main import main
from sluice.runtime.garbage_collection import STARTING, WORKING, heap_frozen, rare_collections


def test_collections_are_as_before_when_the_context_ends() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), rare_collections(STARTING):
        assert gc.get_threshold() == (STARTING, *before[1:])
        with rare_collections(WORKING):
            assert gc.get_threshold() == (WORKING, *before[1:])
        assert gc.get_threshold()[0] == STARTING
        raise KeyError
    assert gc.get_threshold() == before


def test_heap_that_the_program_has_frozen_stays_frozen() -> None:
    with heap_frozen():
        assert gc.get_freeze_count() > 0
        with heap_frozen():
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_command_leaves_collections_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    before = gc.get_threshold()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sluice ")
    assert gc.get_threshold() == before
