"""PostgreSQL: segments are copied in with their counts and their mark in one transaction.

`postgresql://user@host:5432/database?schema=events`. The password comes from libpq, as for psql: PGPASSWORD, a
password file, or the URL (`postgresql://user:${PASSWORD}@host/database`, percent-encoded). Rows go in by binary COPY
straight into their table, through ADBC. uuid, numeric(38,9), timestamptz and date are PostgreSQL's own types; objects,
arrays and JSON are jsonb.

Foreign keys are made only to the tables that `foreign_keys=customers,products` names: tables of others, filled before
the events come. A row whose reference is not there is refused, so keys among the tables of one job would refuse rows
for the order in which workers happen to load them, and are not made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from sluice.arrow.schema import ADDED, arrow_schema
from sluice.contracts import Contract, Property, ValueType
from sluice.elements import DEAD_LETTER
from sluice.errors import ConfigError, ContractError
from sluice.warehouses.connection_cache import Held
from sluice.warehouses.postgres.connection import Connection, quoted_name, quoted_text
from sluice.warehouses.row_errors import RowError
from sluice.warehouses.schema_diff import (
    Column,
    Difference,
    TableSchema,
    compare,
    missing_columns,
    without_columns,
)
from sluice.warehouses.segment_load import SegmentLoad
from sluice.warehouses.transactional import (
    COUNT_PARTS,
    COUNTS,
    REFUSALS,
    SEGMENTS,
    load_segment,
    read_row_errors,
)

SCALARS: dict[ValueType, str] = {
    "string": "text",
    "uuid": "uuid",
    "integer": "bigint",
    "float": "double precision",
    "decimal": "numeric(38,9)",
    "boolean": "boolean",
    "timestamp": "timestamptz",
    "date": "date",
    "json": "jsonb",
    "object": "jsonb",
    "array": "jsonb",
}

SYSTEM = (
    f"""CREATE TABLE IF NOT EXISTS {SEGMENTS} (
    segment_id text PRIMARY KEY,
    event_type text NOT NULL,
    path text NOT NULL,
    minute timestamptz NOT NULL,
    events bigint NOT NULL,
    refused bigint NOT NULL,
    ingested_at timestamptz NOT NULL
)""",
    f"""CREATE TABLE IF NOT EXISTS {REFUSALS} (
    segment_id text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (segment_id, line)
)""",
    f"""CREATE TABLE IF NOT EXISTS {COUNT_PARTS} (
    segment_id text NOT NULL,
    event_type text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (segment_id, window_start, event_type)
)""",
    f"""CREATE OR REPLACE VIEW {COUNTS} AS
SELECT event_type, window_start, window_end, CAST(sum(events) AS bigint) AS events
FROM {COUNT_PARTS}
WHERE event_type <> '{DEAD_LETTER}'
GROUP BY event_type, window_start, window_end""",
    f"COMMENT ON TABLE {SEGMENTS} IS 'Segments of the log that are loaded, each once.'",
    f"COMMENT ON TABLE {REFUSALS} IS 'Lines of loaded segments that could not become rows.'",
    f"COMMENT ON TABLE {COUNT_PARTS} IS 'What each segment adds to the counts; {COUNTS} sums them.'",
    f"COMMENT ON VIEW {COUNTS} IS 'Events by type and window, exact however often events come late or again.'",
)
"""Tables and view that Sluice keeps beside those of the contracts."""

MAX_NAME = 63
"""Bytes of a name; PostgreSQL cuts longer ones: https://www.postgresql.org/docs/current/limits.html"""
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})

_LOCK = 0x51_0C_E5
"""Key of the advisory lock under which tables are made."""


