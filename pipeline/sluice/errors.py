"""Every exception Sluice raises and every code it rejects a record with, a sentence each.

Messages say what was expected, what came and where. Names of secrets may appear, their values never.
"""

from __future__ import annotations


class SluiceError(Exception):
    """Base of all errors that a user can mend; the command line prints it as one line."""

    exit_code = 1


class ConfigError(SluiceError):
    """A job file, a flag or an environment variable is wrong; nothing was started."""

    exit_code = 2


class ContractError(ConfigError):
    """A data contract cannot be read, or asks for something that does not exist."""


class SourceError(SluiceError):
    """A source is missing, or cannot be read to its end."""


class StorageError(SluiceError):
    """A log or dead-letter folder cannot be listed, read or written."""


class WarehouseError(SluiceError):
    """A warehouse cannot be reached, is locked, or failed for a reason other than the rows' content."""


class PublishError(SluiceError):
    """Records that were published to a topic did not arrive there."""


class WorkerError(SluiceError):
    """A worker process on this machine died before its work was done."""


class UnreconciledError(SluiceError):
    """The run ended, but its ledger does not add up: some record is unaccounted for."""


REJECT_CODES: dict[str, str] = {
    "not_csv": "The row does not have the fields of its file's header, or its quotes or its encoding are broken.",
    "not_json": "The record is not one well-formed JSON value in UTF-8.",
    "not_an_object": "The record is JSON, but not an object.",
    "unknown_type": "No contract of the job has the record's event type.",
    "missing": "A required property is absent or null.",
    "type": "A property has another JSON type than its contract says.",
    "format": "A string does not have the form that its contract says, such as a UUID or a timestamp.",
    "enum": "A value is not one of those that its contract lists.",
    "range": "A number is outside its bounds or does not fit its decimal type exactly.",
    "length": "A string or an array is shorter or longer than its contract allows.",
    "too_late": "The event is older, at its arrival, than the job's allowed_lateness.",
    "in_future": "The event's time lies further ahead of its arrival than the job's max_skew.",
    "rejected_by_warehouse": "The contract accepts the event, but the warehouse rejected its row.",
}
"""Code -> meaning. A dead letter's `code` is the first of these, in this order, among its violations."""
