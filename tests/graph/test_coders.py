"""Elements that leave a worker come back as they were, and their sizes are those of their records."""

from __future__ import annotations

import pytest
from sluice.elements import (
    EventBatch,
    LoadRequest,
    OrderedLines,
    RecordBatch,
    Rejected,
    Segment,
    StoredSegment,
    Violation,
)
from sluice.graph.coders import ElementCoder
from sluice.provenance import FileProvenance, Origin

PART = OrderedLines("file", 0, [b"12345", b"678"], {1: 2})
MISSING = Violation("missing", "id", "an integer", "nothing")


@pytest.mark.parametrize(
    ("element", "size"),
    [
        (RecordBatch([b"1234", b"56"], FileProvenance("file", 1.0, range(2))), 6),
        (EventBatch([PART, PART]), 16),
        (Rejected(b"{}", Origin("file", 1.0), "decode", [MISSING]), 2),
        (
            LoadRequest(
                [Segment("s", "order", "p", 0, [b"123", b"45"]), StoredSegment("order", "q", 0, "t")], {1: 2}
            ),
            5,
        ),
    ],
    ids=lambda element: type(element).__name__,
)
def test_decoded_element_equals_the_encoded_one(element: object, size: int) -> None:
    coder = ElementCoder()
    assert coder.decode(coder.encode(element)) == element  # type: ignore[arg-type]  # passed on unchanged
    assert coder.estimate_size(element) == size  # type: ignore[arg-type]  # passed on unchanged
