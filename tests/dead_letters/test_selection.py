from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from sluice.dead_letters.reading import find_minutes, read_minute
from sluice.dead_letters.selection import make_selection

from tests.dead_letters.samples import KAFKA, click, rejected_click, store


@pytest.mark.parametrize(
    ("conditions", "offsets"),
    [
        ([("code", "enum")], {1, 2}),
        ([("code", "enum"), ("code", "range")], {1, 2, 3}),
        ([("code", "enum"), ("event_type", "view")], {2}),
        ([("since", "2025-02-08T13:09:31.123456Z")], {1, 2, 3}),
        ([("since", "2025-02-08T14:09:31.123457+01:00")], set()),
        ([("contract", "click@2.0.0")], set()),
        ([("job", "job"), ("step", "decode")], {1, 2, 3}),
    ],
)
def test_selection_needs_every_field_and_any_of_its_values(
    tmp_path: Path, conditions: list[tuple[str, str]], offsets: set[int]
) -> None:
    log = store(
        tmp_path,
        rejected_click(click(), structs.replace(KAFKA, offset=1)),
        replace(rejected_click(click(), structs.replace(KAFKA, offset=2)), event_type="view"),
        rejected_click(click(), structs.replace(KAFKA, offset=3), code="range"),
    )
    selection = make_selection(conditions, "test")
    selected = [read_minute(minute, log, selection).open for minute in find_minutes(log)]
    assert {record.dead_letter.source.offset for minute in selected for record in minute} == offsets
