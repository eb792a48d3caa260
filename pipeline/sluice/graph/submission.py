"""What is known of a submitted run beside its totals."""

from __future__ import annotations

import msgspec

from sluice.errors import StorageError
from sluice.storage import open_store

SUBMISSION = "run.json"
"""The file that has it, in the folder of the totals."""


class Submission(msgspec.Struct):
    """What a submitted run stores beside its totals, for the report; `started` is in epoch seconds."""

    job: str
    run_id: str
    started: float
    live: bool = False
    """It is a streaming job."""
    judged: bool = True
    """Rejected records can fail it."""
    max_rejected: str | None = None
    """As `rejection_limit` reads it."""
    dead_letters: str = ""
    """Where its dead letters are, as it may be printed."""
    version: str = ""
    """Of Sluice; this and the following are as in its report."""
    contracts: dict[str, str] = {}
    places: dict[str, str] = {}
    keeps_manifest: bool = False
    """It reads sources for the first time, so its totals become entries of the manifest when somebody asks.

    Earlier versions do not say so, of redeliveries and loads neither.
    """


def write_submission(url: str, submission: Submission) -> None:
    """Write what `read_submission` and `read_report` need of a submitted run, beside its totals."""
    open_store(url).create(SUBMISSION, msgspec.json.encode(submission))


def read_submission(url: str) -> Submission:
    """Return what `write_submission` wrote.

    Raises:
        StorageError: there is none, or it cannot be read.

    """
    store = open_store(url)
    try:
        return msgspec.json.decode(store.read(SUBMISSION), type=Submission)
    except (msgspec.DecodeError, ValueError) as error:
        message = f"{store.url(SUBMISSION)}: expected what is known of a submitted run, got {error}"
        raise StorageError(message) from error
