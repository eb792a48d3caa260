"""Alert rules of Prometheus and the dashboard of Grafana: each query is PromQL, and asks for what runs serve."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sluice.acknowledgements import PendingAcks
from sluice.elements import StepCounts
from sluice.run_state import RunState
from sluice.runtime.prometheus import registry_of
from sluice.timeline import WindowEvents

ROOT = Path(__file__).parents[1]
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_bytes())
DASHBOARD = json.loads((ROOT / "deploy/grafana/sluice.json").read_bytes())

ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = DASHBOARD["panels"]
QUERIES = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]

OF_PROMETHEUS = {"up": {"job", "instance"}}
"""Metrics that Prometheus makes itself, with their labels."""


@pytest.fixture(scope="module")
def served() -> dict[str, set[str]]:
    """Metric of a run -> its labels, with those that Prometheus adds."""
    run = RunState(acks=PendingAcks(lambda: 0.0))
    counts = Counter({("code", "range"): 1, ("unknown_property", "order.x"): 1})
    figures = ("accepted", "duplicates", "rejected", "loaded", "load_rejected", "backfilled")
    counts.update({(figure, "order"): 1 for figure in figures})
    run.totals.add(StepCounts(counts, windows=[WindowEvents(0, 10, "order", 1)]))
    run.backlog.answered("kafka://t")
    run.backlog.set("kafka://t", 0, 1)
    families = text_string_to_metric_families(generate_latest(registry_of(run)).decode())
    samples = [sample for family in families for sample in family.samples]
    return {sample.name: {*sample.labels, "job", "instance"} for sample in samples} | OF_PROMETHEUS


def selectors(expression: Any) -> Iterator[Any]:
    """Yield each metric that an expression asks for."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return iter(found)


@pytest.mark.parametrize("query", QUERIES)
def test_queries_ask_for_metrics_and_labels_that_runs_serve(query: str, served: dict[str, set[str]]) -> None:
    asked = list(selectors(query.replace("$__rate_interval", "1m").replace("$job", "sluice.*")))
    assert asked
    for selector in asked:
        assert selector.name in served
        assert {matcher.name for matcher in selector.matchers.matchers} <= served[selector.name]


def test_metrics_of_the_balance_are_watched() -> None:
    (unbalanced,) = [rule for rule in ALERTS if rule["alert"] == "SluiceUnbalanced"]
    assert [selector.name for selector in selectors(unbalanced["expr"])][:5] == [
        f"sluice_{figure}"
        for figure in (
            "read_total",
            "accepted_total",
            "duplicates_total",
            "rejected_total",
            "unacknowledged_records",
        )
    ]


def test_alerts_say_what_and_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names) == 8
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} == rule["annotations"].keys()


def test_panels_do_not_overlap() -> None:
    squares = Counter(
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )
    assert set(squares.values()) == {1}
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) == 10
