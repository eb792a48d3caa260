"""Work in a thread beside a block."""

from __future__ import annotations

import threading

import pytest
from sluice.runtime.background import in_background


@pytest.mark.parametrize("fails", [False, True])
def test_work_lasts_as_long_as_the_block(fails: bool) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(over: threading.Event) -> None:
        begun.set()
        assert over.wait(60)
        ended.set()

    def block() -> None:
        with in_background("work", work):
            assert begun.wait(60)
            assert not ended.is_set()
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            block()
    else:
        block()
    assert ended.is_set()
    assert "work" not in {thread.name for thread in threading.enumerate()}
