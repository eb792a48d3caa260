"""The balance as a flow."""

from __future__ import annotations

from typing import Any

import pytest
from sluice.tooling.pages.flow import Flow, draw_flow

NAMES = ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected")


def flow(*numbers: int) -> Flow:
    report: dict[str, Any] = dict(zip(NAMES, numbers, strict=True))
    drawn = draw_flow(report)
    assert drawn is not None
    return drawn


BALANCES = [
    (10, 7, 1, 2, 6, 1),
    (1, 0, 0, 1, 0, 0),
    (10_000_000, 9_999_998, 1, 1, 9_999_997, 1),
    (5, 0, 5, 0, 0, 0),
    (3, 3, 0, 0, 0, 3),
    (4, 2, 1, 1, 1, 0),  # not reconciled
]


@pytest.mark.parametrize("numbers", BALANCES)
def test_every_figure_is_a_bar_and_what_flows_is_seen(numbers: tuple[int, ...]) -> None:
    drawn = flow(*numbers)
    assert [(node.name, node.number) for node in drawn.nodes] == list(zip(NAMES, numbers, strict=True))
    assert [node.height >= 2 for node in drawn.nodes] == [number > 0 for number in numbers]
    assert [name for name, _ in drawn.ribbons] == [
        name for name, number in zip(NAMES[1:], numbers[1:], strict=True) if number
    ]
    assert max(node.y + node.height for node in drawn.nodes) <= drawn.height


@pytest.mark.parametrize("numbers", BALANCES)
def test_labels_of_a_stage_do_not_overlap(numbers: tuple[int, ...]) -> None:
    drawn = flow(*numbers)
    for x in {node.x for node in drawn.nodes}:
        tops = [node.y for node in drawn.nodes if node.x == x]
        assert all(after - before >= 34 for before, after in zip(tops, tops[1:], strict=False))


def test_bars_are_as_high_as_their_share() -> None:
    read, accepted, duplicates, rejected, *_ = flow(100, 50, 30, 20, 50, 0).nodes
    assert (read.height, accepted.height, duplicates.height, rejected.height) == (150, 75, 45, 30)


def test_run_that_read_nothing_has_no_flow() -> None:
    assert draw_flow(dict.fromkeys(NAMES, 0)) is None
