"""When groups are emitted: the windows and triggers of live and of bounded input."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import apache_beam as beam
from apache_beam.transforms import trigger
from apache_beam.transforms.window import FixedWindows, GlobalWindows

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Windowing:
    """When groups are emitted. `flush` and `lateness` are in seconds.

    Live: at most `flush` after an event arrived, before and after the watermark passes its minute. Bounded input
    has one pane a minute: runners cannot fire by processing time in batch.
    """

    live: bool
    flush: float
    lateness: float

    @property
    def _delay(self) -> int:
        """Beam's delays are whole seconds."""
        return ceil(self.flush)

    def by_minute(self) -> beam.WindowInto:
        """Return the windows of the log: one minute of event time each."""
        if not self.live:
            return beam.WindowInto(FixedWindows(_MINUTE))
        after_flush = trigger.AfterProcessingTime(self._delay)
        return beam.WindowInto(
            FixedWindows(_MINUTE),
            trigger=trigger.AfterWatermark(early=after_flush, late=after_flush),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
            allowed_lateness=self.lateness + _MINUTE,
        )

    def overall(self) -> beam.WindowInto:
        """Return the window of the ledger: all time, emitted in parts that add up."""
        if not self.live:
            return beam.WindowInto(GlobalWindows())
        return beam.WindowInto(
            GlobalWindows(),
            # Prism panics on AfterWatermark here.
            trigger=trigger.Repeatedly(trigger.AfterProcessingTime(self._delay)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        )
