"""Names that Sluice itself adds to stored lines and tables; properties of a contract cannot begin with `_`."""

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
