"""No printer shows the secret of an address: messages, tracebacks, reprs, reports, plans."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sluice.cli.main import main
from sluice.cli.output import logging_to_standard_error, print_traceback
from sluice.config.urls import Url, mask_addresses, mask_arguments
from sluice.contracts import load_contracts
from sluice.dead_letters.log import DeadLetterLog
from sluice.errors import SluiceError
from sluice.sources import SOURCES, open_source, parse_source
from sluice.storage import open_store
from sluice.warehouses import WAREHOUSES, open_warehouse, parse_warehouse

from tests.end_to_end.replay_fixture import sluice

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "schemas" / "commerce" / "product.odcs.yaml"
SECRET = "s3cr3t"

SOURCE_URLS = {
    "dead-letters": f"dead-letters:s3://KEY:{SECRET}@bucket/dead?code=enum",
    "file": "file:///nowhere/*.json",
    "gs": f"gs://user:{SECRET}@bucket/in/*.json",
    "http": f"http://127.0.0.1:1/logs?api_key={SECRET}#retry_for=0s",
    "https": f"https://{SECRET}@127.0.0.1:1/logs",
    "kafka": f"kafka://user:{SECRET}@127.0.0.1:1/topic?group=g",
    "mongodb": f"mongodb://user:{SECRET}@127.0.0.1:1/shop.products?serverSelectionTimeoutMS=50&appName={SECRET}",
    "mongodb+srv": f"mongodb+srv://user:{SECRET}@127.0.0.1/shop.products",
    "pubsub": f"pubsub://user:{SECRET}@projects/p/subscriptions/s",
    "s3": f"s3://KEY:{SECRET}/with/slashes@bucket/in/*.json",
}
WAREHOUSE_URLS = {
    "bigquery": f"bigquery://user:{SECRET}@project/dataset",
    "duckdb": f"duckdb://user:{SECRET}@host/w.duckdb",
    "postgresql": f"postgresql://user:{SECRET}@127.0.0.1:1/shop?connect_timeout=2",
    "snowflake": f"snowflake://user:{SECRET}@account/db/schema",
    "sqlite": f"sqlite://user:{SECRET}@host/w.db",
}
STORE_URLS = (f"s3://KEY:{SECRET}@bucket/x", f"gs://KEY:{SECRET}@bucket/x", f"S3://KEY:{SECRET}@bucket/x")
UNKNOWN = (
    f"ftp://user:{SECRET}@host/x",
    f"POSTGRESQL://user:{SECRET}@host/x",
    f"Kafka://h/t?password={SECRET}",
)


WITHOUT_OPTIONS = ("file", "gs", "s3", "duckdb", "sqlite")
"""Schemes of addresses in which `?` is part of the path."""


def cases(
    open_address: Callable[[str], Any], urls: Iterable[str]
) -> Iterator[tuple[Callable[[str], Any], str]]:
    """Yield each address, also with an option that it does not have, and with one that has no value."""
    for url in urls:
        yield open_address, url
        if url.partition(":")[0] not in WITHOUT_OPTIONS:
            mark = "&" if "?" in url or "#" in url else "?"
            yield open_address, f"{url}{mark}password={SECRET}"
            yield open_address, f"{url}{mark}{SECRET}"


CASES = [
    *cases(open_source, (*SOURCE_URLS.values(), *UNKNOWN)),
    *cases(open_warehouse, (*WAREHOUSE_URLS.values(), *UNKNOWN)),
    *cases(open_store, (*STORE_URLS, *UNKNOWN)),
]


def all_text(error: BaseException) -> str:
    """Return what any printer of exceptions could show of one."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


def test_every_connector_has_an_address_here() -> None:
    assert (set(SOURCE_URLS), set(WAREHOUSE_URLS)) == (set(SOURCES), set(WAREHOUSES))


@pytest.mark.parametrize(("open_address", "url"), CASES)
def test_secret_of_an_address_is_in_no_error_and_no_repr(
    open_address: Callable[[str], Any], url: str
) -> None:
    address = Url(url)
    texts = [str(address), repr(address), f"{address}", repr(pickle.dumps(address))]
    try:
        opened = open_address(url)
    except SluiceError as error:
        texts.append(all_text(error))
    else:
        texts += [repr(opened), str(opened), repr(getattr(opened, "__dict__", ""))]
        parse = parse_source if open_address is open_source else parse_warehouse
        if open_address is not open_store:
            texts += [repr(parse(url)), str(parse(url).url)]
    assert not [text for text in texts if SECRET in text]


