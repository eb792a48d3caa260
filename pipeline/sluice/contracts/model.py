"""Data contracts as frozen objects, from which decoders, schemas and DDL are compiled.

The launcher reads them from YAML (`sluice.contracts.reading`) and sends them to workers pickled, so a worker never
looks for a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Literal

from sluice.contracts.value_types import ValueType

Identity = Literal["content", "properties", "delivery", "export"]
"""What the deduplication key is made of: the stored line, its `unique` properties, where it was delivered, or the line
and the export that it came in."""

OnConflict = Literal["keep_first", "keep_both"]
"""What is stored of events with equal `unique` properties and other content: the first, or every one of them."""

LogPartition = Literal["minute", "hour", "day"]
"""How much event time one folder of the event log covers."""

Mask = Literal["hash", "drop", "truncate_ip"]
"""How the value of a property is masked in files, tables and dead letters; see `sluice.validation.masking`."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class FromSource:
    """How a property is filled from the address of the record's source, such as the path of its file.

    Either `pattern`, in the syntax of RE2, is searched in the address, and its group of the property's name is the
    value; or `folder_key` names a folder `key=value` of the address; with neither, the address itself is the value.
    """

    pattern: str | None = None
    folder_key: str | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """One property of an event, as its contract describes it.

    `minimum` and `maximum` are inclusive and bound numbers, `earliest` and `latest` dates and timestamps (in UTC);
    `min_length` and `max_length` bound strings (in code points), arrays (in items) and objects of any shape (in
    members). A property that is not `required` may be absent or, if it is `nullable`, null.
    """

    name: str
    type: ValueType
    required: bool = False
    nullable: bool = True
    """Whether null is as good as absence; means nothing if the property is required."""
    description: str = ""
    enum: tuple[Scalar, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    earliest: date | None = None
    latest: date | None = None
    multiple_of: Decimal | None = None
    """What a number is a whole multiple of; not for floats, which are seldom exact."""
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    unique: bool = False
    classification: str | None = None
    references: str | None = None
    """`table.column` that this property points to, for the ER diagram and foreign keys."""
    items: Property | None = None
    unique_items: bool = False
    """The items of an array differ."""
    members: tuple[str, ...] = ()
    """What an object of any shape must have."""
    properties: tuple[Property, ...] = ()
    flatten: bool = False
    """An object whose properties are columns of the table themselves."""
    aliases: tuple[str, ...] = ()
    """Other names of the property in formats without nesting, such as CSV."""
    day_first: bool = False
    """In formats whose values are texts, such as CSV, its dates and times may have the form `31.12.2025 13:45`."""
    mask: Mask | None = None
    from_source: FromSource | None = None

    def unlimited(self) -> Property:
        """Return the property without its limits, for a value that is masked: any value of its type is valid."""
        return replace(
            self,
            enum=(),
            pattern=None,
            min_length=None,
            max_length=None,
            minimum=None,
            maximum=None,
            earliest=None,
            latest=None,
            multiple_of=None,
            unique_items=False,
            members=(),
        )


@dataclass(frozen=True, slots=True)
class Contract:
    """One event type: its properties, its table, its event time and its deduplication key."""

    event_type: str
    """The value that records are routed by, the folder in the event log, and the stem of file names."""
    table: str
    id: str
    version: str
    domain: str
    description: str
    properties: tuple[Property, ...]
    event_time: str | None
    """Name of the required timestamp that is the event time; None: the time of arrival is."""
    identity: Identity = "content"
    count_by: str | None = None
    """Name of the required property with an enum that events are counted by; None: the event type."""
    cluster_by: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    """Who reads this data; a change that would break them names them."""
    path: str = ""
    """Where the contract was read from, for messages."""
    log_partition: LogPartition = "minute"
    event_time_from_arrival: bool = False
    """A record without an event time gets its time of arrival as such."""
    repair: tuple[tuple[str, str | None], ...] = ()
    """Name -> pattern of the rules that repair malformed lines; only rules of the contract's own have a pattern."""
    on_conflict: OnConflict = "keep_first"
    """Only for identity `properties`."""

    @property
    def from_source(self) -> tuple[Property, ...]:
        """The properties that are filled from the source of a record."""
        return tuple(prop for prop in self.properties if prop.from_source is not None)

    @property
    def finds_conflicts(self) -> bool:
        """Tell whether events with the same deduplication key can differ.

        With `delivery` they can, since a file or a collection may be replaced under its name. With `export` they have
        the same content, and their positions are no part of it.
        """
        return self.identity in ("properties", "delivery") and self.on_conflict == "keep_first"

    @property
    def columns(self) -> tuple[Property, ...]:
        """The columns of its table: its properties, with the members of a flattened object in its place."""
        columns: list[Property] = []
        for prop in self.properties:
            members = [
                replace(member, required=member.required and prop.required) for member in prop.properties
            ]
            columns += members if prop.flatten else [prop]
        return tuple(columns)

    @property
    def label(self) -> str:
        """`id@version`, as dead letters quote it."""
        return f"{self.id}@{self.version}"


REPAIR_RULES: Mapping[str, str] = {
    "text_around": "Text stands before or after the object.",
    "single_quotes": "Keys or texts stand in single or curly quotes.",
    "bare_words": "Keys or texts stand without quotes.",
    "literals": "Values are written as Python does: True, False, None, NaN.",
    "trailing_commas": "A comma, or several, stand where nothing follows.",
    "missing_commas": "No comma stands between two members.",
    "missing_braces": "The object's opening or closing braces are missing.",
    "cut_off": "The line ends in the middle of a member, which is left out.",
    "control_characters": "Texts hold tabs or other control characters as they are.",
    "key_value": "Members are written as key=value.",
    "escaped": "The object is the text of a JSON string, with its quotes escaped.",
}
"""Rule -> what it repairs in a malformed line; see `sluice.formats.repair`."""
