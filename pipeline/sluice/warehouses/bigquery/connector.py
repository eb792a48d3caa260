"""How a BigQuery warehouse is named: `bigquery://PROJECT/DATASET?location=EU`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sluice.config.connectors import Client, Connector
from sluice.config.durations import duration
from sluice.config.options import OneOf, option
from sluice.errors import ConfigError, quote
from sluice.warehouses.bigquery.tables import TIME_TRAVEL_HOURS
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

_SECONDS_AN_HOUR = 3600
_TRAVELS = range(48, TIME_TRAVEL_HOURS + 1, 24)
"""Hours of time travel that a dataset can have."""

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}")


def _hours(value: str, where: str) -> int:
    """Return the hours of time travel in a duration."""
    hours = duration(value, where) / _SECONDS_AN_HOUR
    if hours not in _TRAVELS:
        message = f"{where}: expected whole days from 2d to 7d, got {quote(value)}"
        raise ConfigError(message)
    return int(hours)


def _label(text: str, where: str) -> tuple[str, str]:
    """Return name and value of a label, given as NAME=VALUE."""
    if not _LABEL.fullmatch(text):
        message = f"{where}: expected a label of at most 63 of a-z, 0-9, _ and -, got {quote(text)}"
        raise ConfigError(message)
    name, _, value = text.partition("=")
    return name, value


def _policy_tag(text: str, _where: str) -> tuple[str, str]:
    """Return classification and policy tag, given as CLASSIFICATION=TAG."""
    classification, _, tag = text.partition("=")
    return classification, tag


@dataclass(frozen=True, kw_only=True)
class BigQueryConnector(Connector[BigQueryWarehouse]):
    """Native tables of one dataset of Google BigQuery."""

    schemes = ("bigquery",)
    shape = "bigquery://PROJECT/DATASET?location=EU"
    place = re.compile(r"(?P<project>[A-Za-z0-9.:-]+)/(?P<dataset>[A-Za-z0-9_]+)")
    client = Client("google.cloud.bigquery", "gcp")
    credentials = "they are Google's application default credentials"

    project: str = option("project of Google Cloud", example="my-project", part=True)
    dataset: str = option("dataset; it is created if it is missing", example="events", part=True)
    location: str | None = option(
        "where a new dataset is created; a dataset elsewhere is an error", default=None, example="EU"
    )
    method: str = option(
        "how rows are written: load jobs, exactly once, or appends, within seconds and at least once",
        default="load",
        parse=OneOf("load", "storage_write"),
    )
    partition_expiration: float | None = option(
        "age at which a day of events is dropped", default=None, example="400d", parse=duration
    )
    time_travel: int | None = option(
        "how long deleted data can be read back, from 2d to 7d", default=None, example="3d", parse=_hours
    )
    label: tuple[tuple[str, str], ...] = option(
        "label of the dataset and its tables", example="label.team=data", parse=_label, family="NAME"
    )
    policy_tag: tuple[tuple[str, str], ...] = option(
        "policy tag of columns whose property has this classification",
        example="policy_tag.restricted=projects/P/locations/eu/taxonomies/1/policyTags/2",
        parse=_policy_tag,
        family="CLASSIFICATION",
    )

    def open(self) -> BigQueryWarehouse:
        """Return the warehouse."""
        return BigQueryWarehouse(
            self.project,
            self.dataset,
            location=self.location,
            method=self.method,
            partition_expiration=self.partition_expiration,
            time_travel=self.time_travel,
            labels=self.label,
            policy_tags=self.policy_tag,
        )
