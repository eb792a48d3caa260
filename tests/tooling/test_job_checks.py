from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.job import load_job
from sluice.errors import ConfigError
from sluice.runtime.launch import run_job
from sluice.tooling.job_checks import check_job, job_problems
from sluice.tooling.lint import check_files

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: NAME
version: 1.0.0
status: active
domain: shop
name: NAME
schema:
  - name: NAME
    physicalName: NAMEs
    logicalType: object
    description: Something happened.
    customProperties: [{property: eventTime, value: at}]
    properties:
      - {name: kind, logicalType: string, required: true, enum: [{value: NAME}], description: What.}
      - {name: at, logicalType: timestamp, required: true, description: When.}
"""
JOB = """\
name: shop
contracts: schemas/shop
route_by: kind
source: in/*
files: out/files
warehouse: duckdb:///out/w.duckdb
dead_letters: out/dead
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schemas" / "shop").mkdir(parents=True)
    for name in ("order", "refund"):
        (tmp_path / "schemas" / "shop" / f"{name}.odcs.yaml").write_text(CONTRACT.replace("NAME", name))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text('{"kind":"order","at":"2025-02-08T13:09:00Z"}\n')
    return tmp_path


def problems_of(text: str) -> list[str]:
    Path("job.yaml").write_text(text)
    problems = check_files(["job.yaml"])
    if problems:  # a run is refused for the same reason, before anything is written
        with pytest.raises(ConfigError) as raised:
            run_job(load_job("job.yaml"))
        assert str(raised.value) == problems[0]
        assert not Path("out").exists()
    return problems


def test_sound_job_has_no_problems(folder: Path) -> None:
    assert problems_of(JOB) == []
    assert job_problems(load_job("job.yaml")) == []


def test_route_by_that_contracts_lack_is_a_problem_of_each(folder: Path) -> None:
    assert problems_of(JOB.replace("route_by: kind", "route_by: event_type")) == [
        f"job.yaml: route_by: expected a property of every contract, got 'event_type', which {name} "
        f"(schemas/shop/{name}.odcs.yaml) lacks; its properties are kind, at"
        for name in ("order", "refund")
    ]


def test_route_by_that_has_another_value_than_the_event_type_is_a_problem(folder: Path) -> None:
    path = folder / "schemas" / "shop" / "refund.odcs.yaml"
    path.write_text(path.read_text().replace("{value: refund}", "{value: money_back}"))
    assert problems_of(JOB) == [
        "schemas/shop/refund.odcs.yaml: property kind: events are routed by it, so expected a required string "
        "with `enum: [{value: refund}]`, got money_back"
    ]


def test_source_that_holds_the_outputs_is_a_problem(folder: Path) -> None:
    assert problems_of(JOB.replace("in/*", "'**/*.json'")) == [
        "job.yaml: source: expected records that the job does not write itself, got **/*.json, which holds the "
        "event log out/files; name another source, or write elsewhere"
    ]


def test_flag_that_names_the_outputs_is_refused_by_its_name(folder: Path) -> None:
    Path("job.yaml").write_text(JOB)
    job = load_job("job.yaml", {"source": "out"})
    assert [problem.partition(":")[0] for problem in job_problems(job)] == ["--source"]
    assert job_problems(replace(job, source=load_job("job.yaml").source)) == []


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("in/*", "ftp://host/in", "job.yaml: source: "),
        ("in/*", "kafka://localhost/t?group=g&colour=red", "job.yaml: source: "),
        ("out/files", "ftp://host/out", "job.yaml: files: "),
        ("duckdb:///out/w.duckdb", "oracle://host/db", "job.yaml: warehouse: "),
        ("out/dead", "ftp://host/dead", "job.yaml: dead_letters: "),
        ("name: shop", "name: shop\nname: shop", "job.yaml: "),
    ],
)
def test_unknown_schemes_options_and_duplicate_keys_are_problems(
    folder: Path, old: str, new: str, start: str
) -> None:
    Path("job.yaml").write_text(JOB.replace(old, new))
    (problem,) = check_files(["job.yaml"])
    assert problem.startswith(start)