@pytest.mark.parametrize("scheme", ["mongodb", "http"])
def test_secret_of_a_source_that_cannot_be_reached_is_not_printed(scheme: str) -> None:
    source: Any = open_source(SOURCE_URLS[scheme])
    with pytest.raises(SluiceError) as caught:
        if scheme == "http":
            from sluice.sources.http_api.source import read_api

            list(read_api(source.api, 0.0))
        source.check()
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_secret_of_a_warehouse_that_cannot_be_reached_is_not_printed() -> None:
    with pytest.raises(SluiceError) as caught:
        open_warehouse(WAREHOUSE_URLS["postgresql"]).prepare(list(load_contracts(str(CONTRACT)).values()))
    assert SECRET not in all_text(caught.value)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    """A job whose source and warehouse have passwords, and whose dead letters are there."""
    path = tmp_path / "job.yaml"
    path.write_text(f"""\
name: shop
contracts: {CONTRACT}
source: {SOURCE_URLS["mongodb"]}
files: {tmp_path}/files
warehouse: {WAREHOUSE_URLS["postgresql"]}
dead_letters: {tmp_path}/dead
""")
    DeadLetterLog.at(str(tmp_path / "dead")).open()
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (["check"], 0, "no problems"),
        (
            ["tables", "--diff"],
            1,
            "postgresql://user@127.0.0.1:1/shop?connect_timeout=2: expected a PostgreSQL server",
        ),
        (["redeliver", "--dry-run"], 0, "warehouse: postgresql://user@127.0.0.1:1/shop?connect_timeout=2"),
        (["publish", "--generate"], 2, "mongodb://127.0.0.1:1/shop.products: expected a topic"),
        (
            ["publish", "--generate", "--to", SOURCE_URLS["kafka"]],
            2,
            "--to: kafka://127.0.0.1:1/topic?group=g: expected no user or password in the URL",
        ),
        (["publish", "--generate", "--to", f"ftp://u:{SECRET}@h/x"], 2, "ftp://h/x: expected a topic"),
        (
            ["publish", "--source", SOURCE_URLS["s3"], "--to", "kafka://127.0.0.1:1/t"],
            2,
            "--source: s3://: expected no user or password in the URL",
        ),
        (
            ["run", "--source", SOURCE_URLS["kafka"]],
            2,
            "--source: kafka://127.0.0.1:1/topic?group=g: expected no user",
        ),
    ],
)
def test_no_command_prints_a_secret(
    job_file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, shown: str
) -> None:
    command, *flags = arguments
    assert main([command, str(job_file), *flags]) == code
    captured = capsys.readouterr()
    assert shown in captured.out + captured.err
    assert SECRET not in captured.out + captured.err


def test_run_with_an_unreachable_source_prints_no_secret(job_file: Path) -> None:
    warehouse = f"duckdb:///{job_file.parent}/w.duckdb"
    done = sluice("run", str(job_file), "--warehouse", warehouse)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("sluice: mongodb://127.0.0.1:1/shop.products: cannot read: ")
    assert SECRET not in done.err


def test_report_prints_places_without_secrets(capsys: pytest.CaptureFixture[str], job_file: Path) -> None:
    from sluice.cli.console import print_report
    from sluice.config.job import load_job
    from sluice.graph.ledger import make_report, read_totals

    report = make_report(
        read_totals(str(job_file.parent / "totals")), job="shop", run_id="1", started=0.0, seconds=1.0
    )
    print_report(report, load_job(str(job_file)))
    out = capsys.readouterr().out
    assert "warehouse: postgresql://user@127.0.0.1:1/shop?connect_timeout=2" in out
    assert SECRET not in out