@dataclass(frozen=True, slots=True)
class PostgresWarehouse:
    """Tables in one schema of a PostgreSQL database; `url` has no password, `options` are libpq's.

    Guarantee: each segment is loaded once, whoever loads it how often: its row in `_segments` is in the same
    transaction. A connection that dies leaves nothing of a segment, or all of it.
    """

    url: str
    schema: str
    foreign_keys: tuple[str, ...]
    """Tables in the schema that references are held against."""
    options: Mapping[str, str] = field(repr=False)
    _held: Held[Connection] = field(default_factory=Held, init=False, repr=False, compare=False)

    def prepare(self, contracts: Sequence[Contract]) -> None:
        """Create schema, tables and view where they are missing; two runs that start together take turns.

        Raises:
            ConfigError: a contract asks for what PostgreSQL cannot hold.
            WarehouseError: the server cannot be reached, or refuses.

        """
        self._check_foreign_keys(contracts)
        for contract in contracts:
            _check_contract(contract)
        with closing(self._connect()) as connection, _transaction(connection):
            connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", [self.schema]):
                connection.execute(f"CREATE SCHEMA {quoted_name(self.schema)}")
            for statement in SYSTEM:
                connection.execute(statement)
            for contract in contracts:
                # Only the comments are made again of a table that is there, so not those of columns that it lacks.
                there = without_columns(contract, missing_columns(_differences(connection, contract) or []))
                for statement in table_statements(there):
                    connection.execute(statement)
            for table in self.foreign_keys:
                _refer_to(connection, table, contracts)

    def row_errors(self, segment_id: str, minute: int) -> list[RowError] | None:
        """Return the lines refused when the segment was loaded; None if it is not loaded."""
        del minute
        return self._held.use(self._connect, lambda connection: read_row_errors(connection, segment_id))

    def load(self, load: SegmentLoad) -> list[RowError]:
        """Load one segment in one transaction; return all refused lines, those that PostgreSQL refused included.

        Raises:
            WarehouseError: the server cannot be reached or fails; nothing of the segment is loaded, or all of it.

        """

        def work(connection: Connection) -> list[RowError]:
            with _transaction(connection):
                return load_segment(connection, load)

        return self._held.use(self._connect, work)

    def differences(self, contract: Contract) -> list[Difference] | None:
        """Return how the contract's table differs from what `prepare` would make; None if there is no table."""
        return self._held.use(self._connect, lambda connection: _differences(connection, contract))

    def add_columns(self, contract: Contract, paths: Collection[str]) -> None:
        """Add the columns at `paths`, which may be null."""
        table = quoted_name(contract.table)
        with closing(self._connect()) as connection, _transaction(connection):
            for each in contract.columns:
                if each.name in paths:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_column(each)}")
            for statement in table_statements(contract):
                connection.execute(statement)

    def create_table_sql(self, contract: Contract) -> str:
        """Return the DDL of the contract's table; see the function of this name."""
        return create_table_sql(contract)

    def _check_foreign_keys(self, contracts: Sequence[Contract]) -> None:
        for table in self.foreign_keys:
            if table in (contract.table for contract in contracts):
                why = "a table that this job does not load: its rows come in no order"
            elif not _references(table, contracts):
                why = "a table that a property of some contract, not nested, refers to"
            else:
                continue
            message = f"warehouse: {self.url}: foreign_keys: expected {why}; got {table!r}"
            raise ConfigError(message)

    def _connect(self) -> Connection:
        return Connection(self.url, self.schema, self.options)


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """Run a block in a transaction; if it fails, the connection must be closed, which rolls back."""
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def _references(table: str, contracts: Sequence[Contract]) -> list[tuple[Contract, str, str]]:
    """Return contract, column and referenced column of each property that refers to `table`."""
    return [
        (contract, prop.name, prop.references.partition(".")[2])
        for contract in contracts
        for prop in contract.columns
        if prop.references is not None and prop.references.partition(".")[0] == table
    ]


