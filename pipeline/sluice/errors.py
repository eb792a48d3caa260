"""Every exception Sluice raises and every code it rejects a record with, a sentence each.

Messages say what was expected, what came and where. Names of secrets may appear, their values never.
"""

from __future__ import annotations

import base64
import binascii
import difflib
from collections.abc import Iterator, Sequence

import msgspec

from sluice.addresses import mask_text

_QUOTED = 100
"""Characters of a value that a message quotes."""

_MARK = "sluice-error:"
"""Precedes the data of an error in the text of a traceback."""


class SluiceError(Exception):
    """Base of all errors that a user can fix; the command line prints it as one line.

    Runners hand on an exception of a worker as the text of its traceback. So that the launcher can raise it again as
    what it was, its class and its text are in a note, which Python prints behind the exception: see `decode_error`.
    """

    exit_code = 1

    _tagged_with_step = True
    """Beam would otherwise raise a copy with the step's name in its text."""

    def __init__(self, message: str) -> None:
        """`message` is one line: what was expected, what came, where."""
        super().__init__(message)
        self.add_note(_encode(self))


class ConfigError(SluiceError):
    """A job file, a flag or an environment variable is wrong; nothing was started."""

    exit_code = 2


class ContractError(ConfigError):
    """A data contract cannot be read, or asks for something that does not exist."""


class SourceError(SluiceError):
    """A source is missing, or cannot be read to its end."""


class StorageError(SluiceError):
    """A log or dead-letter folder cannot be listed, read or written."""


class LogChangedError(StorageError):
    """A log is not as this run or its warehouse knows it: somebody deleted, moved or edited files. No retry helps."""


class WarehouseError(SluiceError):
    """A warehouse cannot be reached, is locked, or failed for a reason other than the rows' content."""


class TableError(WarehouseError):
    """A table takes no rows, whatever they hold. The load is not tried again before somebody has fixed the table."""


class RateLimitError(WarehouseError):
    """A warehouse takes no more requests or loads for now; the load is tried again for longer than others."""


class PublishError(SluiceError):
    """Records that were published to a topic did not arrive there."""


class ChannelError(SluiceError):
    """A channel did not take a message with alerts; the next run sends it again."""


class WorkerError(SluiceError):
    """A worker process on this machine died before its work was done."""


class OutputError(SluiceError):
    """Standard output is closed or full."""


class UnreconciledError(SluiceError):
    """The run ended, but its ledger does not add up: some record is unaccounted for."""


def quote(value: object) -> str:
    """Return how messages quote a value that somebody wrote: Python's literal, cut to 100 characters.

    An address is masked. A mapping, and a list of more than plain values, is only named: somebody may have put a
    secret where none belongs.
    """
    if isinstance(value, dict):
        return "a mapping"
    if not isinstance(value, list):
        text = repr(_mask(value))
    elif any(isinstance(member, (dict, list)) for member in value):
        return "a list"
    else:
        text = repr([_mask(member) for member in value])
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}…"


def _mask(value: object) -> object:
    return mask_text(value) if isinstance(value, str) else value


def alternatives(name: object, known: Sequence[str]) -> str:
    """Return what a message says of an unknown name: which known one it may be a misspelling of, or all of them."""
    similar = similar_name(name, known)
    return f"expected one of {', '.join(known)}" if similar is None else f"did you mean {similar}?"


def similar_name(name: object, known: Sequence[str]) -> str | None:
    """Return which of the known names another one may be a misspelling of; None: of none."""
    folded = {text.lower(): text for text in known}
    similar = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=_SIMILAR)
    return folded[similar[0]] if similar else None


_SIMILAR = 0.75
"""How similar, from 0 to 1, two such names are."""


class RunnerError(WorkerError):
    """The runner of a streaming job on this machine ended, failed or stopped by itself; it can be started again."""


class RejectedError(SluiceError):
    """The run ended, but more of its records were rejected than it allows."""


class _ErrorData(msgspec.Struct, array_like=True):
    classes: list[str]
    """The name of the error's class, and of those above it: a class may be unknown where the data is read."""
    message: str


def _encode(error: SluiceError) -> str:
    data = _ErrorData([above.__name__ for above in type(error).__mro__], str(error))
    return _MARK + base64.urlsafe_b64encode(msgspec.json.encode(data)).decode()


def decode_error(text: str) -> SluiceError | None:
    """Return the last error of ours whose data is in `text`, such as a traceback; None if there is none."""
    _, mark, rest = text.rpartition(_MARK)
    if not mark:
        return None
    encoded = rest[: next((at for at, byte in enumerate(rest) if byte not in _ALPHABET), len(rest))]
    try:
        data = msgspec.json.decode(base64.urlsafe_b64decode(encoded), type=_ErrorData)
    except (binascii.Error, msgspec.DecodeError):  # the runner has cut the text off
        return None
    known = {known.__name__: known for known in _subclasses(SluiceError)}
    return next(known[name] for name in data.classes if name in known)(data.message)


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")


def _subclasses(base: type[SluiceError]) -> Iterator[type[SluiceError]]:
    yield base
    for below in base.__subclasses__():
        yield from _subclasses(below)


REJECT_CODES: dict[str, str] = {
    "not_csv": "The row does not have the fields of its file's header, or its quotes or its encoding are broken.",
    "not_json": "The record is not one well-formed JSON value in UTF-8.",
    "not_an_object": "The record is JSON, but not an object.",
    "unknown_type": "No contract of the job has the record's event type.",
    "missing": "A required property is absent or null.",
    "type": "A property has another JSON type than its contract says.",
    "format": "A string does not have the form that its contract says, such as a UUID or a timestamp.",
    "enum": "A value is not one of those that its contract lists.",
    "range": "A number or a time is outside its bounds, a number does not fit its type exactly, or items repeat.",
    "length": "A string, an array or an object is shorter or longer than its contract allows.",
    "too_late": "The event is older, at its arrival, than the job's allowed_lateness.",
    "in_future": "The event's time lies further ahead of its arrival than the job's max_skew.",
    "conflict": "The event log has an event with the same deduplication key and other content.",
    "rejected_by_warehouse": "The contract accepts the event, but the warehouse rejected its row.",
}
"""Code -> meaning. A dead letter's `code` is the first of these, in this order, among its violations."""
