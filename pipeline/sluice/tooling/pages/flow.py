"""The balance of a run as a flow: read -> accepted, duplicates, rejected; accepted -> loaded, load_rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_STAGES = (("read",), ("accepted", "duplicates", "rejected"), ("loaded", "load_rejected"))
_COLUMNS = (0, 140, 280)
_BAR = 8
_READ_HEIGHT = 150.0
_THINNEST = 2.0
"""Of a figure that is not zero, in pixels: it must be seen beside millions."""
_LABEL = 34.0
"""Height of a label of two lines."""


@dataclass(frozen=True, slots=True)
class Node:
    """A figure as a bar, with the position of its label."""

    name: str
    number: int
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Flow:
    """The drawing: bars, and ribbons between them as SVG paths with the name of the figure that each leads to."""

    width: float
    height: float
    nodes: Sequence[Node]
    ribbons: Sequence[tuple[str, str]]


def draw_flow(report: Mapping[str, Any]) -> Flow | None:
    """Return the drawing of a report; None if no record was read. Its unit is the pixel."""
    if not report["read"]:
        return None
    scale = _READ_HEIGHT / report["read"]

    def height(name: str) -> float:
        return max(report[name] * scale, _THINNEST) if report[name] else 0.0

    heights = {name: height(name) for name in _STAGES[2]}
    loaded = sum(heights.values())
    heights |= {name: height(name) for name in _STAGES[1]} | {"accepted": max(loaded, height("accepted"))}
    heights["read"] = sum(heights[name] for name in _STAGES[1])
    nodes: dict[str, Node] = {}
    for stage, x in zip(_STAGES, _COLUMNS, strict=True):
        y = 0.0
        for name in stage:
            nodes[name] = Node(name, report[name], x, y, heights[name])
            y += max(heights[name], _LABEL) + 6
    ribbons = [*_ribbons(nodes, "read", _STAGES[1]), *_ribbons(nodes, "accepted", _STAGES[2])]
    bottom = max(node.y + max(node.height, _LABEL) for node in nodes.values())
    return Flow(400, round(bottom, 1), list(nodes.values()), ribbons)


def _ribbons(nodes: Mapping[str, Node], source: str, targets: Sequence[str]) -> list[tuple[str, str]]:
    start, ribbons = nodes[source].y, []
    left = nodes[source].x + _BAR
    for name in targets:
        node = nodes[name]
        if not node.height:
            continue
        middle, end = (left + node.x) / 2, start + node.height
        path = (
            f"M{left},{start:.1f}C{middle:g},{start:.1f} {middle:g},{node.y:.1f} {node.x},{node.y:.1f}"
            f"V{node.y + node.height:.1f}C{middle:g},{node.y + node.height:.1f} {middle:g},{end:.1f} {left},{end:.1f}Z"
        )
        ribbons.append((name, path))
        start = end
    return ribbons
