"""What SQL and names of a warehouse look like: the one place for its types, its quoting and its limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sluice.arrow.schema import arrow_schema
from sluice.contracts import ITEM, Contract, Property, ValueType, path_text, walk
from sluice.errors import ContractError
from sluice.warehouses.system_tables import RESERVED_NAMES, SystemTable, unquoted


@dataclass(frozen=True, slots=True)
class NameRule:
    """Which names a warehouse takes."""

    allows: Callable[[str], bool]
    text: str
    """The rule in words, for messages."""


ANY_NAME = NameRule(lambda _: True, "any text")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL of one warehouse."""

    name: str
    """Of the product, as messages have it."""
    types: Mapping[ValueType, str]
    """Type of a value -> type of its column. `object` and `array` are missing where the warehouse nests columns."""
    quote_name: Callable[[str], str]
    quote_text: Callable[[str], str]
    fold_name: Callable[[str], str] = str.lower
    """Returns the same text for names that the warehouse cannot tell apart."""
    table_names: NameRule = ANY_NAME
    column_names: NameRule = ANY_NAME
    own_columns: tuple[str, ...] = ()
    """Columns that the warehouse itself adds to a table, in lower case."""
    max_columns: int | None = None
    """Columns of a table, with the members of objects where the warehouse nests them; None: any number."""
    max_levels: int | None = None
    """Objects in objects, where the warehouse nests columns; None: any number."""

    def type_of(self, prop: Property) -> str:
        """Return the type of a property's column; KeyError for objects and arrays if `types` has none."""
        return self.types[prop.type]

    def column(self, prop: Property) -> str:
        """Return the column of a property as DDL has it: name, type, and NOT NULL if it is required."""
        return f"{self.quote_name(prop.name)} {self.type_of(prop)}{' NOT NULL' if prop.required else ''}"

    def create_system_table_sql(
        self,
        table: SystemTable,
        *,
        quote: Callable[[str], str] = unquoted,
        key: str = "NOT NULL PRIMARY KEY",
        composite_keys: bool = True,
        options: str = "",
    ) -> str:
        """Return `CREATE TABLE IF NOT EXISTS` of one of Sluice's own tables, without a semicolon.

        Args:
            table: what is created.
            quote: how names are written.
            key: what follows the type of a column that alone is the primary key.
            composite_keys: whether a primary key of several columns is declared.
            options: what follows the closing parenthesis.

        """
        lines = []
        for prop in table.contract.properties:
            constraint = key if table.primary_key == (prop.name,) else "NOT NULL"
            lines.append(f"{quote(prop.name)} {self.type_of(prop)} {constraint}")
        if composite_keys and len(table.primary_key) > 1:
            lines.append(f"PRIMARY KEY ({', '.join(map(quote, table.primary_key))})")
        body = "\n    " + ",\n    ".join(lines) + "\n" if len(lines) > 1 else lines[0]
        return f"CREATE TABLE IF NOT EXISTS {quote(table.name)} ({body}){options}"

    def check_contract(self, contract: Contract, columns: Sequence[Property]) -> None:
        """Check that the warehouse can hold the contract's table, which has these `columns`.

        Raises:
            ContractError: it cannot; the message names contract, property and fix.

        """
        where = contract.path or contract.label
        arrow_schema(contract)  # rejects reserved names and objects without properties
        self._check_table(contract.table, f"{where}: table")
        self._check_size(contract, columns, where)
        for column in columns:
            if self.fold_name(column.name) in self.own_columns:
                message = (
                    f"{where}: property {column.name}: {self.name} has its own column of this name; rename it"
                )
                raise ContractError(message)
        self._check_columns(columns, f"{where}: property ")

    def _check_table(self, table: str, where: str) -> None:
        if not self.table_names.allows(table):
            message = (
                f"{where}: expected a table name for {self.name} ({self.table_names.text}), got {table!r};"
                " rename it"
            )
            raise ContractError(message)
        for name in RESERVED_NAMES:
            if self.fold_name(name) == self.fold_name(table):
                message = f"{where}: expected another name than Sluice's own {name}, got {table!r}; rename it"
                raise ContractError(message)

    def _check_size(self, contract: Contract, columns: Sequence[Property], where: str) -> None:
        is_nested = "object" not in self.types
        paths = [(path, prop) for path, prop in walk(columns) if path[-1] != ITEM]
        number = len(paths) if is_nested else len(columns)
        if self.max_columns is not None and number > self.max_columns:
            own = len(columns) - len(contract.columns)
            members = " and members of objects" if is_nested else ""
            message = (
                f"{where}: table {contract.table}: expected at most {self.max_columns:,} columns{members}, as "
                f"{self.name} has them, got {number:,}, {own} of them Sluice's own; put some into a property of "
                "free-form JSON, or into another event type"
            )
            raise ContractError(message)
        if self.max_levels is None:
            return
        for path, prop in walk(columns):
            levels = sum(part != ITEM for part in path)
            if prop.type == "object" and levels > self.max_levels:
                message = (
                    f"{where}: property {path_text(path)}: expected at most {self.max_levels} objects in objects, "
                    f"as {self.name} has them, got {levels}; make it free-form JSON: leave out its properties"
                )
                raise ContractError(message)

    def _check_columns(self, columns: Sequence[Property], where: str) -> None:
        names: dict[str, str] = {}
        for prop in columns:
            if not self.column_names.allows(prop.name):
                message = (
                    f"{where}{prop.name}: expected a column name for {self.name} ({self.column_names.text}),"
                    f" got {prop.name!r}; rename it"
                )
                raise ContractError(message)
            if other := names.get(self.fold_name(prop.name)):
                message = f"{where}{prop.name}: {self.name} cannot tell it from {other}; rename one"
                raise ContractError(message)
            names[self.fold_name(prop.name)] = prop.name
            if "object" not in self.types:
                self._check_columns(list(_members(prop)), f"{where}{prop.name}.")


def _members(prop: Property) -> Iterator[Property]:
    while prop.items is not None:
        prop = prop.items
    yield from prop.properties


_TOKEN = re.compile(r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|\?')


def split_at_placeholders(sql: str) -> list[str]:
    """Return the parts of a statement between its placeholders `?`; one within quotes is no placeholder."""
    parts, begin = [], 0
    for token in _TOKEN.finditer(sql):
        if token[0] == "?":
            parts.append(sql[begin : token.start()])
            begin = token.end()
    return [*parts, sql[begin:]]


def double_quoted(name: str) -> str:
    """Return a name in double quotes, as standard SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def single_quoted(text: str) -> str:
    """Return a text in single quotes, as standard SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def matching(pattern: str, text: str) -> NameRule:
    """Return the rule that a whole name matches a regular expression."""
    compiled = re.compile(pattern)
    return NameRule(lambda name: compiled.fullmatch(name) is not None, text)
