"""Events of a segment belong into its folder; events that do not are named with file, line and time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sluice.contracts import Contract, Property
from sluice.elements import Segment
from sluice.errors import StorageError
from sluice.eventlog.placement import compile_placement_check

MINUTE = 1_739_020_140  # 2025-02-08T13:09:00Z
CLICK = Contract(
    event_type="click",
    table="clicks",
    id="click",
    version="1.0.0",
    domain="test",
    description="",
    properties=(Property("id", "integer", required=True), Property("time", "timestamp")),
    event_time="time",
)


def segment(*times: str, minute: int = MINUTE) -> Segment:
    lines = [b'{"id":1,"time":%s}' % time.encode() for time in times]
    return Segment("0" * 32, "click", "files/1.json", minute, lines)


@pytest.mark.parametrize(
    ("partition", "minute", "times"),
    [
        (
            "minute",
            MINUTE,
            [
                '"2025-02-08T13:09:00Z"',
                '"2025-02-08T15:09:59.999999+02:00"',
                '"2025-02-08T13:09:59.9999994Z"',
            ],
        ),
        ("hour", MINUTE - 540, ['"2025-02-08T13:00:00Z"', '"2025-02-08T13:59:59Z"']),
        ("day", MINUTE - 47_340, ['"2025-02-08T00:00:00Z"', '"2025-02-08T23:59:59Z"']),
        ("minute", MINUTE, ["null"]),
        ("day", 253_402_214_400, ['"9999-12-31T23:59:59.999999Z"']),
        ("minute", -62_135_596_800, ['"0001-01-01T00:00:00Z"']),
    ],
)
def test_event_in_its_folder_is_accepted(partition: str, minute: int, times: list[str]) -> None:
    contract = replace(CLICK, log_partition=partition)  # type: ignore[arg-type]  # passed on unchanged
    check = compile_placement_check(contract)
    check(segment(*times, minute=minute))
    with pytest.raises(StorageError):
        check(segment(*times, "7", minute=minute))


@pytest.mark.parametrize(
    ("partition", "time", "span"),
    [
        ("minute", "2025-02-08T13:08:59.999999Z", "2025-02-08T13:09:00Z to 2025-02-08T13:09:59.999999Z"),
        ("minute", "2025-02-08T13:10:00Z", "2025-02-08T13:09:00Z to 2025-02-08T13:09:59.999999Z"),
        ("hour", "2025-02-08T14:09:00Z", "2025-02-08T13:09:00Z to 2025-02-08T14:08:59.999999Z"),
        ("day", "2025-02-09T13:09:00Z", "2025-02-08T13:09:00Z to 2025-02-09T13:08:59.999999Z"),
    ],
)
def test_event_of_another_folder_is_an_error(partition: str, time: str, span: str) -> None:
    contract = replace(CLICK, log_partition=partition)  # type: ignore[arg-type]  # passed on unchanged
    with pytest.raises(StorageError) as caught:
        compile_placement_check(contract)(segment("null", f'"{time}"'))
    assert str(caught.value) == (
        f"files/1.json: line 2: expected an event from {span}, got {time}; "
        "the file was moved or changed: restore it"
    )


def test_line_that_is_no_event_is_an_error() -> None:
    with pytest.raises(StorageError) as caught:
        compile_placement_check(CLICK)(segment("7"))
    assert str(caught.value) == (
        "files/1.json: line 1: expected an event of click, got Expected `datetime | null`, got `int` - at `$.time`; "
        "the file was changed: restore it"
    )


def test_event_without_a_time_is_in_the_right_place_anywhere() -> None:
    misplaced = segment('"2030-01-01T00:00:00Z"')
    compile_placement_check(replace(CLICK, event_time=None))(misplaced)
    with pytest.raises(StorageError):
        compile_placement_check(CLICK)(misplaced)
