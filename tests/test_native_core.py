"""What the native core refuses; what it finds is held equal to Python where it is used."""

from __future__ import annotations

import pytest
from sluice.native_core import native_core

from tests.native import require_native_core


def test_block_whose_last_line_has_no_end_is_refused() -> None:
    require_native_core()
    with pytest.raises(ValueError, match="expected a line feed behind each line, got none behind the last"):
        native_core().distinct(b"a\nb", False)