WAREHOUSES = {
    "bigquery": "bigquery://project/events",
    "duckdb": "duckdb:///out/w.duckdb",
    "postgresql": "postgresql://user@localhost/db",
    "snowflake": "snowflake://user@account/DB/RAW?warehouse=W",
    "sqlite": "sqlite:///out/w.db",
}


def write_contract(properties: str, name: str = "order", custom: str = "") -> None:
    text = CONTRACT.replace("NAME", name) + properties
    if custom:
        text = text.replace("[{property: eventTime, value: at}]", custom)
    Path(f"schemas/shop/{name}.odcs.yaml").write_text(text)


def job_of(warehouse: str, source: str = "in/*", **windows: str) -> str:
    """Return a job that reads only contracts of `order`."""
    text = JOB.replace("schemas/shop", "schemas/shop/order.odcs.yaml").replace("in/*", source)
    keys = "".join(f"  {key}: {value}\n" for key, value in windows.items())
    return text.replace("duckdb:///out/w.duckdb", warehouse) + (f"windows:\n{keys}" if windows else "")


def nested(levels: int) -> str:
    """Return a property with as many objects in objects."""
    text = "{name: leaf, logicalType: integer, description: Leaf.}"
    for level in range(levels, 0, -1):
        text = f"{{name: o{level}, logicalType: object, description: O., properties: [{text}]}}"
    return f"      - {text}\n"


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_sixteen_objects_in_objects_are_a_problem_of_bigquery_alone(folder: Path, warehouse: str) -> None:
    write_contract(nested(15))
    assert problems_of(job_of(WAREHOUSES[warehouse])) == []
    write_contract(nested(16))
    path = ".".join(f"o{level}" for level in range(1, 17))
    assert problems_of(job_of(WAREHOUSES[warehouse])) == (
        [
            f"schemas/shop/order.odcs.yaml: property {path}: expected at most 15 objects in objects, as BigQuery has "
            "them, got 16; make it free-form JSON: leave out its properties"
        ]
        if warehouse == "bigquery"
        else []
    )


@pytest.mark.parametrize("warehouse", WAREHOUSES)
@pytest.mark.parametrize(
    ("name", "refused_by"),
    [
        ("x" * 63, ()),
        ("x" * 64, ("postgresql",)),
        ("é" * 32, ("bigquery", "postgresql")),
        ("x" * 256, ("postgresql", "snowflake")),
        ("x" * 301, ("bigquery", "postgresql", "snowflake")),
        ("a b", ("bigquery",)),
        ("1st", ("bigquery",)),
        ("ctid", ("postgresql",)),
        ("event_date", ("duckdb",)),
    ],
)
def test_name_that_a_warehouse_cannot_hold_is_a_problem_of_its_jobs(
    folder: Path, warehouse: str, name: str, refused_by: tuple[str, ...]
) -> None:
    write_contract(f"      - {{name: '{name}', logicalType: integer, description: X.}}\n")
    problems = problems_of(job_of(WAREHOUSES[warehouse]))
    assert bool(problems) == (warehouse in refused_by)
    assert all(problem.startswith(f"schemas/shop/order.odcs.yaml: property {name}: ") for problem in problems)


def test_table_that_no_job_loads_has_no_limits(folder: Path) -> None:
    write_contract(nested(16))
    counts = JOB.replace("schemas/shop", "schemas/shop/order.odcs.yaml") + "load: [counts]\n"
    assert problems_of(counts.replace("duckdb:///out/w.duckdb", WAREHOUSES["bigquery"])) == []


KAFKA = "kafka://localhost:9092/t?group=g"


