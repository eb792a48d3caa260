"""What the native core finds in a block of lines is what Python finds."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from sluice.line_block import LineBlock
from sluice.native_core import native_core

from tests.native import require_native_core

LINES = st.lists(st.one_of(st.sampled_from([b"", b"a", b"b"]), st.binary(max_size=600)), max_size=30).map(
    lambda lines: [line.replace(b"\n", b"") for line in lines]
)


@given(LINES)
def test_keys_and_first_lines_are_those_of_python(lines: list[bytes]) -> None:
    require_native_core()
    keys, repeated = native_core().distinct(LineBlock.of(lines).data)
    first = list(dict.fromkeys(lines))
    assert keys == b"".join(map(xxhash.xxh3_128_digest, first))
    assert (repeated is None) == (len(first) == len(lines))
    if repeated is not None:
        data, kept = repeated
        assert data == LineBlock.of(first).data
        assert list(kept) == [line not in lines[:index] for index, line in enumerate(lines)]


def test_block_whose_last_line_has_no_end_is_refused() -> None:
    require_native_core()
    with pytest.raises(ValueError, match="expected a line feed behind each line, got none behind the last"):
        native_core().distinct(b"a\nb")
