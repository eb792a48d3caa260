"""The event log: an append-only archive of immutable files, its paths and its deduplication keys."""