@pytest.mark.parametrize(
    ("source", "options", "windows", "problem"),
    [
        (
            KAFKA,
            "",
            {"flush": "1s"},
            "windows.flush: 1s (event types: 1, shards: 1) makes up to 87,840 loads",
        ),
        (KAFKA, "?method=storage_write", {"flush": "1s"}, None),
        ("in/*", "", {"flush": "1s"}, None),
        (
            KAFKA,
            "?partition_expiration=7d",
            {"allowed_lateness": "8d"},
            "windows.allowed_lateness: expected at most the partition_expiration of the warehouse, which is 7d, "
            "got 8d; BigQuery would drop older events when they are loaded",
        ),
        (KAFKA, "?partition_expiration=7d", {"allowed_lateness": "7d"}, None),
        ("in/*", "?partition_expiration=7d", {"allowed_lateness": "8d"}, None),
    ],
)
def test_loads_and_ages_that_bigquery_does_not_take_are_problems_of_streaming_jobs(
    folder: Path, source: str, options: str, windows: dict[str, str], problem: str | None
) -> None:
    problems = problems_of(job_of(WAREHOUSES["bigquery"] + options, source, **windows))
    assert len(problems) == (problem is not None)
    assert all(text.startswith(str(problem)) for text in problems)


def event_time_problems(job: str, custom: str) -> list[str]:
    """Return the problems of a job whose contract has no event time; the job itself would run."""
    write_contract("", custom=custom)
    Path("job.yaml").write_text(job)
    check_job(load_job("job.yaml"))
    return job_problems(load_job("job.yaml"))


@pytest.mark.parametrize("identity", ["content", "properties", "delivery", "export"])
@pytest.mark.parametrize("source", ["https://api.example.com/orders", "-", "in/*"])
def test_identity_delivery_needs_a_source_that_says_where_a_record_was_delivered(
    folder: Path, identity: str, source: str
) -> None:
    path = folder / "schemas" / "shop" / "order.odcs.yaml"
    text = path.read_text().replace("value: at}]", f"value: at}}, {{property: identity, value: {identity}}}]")
    path.write_text(text.replace("logicalType: string", "logicalType: string, unique: true"))
    problems = problems_of(JOB.replace("in/*", f"'{source}'"))
    expected = [
        f"{path.relative_to(folder)}: order: identity: expected content, properties or export, since the records of "
        f"{source} have no place of their own, got delivery"
    ]
    assert problems == (expected if identity == "delivery" and source != "in/*" else [])


NO_TIME = "[{property: identity, value: content}]"


@pytest.mark.parametrize(
    ("custom", "extra", "reasons"),
    [
        (NO_TIME, "", ""),
        (NO_TIME, "windows: {flush: 5s, shards: 2}\n", ""),
        (NO_TIME, "windows: {counts: 10s}\n", "windows.counts"),
        (NO_TIME, "windows: {allowed_lateness: 7d}\n", "windows.allowed_lateness"),
        (NO_TIME, "windows: {max_skew: 10m, counts: 5s}\n", "windows.counts, windows.max_skew"),
        (NO_TIME, "load: [counts]\n", "load: [counts]"),
        (NO_TIME, "load: [events, counts, dead_letters]\n", ""),
        ("[{property: countBy, value: kind}]", "", "countBy: kind"),
        ("[{property: logPartition, value: hour}]", "", "logPartition: hour"),
        ("[{property: logPartition, value: day}]", "load: [counts]\n", "load: [counts], logPartition: day"),
        ("[{property: eventTime, value: at}]", "windows: {counts: 10s, max_skew: 1m}\nload: [counts]\n", ""),
    ],
)
def test_contract_without_the_event_time_that_its_job_is_about_is_a_problem(
    folder: Path, custom: str, extra: str, reasons: str
) -> None:
    job = JOB.replace("schemas/shop", "schemas/shop/order.odcs.yaml") + extra
    keys, verb = ("these keys", "are") if ", " in reasons else ("this key", "is")
    assert event_time_problems(job, custom) == (
        [
            "schemas/shop/order.odcs.yaml: order: eventTime: expected the name of a required timestamp, since "
            f"{reasons} of job.yaml {verb} about the time of events, got nothing; name it, or remove {keys}"
        ]
        if reasons
        else []
    )


