"""Samples of dead letters, for people who look at a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import msgspec

from sluice.dead_letters.envelope import DeadLetter, Source
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER
from sluice.errors import StorageError
from sluice.tooling.pages.rendering import cut_text

_MOST_SEGMENTS = 500
_MOST_BYTES = 64 << 20
_SAMPLES = 3
_LONGEST = 400
"""Characters of a record, or of a value in a reason."""

_decode = msgspec.json.Decoder(DeadLetter).decode


@dataclass(frozen=True, slots=True)
class Sample:
    """A dead letter: its event type, its reasons, the beginning of its record, and where that came from."""

    event_type: str
    reasons: tuple[str, ...]
    record: str
    source: str


def read_samples(address: str, job: str, codes: Collection[str]) -> Mapping[str, list[Sample]]:
    """Return up to three dead letters of a job for each code, of different event types and paths if there are some.

    At most 500 segments, or 64 MiB, of the log at `address` are read; the quarantine is not. Values that contracts
    mask are masked in dead letters.

    Raises:
        ConfigError: `address` is not that of a log.
        StorageError: a segment cannot be read.

    """
    log = DeadLetterLog.at(address)
    samples: dict[str, dict[tuple[str | None, str], Sample]] = defaultdict(dict)
    more: dict[str, list[Sample]] = defaultdict(list)
    read = 0
    for path in islice(log.segments(DEAD_LETTER), _MOST_SEGMENTS):
        lines = log.read(path).lines
        for dead_letter in _decoded(path, lines):
            if dead_letter.job != job or dead_letter.code not in codes:
                continue
            kind = dead_letter.event_type, dead_letter.violations[0].path
            if len(samples[dead_letter.code]) < _SAMPLES and kind not in samples[dead_letter.code]:
                samples[dead_letter.code][kind] = _sample(dead_letter)
            elif len(more[dead_letter.code]) < _SAMPLES:
                more[dead_letter.code].append(_sample(dead_letter))
        read += sum(map(len, lines))
        if read > _MOST_BYTES or all(len(samples[code]) == _SAMPLES for code in codes):
            break
    return {code: [*samples[code].values(), *more[code]][:_SAMPLES] for code in codes}


def _decoded(path: str, lines: Iterable[bytes]) -> Iterator[DeadLetter]:
    for line in lines:
        try:
            yield _decode(line)
        except msgspec.DecodeError as error:
            message = f"{path}: expected dead letters, got {error}"
            raise StorageError(message) from error


def _sample(dead_letter: DeadLetter) -> Sample:
    reasons = tuple(
        f"{_cut(reason.path) or 'record'}: expected {_cut(reason.expected)}, got {_cut(reason.got)}"
        for reason in dead_letter.violations[:_SAMPLES]
    )
    if len(dead_letter.violations) > _SAMPLES:
        reasons += (f"and {len(dead_letter.violations) - _SAMPLES} more",)
    record = dead_letter.payload
    shown = f"base64: {_cut(dead_letter.payload_base64 or '')}" if record is None else _cut(record)
    return Sample(_cut(dead_letter.event_type or "unknown"), reasons, shown, _place(dead_letter.source))


def _place(source: Source) -> str:
    coordinates = (
        f", {name.replace('_', ' ')} {value}"
        for name in ("partition", "offset", "line", "message_id")
        if (value := getattr(source, name)) is not None
    )
    return _cut(f"{source.uri}{''.join(coordinates)}")


def _cut(text: str) -> str:
    return cut_text(text, _LONGEST)
