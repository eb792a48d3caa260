"""Complete the acknowledgements of what is stored, for runs whose source and steps share a process."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from sluice.elements import Acks
from sluice.sources.acknowledgements import PENDING_ACKS


class CompleteAcks(beam.PTransform):
    """`read`: ignored; by any other name Acks: completes them, which acknowledges the batches at their source.

    Where sources issue no ack tokens there is nothing to complete.
    """

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> tuple[beam.PCollection[None], ...]:
        """Complete what each step has stored."""
        return tuple(
            acks | f"Complete {name}" >> beam.Map(_complete)
            for name, acks in inputs.items()
            if name != "read"
        )


def _complete(acks: Acks) -> None:
    PENDING_ACKS.settle(acks)  # looked up in the worker: it does not travel
