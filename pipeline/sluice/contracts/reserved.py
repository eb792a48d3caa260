"""Names that Sluice itself uses: members of stored lines, columns, event types and tables.

Properties of a contract cannot begin with `_`. What else a contract can be called is checked in `names`.
"""

from sluice.elements import INTERNAL_TYPES

DELIVERY_KEY = "_id"
"""Member of a stored line: where the record was delivered, for contracts with identity `delivery`."""

REPAIRED_KEY = "_repaired"
"""Member of a stored line that was malformed: the repair rules that were used, and the line as received."""

EXTRA_COLUMN = "_extra"
"""Column with the members of an event that its contract does not name, as JSON text."""

EVENT_ID_COLUMN = "_event_id"
"""Column with the deduplication key of an event, 32 hexadecimal digits."""

SEGMENT_ID_COLUMN = "_segment_id"
"""Column with the id of the segment that holds the event."""

INGESTED_AT_COLUMN = "_ingested_at"
"""Column with the time at which the segment of the event was loaded."""

SOURCE_PROPERTY = "_source"
"""The only property beginning with `_` that a contract may declare: the address that a record came from."""

RESERVED_EVENT_TYPES = INTERNAL_TYPES | {"all", "unknown", "unparsable"}
"""What no event type of a contract can be called, in any case.

Besides the logs of dead letters (`unparsable` is an earlier name of the quarantine) they name the records whose type
cannot be read (`unknown`) and the sums in the report (`all`).
"""

COUNTS_VIEW = "event_counts"
"""View that sums the counts of events."""

RESERVED_TABLES = frozenset(
    {"_event_counts", "_load_lock", "_refusals", "_segments", "dead_letters", COUNTS_VIEW}
)
"""What no table of a contract can be called, in any case."""

ONCE_SUFFIX = "_once"
"""What the name of a table is followed by in the name of BigQuery's view that shows each of its events once."""
