"""Prices, quotas, measured and assumed figures, each with its source: inputs.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("inputs.toml")


@dataclass(frozen=True, slots=True)
class Price:
    """What a service takes for a unit, in USD, as its public list said at `date`."""

    usd: float
    unit: str
    what: str
    source: str
    region: str
    date: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that was published, measured or assumed, and by whom."""

    value: float
    unit: str
    source: str
    date: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredPane:
    """CPU seconds of the last of six panes of a folder: of a worker that wrote the others, and of a new one."""

    events: int
    same_worker: float
    new_worker: float
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """All of inputs.toml."""

    rates: tuple[int, ...]
    """Events a second of the sizes."""
    types: int
    days: int
    prices: Mapping[str, Price]
    quotas: Mapping[str, Figure]
    measured: Mapping[str, Figure]
    assumed: Mapping[str, Figure]
    panes: tuple[MeasuredPane, ...]
    panes_source: str

    def usd(self, name: str) -> float:
        """Return a price."""
        return self.prices[name].usd

    def of(self, name: str) -> float:
        """Return a figure of any kind; their names differ."""
        return {**self.quotas, **self.measured, **self.assumed}[name].value

    @property
    def read_again_microseconds(self) -> float:
        """CPU time of reading a stored event again for its key, in the largest folder that a cache holds whole."""
        pane = max((pane for pane in self.panes if pane.events <= 1_000_000), key=lambda pane: pane.events)
        stored = pane.events * 5 / 6
        return (pane.new_worker - pane.same_worker) * 1e6 / stored


def read_inputs(path: Path = FILE) -> Inputs:
    """Read the file; a member that it lacks, or has and should not, is a TypeError or KeyError."""
    text = tomllib.loads(path.read_text("utf-8"))
    sizes, panes = text["sizes"], text["panes"]

    def figures(name: str) -> dict[str, Figure]:
        return {key: Figure(**members) for key, members in text[name].items()}

    def priced(members: Mapping[str, Any]) -> Price:
        return Price(**members)

    return Inputs(
        rates=tuple(sizes["events_a_second"]),
        types=sizes["event_types"],
        days=sizes["days_a_month"],
        prices={key: priced(members) for key, members in text["prices"].items()},
        quotas=figures("quotas"),
        measured=figures("measured"),
        assumed=figures("assumed"),
        panes=tuple(MeasuredPane(**pane) for pane in panes["measured"]),
        panes_source=panes["source"],
    )
