"""How dead letters are named as a source: `dead-letters:FOLDER?code=enum&event_type=order`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sluice.addresses import mask, mask_query
from sluice.config.connectors import Connector
from sluice.config.durations import time_with_offset
from sluice.config.options import option
from sluice.config.urls import Url
from sluice.dead_letters.selection import SELECTABLE_FIELDS, Selection

if TYPE_CHECKING:
    from sluice.sources.dead_letters.source import DeadLetterSource


def _folder(text: str, where: str) -> Url:
    return Url(unquote(text), where=where)


def _quarantine(text: str, where: str) -> Url:
    return Url(text, where=where)


@dataclass(frozen=True, kw_only=True)
class DeadLettersConnector(Connector["DeadLetterSource"]):
    """Dead letters of a job, processed again with the origin that they had first."""

    schemes = ("dead-letters",)
    shape = "dead-letters:FOLDER?code=CODE"
    separator = ":"
    has_authority = False
    place = re.compile(r"(?P<folder>.+)", re.DOTALL)

    folder: Url = option(
        "the job's folder of dead letters, percent-encoded",
        example="gs://bucket/dead_letters",
        parse=_folder,
        part=True,
    )
    code: tuple[str, ...] = option(
        "code of the rejection; several are alternatives", example="enum", many=True
    )
    event_type: tuple[str, ...] = option("event type; several are alternatives", example="order", many=True)
    job: tuple[str, ...] = option("job that rejected the record", example="backend_events", many=True)
    step: tuple[str, ...] = option("step that rejected the record", example="decode", many=True)
    contract: tuple[str, ...] = option(
        "contract that it was validated against", example="order@1.0.0", many=True
    )
    since: datetime | None = option(
        "earliest time of rejection", default=None, example="2025-02-08T13:09:00Z", parse=time_with_offset
    )
    quarantine: Url | None = option(
        "the job's quarantine, where it is not the folder quarantine below FOLDER",
        default=None,
        example="gs://restricted/quarantine",
        parse=_quarantine,
    )

    @classmethod
    def mask(cls, text: str, harmless: Collection[str]) -> str:
        """Return what may be printed: the folder is an address of its own."""
        scheme, _, rest = text.partition(cls.separator)
        folder, _, query = rest.partition("#")[0].partition("?")
        return f"{scheme}:{mask(unquote(folder))}{mask_query(query, harmless)}"

    @property
    def selection(self) -> Selection:
        """Which dead letters are meant."""
        values = {name: frozenset(getattr(self, name)) for name in SELECTABLE_FIELDS if getattr(self, name)}
        return Selection(values, self.since)

    def open(self) -> DeadLetterSource:
        """Return the source."""
        from sluice.sources.dead_letters.source import DeadLetterSource

        return DeadLetterSource(self.folder, self.selection, self.quarantine)
