"""Complete the acknowledgements of what is stored, for runs whose source and steps share a process."""

from __future__ import annotations

from typing import Any

import apache_beam as beam

from sluice.elements import Acks
from sluice.run_state import RunHandle


class CompleteAcks(beam.PTransform):
    """`read`: ignored; by any other name Acks: completes them in the run's state, which acknowledges the batches.

    Where sources issue no ack tokens there is nothing to complete.
    """

    def __init__(self, handle: RunHandle) -> None:
        """`handle` finds the state of the run whose source issued the ack tokens."""
        super().__init__()
        self._handle = handle

    def expand(self, inputs: dict[str, beam.PCollection[Any]]) -> tuple[beam.PCollection[None], ...]:
        """Complete what each step has stored."""
        return tuple(
            acks | f"Complete {name}" >> beam.Map(_complete, self._handle)
            for name, acks in inputs.items()
            if name != "read"
        )


def _complete(acks: Acks, handle: RunHandle) -> None:
    handle.state.acks.complete(acks)