def test_window_that_a_flag_sets_needs_an_event_time_too(folder: Path) -> None:
    write_contract("", custom=NO_TIME)
    Path("job.yaml").write_text(job_of("duckdb:///out/w.duckdb"))
    assert job_problems(load_job("job.yaml")) == []
    (problem,) = job_problems(load_job("job.yaml", {"windows.counts": "5s"}))
    assert "since windows.counts of job.yaml is about the time of events" in problem


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        ("required: true, enum: [{value: order}, {value: sale}]", "order, sale"),
        ("required: true, enum: [{value: Order}]", "Order"),
        ("enum: [{value: order}]", "order"),
        ("required: true", "string"),
    ],
)
def test_contract_that_no_record_can_reach_is_a_problem(folder: Path, kind: str, got: str) -> None:
    path = folder / "schemas" / "shop" / "order.odcs.yaml"
    path.write_text(path.read_text().replace("required: true, enum: [{value: order}]", kind))
    assert problems_of(JOB) == [
        "schemas/shop/order.odcs.yaml: property kind: events are routed by it, so expected a required string with "
        f"`enum: [{{value: order}}]`, got {got}"
    ]


def test_every_contract_that_no_record_can_reach_is_a_problem(folder: Path) -> None:
    for name in ("order", "refund"):
        path = folder / "schemas" / "shop" / f"{name}.odcs.yaml"
        path.write_text(path.read_text().replace(f"{{value: {name}}}", f"{{value: {name}s}}"))
    assert [problem.partition(":")[0] for problem in problems_of(JOB)] == [
        "schemas/shop/order.odcs.yaml",
        "schemas/shop/refund.odcs.yaml",
    ]


def test_two_contracts_of_one_event_type_are_a_problem(folder: Path) -> None:
    text = CONTRACT.replace("NAME", "order").replace("orders", "other_orders")
    (folder / "schemas" / "shop" / "other.odcs.yaml").write_text(text)
    Path("job.yaml").write_text(JOB)
    assert check_files(["job.yaml"]) == [
        "schemas/shop/other.odcs.yaml: schema[0].name: 'order' is already used by schemas/shop/order.odcs.yaml: "
        "schema[0]; rename one"
    ]


def test_masked_routing_property_is_a_problem(folder: Path) -> None:
    path = folder / "schemas" / "shop" / "order.odcs.yaml"
    mask = "classification: restricted, customProperties: [{property: mask, value: hash}], description: What."
    path.write_text(path.read_text().replace("description: What.", mask))
    (problem,) = problems_of(JOB)
    assert problem.startswith(
        "schemas/shop/order.odcs.yaml: property kind: events are routed by it, so it cannot"
    )


@pytest.mark.parametrize("source", ["pubsub://projects/p/subscriptions/s", "kafka://b:9092/t?group=g"])
def test_limited_run_of_a_stream_does_not_append(folder: Path, source: str) -> None:
    """The streaming job may append the same segment at the same time."""
    warehouse = "bigquery://p/d?method=storage_write"
    Path("job.yaml").write_text(JOB)
    job = load_job("job.yaml", {"source": source, "warehouse": warehouse})
    check_job(job)
    with pytest.raises(ConfigError) as raised:
        run_job(job, limit=10)
    assert str(raised.value) == (
        f"--limit: expected a warehouse that has each row once when the streaming job of {job.source} loads it as "
        f"well, got {job.warehouse}; load another one, such as --warehouse=duckdb:///out/tried.duckdb"
    )


@pytest.mark.parametrize(
    ("source", "warehouse"),
    [
        ("in/*", "bigquery://p/d?method=storage_write"),
        ("pubsub://projects/p/subscriptions/s", "bigquery://p/d"),
        ("pubsub://projects/p/subscriptions/s", "duckdb:///out/w.duckdb"),
    ],
)
def test_limited_run_that_loads_once_is_checked(folder: Path, source: str, warehouse: str) -> None:
    Path("job.yaml").write_text(JOB)
    job = load_job("job.yaml", {"source": source, "warehouse": warehouse})
    assert job_problems(job) == []
    check_job(job, limited=True)
