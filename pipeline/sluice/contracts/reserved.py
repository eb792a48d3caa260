"""Names that Sluice itself uses: members of stored lines, columns, event types and tables.

Properties of a contract cannot begin with `_`. What else a contract can be called is checked in `names`.
"""

from sluice.elements import INTERNAL_TYPES

DELIVERY_KEY = "_id"
"""Member of a stored line: where the record was delivered, for contracts with identity `delivery`."""

SOURCE_KEY = "_source"
"""Member of a stored line: the source, arrival and position of its record, for contracts with identity `export`."""

REPAIRED_KEY = "_repaired"
"""Member of a stored line that was malformed: the repair rules that were used, and the line as received."""

EXTRA_COLUMN = "_extra"
"""Column with the members of an event that its contract does not name, as JSON text."""

EVENT_ID_COLUMN = "_event_id"
"""Column with the deduplication key of an event, 32 hexadecimal digits."""

SEGMENT_ID_COLUMN = "_segment_id"
"""Column with the id of the segment that holds the event."""

INGESTED_AT_COLUMN = "_ingested_at"
"""Column with the time at which the event was appended to the event log."""

SOURCE_COLUMN = "_source"
"""Column with the address of the file, partition or other source that the event was read from."""

ARRIVED_AT_COLUMN = "_arrived_at"
"""Column with the time at which the source received the event: the modification time of its file, its log time."""

POSITION_COLUMN = "_position"
"""Column with the byte offset of the event in its file, or its offset in its partition; 0 for other sources."""

SOURCE_PROPERTY = "_source"
"""The only property beginning with `_` that a contract may declare: the address that a record came from."""

RESERVED_EVENT_TYPES = INTERNAL_TYPES | {"all", "unknown", "unparsable"}
"""What no event type of a contract can be called, in any case.

Besides the logs of dead letters (`unparsable` is an earlier name of the quarantine) they name the records whose type
cannot be read (`unknown`) and the sums in the report (`all`).
"""

COUNTS_VIEW = "event_counts"
"""View that sums the counts of events."""

STATUS_VIEW = "dead_letter_status"
"""View that says what became of each dead letter."""

OWN_TABLES = ("dead_letters", "redeliveries", "source_files")
"""Tables of what Sluice itself writes; `warehouses.own_tables` has their contracts."""

RESERVED_TABLES = frozenset(
    {
        *("_event_counts", "_load_lock", "_refusals", "_segments"),
        *(*OWN_TABLES, COUNTS_VIEW, STATUS_VIEW),
    }
)
"""What no table of a contract can be called, in any case."""

ONCE_SUFFIX = "_once"
"""What the name of a table is followed by in the name of BigQuery's view that shows each of its events once."""