PLACES = {
    "password": "{scheme}://user:{secret}@host/{path}",
    "user": "{scheme}://{secret}@host/{path}",
    "password with a slash": "{scheme}://user:a/{secret}@host/{path}",
    "password with an at sign": "{scheme}://user:a@{secret}@host/{path}",
    "password with a colon": "{scheme}://user:a:{secret}@host/{path}",
    "password with a percent sign": "{scheme}://user:%2F%zz{secret}@host/{path}",
    "password with a question mark": "{scheme}://user:?{secret}@host/{path}",
    "password with a hash": "{scheme}://user:#{secret}@host/{path}",
    "password like a port": "{scheme}://user:12/{secret}@host/{path}",
    "password without a host": "{scheme}://user:{secret}@",
    **{
        f"option {name}": f"{{scheme}}://host:1/{{path}}?{name}={{secret}}"
        for name in ("password", "pwd", "code", "sig", "token", "sasl.password", "X-Amz-Signature", "KEY")
    },
    "option with an at sign": "{scheme}://user:x@host/{path}?password=a@{secret}",
    "option behind a port": "{scheme}://host:1/{path}?password=a@{secret}",
    "option of options": "{scheme}://host/{path}?a=b&c;password={secret}",
    "parameter": "{scheme}://host/{path};password={secret}",
    "fragment": "{scheme}://host/{path}#token={secret}",
    "fragment with an at sign": "{scheme}://u:x@host/{path}#a@{secret}",
    "one slash": "{scheme}:/user:{secret}@host/{path}",
    "no slash": "{scheme}:user:{secret}@host/{path}",
    "no scheme": "user:{secret}@host/{path}",
    "no scheme but slashes": "//user:{secret}@host/{path}",
    "before the scheme": "user:{secret}@{scheme}://host/{path}",
    "blank before it": " {scheme}://user:{secret}@host/{path}",
    "another language": "host=host dbname=shop password={secret}",
}
"""Where an address may hold a secret, by right or by mistake."""

SCHEMES = [
    *((open_source, scheme) for scheme in (*SOURCES, "KAFKA", "ftp", "amqp") if scheme != "file"),
    *((open_warehouse, scheme) for scheme in ("bigquery", "postgresql", "snowflake", "postgres", "POSTGRES")),
    *((open_warehouse, scheme) for scheme in ("mysql", "jdbc:postgresql", "DuckDB")),
    *((open_store, scheme) for scheme in ("s3", "gs", "S3", "az")),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("open_address", "scheme"), SCHEMES, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_secret_at_any_place_of_an_address_is_in_no_error_and_no_repr(
    open_address: Callable[[Any], Any], scheme: str, place: str
) -> None:
    if place == "another language" and open_address is not open_warehouse:
        return  # a local path, which is shown
    if place == "user" and scheme in ("postgresql", "snowflake"):
        return  # their user is declared, and shown
    text = PLACES[place].format(scheme=scheme, secret=SECRET, path="shop.products")
    texts = []
    if place != "another language":
        texts += [str(Url(text)), repr(Url(text)), mask_arguments([f"--source={text}", text])]
    if text.startswith(f"{scheme}://"):
        texts.append(mask_addresses(f"ClientError: no answer of '{text}' (after 3 attempts)"))
    try:
        opened = open_address(Url(text, where="--source"))
    except SluiceError as error:
        texts.append(all_text(error))
    else:
        texts += [repr(opened), str(opened)]
    assert not [shown for shown in texts if SECRET in shown]


def test_addresses_in_the_text_of_others_are_masked() -> None:
    text = f"GET 'https://h/x?api_key={SECRET}' failed: postgresql://u:{SECRET}@h/d: no such host"
    assert mask_addresses(text) == "GET 'https://h/x' failed: postgresql://h/d: no such host"


def test_debug_shows_a_traceback_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        message = f"no answer of https://u:{SECRET}@h/x?token={SECRET}"
        raise ValueError(message)

    try:
        fail()
    except ValueError as error:
        print_traceback(error)
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("ValueError: no answer of https://h/x\n")
    assert SECRET not in err


def test_warnings_of_libraries_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = logging.root.handlers
    logging.root.handlers = []
    try:
        with logging_to_standard_error():
            logging.getLogger("urllib3").warning("Retrying after https://h/x?token=%s", SECRET)
            logging.getLogger("sluice").info("ready")
    finally:
        logging.root.handlers = handlers
    err = capfd.readouterr().err
    assert err.endswith("sluice: ready\n")
    assert SECRET not in err
