"""A connection to Snowflake through its own connector, and the credentials that the environment holds."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sluice.arrow.schema import ADDED
from sluice.contracts import Contract, Property, ValueType
from sluice.errors import ConfigError, WarehouseError
from sluice.warehouses.json_text import json_text
from sluice.warehouses.row_errors import RowsRejected

STAGE = '"_SLUICE"'
"""Where files wait to be copied; each is removed when it is."""

SESSION = {
    "TIMEZONE": "UTC",
    "LOCK_TIMEOUT": 600,
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "DATE_INPUT_FORMAT": "AUTO",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "QUERY_TAG": "sluice",
}
"""Snowflake rolls a vanished worker's transaction back five minutes after it gets in another's way."""

TIMEOUTS = {"login_timeout": 30, "request_timeout": 120}
"""Seconds that the connector tries to log in, and waits for the answer to a request."""

CONTENT = range(100_000, 101_000)
"""Numbers of the errors that data causes."""

CONFLICTS = (625, 2002)
"""Numbers of the errors that another worker causes: a lock was waited for in vain, an object exists by now."""

_INSTANT = "%Y-%m-%dT%H:%M:%S+00:00"


class Conflict(WarehouseError):
    """Another worker was in the way; after a pause the same may succeed."""


class Connection:
    """One session; statements outside of `transaction` commit by themselves."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """Connect; raises WarehouseError, which names `url` and never what `credentials` returns."""
        from snowflake.connector import connect

        self._url = url
        secrets = credentials()
        self._secrets = [value for value in secrets.values() if isinstance(value, str)]
        with self._clear_errors():
            self._connection = connect(
                **options,
                **secrets,
                **TIMEOUTS,
                application="Sluice",
                autocommit=True,
                session_parameters=SESSION,
                enable_server_session_keep_alive_auto_detection=False,
            )

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `%s` for each value; return its rows."""
        texts = [_text(each) if isinstance(each, datetime) else each for each in values]
        with self._clear_errors(), self._connection.cursor() as cursor:
            cursor.execute(sql, texts or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it. The block must not make or change tables."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(WarehouseError):  # the connection may be what failed
                self.execute("ROLLBACK")
            raise

    def copy(self, contract: Contract, rows: pa.Table) -> None:
        """Append rows to the contract's table; raises RefusedRows for what they hold."""
        from snowflake.connector.errors import Error

        columns = (*contract.columns, *ADDED)
        name = f"{uuid.uuid4().hex}.parquet"
        with tempfile.TemporaryDirectory(prefix="sluice-snowflake-") as folder:
            file = os.path.join(folder, name)
            pq.write_table(_staged(columns, rows), file, compression="zstd", compression_level=1)
            self.execute(
                f"PUT {quoted_text(f'file://{file}')} @{STAGE} AUTO_COMPRESS = FALSE OVERWRITE = TRUE"
            )
        into = ", ".join(quoted_name(each.name) for each in columns)
        taken = ", ".join(_taken(each, f"$1:c{at}") for at, each in enumerate(columns))
        sql = (
            f"COPY INTO {quoted_name(contract.table)} ({into}) FROM (SELECT {taken} FROM @{STAGE}/{name})"
            " FILE_FORMAT = (TYPE = PARQUET) PURGE = TRUE"
        )
        with self._clear_errors(), self._connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except Error as error:
                if error.errno not in CONTENT:
                    raise
                raise RowsRejected(_said(error)) from error

    def close(self) -> None:
        """End the session, and with it a transaction that is open."""
        with self._clear_errors():
            self._connection.close()

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Say what failed in Snowflake's own words, without what is secret."""
        from snowflake.connector.errors import Error

        try:
            yield
        except Error as error:
            said = _said(error)
            for secret in self._secrets:
                said = said.replace(secret, "***")
            message = f"{self._url}: expected Snowflake to answer: {said}"
            # The chain is cut: the connector's own text could hold what was just replaced.
            raise (Conflict if error.errno in CONFLICTS else WarehouseError)(message) from None


def credentials() -> dict[str, Any]:
    """Return what the connector needs to log in: a key pair if the environment has one, else the password.

    Raises:
        ConfigError: the environment has neither, or the key cannot be read with its passphrase.

    """
    if key := os.environ.get("SNOWFLAKE_PRIVATE_KEY"):
        return {"authenticator": "SNOWFLAKE_JWT", "private_key": _private_key(key)}
    if password := os.environ.get("SNOWFLAKE_PASSWORD"):
        return {"password": password}
    message = (
        "SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PASSWORD: expected one of them in the environment, got neither"
    )
    raise ConfigError(message)


def _private_key(pem: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    passphrase = os.environ.get("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE")
    try:
        key = load_pem_private_key(pem.encode(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError):
        message = "SNOWFLAKE_PRIVATE_KEY: expected a private key in PEM, which SNOWFLAKE_PRIVATE_KEY_PASSPHRASE opens"
        raise ConfigError(message) from None  # the chain could quote the key
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _staged(columns: Sequence[Property], rows: pa.Table) -> pa.Table:
    """Return rows with the names c0, c1, … and with text where Parquet's type could be read in two ways."""
    arrays = {}
    for at, (prop, column) in enumerate(zip(columns, rows.combine_chunks().columns, strict=True)):
        array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        convert = _STAGED.get(prop.type)
        arrays[f"c{at}"] = array if convert is None else convert(array, prop)
    return pa.table(arrays)


_STAGED: Mapping[ValueType, Callable[[pa.Array, Property], pa.Array]] = {
    "timestamp": lambda array, _: pc.strftime(array, _INSTANT),
    "date": lambda array, _: array.cast(pa.string()),
    "object": json_text,
    "array": json_text,
}

TYPES: Mapping[ValueType, str] = {
    "string": "VARCHAR",
    "uuid": "VARCHAR(36)",
    "integer": "NUMBER(19,0)",
    "float": "FLOAT",
    "decimal": "NUMBER(38,9)",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP_TZ",
    "date": "DATE",
    "json": "VARCHAR",
    "object": "VARIANT",
    "array": "VARIANT",
}
"""JSON of any shape is text: VARIANT would round numbers of more than 38 digits."""


def listed_type(prop: Property) -> str:
    """Return the type of a property as `family` names it."""
    return TYPES[prop.type].replace("VARCHAR(36)", "VARCHAR")


def family(kind: str, precision: int | None, scale: int | None) -> str:
    """Return a type that INFORMATION_SCHEMA lists as DDL names it; texts without their length."""
    kind = "VARCHAR" if kind == "TEXT" else kind
    return f"NUMBER({precision},{scale})" if kind == "NUMBER" else kind


def _taken(prop: Property, place: str) -> str:
    kind = TYPES[prop.type]
    return f"PARSE_JSON({place}::VARCHAR)" if kind == "VARIANT" else f"{place}::{kind}"


def _said(error: Any) -> str:
    return " ".join(str(error.raw_msg or error).split())


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


def quoted_text(text: str) -> str:
    """Return a text as Snowflake's SQL takes it, in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Return a name in upper case, which SQL without quotes means by any case."""
    return '"' + name.upper().replace('"', '""') + '"'
