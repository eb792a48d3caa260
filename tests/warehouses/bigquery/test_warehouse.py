from __future__ import annotations

import pickle
from typing import Any

import pytest
from sluice.errors import ConfigError
from sluice.warehouses import open_warehouse
from sluice.warehouses.bigquery.load_rate import loads_a_day
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

TAG = "projects/p/locations/eu/taxonomies/1/policyTags/2"


def test_url_with_every_parameter_is_read() -> None:
    warehouse = open_warehouse(
        "bigquery://my-project/shop?location=EU&method=storage_write&partition_expiration=400d&time_travel=3d"
        f"&label.team=data&label.env=test&policy_tag.restricted={TAG}"
    )
    assert warehouse == BigQueryWarehouse(
        "my-project",
        "shop",
        location="EU",
        method="storage_write",
        partition_expiration=400 * 86400.0,
        time_travel=72,
        labels=(("team", "data"), ("env", "test")),
        policy_tags=(("restricted", TAG),),
    )
    assert pickle.loads(pickle.dumps(warehouse)) == warehouse
    assert open_warehouse("bigquery://example.com:p/d") == BigQueryWarehouse("example.com:p", "d")
    assert open_warehouse("bigquery://p/d?method=load") == BigQueryWarehouse("p", "d")


SHAPE = "expected bigquery://PROJECT/DATASET?location=EU, got"
KNOWN = "location, method, partition_expiration, time_travel, label.NAME, policy_tag.CLASSIFICATION"
LABEL = "expected a label of at most 63 of a-z, 0-9, _ and -, got"
DURATION = "expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("bigquery://p", f"{SHAPE} 'bigquery://p'"),
        ("bigquery://p/d-1", f"{SHAPE} 'bigquery://p/d-1'"),
        ("bigquery://p/d/t", f"{SHAPE} 'bigquery://p/d/t'"),
        ("bigquery://p/d?where=EU", f"bigquery://p/d: expected options among {KNOWN} behind ?, got 'where'"),
        ("bigquery://p/d?label.Team=a", f"bigquery://p/d?label.Team=a: label.Team: {LABEL} 'Team=a'"),
        ("bigquery://p/d?label.team=A", f"bigquery://p/d?label.team=A: label.team: {LABEL} 'team=A'"),
        (
            "bigquery://p/d?method=insertAll",
            "bigquery://p/d?method=insertAll: method: expected one of load, storage_write, got 'insertAll'",
        ),
        ("bigquery://p/d?method=", "bigquery://p/d?method=: method: expected a value, got nothing"),
        (
            "bigquery://p/d?time_travel=1d",
            "bigquery://p/d?time_travel=1d: time_travel: expected whole days from 2d to 7d, got '1d'",
        ),
        (
            "bigquery://p/d?time_travel=50h",
            "bigquery://p/d?time_travel=50h: time_travel: expected whole days from 2d to 7d, got '50h'",
        ),
        (
            "bigquery://p/d?partition_expiration=30",
            f"bigquery://p/d?partition_expiration=30: partition_expiration: {DURATION} '30'",
        ),
    ],
)
def test_malformed_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == f"warehouse: {message}"


@pytest.mark.parametrize(
    ("types", "shards", "flush", "loads"),
    [
        (3, 1, 10.0, (10_080, 40_320)),
        (1, 1, 60.0, (2_880, 5_760)),
        (1, 1, 300.0, (2_880, 5_760)),
        (2, 4, 7.0, (57_600, 129_600)),
        (1, 1, 0.5, (174_240, 348_480)),
    ],
)
def test_loads_a_day_follow_from_shards_and_flush(
    types: int, shards: int, flush: float, loads: tuple[int, int]
) -> None:
    assert loads_a_day(types, shards, flush) == loads


@pytest.mark.parametrize(
    ("types", "shards", "flush", "loads"),
    [
        (3, 1, 10.0, (10_080, 40_320)),
        (1, 1, 3.2, (28_800, 57_600)),
        (12, 1, 15.0, (7_200, 93_600)),
        (1, 10, 60.0, (28_800, 31_680)),
    ],
)
def test_rate_within_the_quota_is_accepted(
    types: int, shards: int, flush: float, loads: tuple[int, int]
) -> None:
    BigQueryWarehouse("p", "d").check_rate(types, shards, flush)
    assert loads_a_day(types, shards, flush) == loads


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (1, 1, 3.0),
            "3s (event types: 1, shards: 1) makes up to 30,240 loads a day of one table and 60,480 of all;"
            " BigQuery takes 30,000 and 100,000; use 4s or more",
        ),
        (
            (10, 1, 10.0),
            "10s (event types: 10, shards: 1) makes up to 10,080 loads a day of one table and 110,880 of all;"
            " BigQuery takes 30,000 and 100,000; use 12s or more",
        ),
        (
            (2, 11, 10.0),
            "10s (event types: 2, shards: 11) makes up to 110,880 loads a day of one table and 231,840 of all;"
            " BigQuery takes 30,000 and 100,000; use fewer shards or split the job",
        ),
    ],
)
def test_rate_above_the_quota_is_rejected(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        BigQueryWarehouse("p", "d").check_rate(*arguments)
    assert str(error.value) == f"windows.flush: {message}"


def test_appends_have_no_rate_limit() -> None:
    with pytest.raises(ConfigError):
        BigQueryWarehouse("p", "d").check_rate(2, 11, 0.5)
    BigQueryWarehouse("p", "d", method="storage_write").check_rate(2, 11, 0.5)