def _refer_to(connection: Connection, table: str, contracts: Sequence[Contract]) -> None:
    """Make the foreign keys to `table` that are missing."""
    for contract, column, target in _references(table, contracts):
        where = f"{contract.path or contract.label}: property {column}: foreign key to {table}.{target}"
        if not connection.execute(_UNIQUE, [quoted_name(table), target]):
            message = (
                f"{where}: expected a table with this column as its key, got none; create it, or its key"
            )
            raise ConfigError(message)
        if not connection.execute(_REFERS, [quoted_name(contract.table), quoted_name(table), column]):
            connection.execute(
                f"ALTER TABLE {quoted_name(contract.table)} ADD FOREIGN KEY ({quoted_name(column)})"
                f" REFERENCES {quoted_name(table)} ({quoted_name(target)})"
            )


def _differences(connection: Connection, contract: Contract) -> list[Difference] | None:
    columns = (*contract.columns, *ADDED)
    wanted = TableSchema(
        [Column(each.name, SCALARS[each.type], each.required) for each in columns], PRIMARY_KEY
    )
    names = {each.name for each in columns}
    rows = connection.execute(_COLUMNS, [quoted_name(contract.table)])
    if not rows:
        return None
    found = [
        Column(
            name,
            kind.replace("timestamp with time zone", "timestamptz"),
            required and (name in names or bare),
        )
        for name, kind, required, bare in rows
    ]
    keys = connection.execute(_PRIMARY_KEY, [quoted_name(contract.table)])
    layout = {"primary key": keys[0][0] if keys else "none"}
    return compare(contract.table, wanted, TableSchema(found, layout), str)


PRIMARY_KEY = {"primary key": "_event_id"}

_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod), attnotnull, NOT atthasdef AND attidentity = ''
FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_PRIMARY_KEY = """SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_index
JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey) WHERE indrelid = to_regclass(?) AND indisprimary
GROUP BY indexrelid"""
_UNIQUE = """SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(?) AND a.attname = ? AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL"""
_REFERS = """SELECT 1 FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
WHERE c.contype = 'f' AND c.conrelid = to_regclass(?) AND c.confrelid = to_regclass(?) AND a.attname = ?"""


def system_sql() -> str:
    """Return what makes the tables and the view that Sluice keeps beside those of the contracts."""
    return ";\n".join(SYSTEM) + ";\n"


def create_table_sql(contract: Contract) -> str:
    """Return `table_statements` as one text."""
    return ";\n".join(table_statements(contract)) + ";\n"


def table_statements(contract: Contract) -> list[str]:
    """Return `CREATE TABLE IF NOT EXISTS` and comments for PostgreSQL.

    Raises:
        ContractError: PostgreSQL cannot hold a table or a column of that name.

    """
    _check_contract(contract)
    table = quoted_name(contract.table)
    lines = [f"    {_column(each)}" for each in (*contract.columns, *ADDED)]
    lines.append('    PRIMARY KEY ("_event_id")')
    statements = [f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(lines) + "\n)"]
    if contract.description:
        statements.append(f"COMMENT ON TABLE {table} IS {quoted_text(contract.description)}")
    return statements + [
        f"COMMENT ON COLUMN {table}.{quoted_name(each.name)} IS {quoted_text(each.description)}"
        for each in (*contract.columns, *ADDED)
        if each.description
    ]


def _column(prop: Property) -> str:
    return f"{quoted_name(prop.name)} {SCALARS[prop.type]}{' NOT NULL' if prop.required else ''}"


def _check_contract(contract: Contract) -> None:
    where = contract.path or contract.label
    arrow_schema(contract)  # refuses reserved names and objects without properties
    if contract.table == COUNTS or len(contract.table) > MAX_NAME:
        message = (
            f"{where}: table: expected at most {MAX_NAME} bytes and not {COUNTS}; got {contract.table!r}"
        )
        raise ContractError(message)
    for each in contract.columns:
        if each.name in SYSTEM_COLUMNS or len(each.name.encode()) > MAX_NAME:
            message = (
                f"{where}: property {each.name}: expected at most {MAX_NAME} bytes and none of PostgreSQL's own"
                f" columns ({', '.join(sorted(SYSTEM_COLUMNS))}); rename it"
            )
            raise ContractError(message)
